"""Pictures in: any accepted file to bare 8-bit sRGB pixels, and those to a minimal PNG.

The order is fixed: 16 bit to 8 (v x 255 / 65535, rounded), grey and palette to RGB, the ICC profile to
sRGB (relative colorimetric with black point compensation, once), then the EXIF orientation. `gAMA` and
`cHRM` chunks of a PNG without a profile are ignored: such a file is taken as sRGB, as browsers mostly do.
"""

from __future__ import annotations

import io
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, TiffImagePlugin, UnidentifiedImageError

from stimuli.errors import PictureError

#: Height x width x 3, 8-bit sRGB.
Pixels = npt.NDArray[np.uint8]

#: Limits of a source: the longest side is the hard limit of WebP, the area is just under the size at which
#: Pillow suspects a decompression bomb.
LONGEST_SIDE = 16383
SHORTEST_SIDE = 16
MOST_PIXELS = 80_000_000

FORMATS = ("PNG", "TIFF", "PPM", "JPEG")
SUFFIXES = (".png", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".jpg", ".jpeg")

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Modes that Pillow gives to files of 8 bits or fewer without alpha.
_EIGHT_BIT = ("1", "L", "P", "RGB", "YCbCr")
_SIXTEEN_BIT_GREY = ("I;16", "I;16B", "I;16L", "I;16N")
_WHITE_IS_ZERO = 0
# ITU-T H.273: BT.709 primaries, the transfer of sRGB, RGB, full range.
_SRGB_CICP = bytes([1, 13, 0, 1])
_EIGHT_OF_SIXTEEN = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)
_OTHER_BYTE_ORDER = {"RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B"}


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """What a picture's header says: size in pixels after the EXIF orientation, and its format."""

    width: int
    height: int
    format: str


def inspect_picture(path: Path) -> PictureInfo:
    """Read a picture's header and refuse what cannot be a source; raises PictureError."""
    with _opened(path) as image:
        width, height = image.size
        if _orientation(path, image) in (5, 6, 7, 8):
            width, height = height, width
        return PictureInfo(width, height, image.format or "")


def load_picture(path: Path) -> Pixels:
    """Read a picture whole, as 8-bit sRGB pixels; raises PictureError for anything short of whole."""
    with _opened(path) as image:
        profile = image.info.get("icc_profile")
        orientation = _orientation(path, image)
        eight = _to_eight_bits(path, image)
        if profile:
            eight = _to_srgb(path, eight, profile)
        eight = eight.convert("RGB")
        if orientation != 1:
            eight.getexif()[ExifTags.Base.Orientation] = orientation
            eight = ImageOps.exif_transpose(eight)
        return np.array(eight, dtype=np.uint8)


def sixteen_to_eight(values: npt.NDArray[np.uint16 | np.uint32]) -> Pixels:
    """Sixteen-bit samples to eight: v x 255 / 65535 rounded, which is (v + 128) // 257."""
    return _EIGHT_OF_SIXTEEN[values]


def crop_pixels(pixels: Pixels, crop: tuple[int, int, int, int] | None) -> Pixels:
    """The part at [left, top, width, height], or the whole."""
    if crop is None:
        return pixels
    left, top, width, height = crop
    return pixels[top : top + height, left : left + width]


def png_bytes(pixels: Pixels) -> bytes:
    """A PNG of IHDR, sRGB (perceptual intent), IDAT and IEND, and nothing else."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=6)
    parts = [_SIGNATURE]
    for kind, data in png_chunks(buffer.getvalue()):
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            parts.append(_chunk(kind, data))
        if kind == b"IHDR":
            parts.append(_chunk(b"sRGB", b"\0"))
    return b"".join(parts)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG as (kind, data); raises ValueError for anything but whole chunks."""
    if not data.startswith(_SIGNATURE):
        raise ValueError("not a PNG")
    at = len(_SIGNATURE)
    while at < len(data):
        if at + 12 > len(data):
            raise ValueError("a chunk is cut off")
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        if end > len(data):
            raise ValueError("a chunk is cut off")
        yield data[at + 4 : at + 8], data[at + 8 : end - 4]
        at = end


def png_pixels(data: bytes) -> Pixels:
    """The pixels of a PNG that `png_bytes` wrote; raises ValueError when it is no picture."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return np.array(image.convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError) as error:
        raise ValueError(str(error)) from None


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile.ImageFile]:
    """The picture with its header checked; whatever a decoder raises becomes one PictureError."""
    if not path.is_file():
        raise PictureError(path, "is not a file" if path.exists() else "does not exist")
    try:
        with warnings.catch_warnings():
            # Pillow warns of large sizes and of odd metadata; sizes are checked here, metadata is dropped.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                _check_header(path, image)
                yield image
    except PictureError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(path, f"is larger than {MOST_PIXELS:,} pixels; crop it or scale it down") from None
    except UnidentifiedImageError:
        raise PictureError(path, "is no whole PNG, TIFF, PPM or JPEG picture") from None
    except OSError as error:
        reason = "is truncated" if "truncated" in str(error) else f"cannot be read ({_one_line(error)})"
        raise PictureError(path, f"{reason}; export it again") from None
    except MemoryError:
        raise PictureError(path, "does not fit into memory; crop it or scale it down") from None
    except Exception as error:
        # Decoders meet hostile bytes with SyntaxError, ValueError, IndexError, struct.error and more.
        raise PictureError(path, f"cannot be read ({_one_line(error)}); export it again") from None


def _check_header(path: Path, image: ImageFile.ImageFile) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        raise PictureError(
            path,
            f"is {width}x{height}; the most is {MOST_PIXELS:,} pixels and {LONGEST_SIDE} a side: "
            "crop it or scale it down",
        )
    if min(width, height) < SHORTEST_SIDE:
        raise PictureError(path, f"is {width}x{height}; the least is {SHORTEST_SIDE} pixels a side")
    if getattr(image, "n_frames", 1) > 1 and image.format in ("TIFF", "PNG"):
        raise PictureError(path, "holds more than one picture; save the one you mean alone")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        raise PictureError(path, "has an alpha channel; flatten it onto a background first")
    if image.mode == "CMYK":
        raise PictureError(path, "is CMYK; convert it to RGB first")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(path, image)
    if image.mode in _SIXTEEN_BIT_GREY or (image.mode == "I" and image.format == "PPM"):
        return
    if image.mode not in _EIGHT_BIT:
        raise PictureError(path, f"has pixels of kind {image.mode!r}; save it as 8- or 16-bit RGB or grey")


def _check_tiff(path: Path, image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse samples that Pillow would read as something else without a word."""
    tags = image.tag_v2
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    if tags.get(TiffImagePlugin.EXTRASAMPLES):
        raise PictureError(path, "has a channel besides its colours; save it without")
    if any(kind not in (1, 4) for kind in tags.get(TiffImagePlugin.SAMPLEFORMAT, ())) and bits <= 16:
        raise PictureError(path, "has signed or floating-point samples; save it as 8- or 16-bit RGB or grey")
    if bits > 8 and bits != 16 and image.mode in _SIXTEEN_BIT_GREY:
        raise PictureError(path, f"has samples of {bits} bits; save it as 8- or 16-bit RGB or grey")
    if bits == 16 and image.mode == "RGB" and tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) != 1:
        raise PictureError(path, "keeps 16-bit colours in separate planes; save it interleaved, or as PNG")


def _to_eight_bits(path: Path, image: ImageFile.ImageFile) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_GREY or image.mode == "I":
        values = np.array(image, dtype=np.uint16)
        if (
            isinstance(image, TiffImagePlugin.TiffImageFile)
            and image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
        ):
            # Pillow turns such samples round at 8 bits and fewer only.
            values = np.uint16(65535) - values
        return Image.fromarray(sixteen_to_eight(values))
    raw_mode = _raw_mode(image)
    if (
        image.mode == "RGB"
        and raw_mode is not None
        and raw_mode.startswith("RGB;16")
        and image.format != "PPM"
    ):
        return Image.fromarray(_sixteen_bit_rgb(path, image, raw_mode))
    if image.mode == "P":
        return image.convert("RGB")
    if image.mode in ("1", "YCbCr"):
        return image.convert("L" if image.mode == "1" else "RGB")
    image.load()
    return image


def _orientation(path: Path, image: ImageFile.ImageFile) -> int:
    """The EXIF orientation that is still to be applied, 1 to 8, without decoding the picture."""
    if image.format == "TIFF":
        # Pillow turns a TIFF itself while loading it, and its size is that of the turned picture.
        return 1
    if image.format != "PNG":
        exif = image.getexif()
    else:
        # Pillow would decode a PNG whole to find a chunk behind the pixels.
        exif = Image.Exif()
        exif.load(_png_exif(path))
    orientation = exif.get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def _png_exif(path: Path) -> bytes:
    """The eXIf chunk, on the way through the chunks to IEND: decoders do not miss an end that was cut off."""
    exif = b""
    with path.open("rb") as file:
        file.seek(len(_SIGNATURE))
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            data = file.read(length) if kind in (b"eXIf", b"cICP") else b""
            if kind == b"cICP" and data != _SRGB_CICP:
                raise PictureError(path, "has a cICP chunk of another colour space; convert it to sRGB")
            exif = data if kind == b"eXIf" else exif
            file.seek(length - len(data), io.SEEK_CUR)
            if len(file.read(4)) == 4 and kind == b"IEND":
                return exif
    raise PictureError(path, "is truncated; export it again")


def _raw_mode(image: ImageFile.ImageFile) -> str | None:
    if not image.tile:
        return None
    arguments = image.tile[0].args
    first = arguments[0] if isinstance(arguments, tuple) else arguments
    return first if isinstance(first, str) else None


def _sixteen_bit_rgb(path: Path, image: ImageFile.ImageFile, raw_mode: str) -> Pixels:
    """All sixteen bits of an RGB file, rounded to eight.

    Pillow keeps the high byte of such samples and drops the low one. Reading the file a second time with
    the byte order exchanged keeps the low byte, and both together are the sample.
    """
    native = "RGB;16L" if sys.byteorder == "little" else "RGB;16B"
    other = _OTHER_BYTE_ORDER[native if raw_mode == "RGB;16N" else raw_mode]
    high = np.array(image, dtype=np.uint16)
    with Image.open(path, formats=FORMATS) as again:
        again.tile = [
            tile._replace(args=(other, *tile.args[1:]) if isinstance(tile.args, tuple) else other)
            for tile in again.tile
        ]
        low = np.array(again, dtype=np.uint16)
    return sixteen_to_eight(high * np.uint16(256) + low)


def _to_srgb(path: Path, image: Image.Image, profile: bytes) -> Image.Image:
    """Apply the profile with littleCMS; a profile within one level of sRGB everywhere changes nothing."""
    mode = "L" if image.mode == "L" else "RGB"
    image = image.convert(mode)
    try:
        source = ImageCms.getOpenProfile(io.BytesIO(profile))
        grey = source.profile.xcolor_space.strip() == "GRAY"
        if grey and mode == "RGB" and (np.ptp(np.asarray(image), axis=2) > 0).any():
            raise PictureError(path, "has a grey ICC profile on coloured pixels; convert it to sRGB")
        if grey != (mode == "L"):
            # Grey pixels under an RGB profile, or the reverse, as some cameras and scanners write.
            image = image.convert("L" if grey else "RGB")
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            image.mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if _is_identity(transform, image.mode):
            return image
        converted = ImageCms.applyTransform(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise PictureError(
            path, f"has an ICC profile that cannot be used ({_one_line(error)}); convert it to sRGB"
        ) from None
    if converted is None:
        raise PictureError(path, "has an ICC profile that cannot be used; convert it to sRGB")
    return converted


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the transform moves no colour of a grid by more than one level: that is only its rounding."""
    ramp = np.arange(256, dtype=np.uint8)
    if mode == "L":
        wanted = np.repeat(ramp[:, None], 3, axis=1)
        colours = Image.fromarray(ramp.reshape(1, -1))
    else:
        steps = np.linspace(0, 255, 16).astype(np.uint8)
        grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
        wanted = np.concatenate([grid, np.repeat(ramp[:, None], 3, axis=1)])
        colours = Image.fromarray(wanted.reshape(1, -1, 3))
    converted = ImageCms.applyTransform(colours, transform)
    assert converted is not None
    moved = np.abs(np.asarray(converted).reshape(-1, 3).astype(int) - wanted)
    return bool(moved.max() <= 1)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
