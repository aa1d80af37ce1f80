"""The tries of one source with one codec: each is made once, kept, and told of before it is made."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stimuli.codecs.base import Codec, Pixels, decoded_pixels, payload_of
from stimuli.errors import CodecError, StimuliError
from stimuli.files import is_whole, write_content
from stimuli.manifest import SourceRecord, picture_path
from stimuli.matching import FailedTry, Point
from stimuli.parallel import note
from stimuli.pictures import crop_pixels, png_bytes, png_pixels
from stimuli.programs import ProgramError
from stimuli.study import CodecSpec, Crop, RateBasis
from stimuli.tries import KeptPicture, Try, TryCache, decode_key, pixels_key, try_key

if sys.platform != "win32":
    import resource

#: The key of `fatal` under which a codec begins nothing new at all, and that of its preview.
ANYTHING = "*"
ANY_PREVIEW = "* of the preview"
#: How a `note` begins to name a preview.
PREVIEW_OF = "the preview of "
#: Seconds beyond a codec's own time limit: its files are written and read outside of that.
_MARGIN = 60.0
#: Folders of one run within that for temporary files.
_TEMPORARY = r"([/\\](matchrate-codec-|tmp)\w+)*(?![\w.-])"


@dataclass(frozen=True, slots=True)
class Decoded:
    """A kept bitstream and the picture that it decodes to."""

    kept: Try
    bitstream_sha256: str
    picture: KeptPicture


class Attempts:
    """Encodes of one source with one codec, from the cache where they were made before.

    `fatal` holds what an earlier worker was doing when it died, and why it died: those things are not done
    again. `note` tells each of them before it is begun, and of a `preview` that it is one. Unless `held`,
    the pixels are read again for each encode: those of a whole set may not fit into memory.
    """

    def __init__(
        self,
        folder: Path,
        source: SourceRecord,
        spec: CodecSpec,
        codec: Codec,
        fatal: Mapping[str, str],
        *,
        preview: bool = False,
        held: bool = True,
    ) -> None:
        self.codec = codec
        self.source = source
        self._folder = folder
        self._spec = spec
        self._fatal = fatal
        self._cache = TryCache(folder / "stimuli" / "tries")
        self._called = f"{PREVIEW_OF}{spec.name}" if preview else spec.name
        self._anything = ANY_PREVIEW if preview else ANYTHING
        pixels = self._read_pixels()
        self._key = pixels_key(pixels)
        self._held = pixels if held else None
        self._names = tuple(scale.name for scale in codec.scales)
        self._sizes: dict[Point, int] = {}

    def quality(self, point: Point) -> dict[str, float]:
        """The value of every scale by name."""
        return dict(zip(self._names, point, strict=True))

    def at(self, point: Point) -> Try:
        """The encode at a point; raises FailedTry when the codec cannot make it."""
        quality = self.quality(point)
        key = try_key(self._key, self._spec.family, self.codec, quality)
        kept = self._cache.load_try(key)
        if kept is None:
            kept = self._encode(quality)
            self._cache.keep_try(key, kept)
        return kept

    def size(self, point: Point, rate: RateBasis) -> int:
        """Bytes of the encode at a point, as the study counts them; raises FailedTry.

        Raises CodecError where the payload is asked for and not known.
        """
        bitstream = self.at(point).bitstream
        self._sizes[point] = len(bitstream)
        if rate == "file":
            return len(bitstream)
        payload = payload_of(self.codec, bitstream)
        if payload is None:
            # So it is of every other file of the codec.
            reason = f"the payload of a .{self.codec.extension} file is not known; set rate to file"
            raise CodecError(self._spec.name, reason, source=self.source.name)
        return payload

    def decoded(self, point: Point) -> Decoded:
        """The encode at a point with its picture, both kept under their hashes; raises CodecError."""
        try:
            kept = self.at(point)
        except FailedTry as error:
            raise CodecError(self._spec.name, str(error), source=self.source.name) from None
        if self._sizes.setdefault(point, len(kept.bitstream)) != len(kept.bitstream):
            sizes = f"{self._sizes[point]} bytes and then {len(kept.bitstream)}"
            why = f"gave {sizes} for the same input; run again"
            raise CodecError(self._spec.name, why, source=self.source.name)
        folder = self._folder / "stimuli" / "bitstreams"
        sha256 = write_content(folder, kept.bitstream, self.codec.extension)
        key = decode_key(sha256, self._spec.family, self.codec, self.source)
        picture = self._cache.load_picture(key)
        if picture is None or not is_kept(self._folder, picture):
            told = f"decoding {self._spec.name} of {self.source.name} at {_said(self.quality(point))}"
            if (reason := self._reason(told)) is not None:
                raise CodecError(self._spec.name, reason, source=self.source.name)
            note(told, patience_with(self.codec))
            start = cpu_seconds()
            pixels = decode_bitstream(self.codec, self._spec.name, self.source, kept.bitstream)
            seconds = cpu_seconds() - start
            picture = keep_pixels(self._folder, pixels, self.source.crop, seconds)
            self._cache.keep_picture(key, picture)
        return Decoded(kept, sha256, picture)

    def _reason(self, told: str) -> str | None:
        """Why this is not begun again, None where nothing speaks against it."""
        return f"{told}: {self._fatal[told]}" if told in self._fatal else self._fatal.get(self._anything)

    def _read_pixels(self) -> Pixels:
        return png_pixels(picture_path(self._folder, self.source.picture_sha256).read_bytes())

    def _encode(self, quality: Mapping[str, float]) -> Try:
        told = f"encoding {self.source.name} with {self._called} at {_said(quality)}"
        if (reason := self._reason(told)) is not None:
            raise FailedTry(reason)
        # A copy of its own: a codec that works in place would spoil the source of every later try.
        pixels = self._read_pixels() if self._held is None else self._held.copy()
        note(told, patience_with(self.codec))
        start = cpu_seconds()
        try:
            bitstream = self.codec.encode(pixels, quality)
        except (Exception, SystemExit) as error:
            raise FailedTry(f"encoding at {_said(quality)} failed: {one_line(error)}") from None
        seconds = cpu_seconds() - start
        if not isinstance(bitstream, bytes) or not bitstream:
            raise FailedTry(f"encode gave {type(bitstream).__name__} and no bytes")
        return Try(bitstream, seconds)


def decode_bitstream(codec: Codec, name: str, source: SourceRecord, bitstream: bytes) -> Pixels:
    """The decoded pixels, of the source's size; raises CodecError.

    A codec that pads says to which multiple; what it added on the right and at the bottom is cut off.
    """
    try:
        pixels = decoded_pixels(codec, bitstream, source.width, source.height)
    except (Exception, SystemExit) as error:
        raise CodecError(name, f"decoding failed: {one_line(error)}", source=source.name) from None
    padding = max(1, int(getattr(codec, "padding", 1)))
    padded = tuple(-(-side // padding) * padding for side in (source.height, source.width))
    wanted = (source.height, source.width, 3)
    if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape == (*padded, 3):
        pixels = pixels[: source.height, : source.width]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != wanted:
        got = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise CodecError(name, f"decode gave {got}, not uint8 {wanted}", source=source.name)
    return pixels


def keep_pixels(folder: Path, pixels: Pixels, crop: Crop | None, seconds: float) -> KeptPicture:
    """Write a picture and the part of it that is shown under their hashes."""
    pictures = folder / "stimuli" / "pictures"
    picture_sha256 = write_content(pictures, png_bytes(pixels), "png")
    shown_sha256 = picture_sha256
    if crop is not None:
        shown_sha256 = write_content(pictures, png_bytes(crop_pixels(pixels, crop)), "png")
    return KeptPicture(pixels.shape[1], pixels.shape[0], picture_sha256, shown_sha256, seconds)


def is_kept(folder: Path, picture: KeptPicture) -> bool:
    """Whether both PNGs of a picture record are there and whole."""
    return all(
        is_whole(picture_path(folder, sha256), sha256)
        for sha256 in {picture.picture_sha256, picture.shown_sha256}
    )


def cpu_seconds() -> float:
    """CPU time of all threads of this process and of the programs that it ran to their end."""
    if sys.platform == "win32":
        # It tells nothing of children.
        return time.process_time()
    # In microseconds, where os.times has ticks of ten milliseconds.
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def patience_with(codec: object) -> float:
    """Seconds to wait for a codec that ends its own programs, so that its own words are heard; else 0."""
    own = getattr(codec, "timeout", None)
    return float(own) + _MARGIN if isinstance(own, (int, float)) and own > 0 else 0.0


def one_line(error: BaseException) -> str:
    """What went wrong, for a person, without what differs from run to run: addresses, temporary folders."""
    said = isinstance(error, (ProgramError, StimuliError))
    text = str(error) if said else " ".join(f"{type(error).__name__}: {error}".split())
    temporary = re.escape(tempfile.gettempdir()) + _TEMPORARY
    text = re.sub(r"\b0x[0-9A-Fa-f]{6,}\b", "0x...", re.sub(temporary, "TMP", text))
    return text if said else text[:300]


def _said(quality: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.10g}" for name, value in quality.items())
