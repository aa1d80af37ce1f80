"""Any encoder and decoder with a command line, described in study.toml or by a recipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from stimuli.codecs.argv import (
    ask_version,
    check_template,
    file_hashes,
    fill,
    find_program,
    placeholders,
    read_argv,
    read_pattern,
)
from stimuli.codecs.base import FAST, Pixels, Scale, Setting, payload_bytes
from stimuli.codecs.picture_format import PictureFormat, read_format
from stimuli.codecs.recipe import NO_RECIPE, PLACEHOLDERS, Recipe, RecipeSetting
from stimuli.codecs.scale_table import read_scale
from stimuli.errors import CodecProgramError, CodecSettingsError
from stimuli.programs import ProgramError, run_program
from stimuli.records import is_number
from stimuli.working_folders import working_folder

#: A week in seconds, the most that a time limit may say.
_LONGEST = 604_800
_TIMEOUT = 600
#: Megabytes: enough for every encoder that was met, and a machine survives it.
_MEMORY = 8000
_MOST_MEMORY = 4_000_000
_IN_TEMPLATES = ("input", "output", "folder", "width", "height", "study", "python")


class CommandCodec:
    """Runs `encode` and `decode` without a shell, each in a temporary folder of its own.

    Templates know {input}, {output}, {quality}, {fine} (when a fine scale is declared), {width}, {height},
    {folder} (the temporary one), {study} (the study folder), {python} (the running interpreter), and the
    programs and settings of a recipe. The hashes of the programs are part of the settings, so that a
    rebuilt program is a new codec to the cache of tries.
    """

    name = "command"
    limits = ("timeout", "decode_timeout", "memory")

    def __init__(self, settings: Mapping[str, object], folder: Path, recipe: Recipe = NO_RECIPE) -> None:
        self._given, self._recipe, self._folder = dict(settings), recipe, folder.resolve()
        values = recipe.merged(settings)
        with recipe.blamed(settings):
            self._read(values)
        if recipe.file is not None:
            self.name = recipe.name

    def _read(self, values: Mapping[str, object]) -> None:
        extension = str(Setting("bin").read("extension", values.get("extension", "bin")))
        if not re.fullmatch(r"[A-Za-z0-9]{1,10}", extension):
            raise CodecSettingsError("extension", f"must be 1 to 10 letters or digits, got {extension!r}")
        self.extension = extension
        formats = {"input": values.get("input", "png")}
        formats["output"] = values.get("output", formats["input"])
        self._words = {key: _said(values[key]) for key in self._recipe.settings}
        self._input, self._output = (self._format(key, value) for key, value in formats.items())
        self._timeout = _seconds("timeout", values.get("timeout", _TIMEOUT))
        self._decode_timeout = _seconds("decode_timeout", values.get("decode_timeout", self._timeout))
        said = {"timeout": self._timeout, "decode_timeout": self._decode_timeout}
        # Where nobody says a limit, a program gets no more time than the study gives it.
        self.timeout = max((limit for key, limit in said.items() if key in values), default=None)
        self._memory = _whole("memory", values.get("memory", _MEMORY), 1, _MOST_MEMORY, "of megabytes")
        self.padding = _whole("padding", values.get("padding", 1), 1, 256, "of pixels")
        payload = Setting("container", ("container", "file"))
        self._payload = payload.read("payload", values.get("payload", "container"))
        if "quality" not in values:
            raise CodecSettingsError("quality", "is missing; write { range = [0, 100], step = 1 }")
        names = ("quality", "fine") if "fine" in values else ("quality",)
        self.scales: tuple[Scale, ...] = tuple(read_scale(name, values[name]) for name in names)
        self._read_templates(values, names)
        self.version = self._read_version(values)
        hashed = [*self._encode, *self._decode]
        unhashed = ("{input}", "{output}", sys.executable)
        files = [Path(part) for part in hashed if not any(word in part for word in unhashed)]
        self.settings: dict[str, object] = {
            **values,
            "extension": self.extension,
            **formats,
            "timeout": self._timeout,
            "decode_timeout": self._decode_timeout,
            "memory": self._memory,
            **({"recipe": self._recipe.file} if self._recipe.at == "recipe" and self._recipe.file else {}),
            "program_sha256": file_hashes([*files, *self._files.values()]),
        }

    def _read_templates(self, values: Mapping[str, object], scales: tuple[str, ...]) -> None:
        own = (*self._recipe.programs, *self._recipe.settings)
        templates = {key: read_argv(key, values.get(key)) for key in ("encode", "decode")}
        extra = read_argv("extra", values.get("extra", []), least=0)
        if extra and "{extra}" not in templates["encode"]:
            raise CodecSettingsError("extra", 'has no place: `encode` lacks the argument "{extra}"')
        known = (*_IN_TEMPLATES, "quality", "fine", "extra", *own)
        check_template("encode", templates["encode"], known, ("input", "output", *scales))
        check_template("decode", templates["decode"], (*_IN_TEMPLATES, *own), ("input", "output"))
        if "fine" not in scales and "fine" in placeholders(templates["encode"]):
            raise CodecSettingsError("encode", "uses {fine}, but no `fine` scale is declared")
        self._needs_size = self._output.needs_size or bool(
            placeholders(templates["decode"]) & {"width", "height"}
        )
        self._files = {
            key: self._file(key, setting, values[key])
            for key, setting in self._recipe.settings.items()
            if setting.file
        }
        self._fixed = {"study": str(self._folder), "python": sys.executable}
        self._fixed |= self._words | {key: str(path) for key, path in self._files.items()}
        for key in self._recipe.programs:
            self._fixed[key] = find_program(key, str(values[key]), self._folder, self._recipe.get)
        encode = [item for part in templates["encode"] for item in (extra if part == "{extra}" else [part])]
        self._encode = self._resolved("encode", encode)
        self._decode = self._resolved("decode", templates["decode"])

    def _format(self, key: str, value: object) -> PictureFormat:
        return read_format(key, fill(value, self._words) if isinstance(value, str) else value)

    def _file(self, key: str, setting: RecipeSetting, value: object) -> Path:
        path = self._folder / str(value)
        if not path.is_file():
            raise CodecProgramError(key, f"names the file {path}, which does not exist; it is {setting.help}")
        return path

    def _resolved(self, key: str, template: list[str]) -> list[str]:
        """The template with its program made absolute and all filled in that is the same for every call."""
        if unknown := placeholders(template[:1]) & set(PLACEHOLDERS) - {"study", "python"}:
            raise CodecSettingsError(key, f"must begin with a program, and that knows no {{{unknown.pop()}}}")
        program, *arguments = (fill(part, self._fixed) for part in template)
        return [find_program(key, program, self._folder, self._recipe.get), *arguments]

    def _read_version(self, values: Mapping[str, object]) -> str:
        value = values.get("version", "unknown")
        pattern = read_pattern("version_pattern", values.get("version_pattern"))
        if isinstance(value, str) and value:
            return value
        if not isinstance(value, list) or not value or not all(isinstance(part, str) for part in value):
            raise CodecSettingsError(
                "version", "must be text, or a command as a list of texts that prints it"
            )
        known = {"study", "python", *self._recipe.programs, *self._recipe.settings}
        if unknown := placeholders(value) - known:
            raise CodecSettingsError("version", f"has the unknown placeholder {{{unknown.pop()}}}")
        return ask_version(self._resolved("version", value), pattern)

    @property
    def location(self) -> str:
        """The programs that run, each once."""
        return ", ".join(dict.fromkeys((self._encode[0], self._decode[0])))

    @cached_property
    def preview(self) -> CommandCodec | None:
        """The same codec with the recipe's fast settings, where the recipe says that their sizes agree."""
        if not self._recipe.preview or self._given.get(FAST):
            return None
        quick = CommandCodec({**self._given, FAST: True}, self._folder, self._recipe)
        return None if quick.settings == self.settings else quick

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """What the encoder wrote to {output}; raises ProgramError.

        The picture is padded on the right and at the bottom to a multiple of `padding`, by its edges.
        """
        height, width = source.shape[:2]
        below, beside = -height % self.padding, -width % self.padding
        if below or beside:
            source = np.pad(source, ((0, below), (0, beside), (0, 0)), mode="edge")
        with working_folder() as folder:
            values = {"input": f"input.{self._input.kind}", "output": f"output.{self.extension}"}
            (folder / values["input"]).write_bytes(self._input.bytes_of(source))
            values |= {scale.name: _said(float(quality[scale.name])) for scale in self.scales}
            values |= {"height": str(source.shape[0]), "width": str(source.shape[1])}
            return self._run(self._encode, values, folder, "timeout", self._timeout)

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels of the picture that the decoder wrote to {output}; raises ProgramError."""
        return self._decoded(bitstream, None)

    def decode_at(self, bitstream: bytes, width: int, height: int) -> Pixels:
        """`decode` for a source of a known size, which a decoder that writes bare samples cannot do without.

        The picture may still have the padding.
        """
        return self._decoded(bitstream, (width + -width % self.padding, height + -height % self.padding))

    def payload_bytes(self, bitstream: bytes) -> int | None:
        """Bytes without the container; None where the format of the file is not known."""
        return len(bitstream) if self._payload == "file" else payload_bytes(bitstream, self.extension)

    def _decoded(self, bitstream: bytes, size: tuple[int, int] | None) -> Pixels:
        if self._needs_size and size is None:
            raise ProgramError("the decoder cannot be run without the size of the picture")
        with working_folder() as folder:
            values = {"input": f"input.{self.extension}", "output": f"output.{self._output.kind}"}
            if size is not None:
                values |= {"width": str(size[0]), "height": str(size[1])}
            (folder / values["input"]).write_bytes(bitstream)
            self._run(self._decode, values, folder, "decode_timeout", self._decode_timeout)
            return self._output.read(folder / values["output"], size)

    def _run(
        self, template: list[str], values: Mapping[str, str], folder: Path, limit: str, timeout: float
    ) -> bytes:
        values = {**values, "folder": str(folder)}
        argv = [template[0], *(fill(part, values) for part in template[1:])]
        run_program(argv, cwd=folder, timeout=timeout, memory=self._memory, limit=limit)
        try:
            data = (folder / values["output"]).read_bytes()
        except OSError:
            data = b""
        if not data:
            raise ProgramError(f"{Path(argv[0]).name} wrote nothing to {{output}}")
        return data


def _said(value: object) -> str:
    """A value as an argument: whole numbers without a point, true and false as 1 and 0."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _seconds(key: str, value: object) -> float:
    if not is_number(value) or not 0 < float(str(value)) <= _LONGEST:
        raise CodecSettingsError(key, f"must be a positive number of seconds up to {_LONGEST}, got {value!r}")
    return float(str(value))


def _whole(key: str, value: object, low: int, high: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise CodecSettingsError(key, f"must be a whole number {what} from {low} to {high}, got {value!r}")
    return value
