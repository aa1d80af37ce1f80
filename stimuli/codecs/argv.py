"""Argument lists with placeholders, the programs that they begin with, and the versions these print."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from stimuli.errors import CodecProgramError, CodecSettingsError
from stimuli.programs import last_line

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
#: Seconds in which a program must print its version.
_VERSION_TIMEOUT = 30


def placeholders(parts: Iterable[str]) -> set[str]:
    """The names in braces."""
    return {name for part in parts for name in _PLACEHOLDER.findall(part)}


def fill(part: str, values: Mapping[str, str]) -> str:
    """The part with every placeholder that has a value replaced by it."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), part)


def read_argv(key: str, value: object, *, least: int = 1) -> list[str]:
    """A list of at least so many texts; raises CodecSettingsError."""
    if not isinstance(value, list) or len(value) < least or not all(isinstance(p, str) and p for p in value):
        example = '["./mycodec", "{input}", "{output}"]' if least else '["--sharpness=3"]'
        raise CodecSettingsError(key, f"must be a list of texts, as {example}")
    return [str(part) for part in value]


def check_template(key: str, template: Sequence[str], known: Sequence[str], needed: Sequence[str]) -> None:
    """Raise CodecSettingsError for a placeholder that is not known, or one that is needed and absent."""
    used = placeholders(template)
    if unknown := sorted(used - set(known)):
        names = ", ".join(f"{{{name}}}" for name in known)
        raise CodecSettingsError(key, f"has the unknown placeholder {{{unknown[0]}}}; it knows {names}")
    if lacking := [name for name in needed if name not in used]:
        raise CodecSettingsError(key, f"must use {{{lacking[0]}}}")


def find_program(key: str, program: str, folder: Path, get: str | None) -> str:
    """The path of a program; raises CodecProgramError, which says how to `get` it where that is known.

    With a slash in its name it is looked for in `folder`, without one on PATH.
    """
    path = folder / program if "/" in program else None
    found = shutil.which(str(path or program))
    if found is None:
        raise CodecProgramError(key, _why_not(program, path, get))
    return found


def _why_not(program: str, path: Path | None, get: str | None) -> str:
    """Why a program cannot be run, and what to do."""
    if path is None:
        instead = get or f"install it, or write ./{program} for one in the study folder"
        return f"names the program {program!r}, which is not on PATH; {instead}"
    if not path.exists():
        return f"names the program {path}, which does not exist; put it there or correct the path"
    if not path.is_file():
        return f"names the program {path}, which is not a file"
    return f"names the program {path}, which is not executable: chmod +x {shlex.quote(str(path))}"


def file_hashes(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file that is there, by its name."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_absolute() and file.is_file()
    }


def read_pattern(key: str, value: object) -> re.Pattern[str] | None:
    """A regular expression or None; raises CodecSettingsError."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise CodecSettingsError(key, f"must be text, got {value!r}")
    try:
        return re.compile(value)
    except re.error as error:
        raise CodecSettingsError(key, f"is not a regular expression: {error}") from None


def ask_version(argv: Sequence[str], pattern: re.Pattern[str] | None) -> str:
    """What a command prints about its version: the first line, or what the pattern finds anywhere.

    With a pattern the exit status does not count: many programs tell their version beside an error only.
    Raises CodecSettingsError.
    """
    try:
        done = subprocess.run(
            argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=_VERSION_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CodecSettingsError("version", f"could not be asked of {argv[0]} ({error})") from None
    if pattern is not None:
        text = (done.stdout + b"\n" + done.stderr).decode(errors="replace")
        found = pattern.search(text)
        if found is None:
            reason = f"finds nothing in what {shlex.join(argv)} prints; correct it or write the version"
            raise CodecSettingsError("version_pattern", f"{pattern.pattern!r} {reason}")
        return " ".join((found[1] if pattern.groups else found[0]).split())[:120]
    if done.returncode != 0:
        failure = f"command failed (exit {done.returncode}){last_line(done.stderr)}"
        raise CodecSettingsError("version", f"{failure}; write the version as text instead")
    # Some programs print their version to standard error.
    lines = (done.stdout.strip() or done.stderr.strip()).decode(errors="replace").splitlines()
    if not lines:
        raise CodecSettingsError("version", f"was not printed by {shlex.join(argv)}")
    return lines[0].strip()[:120]
