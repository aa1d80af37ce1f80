"""Recipes: TOML files that say how a codec's programs are run, and which settings study.toml may change."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

from stimuli.codecs.base import FAST, Setting
from stimuli.errors import CodecProgramError, CodecSettingsError
from stimuli.records import is_number
from stimuli.toml_table import Table

#: What a recipe says about running a program, and study.toml may say instead.
COMMAND_KEYS = (
    "encode",
    "decode",
    "version",
    "version_pattern",
    "extension",
    "input",
    "output",
    "quality",
    "fine",
    "extra",
    "timeout",
    "decode_timeout",
    "memory",
    "padding",
    "payload",
)
#: Placeholders that stand for something else than a program or setting of a recipe.
PLACEHOLDERS = ("input", "output", "quality", "fine", "width", "height", "study", "python", "folder", "extra")
#: What the settings of a codec hold besides, and a manifest may hand back.
RECORDED = ("program_sha256",)
_TEXTS = ("title", "homepage", "licence", "get", "threads", "not_run")
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_SETTING_NAME = re.compile(r"[a-z][a-z0-9_]*")
_KINDS: dict[str, type] = {"text": str, "whole": int, "number": float, "switch": bool}


@dataclass(frozen=True, slots=True)
class RecipeSetting:
    """A key of study.toml that a recipe knows, and a placeholder of its templates.

    `default` is None where study.toml must say it. A `file` is a path in the study folder.
    """

    rule: Setting
    default: object
    help: str
    file: bool = False

    def read(self, key: str, value: object) -> object:
        """The value if it is allowed; raises CodecSettingsError."""
        if value is None:
            raise CodecSettingsError(key, f"is missing; it is {self.help}")
        return self.rule.read(key, value)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe that was read. `file` is None for a codec that study.toml describes by itself."""

    file: str | None
    name: str
    texts: Mapping[str, str]
    programs: Mapping[str, str]
    command: Mapping[str, object]
    settings: Mapping[str, RecipeSetting]
    fast: Mapping[str, object]
    preview: bool
    at: str = field(default="recipe")
    """The key of study.toml that names it."""

    @property
    def get(self) -> str | None:
        """How to get its programs, in a sentence."""
        return self.texts.get("get")

    def merged(self, given: Mapping[str, object]) -> dict[str, object]:
        """Every value in force: what study.toml gives, else the fast one if asked for, else the recipe's.

        The tables of scales are merged key by key. Raises CodecSettingsError for a key that is not known.
        """
        known = (*self.settings, *((FAST,) if self.fast else ()), *self.programs, *COMMAND_KEYS)
        for key in given:
            if key not in (*known, *RECORDED):
                raise CodecSettingsError(key, f"is not a setting of this family; it takes {', '.join(known)}")
        values: dict[str, object] = {**self.command, **self.programs}
        values |= {key: setting.default for key, setting in self.settings.items()}
        fast = bool(self.fast) and Setting(False).read(FAST, given.get(FAST, False)) is True
        for layer in (self.fast if fast else {}, given):
            for key, value in layer.items():
                before = values.get(key)
                if key in ("quality", "fine") and isinstance(before, Mapping) and isinstance(value, Mapping):
                    value = {**before, **value}
                values[key] = value
        for key in self.programs:
            if not isinstance(values[key], str) or not values[key]:
                raise CodecSettingsError(key, f"must be the name or path of a program, got {values[key]!r}")
        for key, setting in self.settings.items():
            values[key] = setting.read(key, values[key])
        return {key: value for key, value in values.items() if key not in (FAST, *RECORDED)}

    @contextmanager
    def blamed(self, given: Mapping[str, object]) -> Iterator[None]:
        """Have what is wrong with a value that study.toml does not give said of the recipe's file."""
        try:
            yield
        except (CodecSettingsError, CodecProgramError) as error:
            owner = re.split(r"[.\[]", error.key)[0]
            if self.file is None or owner in given or owner in self.settings or owner in self.programs:
                raise
            raise type(error)(self.at, f"{self.file}: {error}") from None


#: For a codec that study.toml describes by itself.
NO_RECIPE = Recipe(None, "command", {}, {}, {}, {}, {}, False)


@cache
def shipped_recipes() -> Mapping[str, Recipe]:
    """The recipes that come with the project, by name, in alphabetical order."""
    folder = resources.files("stimuli") / "recipes"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda f: f.name)
    recipes = [_recipe(Path(file.name), file.read_text(encoding="utf-8"), "family") for file in files]
    return {recipe.name: recipe for recipe in recipes}


def read_recipe(value: object, folder: Path) -> Recipe:
    """The recipe in a file of the study folder; raises CodecSettingsError with all that is wrong with it."""
    if not isinstance(value, str) or not value:
        raise CodecSettingsError("recipe", f"must be the path of a recipe in the study folder, got {value!r}")
    path = folder / value
    try:
        return _recipe(Path(value), path.read_text(encoding="utf-8"), "recipe")
    except FileNotFoundError:
        raise CodecSettingsError(
            "recipe", f"{path} does not exist; put it there or correct the path"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CodecSettingsError("recipe", f"{path} cannot be read ({error})") from None


def _recipe(file: Path, text: str, at: str) -> Recipe:
    """A recipe from its text; all problems are one line, each with the file and the key."""
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CodecSettingsError(at, f"{file}: is not TOML: {error}") from None
    problems: list[str] = []
    table = Table(file, values, "", problems)
    name = table.text("name")
    if name and not _NAME.fullmatch(name):
        table.problem("name", f"must be small letters, digits, - and _, got {name!r}")
    texts = {key: table.text(key) for key in _TEXTS if table.has(key)}
    for key in _TEXTS:
        table.take(key)
    preview = table.boolean("preview", False)
    command = {key: table.take(key) for key in COMMAND_KEYS if table.has(key)}
    for key in COMMAND_KEYS:
        table.take(key)
    programs = _programs(table)
    settings = _settings(table, programs)
    fast = table.table("fast").rest()
    table.finish()
    for key in fast:
        if key not in (*COMMAND_KEYS, *programs, *settings):
            table.problem(f"fast.{key}", "is neither a setting of the recipe nor one of its other keys")
    for key in ("encode", "decode", "quality"):
        if key not in command and not problems:
            table.problem(key, "is missing")
    if problems:
        raise CodecSettingsError(at, "; ".join(problems))
    recipe = Recipe(str(file), name, texts, programs, command, settings, fast, preview, at)
    for key, value in fast.items():
        if key in settings:
            try:
                settings[key].read(f"fast.{key}", value)
            except CodecSettingsError as error:
                raise CodecSettingsError(at, f"{file}: {error}") from None
    return recipe


def _programs(table: Table) -> dict[str, str]:
    inner = table.table("programs")
    programs = {}
    for key in inner.rest():
        _check_name(inner, key, ())
        programs[key] = inner.text(key)
    return programs


def _settings(table: Table, programs: Mapping[str, str]) -> dict[str, RecipeSetting]:
    inner = table.table("settings")
    settings = {}
    for key in inner.rest():
        _check_name(inner, key, programs)
        entry = inner.table(key)
        settings[key] = _setting(entry)
        entry.finish()
    return settings


def _check_name(table: Table, key: str, others: Mapping[str, str] | tuple[()]) -> None:
    if not _SETTING_NAME.fullmatch(key):
        table.problem(key, "must be named by small letters, digits and _")
    elif key in (*COMMAND_KEYS, *PLACEHOLDERS, *RECORDED, *others, FAST, "name", "family", "recipe"):
        table.problem(key, "must have another name: this one is taken")


def _setting(entry: Table) -> RecipeSetting:
    """One table under `[settings]`; what is wrong with it is noted there."""
    help_text = entry.text("help")
    is_file = entry.boolean("file", False)
    kind = entry.text("type", "text" if is_file else "")
    default = entry.take("default")
    if kind and kind not in _KINDS:
        entry.problem("type", f"must be one of {', '.join(_KINDS)}, got {kind!r}")
        kind = "text"
    if default is None and not kind:
        entry.problem("default", "is missing; give it, or a type for a setting that study.toml must give")
    if default is not None and type(default) not in _KINDS.values():
        entry.problem("default", f"must be text, a number, true or false, got {default!r}")
        default = None
    wanted = _KINDS[kind] if kind else type(default) if default is not None else str
    allowed = tuple(entry.items("values") or ())
    low = high = None
    ends = entry.take("range")
    if ends is not None:
        if isinstance(ends, list) and len(ends) == 2 and all(is_number(end) for end in ends):
            low, high = float(ends[0]), float(ends[1])
        else:
            entry.problem("range", f"must be two numbers, got {ends!r}")
    rule = Setting(wanted(), allowed, low, high)
    if default is not None:
        try:
            rule.read("default", default)
        except CodecSettingsError as error:
            entry.problem(error.key, error.reason)
    return RecipeSetting(rule, default, help_text, is_file)
