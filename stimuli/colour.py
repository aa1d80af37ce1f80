"""The one way between sRGB pictures and YUV planes, for every codec that is handed raw samples.

BT.709 matrix (ITU-R BT.709-6, 3.2 and 3.3), the sRGB transfer untouched, full range as ITU-T H.273 (8.3,
equations for `VideoFullRangeFlag` 1) scales it. All of it is exact integer arithmetic with halves rounded
up, so the planes and pixels are the same on every machine. docs/colour.md has the filters and figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from stimuli.pictures import Pixels

Plane = npt.NDArray[np.unsignedinteger]
Planes = tuple[Plane, Plane, Plane]
_Whole = npt.NDArray[np.int64]

# Weights of R, G and B in Y, in 1/10000, and with them the spans of B - Y and R - Y.
_RED, _GREEN, _BLUE = 2126, 7152, 722
_CB_SPAN, _CR_SPAN = 2 * (10000 - _BLUE), 2 * (10000 - _RED)
# What Cb and Cr take from G, over _G_PARTS.
_G_CB, _G_CR, _G_PARTS = _BLUE * _CB_SPAN // 8, _RED * _CR_SPAN // 8, _GREEN * 10000 // 8

# Taps of a Lanczos-3 kernel in 1/256. Chroma samples lie on the even columns and halfway between two rows.
_ONE = 256
_DOWN_ON = (3, 0, -17, 0, 78, 128, 78, 0, -17, 0, 3)
_DOWN_BETWEEN = (1, 4, -9, -17, 35, 114, 114, 35, -17, -9, 4, 1)
_UP_HALF = (6, -35, 157, 157, -35, 6)
_UP_QUARTER = (2, -17, 69, 228, -34, 8)


@dataclass(frozen=True, slots=True)
class YuvFormat:
    """Planar YUV samples: chroma at full ("444") or half ("420") width and height, of 8 or 10 bits."""

    chroma: Literal["444", "420"]
    bits: Literal[8, 10]

    @property
    def pix_fmt(self) -> str:
        """The name by which ffmpeg knows the format, as `yuv420p10le`."""
        return f"yuv{self.chroma}p{'10le' if self.bits == 10 else ''}"

    @property
    def largest(self) -> int:
        """The largest sample: 255 or 1023."""
        return (1 << self.bits) - 1

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Samples in memory and in raw files: one byte, or two with the low one first."""
        return np.dtype(np.uint8) if self.bits == 8 else np.dtype("<u2")

    def shapes(self, width: int, height: int) -> tuple[tuple[int, int], ...]:
        """Height and width of Y, Cb and Cr; half an odd number is rounded up."""
        half = (height, width) if self.chroma == "444" else ((height + 1) // 2, (width + 1) // 2)
        return (height, width), half, half


def rgb_to_planes(pixels: Pixels, format: YuvFormat) -> Planes:
    """Y, Cb and Cr of an 8-bit sRGB picture (height x width x 3), each plane rounded once."""
    red, green, blue = (pixels[..., i].astype(np.int64) for i in range(3))
    luma: _Whole = _RED * red + _GREEN * green + _BLUE * blue
    samples = [_divided(luma * format.largest, 10000 * 255)]
    for colour, span in ((blue, _CB_SPAN), (red, _CR_SPAN)):
        difference: _Whole = 10000 * colour - luma
        parts = 1
        if format.chroma == "420":
            difference = _halved(_halved(difference, _DOWN_ON, 1), _DOWN_BETWEEN, 0)
            parts = _ONE**2
        middle = 1 << (format.bits - 1)
        samples.append(_divided(difference * format.largest, span * 255 * parts) + middle)
    y, cb, cr = (np.clip(plane, 0, format.largest).astype(format.dtype) for plane in samples)
    return y, cb, cr


def planes_to_rgb(planes: Planes, format: YuvFormat) -> Pixels:
    """The 8-bit sRGB picture (height x width x 3) of Y, Cb and Cr; chroma is not rounded on the way."""
    height, width = planes[0].shape
    middle, parts = 1 << (format.bits - 1), 1
    y, cb, cr = (plane.astype(np.int64) for plane in planes)
    cb, cr = cb - middle, cr - middle
    if format.chroma == "420":
        cb, cr = (_doubled_columns(_doubled_rows(plane, height), width) for plane in (cb, cr))
        parts = _ONE**2
    y = y * parts
    scale = format.largest * parts
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for i, (value, whole) in enumerate(
        (
            (10000 * y + _CR_SPAN * cr, 10000),
            (_G_PARTS * y - _G_CB * cb - _G_CR * cr, _G_PARTS),
            (10000 * y + _CB_SPAN * cb, 10000),
        )
    ):
        pixels[..., i] = np.clip(_divided(value * 255, whole * scale), 0, 255)
    return pixels


def raw_bytes(planes: Planes) -> bytes:
    """The planes one after another, as ffmpeg's `rawvideo` has them."""
    return b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes)


def planes_from_raw(data: bytes, width: int, height: int, format: YuvFormat) -> Planes:
    """The planes of one raw picture; raises ValueError for another number of bytes or too large samples."""
    shapes = format.shapes(width, height)
    counts = [rows * columns for rows, columns in shapes]
    wanted = sum(counts) * format.dtype.itemsize
    if len(data) != wanted:
        raise ValueError(
            f"{len(data)} bytes are not one {format.pix_fmt} picture of {width}x{height}, which has {wanted}"
        )
    samples = np.frombuffer(data, dtype=format.dtype)
    if samples.size and samples.max() > format.largest:
        raise ValueError(f"a {format.pix_fmt} picture has the sample {samples.max()}, over {format.largest}")
    y, cb, cr = (
        part.reshape(shape)
        for part, shape in zip(np.split(samples, np.cumsum(counts)[:-1]), shapes, strict=True)
    )
    return y, cb, cr


_Y4M_NAMES = {
    YuvFormat("444", 8): "444",
    YuvFormat("444", 10): "444p10",
    YuvFormat("420", 8): "420mpeg2",
    YuvFormat("420", 10): "420p10",
}
# Decoders that were not told the siting write 420 or 420jpeg; it is ours that went in all the same.
_Y4M_FORMATS = {name: format for format, name in _Y4M_NAMES.items()} | {
    "420": YuvFormat("420", 8),
    "420jpeg": YuvFormat("420", 8),
}


def y4m_bytes(pixels: Pixels, format: YuvFormat) -> bytes:
    """A YUV4MPEG2 file of one full-range picture; `420mpeg2` names the siting of our chroma."""
    height, width = pixels.shape[:2]
    name = _Y4M_NAMES[format]
    depth = f" XYSCSS={format.chroma}P10" if format.bits == 10 else ""
    head = f"YUV4MPEG2 W{width} H{height} F1:1 Ip A1:1 C{name}{depth} XCOLORRANGE=FULL\nFRAME\n"
    return head.encode() + raw_bytes(rgb_to_planes(pixels, format))


def y4m_format(data: bytes) -> YuvFormat:
    """The format of the samples of a YUV4MPEG2 file; raises ValueError as `y4m_pixels` does."""
    return _y4m_head(data)[0]


def y4m_pixels(data: bytes) -> Pixels:
    """The picture of a YUV4MPEG2 file, whose samples are taken as full range unless it says otherwise.

    Raises ValueError, of one line, for anything but one picture in a format of `YuvFormat`.
    """
    format, width, height, frame = _y4m_head(data)
    head, _, samples = frame.partition(b"\n")
    if not head.startswith(b"FRAME"):
        raise ValueError("a YUV4MPEG2 file without a FRAME")
    return planes_to_rgb(planes_from_raw(samples, width, height, format), format)


def _y4m_head(data: bytes) -> tuple[YuvFormat, int, int, bytes]:
    head, _, frame = data.partition(b"\n")
    tokens = head[:1000].decode("ascii", errors="replace").split()
    if not tokens or tokens[0] != "YUV4MPEG2":
        raise ValueError("no YUV4MPEG2 file: it must begin with YUV4MPEG2")
    values = {token[0]: token[1:] for token in tokens[1:] if not token.startswith("X")}
    if "XCOLORRANGE=LIMITED" in tokens:
        raise ValueError("a YUV4MPEG2 file of limited range; make the decoder write full range")
    if not all(values.get(key, "").isdecimal() and int(values[key]) > 0 for key in "WH"):
        raise ValueError("a YUV4MPEG2 file without a width and height")
    name = values.get("C", "420")
    if name not in _Y4M_FORMATS:
        known = ", ".join(f"C{known}" for known in _Y4M_FORMATS)
        raise ValueError(f"a YUV4MPEG2 file of the format C{name}; those known are {known}")
    return _Y4M_FORMATS[name], int(values["W"]), int(values["H"]), frame


def _divided(values: _Whole, by: int) -> _Whole:
    """The nearest whole numbers to values / by; halves upwards."""
    return (2 * values + by) // (2 * by)


def _halved(plane: _Whole, taps: tuple[int, ...], axis: int) -> _Whole:
    """Every second sample along an axis, filtered, 256 times as large; edges are repeated.

    The first tap lies five samples before the even one.
    """
    lines = np.moveaxis(plane, axis, 0)
    count = (len(lines) + 1) // 2
    padded = np.pad(lines, ((5, len(taps)), (0, 0)), mode="edge")
    out = np.zeros((count, lines.shape[1]), dtype=np.int64)
    for i, tap in enumerate(taps):
        if tap:
            out += tap * padded[i : i + 2 * count - 1 : 2]
    return np.moveaxis(out, 0, axis)


def _doubled_rows(plane: _Whole, height: int) -> _Whole:
    """A quarter above and a quarter below every chroma sample, 256 times as large."""
    out = np.empty((2 * len(plane), plane.shape[1]), dtype=np.int64)
    out[0::2] = _filtered(plane, _UP_QUARTER, -3)
    out[1::2] = _filtered(plane, _UP_QUARTER[::-1], -2)
    return out[:height]


def _doubled_columns(plane: _Whole, width: int) -> _Whole:
    """On every chroma sample and halfway to the next one, 256 times as large."""
    lines = plane.T
    out = np.empty((2 * len(lines), lines.shape[1]), dtype=np.int64)
    out[0::2] = _ONE * lines
    out[1::2] = _filtered(lines, _UP_HALF, -2)
    return out[:width].T


def _filtered(lines: _Whole, taps: tuple[int, ...], first: int) -> _Whole:
    """A filter along the first axis; its first tap lies `first` samples from each, edges are repeated."""
    padded = np.pad(lines, ((-first, len(taps)), (0, 0)), mode="edge")
    out = np.zeros(lines.shape, dtype=np.int64)
    for i, tap in enumerate(taps):
        out += tap * padded[i : i + len(lines)]
    return out
