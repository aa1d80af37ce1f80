"""The files in which a program is given pictures and gives them back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from stimuli.colour import (
    YuvFormat,
    planes_from_raw,
    planes_to_rgb,
    raw_bytes,
    rgb_to_planes,
    y4m_bytes,
    y4m_pixels,
)
from stimuli.errors import CodecSettingsError, PictureError
from stimuli.pictures import Pixels, load_picture, png_bytes
from stimuli.programs import ProgramError

_PICTURES = ("png", "ppm")
_SAMPLES = ("y4m", "yuv")
_RULE = "must be png, ppm, or y4m or yuv with its chroma and bits, as 'y4m 420 10' or 'yuv 444 8'"


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """A kind of file: `png`, `ppm`, `y4m` or bare `yuv`; the last two with the samples in them."""

    kind: str
    samples: YuvFormat | None = None

    @property
    def needs_size(self) -> bool:
        """Whether a file of it can only be read by who knows the width and height."""
        return self.kind == "yuv"

    def bytes_of(self, pixels: Pixels) -> bytes:
        """The file of a picture."""
        if self.kind == "png":
            return png_bytes(pixels)
        if self.samples is None:
            return b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()
        if self.kind == "y4m":
            return y4m_bytes(pixels, self.samples)
        return raw_bytes(rgb_to_planes(pixels, self.samples))

    def read(self, path: Path, size: tuple[int, int] | None) -> Pixels:
        """The picture in a file; `size` is width and height, and only bare samples need it.

        Raises ProgramError, because what cannot be read was written by a program.
        """
        try:
            if self.samples is None:
                return load_picture(path)
            data = path.read_bytes()
            if self.kind == "y4m":
                return y4m_pixels(data)
            if size is None:
                raise ValueError("bare samples of an unknown size")
            return planes_to_rgb(planes_from_raw(data, *size, self.samples), self.samples)
        except PictureError as error:
            raise ProgramError(f"the decoded picture {error.reason}") from None
        except ValueError as error:
            raise ProgramError(f"the decoded picture is {error}") from None


def read_format(key: str, value: object) -> PictureFormat:
    """The format that a text names; raises CodecSettingsError."""
    words = value.split() if isinstance(value, str) else []
    if len(words) == 1 and words[0] in _PICTURES:
        return PictureFormat(words[0])
    if len(words) == 3 and words[0] in _SAMPLES and words[1] in ("444", "420") and words[2] in ("8", "10"):
        chroma = cast(Literal["444", "420"], words[1])
        return PictureFormat(words[0], YuvFormat(chroma, 8 if words[2] == "8" else 10))
    raise CodecSettingsError(key, f"{_RULE}, got {value!r}")
