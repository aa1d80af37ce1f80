"""The ffmpeg that the package `imageio-ffmpeg` carries, run as a program on one thread."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from stimuli.errors import CodecNotInstalledError
from stimuli.programs import ProgramError, run_program
from stimuli.working_folders import working_folder

#: What to do where it is absent.
REMEDY = "run: pip install imageio-ffmpeg"
#: Seconds for one call; the slowest preset of the slowest codec takes a minute a megapixel.
TIMEOUT = 3600.0
_ALWAYS = ("-nostdin", "-hide_banner", "-loglevel", "error", "-y")
_ONE_THREAD = ("-threads", "1")


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """The program and what it says its version is."""

    path: Path
    version: str


def find_ffmpeg(family: str = "ffmpeg") -> Ffmpeg:
    """The binary inside the installed `imageio-ffmpeg`, and no other, because files depend on it.

    That package's own search would prefer one from the environment, and fall back on PATH. Raises
    CodecNotInstalledError in the name of `family`.
    """
    spec = importlib.util.find_spec("imageio_ffmpeg")
    if spec is None or spec.origin is None:
        raise CodecNotInstalledError(family, REMEDY)
    folder = Path(spec.origin).parent / "binaries"
    found = sorted(path for path in folder.glob("ffmpeg-*") if os.access(path, os.X_OK))
    if not found:
        raise CodecNotInstalledError(
            family, f"this imageio-ffmpeg carries no program for this machine; {REMEDY} --force-reinstall"
        )
    try:
        return Ffmpeg(found[0], _version(found[0]))
    except (OSError, subprocess.SubprocessError, ProgramError) as error:
        raise CodecNotInstalledError(family, f"{found[0]} cannot be run ({error}); {REMEDY}") from None


def run_ffmpeg(
    arguments: Sequence[str],
    files: Mapping[str, bytes],
    output: str,
    *,
    timeout: float = TIMEOUT,
    ffmpeg: Ffmpeg | None = None,
) -> bytes:
    """Run ffmpeg in a temporary folder that holds `files`, and give what it wrote to `output` there.

    `arguments` are inputs with `-i` and options of the output; one thread is asked for before every input,
    for filters and for the output, because threads change the bits of some codecs. Raises ProgramError
    with the last line of its standard error, CodecNotInstalledError where it is absent.
    """
    program = ffmpeg or find_ffmpeg()
    argv = [str(program.path), *_ALWAYS, "-filter_threads", "1", "-filter_complex_threads", "1"]
    for argument in arguments:
        if argument == "-i":
            argv += _ONE_THREAD
        argv.append(argument)
    with working_folder() as folder:
        for file, data in files.items():
            (folder / file).write_bytes(data)
        run_program([*argv, *_ONE_THREAD, output], cwd=folder, timeout=timeout)
        try:
            written = (folder / output).read_bytes()
        except OSError:
            written = b""
    if not written:
        raise ProgramError(f"ffmpeg wrote nothing to {output}")
    return written


@lru_cache
def _version(path: Path) -> str:
    done = subprocess.run(
        [str(path), "-version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=True
    )
    words = done.stdout.decode(errors="replace").split()
    if words[:2] != ["ffmpeg", "version"] or len(words) < 3:
        raise ProgramError("it does not say its version")
    return f"ffmpeg {words[2]}"
