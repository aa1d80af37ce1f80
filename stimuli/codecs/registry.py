"""Which families there are, and from a family and settings to a codec."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from stimuli.codecs.base import Codec, Scale
from stimuli.codecs.command import CommandCodec
from stimuli.codecs.learned import FAMILY as LEARNED
from stimuli.codecs.learned import LearnedCodec
from stimuli.codecs.recipe import NO_RECIPE, read_recipe, shipped_recipes
from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.errors import CodecBrokenError, CodecSettingsError, StimuliError

#: The entry-point group through which other packages add families.
GROUP = "matchrate.codecs"

_IN_PROCESS = {
    "jpeg": "stimuli.codecs.jpeg:JpegCodec",
    "mozjpeg": "stimuli.codecs.mozjpeg:MozJpegCodec",
    "webp": "stimuli.codecs.webp:WebpCodec",
    "jpeg2000": "stimuli.codecs.jpeg2000:Jpeg2000Codec",
    "avif": "stimuli.codecs.avif:AvifCodec",
    "heic": "stimuli.codecs.heic:HeicCodec",
    "jpegxl": "stimuli.codecs.jpegxl:JpegXlCodec",
    "av1": "stimuli.codecs.av1:Av1Codec",
    "svtav1": "stimuli.codecs.svtav1:SvtAv1Codec",
    "vvc": "stimuli.codecs.vvc:VvcCodec",
}


def built_in() -> Mapping[str, str]:
    """Where the class of each built-in family is, as `module:class`, by the family's name."""
    return _IN_PROCESS


def family_names() -> tuple[str, ...]:
    """Every family that study.toml may name: built in, recipes, installed and the other two."""
    return (*_own_families(), *(point.name for point in _third_party()))


def make_codec(family: str, settings: Mapping[str, object], folder: Path) -> Codec:
    """A codec of a family (any but reconstructions); `folder` is the study's.

    Raises CodecSettingsError for settings, CodecNotInstalledError for an absent library or program, and
    its kind CodecBrokenError for an entry point that gives no codec.
    """
    if family == "command":
        rest = {key: value for key, value in settings.items() if key != "recipe"}
        recipe = read_recipe(settings["recipe"], folder) if "recipe" in settings else NO_RECIPE
        return CommandCodec(rest, folder, recipe)
    if family in shipped_recipes():
        return CommandCodec(settings, folder, shipped_recipes()[family])
    if family == LEARNED:
        return LearnedCodec(settings, folder)
    if family in _IN_PROCESS:
        module, _, name = _IN_PROCESS[family].partition(":")
        codec: Codec = getattr(importlib.import_module(module), name)(settings)
        return codec
    for point in _third_party():
        if point.name == family:
            return _make_third_party(point, settings)
    known = family_names()
    close = difflib.get_close_matches(family, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    raise CodecSettingsError("family", f"{family!r} is not known; {hint}")


def _own_families() -> tuple[str, ...]:
    return (*_IN_PROCESS, LEARNED, *shipped_recipes(), "command", RECONSTRUCTIONS)


def _third_party() -> list[EntryPoint]:
    reserved = _own_families()
    points = {point.name: point for point in entry_points(group=GROUP) if point.name not in reserved}
    return [points[name] for name in sorted(points)]


def _make_third_party(point: EntryPoint, settings: Mapping[str, object]) -> Codec:
    def broken(reason: str) -> CodecBrokenError:
        return CodecBrokenError(point.name, f"{point.value} {reason}")

    try:
        factory: Callable[[Mapping[str, object]], object] = point.load()
    except (Exception, SystemExit) as error:
        raise broken(f"fails: {error!r}") from None
    try:
        codec = factory(dict(settings))
    except StimuliError:
        raise
    except (Exception, SystemExit) as error:
        raise CodecSettingsError("settings", f"are refused by {point.value}: {error!r}") from None
    if not isinstance(codec, Codec):
        lacking = [name for name in _needed() if not hasattr(codec, name)]
        raise broken(f"lacks {', '.join(lacking)} of the Codec protocol")
    scales = codec.scales
    if len(scales) not in (1, 2) or not all(isinstance(scale, Scale) for scale in scales):
        raise broken("must have one or two scales")
    if len({scale.name for scale in scales}) != len(scales):
        raise broken("has two scales of one name")
    if not isinstance(codec.version, str) or not codec.version:
        raise broken(f"has the version {codec.version!r}, not text")
    if not re.fullmatch(r"[A-Za-z0-9]{1,10}", str(codec.extension)):
        raise broken(f"has the extension {codec.extension!r}, not 1 to 10 letters or digits")
    return codec


def _needed() -> tuple[str, ...]:
    return ("name", "version", "settings", "extension", "scales", "encode", "decode")
