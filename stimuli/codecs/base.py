"""What a codec is to this project, and what every family shares."""

from __future__ import annotations

import importlib.util
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from stimuli.codecs.learned_stream import strings_bytes
from stimuli.errors import CodecSettingsError
from stimuli.pictures import Pixels as Pixels

#: Steps of a scale, and the width of one without steps: beyond, neighbours are the same number.
_MOST_STEPS = 1e12


@dataclass(frozen=True, slots=True)
class Scale:
    """A quality parameter that the search may turn.

    Values are `low`, `low` + `step`, ... up to `high`; a `step` of 0 means any number. `increasing` says
    whether a larger number makes a larger file. `log` says that sizes are nearer to linear in the logarithm
    of the parameter, and then a step is one of its natural logarithm. `start` is the first value to try,
    and for a fine scale the value that the coarse search uses. `slope` is the typical change of ln bytes a
    unit (a unit of ln for a log scale): a first guess that spares a try, never trusted. A fine scale may
    say as `reach` how far its two sides typically take ln bytes from `start` (down, up), and with `turns`
    that its direction can turn round within the range, so that both ends are worth a try.
    """

    name: str
    low: float
    high: float
    step: float = 1.0
    increasing: bool = True
    log: bool = False
    start: float | None = None
    slope: float | None = None
    reach: tuple[float, float] | None = None
    turns: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"scale {self.name!r} needs a finite low below its high")
        if not self.step >= 0 or not math.isfinite(self.step) or (self.log and self.low <= 0):
            raise ValueError(f"scale {self.name!r} needs a step of 0 or more, and a positive low when log")
        whole = math.log(self.high) - math.log(self.low) if self.log else self.high - self.low
        if whole > _MOST_STEPS * (self.step or 1):
            raise ValueError(f"scale {self.name!r} needs at most {_MOST_STEPS:g} steps")

    @property
    def first(self) -> float:
        """The value to try first: `start`, else the middle of the range."""
        if self.start is not None:
            return self.snap(self.start)
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return self.snap(middle)

    @property
    def smallest(self) -> float:
        """The end of the range that makes the smallest files."""
        return float(self.low if self.increasing else self.high)

    @property
    def largest(self) -> float:
        """The end of the range that makes the largest files."""
        return float(self.high if self.increasing else self.low)

    def snap(self, value: float) -> float:
        """The nearest value that the scale allows."""
        value = min(max(value, self.low), self.high)
        if value in (self.low, self.high):
            return float(value)
        if self.step == 0:
            snapped = float(f"{value:.7g}")
        elif self.log:
            steps = round(math.log(value / self.low) / self.step)
            snapped = float(f"{self.low * math.exp(steps * self.step):.10g}")
        else:
            steps = round((value - self.low) / self.step)
            snapped = float(f"{self.low + steps * self.step:.10g}")
        return float(min(max(snapped, self.low), self.high))

    def coordinate(self, value: float) -> float:
        """A number that rises with file size and in which ln bytes is nearly linear."""
        position = math.log(value) if self.log else value
        return position if self.increasing else -position

    def value_at(self, coordinate: float) -> float:
        """The allowed value nearest to a coordinate."""
        position = coordinate if self.increasing else -coordinate
        ends = sorted((self.coordinate(self.low), self.coordinate(self.high)))
        if coordinate <= ends[0]:
            return self.smallest
        if coordinate >= ends[1]:
            return self.largest
        return self.snap(math.exp(position) if self.log else position)

    def neighbour(self, value: float, steps: int) -> float | None:
        """The value `steps` steps towards larger files, or None past the end or without steps."""
        if self.step == 0:
            return None
        shift = (steps if self.increasing else -steps) * self.step
        moved = value * math.exp(shift) if self.log else value + shift
        snapped = self.snap(moved)
        return None if snapped == value else snapped


@runtime_checkable
class Codec(Protocol):
    """An encoder and decoder with its version and settings; docs/codecs.md shows how to add one.

    `scales` has the quality parameter, and after it, where its steps are coarser than a rate tolerance, a
    fine one. `encode` takes pixels and a value for every scale by name, and must give the same bytes for
    the same input, on any number of threads or processes. `decode` returns pixels of the coded size.
    `extension` is the file name ending of its bitstreams, without a dot.

    More attributes are optional, and read with getattr:
    `preview` is a faster codec of the same scales, whose sizes follow this one's, to bracket a target with;
    `location` is the text that says where the library or program was found;
    `padding` is the multiple to which pictures are padded on the right and at the bottom before they are
    coded, and then decoded pictures are cropped to the source's size;
    `decode_at(bitstream, width, height)` is called in place of `decode`, with the size of the source;
    `payload_bytes(bitstream)` counts the bytes without the container, or gives None;
    `limits` names the settings that change neither bytes nor pixels, as time limits;
    `timeout` is the seconds after which it ends an encode or decode itself, where that may take longer than
    the study's own time limit: the guard of its process then waits for it.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, object]: ...
    @property
    def extension(self) -> str: ...
    @property
    def scales(self) -> tuple[Scale, ...]: ...

    def encode(self, source: Pixels, quality: Mapping[str, float], /) -> bytes: ...
    def decode(self, bitstream: bytes, /) -> Pixels: ...


@dataclass(frozen=True, slots=True)
class Setting:
    """One key that a family takes: its default and what is allowed."""

    default: object
    allowed: tuple[object, ...] = ()
    low: float | None = None
    high: float | None = None

    def read(self, key: str, value: object) -> object:
        """The value if it is allowed; raises CodecSettingsError."""
        wanted = type(self.default)
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise CodecSettingsError(key, f"must be {_KINDS[wanted]}, got {value!r}")
        if self.allowed and value not in self.allowed:
            options = ", ".join(repr(option) for option in self.allowed)
            raise CodecSettingsError(key, f"must be one of {options}, got {value!r}")
        if isinstance(value, (int, float)) and (
            (self.low is not None and value < self.low) or (self.high is not None and value > self.high)
        ):
            raise CodecSettingsError(key, f"must lie between {self.low:g} and {self.high:g}, got {value!r}")
        return value


#: The key that every built-in family takes: quicker defaults, for trials.
FAST = "fast"

_KINDS: dict[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def resolve_settings(
    given: Mapping[str, object],
    known: Mapping[str, Setting],
    fast: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Every known setting with its given or default value; raises CodecSettingsError for any other.

    With `fast`, the key `fast` is known too: true replaces the defaults that `fast` names, and values that
    are given still win. It does not appear in the result, which holds the settings in force.
    """
    defaults = {key: setting.default for key, setting in known.items()}
    options = (*known, *(() if fast is None else (FAST,)))
    for key in given:
        if key not in options:
            takes = f"it takes {', '.join(options)}" if options else "it takes no settings"
            raise CodecSettingsError(key, f"is not a setting of this codec family; {takes}")
    if fast is not None and Setting(False).read(FAST, given.get(FAST, False)):
        defaults |= fast
    return {
        key: setting.read(key, given[key]) if key in given else defaults[key]
        for key, setting in known.items()
    }


def folder_of(module: str) -> str | None:
    """The folder of an installed library, without importing it; None when it is absent."""
    spec = importlib.util.find_spec(module)
    return str(Path(spec.origin).parent) if spec is not None and spec.origin is not None else None


def to_image(pixels: Pixels) -> Image.Image:
    """A bare Pillow picture: no profile, no metadata."""
    return Image.fromarray(np.ascontiguousarray(pixels))


def save_with_pillow(pixels: Pixels, format: str, **options: object) -> bytes:
    """The file that Pillow or one of its plugins writes for these pixels."""
    buffer = io.BytesIO()
    to_image(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def load_with_pillow(bitstream: bytes, format: str) -> Pixels:
    """The pixels that Pillow or one of its plugins reads from a file of this format, as 8-bit RGB."""
    with Image.open(io.BytesIO(bitstream), formats=(format,)) as image:
        return np.asarray(image.convert("RGB"))


CodecFactory = Callable[[Mapping[str, object]], Codec]


def decoded_pixels(codec: Codec, bitstream: bytes, width: int, height: int) -> Pixels:
    """The picture in a bitstream of a source of this size, told to the codecs that ask for it."""
    decode_at = getattr(codec, "decode_at", None)
    pixels: Pixels = codec.decode(bitstream) if decode_at is None else decode_at(bitstream, width, height)
    return pixels


def keyed_settings(codec: Codec) -> dict[str, object]:
    """The settings that bytes and pixels hang on: all but the codec's `limits`, of time and memory.

    Who raises a limit after hours of encoding finds all of it in the cache.
    """
    limits = getattr(codec, "limits", ())
    return {key: value for key, value in codec.settings.items() if key not in limits}


def payload_of(codec: Codec, bitstream: bytes) -> int | None:
    """Bytes without the container as the codec counts them, else as the file name ending tells."""
    count = getattr(codec, "payload_bytes", None)
    payload: int | None = payload_bytes(bitstream, codec.extension) if count is None else count(bitstream)
    return payload


def payload_bytes(bitstream: bytes, extension: str) -> int | None:
    """Bytes of a bitstream without its container; None for formats that are not known here.

    AVIF and HEIC count their `mdat` boxes, JP2 its `jp2c` boxes (ISO/IEC 14496-12 and 15444-1), WebP its
    `VP8 ` chunk; JPEG, bare JPEG XL, and the bare streams of AV1 and VVC have no container.
    """
    if extension in ("jpg", "jxl", "obu", "266"):
        return len(bitstream)
    if extension in ("avif", "heic"):
        return _box_bytes(bitstream, b"mdat")
    if extension == "jp2":
        return _box_bytes(bitstream, b"jp2c")
    if extension == "mrl":
        return strings_bytes(bitstream)
    if extension == "webp" and bitstream[12:16] == b"VP8 ":
        return int.from_bytes(bitstream[16:20], "little")
    return None


def _box_bytes(data: bytes, kind: bytes) -> int | None:
    total = at = 0
    while at + 8 <= len(data):
        size, header = int.from_bytes(data[at : at + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = len(data) - at
        if size < header:
            return None
        if data[at + 4 : at + 8] == kind:
            total += size - header
        at += size
    return total or None
