"""Every codec family that a study can name here: what it is, where it was found, or what is missing."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from stimuli.codecs import registry
from stimuli.codecs.base import Scale
from stimuli.codecs.learned import FAMILY as LEARNED
from stimuli.codecs.recipe import shipped_recipes
from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.codecs.scale_table import read_scale
from stimuli.errors import (
    CodecBrokenError,
    CodecNotInstalledError,
    CodecProgramError,
    CodecSettingsError,
    StimuliError,
)

#: What a family is, in the order of the list.
KINDS = ("built in", "recipe", "learned", "entry point", "from study.toml")


@dataclass(frozen=True, slots=True)
class Family:
    """One name that `family` in study.toml may have.

    `status` is `ready`, `needs settings` (study.toml must say more before it can run), `missing` (a library
    or program is not on this machine) or `broken` (it is, but gives no codec). `note` says what to do
    about any but `ready`. `scales` are empty where they hang on settings or on what is missing. `not_run`
    is why the project itself has not run a recipe's programs, None where it has.
    """

    name: str
    kind: str
    title: str | None
    status: str
    version: str | None
    location: str | None
    scales: tuple[Scale, ...]
    settings: Mapping[str, object]
    note: str | None
    not_run: str | None = None

    def record(self) -> dict[str, object]:
        """The family in types of JSON; a scale also says its `direction`, "up" or "down"."""
        scales = [{**asdict(scale), "direction": direction(scale)} for scale in self.scales]
        for scale in scales:
            del scale["increasing"]
        return {
            "name": self.name,
            "kind": self.kind,
            "title": self.title,
            "status": self.status,
            "version": self.version,
            "location": self.location,
            "scales": scales,
            "settings": dict(self.settings),
            "note": self.note,
            "not_run": self.not_run,
        }


def direction(scale: Scale) -> str:
    """The direction as study.toml writes it: up where larger numbers make larger files, else down."""
    return "up" if scale.increasing else "down"


def list_families(folder: Path = Path()) -> tuple[Family, ...]:
    """Every family that a study in `folder` can name; one that fails is listed with its reason."""
    return tuple(_family(name, folder) for name in registry.family_names())


def _family(name: str, folder: Path) -> Family:
    kind, title = _kind(name), _title(name)
    recipe = shipped_recipes().get(name)
    not_run = recipe.texts.get("not_run") if recipe is not None else None

    def unready(status: str, note: str, scales: tuple[Scale, ...] = ()) -> Family:
        if recipe is not None and recipe.get is not None and recipe.get not in note:
            note = f"{note}; {recipe.get}"
        return Family(name, kind, title, status, None, None, scales, {}, note, not_run)

    if (needs := _NEEDS.get(name)) is not None:
        return unready("needs settings", needs)
    try:
        codec = registry.make_codec(name, {}, folder)
        location = getattr(codec, "location", None)
        place = None if location is None else str(location)
        scales, settings = tuple(codec.scales), dict(codec.settings)
        return Family(name, kind, title, "ready", codec.version, place, scales, settings, None, not_run)
    except CodecBrokenError as error:
        return unready("broken", str(error))
    except CodecProgramError as error:
        return unready("missing", str(error), _declared_scales(name))
    except CodecNotInstalledError as error:
        return unready("missing", error.remedy, _declared_scales(name))
    except CodecSettingsError as error:
        return unready("needs settings", str(error), _declared_scales(name))
    except StimuliError as error:
        return unready("broken", str(error))
    except (Exception, SystemExit) as error:
        # Other people's code, and libraries that are installed but cannot be loaded.
        return unready("broken", f"fails: {' '.join(repr(error).split())}")


#: Families without a codec of their own until study.toml describes one.
_NEEDS = {
    "command": "a program of yours: encode, decode and quality in study.toml, or recipe = FILE",
    RECONSTRUCTIONS: "decoded pictures: folder, pattern and table in study.toml; there is no search",
}


def _kind(name: str) -> str:
    if name in _NEEDS:
        return "from study.toml"
    if name in shipped_recipes():
        return "recipe"
    if name == LEARNED:
        return "learned"
    return "built in" if name in registry.built_in() else "entry point"


def _title(name: str) -> str | None:
    """What the codec is, in a few words: a recipe says it, and a module of ours begins with it."""
    if (recipe := shipped_recipes().get(name)) is not None:
        return recipe.texts.get("title")
    module = registry.built_in().get(name, "").partition(":")[0]
    said = importlib.import_module(module).__doc__ if module else None
    return said.splitlines()[0].rstrip(".") if said else None


def _declared_scales(name: str) -> tuple[Scale, ...]:
    """The scales that can be told without the library or program."""
    return tuple(_found_scales(name))


def _found_scales(name: str) -> Iterator[Scale]:
    try:
        if (recipe := shipped_recipes().get(name)) is not None:
            for key in ("quality", "fine"):
                if key in recipe.command:
                    yield read_scale(key, recipe.command[key])
        elif (entry := registry.built_in().get(name)) is not None:
            module, _, kind = entry.partition(":")
            yield from getattr(getattr(importlib.import_module(module), kind), "scales", ())
    except Exception:
        # What can be told is a courtesy; why the family is not ready has been told already.
        return
