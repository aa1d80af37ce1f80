"""Any encoder and decoder with a command line, described by argv templates in study.toml."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from stimuli.codecs.base import Pixels, Scale, Setting
from stimuli.errors import CodecProgramError, CodecSettingsError, PictureError
from stimuli.pictures import load_picture, png_bytes
from stimuli.programs import ProgramError, last_line, run_program
from stimuli.records import is_number

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_ENCODE_NAMES = ("input", "output", "quality", "fine", "width", "height", "study", "python")
_DECODE_NAMES = ("input", "output", "study", "python")
_KEYS = ("encode", "decode", "version", "extension", "input", "output", "quality", "fine", "timeout")
_SCALE_KEYS = ("range", "step", "direction", "scale", "start")
#: A week in seconds, the most that `timeout` may say.
_LONGEST = 604_800


class CommandCodec:
    """Runs `encode` and `decode` without a shell, each in a temporary folder of its own.

    Templates know {input}, {output}, {quality}, {fine} (when a fine scale is declared), {width} and
    {height} (when encoding), {study} (the study folder) and {python} (the running interpreter). The hashes
    of the programs are part of the settings, so that a rebuilt program is a new codec to the cache of tries.
    """

    name = "command"

    def __init__(self, settings: Mapping[str, object], folder: Path) -> None:
        for key in settings:
            if key not in (*_KEYS, "program_sha256"):
                raise CodecSettingsError(key, f"is not a setting of this family; it takes {', '.join(_KEYS)}")
        self._folder = folder.resolve()
        extension = _read(settings, "extension", Setting("bin"))
        if not re.fullmatch(r"[A-Za-z0-9]{1,10}", extension):
            raise CodecSettingsError("extension", f"must be 1 to 10 letters or digits, got {extension!r}")
        self.extension = extension
        self._input = _read(settings, "input", Setting("png", ("png", "ppm")))
        self._output = _read(settings, "output", Setting(self._input, ("png", "ppm")))
        timeout = settings.get("timeout", 600)
        if not is_number(timeout) or not 0 < float(str(timeout)) <= _LONGEST:
            reason = f"must be a positive number of seconds up to {_LONGEST}, got {timeout!r}"
            raise CodecSettingsError("timeout", reason)
        self._timeout = float(str(timeout))
        if "quality" not in settings:
            raise CodecSettingsError("quality", "is missing; write { range = [0, 100], step = 1 }")
        self.scales: tuple[Scale, ...] = (_scale("quality", settings["quality"]),)
        if "fine" in settings:
            self.scales += (_scale("fine", settings["fine"]),)
        names = tuple(scale.name for scale in self.scales)
        encode = _template(settings, "encode", _ENCODE_NAMES, ("input", "output", *names))
        decode = _template(settings, "decode", _DECODE_NAMES, ("input", "output"))
        if "fine" not in names and any("{fine}" in part for part in encode):
            raise CodecSettingsError("encode", "uses {fine}, but no `fine` scale is declared")
        self._encode = self._resolved("encode", encode)
        self._decode = self._resolved("decode", decode)
        self.version = self._read_version(settings.get("version", "unknown"))
        self.settings: dict[str, object] = {
            "encode": encode,
            "decode": decode,
            "extension": extension,
            "input": self._input,
            "output": self._output,
            "timeout": self._timeout,
            "program_sha256": self._program_hashes(settings),
            **{key: settings[key] for key in ("quality", "fine", "version") if key in settings},
        }

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """What the encoder wrote to {output}; raises ProgramError."""
        with tempfile.TemporaryDirectory(prefix="matchrate-") as name:
            folder = Path(name)
            values = {"input": f"input.{self._input}", "output": f"output.{self.extension}"}
            _write_picture(folder / values["input"], source)
            for scale in self.scales:
                value = quality[scale.name]
                values[scale.name] = str(int(value)) if float(value).is_integer() else repr(float(value))
            values |= {"height": str(source.shape[0]), "width": str(source.shape[1])}
            return self._run(self._encode, values, folder)

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels of the picture that the decoder wrote to {output}; raises ProgramError."""
        with tempfile.TemporaryDirectory(prefix="matchrate-") as name:
            folder = Path(name)
            values = {"input": f"input.{self.extension}", "output": f"output.{self._output}"}
            (folder / values["input"]).write_bytes(bitstream)
            self._run(self._decode, values, folder)
            try:
                return load_picture(folder / values["output"])
            except PictureError as error:
                raise ProgramError(f"the decoded picture {error.reason}") from None

    def _run(self, template: list[str], values: dict[str, str], folder: Path) -> bytes:
        argv = self._filled(template, values)
        run_program(argv, cwd=folder, timeout=self._timeout)
        try:
            data = (folder / values["output"]).read_bytes()
        except OSError:
            data = b""
        if not data:
            raise ProgramError(f"{Path(argv[0]).name} wrote nothing to {{output}}")
        return data

    def _filled(self, template: list[str], values: Mapping[str, str]) -> list[str]:
        known = {**values, "study": str(self._folder), "python": sys.executable}
        return [_PLACEHOLDER.sub(lambda match: known[match[1]], part) for part in template]

    def _resolved(self, key: str, template: list[str]) -> list[str]:
        """The template with its program made absolute; raises CodecProgramError."""
        if unknown := set(_PLACEHOLDER.findall(template[0])) - {"study", "python"}:
            raise CodecSettingsError(key, f"must begin with a program, and that knows no {{{unknown.pop()}}}")
        program = self._filled(template[:1], {})[0]
        # A path is looked for in the study folder, a bare name on PATH.
        path = self._folder / program if "/" in program else None
        found = shutil.which(str(path or program))
        if found is None:
            raise CodecProgramError(key, _why_not(program, path))
        return [found, *template[1:]]

    def _program_hashes(self, settings: Mapping[str, object]) -> dict[str, str]:
        """SHA-256 of each program, and of each file in the study folder that a template names."""
        hashes: dict[str, str] = {}
        for key, template in (("encode", self._encode), ("decode", self._decode)):
            for written, part in zip(_argv(settings, key), template, strict=True):
                if "{input}" in part or "{output}" in part or written == "{python}":
                    continue
                known = dict.fromkeys(_ENCODE_NAMES, "")
                file = Path(self._filled([part], known)[0])
                if file.is_absolute() and file.is_file():
                    hashes[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
        return hashes

    def _read_version(self, value: object) -> str:
        if isinstance(value, str) and value:
            return value
        if not isinstance(value, list) or not value or not all(isinstance(part, str) for part in value):
            raise CodecSettingsError(
                "version", "must be text, or a command as a list of texts that prints it"
            )
        if unknown := {name for part in value for name in _PLACEHOLDER.findall(part)} - {"study", "python"}:
            raise CodecSettingsError("version", f"has the unknown placeholder {{{unknown.pop()}}}")
        argv = self._filled(self._resolved("version", value), {})
        try:
            done = subprocess.run(
                argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CodecSettingsError("version", f"could not be asked of {argv[0]} ({error})") from None
        if done.returncode != 0:
            failure = f"command failed (exit {done.returncode}){last_line(done.stderr)}"
            raise CodecSettingsError("version", f"{failure}; write the version as text instead")
        # Some programs print their version to standard error.
        lines = (done.stdout.strip() or done.stderr.strip()).decode(errors="replace").splitlines()
        if not lines:
            raise CodecSettingsError("version", f"was not printed by {' '.join(value)}")
        return lines[0].strip()[:120]


def _why_not(program: str, path: Path | None) -> str:
    """Why a program cannot be run, and what to do."""
    if path is None:
        instead = f"install it, or write ./{program} for one in the study folder"
        return f"names the program {program!r}, which is not on PATH; {instead}"
    if not path.exists():
        return f"names the program {path}, which does not exist; put it there or correct the path"
    if not path.is_file():
        return f"names the program {path}, which is not a file"
    return f"names the program {path}, which is not executable: chmod +x {shlex.quote(str(path))}"


def _write_picture(path: Path, pixels: Pixels) -> None:
    if path.suffix == ".png":
        path.write_bytes(png_bytes(pixels))
    else:
        path.write_bytes(b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes())


def _read(settings: Mapping[str, object], key: str, setting: Setting) -> str:
    return str(setting.read(key, settings[key]) if key in settings else setting.default)


def _argv(settings: Mapping[str, object], key: str) -> list[str]:
    value = settings.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(part, str) and part for part in value):
        raise CodecSettingsError(key, 'must be a list of texts, as ["./mycodec", "{input}", "{output}"]')
    return [str(part) for part in value]


def _template(
    settings: Mapping[str, object], key: str, known: tuple[str, ...], needed: tuple[str, ...]
) -> list[str]:
    template = _argv(settings, key)
    used = {name for part in template for name in _PLACEHOLDER.findall(part)}
    if unknown := sorted(used - set(known)):
        raise CodecSettingsError(
            key,
            f"has the unknown placeholder {{{unknown[0]}}}; it knows {', '.join(f'{{{n}}}' for n in known)}",
        )
    if lacking := [name for name in needed if name not in used]:
        raise CodecSettingsError(key, f"must use {{{lacking[0]}}}")
    return template


def _scale(name: str, value: object) -> Scale:
    example = "{ range = [0, 100], step = 1 }"
    if not isinstance(value, Mapping) or "range" not in value:
        raise CodecSettingsError(name, f"must be a table with a range, as {example}")
    for key in value:
        if key not in _SCALE_KEYS:
            raise CodecSettingsError(f"{name}.{key}", f"is not known; a scale takes {', '.join(_SCALE_KEYS)}")
    ends = value["range"]
    if not isinstance(ends, (list, tuple)) or len(ends) != 2 or not all(is_number(end) for end in ends):
        raise CodecSettingsError(f"{name}.range", f"must be two numbers, got {ends!r}")
    for key in ("step", "start"):
        if key in value and not is_number(value[key]):
            raise CodecSettingsError(f"{name}.{key}", f"must be a number, got {value[key]!r}")
    direction = _read(value, "direction", Setting("up", ("up", "down")))
    shape = _read(value, "scale", Setting("linear", ("linear", "log")))
    start = value.get("start")
    if start is not None and not ends[0] <= start <= ends[1]:
        raise CodecSettingsError(f"{name}.start", f"must lie in the range, got {start!r}")
    try:
        return Scale(
            name,
            float(ends[0]),
            float(ends[1]),
            float(value.get("step", 1)),
            increasing=direction == "up",
            log=shape == "log",
            start=None if start is None else float(start),
        )
    except ValueError as error:
        raise CodecSettingsError(name, f"is not a scale: {error}") from None
