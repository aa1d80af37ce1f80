"""sRGB to YUV planes and back: exact, full range, sited as it says, and the same on every machine."""

from __future__ import annotations

import hashlib
import itertools
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from stimuli.colour import (
    Planes,
    YuvFormat,
    planes_from_raw,
    planes_to_rgb,
    raw_bytes,
    rgb_to_planes,
    y4m_bytes,
    y4m_format,
    y4m_pixels,
)
from stimuli.pictures import load_picture

Pixels = npt.NDArray[np.uint8]

FULL_10, FULL_8 = YuvFormat("444", 10), YuvFormat("444", 8)
HALF_10, HALF_8 = YuvFormat("420", 10), YuvFormat("420", 8)
FORMATS = (FULL_10, FULL_8, HALF_10, HALF_8)
PICO = Path(__file__).resolve().parents[3] / "shared" / "data" / "pico"

formats = pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.pix_fmt)


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def round_trip(pixels: Pixels, format: YuvFormat) -> Pixels:
    return planes_to_rgb(rgb_to_planes(pixels, format), format)


def generated(height: int = 48, width: int = 64) -> Pixels:
    """Whole-number waves of three periods: the same on every machine."""
    rows, columns = np.mgrid[:height, :width]
    waves = (rows * 5 + columns * 3, rows * columns // 7, rows * 11 - columns * 2)
    return np.stack([np.abs(wave % 510 - 255) for wave in waves], axis=-1).astype(np.uint8)


def test_ten_bits_at_full_chroma_are_lossless_for_every_colour() -> None:
    green, blue = np.meshgrid(*(np.arange(256, dtype=np.uint8),) * 2)
    for red in range(256):
        pixels = np.stack([np.full_like(green, red), green, blue], axis=-1)
        assert np.array_equal(round_trip(pixels, FULL_10), pixels), f"red {red}"


def test_eight_bits_at_full_chroma_are_near() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    error = np.abs(round_trip(pixels, FULL_8).astype(int) - pixels)
    assert error.max() <= 2
    assert psnr(round_trip(pixels, FULL_8), pixels) > 52


def test_half_chroma_of_photographs(studies: ModuleType) -> None:
    for name, least in (("astronaut", 42.5), ("chelsea", 44)):
        pixels = studies.photographs(256, 192)[name]
        assert psnr(round_trip(pixels, HALF_10), pixels) > least
        assert psnr(round_trip(pixels, HALF_8), pixels) > least - 1.2


# PSNR in dB after the way there and back, as docs/colour.md has them: 4:4:4 8 bit, 4:2:0 10 bit, 4:2:0 8 bit.
FIGURES = {
    "astronaut": (53.59, 41.72, 41.54),
    "chelsea": (53.37, 47.8, 46.98),
    "coffee": (53.0, 41.37, 41.17),
    "kodak_kodim04": (53.17, 49.45, 48.25),
    "kodim15": (52.97, 47.22, 46.48),
    "kodim23": (53.0, 46.9, 46.2),
}


@pytest.mark.parametrize("picture", [name for name in FIGURES if "kod" not in name])
def test_figures_of_the_documentation(picture: str) -> None:
    compare(getattr(skimage.data, picture)(), picture)


@pytest.mark.real_data
@pytest.mark.skipif(not PICO.is_dir(), reason="the Kodak references of ../shared/data/pico are not here")
@pytest.mark.parametrize("picture", [name for name in FIGURES if "kod" in name])
def test_figures_of_the_documentation_on_kodak(picture: str) -> None:
    compare(load_picture(PICO / picture / "reference.png"), picture)


def compare(pixels: Pixels, picture: str) -> None:
    assert np.array_equal(round_trip(pixels, FULL_10), pixels)
    found = [psnr(round_trip(pixels, format), pixels) for format in (FULL_8, HALF_10, HALF_8)]
    assert found == pytest.approx(FIGURES[picture], abs=0.006)


@formats
def test_planes_are_the_exact_formula_rounded_once(format: YuvFormat) -> None:
    """Against rational numbers: BT.709, full range of H.273, halves upwards."""
    pixels = np.random.default_rng(2).integers(0, 256, (1, 40, 3), dtype=np.uint8)
    if format.chroma == "420":
        # Of one colour each, because the filter has a test of its own.
        pixels = np.repeat(pixels[:, :1], 40, axis=1)
    planes = rgb_to_planes(pixels, format)
    largest, middle = 2**format.bits - 1, 2 ** (format.bits - 1)
    for column in range(planes[1].shape[1]):
        red, green, blue = (Fraction(int(value), 255) for value in pixels[0, column])
        luma = Fraction(2126, 10000) * red + Fraction(7152, 10000) * green + Fraction(722, 10000) * blue
        exact = (
            largest * luma,
            largest * (blue - luma) / Fraction(18556, 10000) + middle,
            largest * (red - luma) / Fraction(15748, 10000) + middle,
        )
        for plane, value in zip(planes, exact, strict=True):
            assert plane[0, column] == min((value + Fraction(1, 2)).__floor__(), largest)


@formats
def test_white_black_and_grey(format: YuvFormat) -> None:
    """Full range: black is 0 and white the largest sample, and greys have no chroma."""
    middle = 2 ** (format.bits - 1)
    for grey, luma in ((0, 0), (255, format.largest), (51, round(format.largest / 5))):
        planes = rgb_to_planes(np.full((4, 6, 3), grey, dtype=np.uint8), format)
        assert [set(plane.ravel().tolist()) for plane in planes] == [{luma}, {middle}, {middle}]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(FORMATS), st.integers(1, 19), st.integers(1, 19), st.tuples(*[st.integers(0, 255)] * 3)
)
def test_flat_pictures_of_any_size(
    format: YuvFormat, width: int, height: int, colour: tuple[int, int, int]
) -> None:
    pixels = np.broadcast_to(np.array(colour, dtype=np.uint8), (height, width, 3))
    planes = rgb_to_planes(pixels, format)
    assert tuple(plane.shape for plane in planes) == format.shapes(width, height)
    assert {plane.dtype for plane in planes} == {format.dtype}
    again = planes_from_raw(raw_bytes(planes), width, height, format)
    assert all(np.array_equal(a, b) for a, b in zip(planes, again, strict=True))
    decoded = planes_to_rgb(again, format)
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(int) - pixels).max() <= (0 if format.bits == 10 else 2)


def test_odd_sizes_round_chroma_up() -> None:
    assert HALF_8.shapes(7, 5) == ((5, 7), (3, 4), (3, 4))
    assert FULL_8.shapes(7, 5) == ((5, 7),) * 3


@formats
def test_saturated_edges_are_clipped_and_not_wrapped(format: YuvFormat) -> None:
    """Overshoot of the filter at edges between extreme colours, in both directions."""
    corners = np.array(list(itertools.product((0, 255), repeat=3)), dtype=np.uint8)
    pixels = corners[np.random.default_rng(3).integers(0, 8, (40, 40))]
    planes = rgb_to_planes(pixels, format)
    assert all(plane.max() <= format.largest for plane in planes)
    extreme = np.random.default_rng(4)
    y, cb, cr = (
        (extreme.integers(0, 2, plane.shape) * format.largest).astype(format.dtype) for plane in planes
    )
    assert np.abs(planes_to_rgb((y, cb, cr), format) - in_floats((y, cb, cr), format)).max() <= 1


def in_floats(planes: Planes, format: YuvFormat) -> npt.NDArray[np.float64]:
    """The inverse once more, in floating point, with Lanczos-3 weights written in 1/256."""
    half = 2 ** (format.bits - 1)
    y, cb, cr = (plane.astype(float) for plane in planes)
    cb, cr = ((plane - half) / format.largest for plane in (cb, cr))
    if format.chroma == "420":
        cb, cr = (doubled(doubled(plane, False), True) for plane in (cb, cr))
    y = y / format.largest
    red, blue = y + 1.5748 * cr, y + 1.8556 * cb
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    return np.clip(np.rint(255 * np.stack([red, green, blue], axis=-1)), 0, 255)


def doubled(plane: npt.NDArray[np.float64], columns: bool) -> npt.NDArray[np.float64]:
    lines = plane.T if columns else plane
    near, far = (6, -35, 157, 157, -35, 6), (2, -17, 69, 228, -34, 8)
    out = np.empty((2 * len(lines), lines.shape[1]))
    for i in range(2 * len(lines)):
        if columns:
            taps, first = ((256,), i // 2) if i % 2 == 0 else (near, i // 2 - 2)
        else:
            taps, first = (far, i // 2 - 3) if i % 2 == 0 else (far[::-1], i // 2 - 2)
        rows = np.clip(np.arange(first, first + len(taps)), 0, len(lines) - 1)
        out[i] = np.array(taps) / 256 @ lines[rows]
    return out.T if columns else out


def test_chroma_lies_on_even_columns_and_between_rows() -> None:
    """A ramp of blue against yellow, away from the edges: left siting, as the streams signal."""
    ramp = np.arange(40, dtype=np.uint8) * 4 + 40
    across = np.broadcast_to(np.stack([ramp * 0 + 120, ramp * 0 + 120, ramp], axis=-1), (40, 40, 3))
    down = across.transpose(1, 0, 2)
    full = rgb_to_planes(across, FULL_10)[1][20].astype(float)
    for j in range(4, 16):
        assert rgb_to_planes(across, HALF_10)[1][10, j] == pytest.approx(full[2 * j], abs=0.6)
        between = (full[2 * j] + full[2 * j + 1]) / 2
        assert rgb_to_planes(down, HALF_10)[1][j, 10] == pytest.approx(between, abs=1.1)
    for pixels in (across, down):
        decoded = round_trip(np.ascontiguousarray(pixels), HALF_10).astype(int)
        assert np.abs(decoded - pixels)[10:-10, 10:-10].max() <= 1


def test_a_decoded_picture_hardly_changes_when_it_is_coded_again() -> None:
    """The filters down and up are near to inverse of each other."""
    once = round_trip(generated(), HALF_10)
    assert psnr(round_trip(once, HALF_10), once) > psnr(once, generated()) + 3


@pytest.mark.parametrize(
    ("format", "planes", "pixels"),
    [
        (FULL_10, "149f2b4269790d61", "819b818ab48bd458"),
        (FULL_8, "3e436b87b36d0b7f", "e911533119f5e2e3"),
        (HALF_10, "cab0141abb1880a8", "68772a8229108bf7"),
        (HALF_8, "26ff4ec4b148c3df", "e32a38c087b30b40"),
    ],
    ids=lambda value: value.pix_fmt if isinstance(value, YuvFormat) else "sha256",
)
def test_every_machine_makes_the_same_samples(format: YuvFormat, planes: str, pixels: str) -> None:
    """Integers all the way: these hashes hold everywhere."""
    made = rgb_to_planes(generated(47, 63), format)
    assert hashlib.sha256(raw_bytes(made)).hexdigest()[:16] == planes
    assert hashlib.sha256(planes_to_rgb(made, format).tobytes()).hexdigest()[:16] == pixels


def test_raw_data_of_a_wrong_length_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^59 bytes are not one yuv420p picture of 8x5, which has 64$"):
        planes_from_raw(bytes(59), 8, 5, HALF_8)
    with pytest.raises(ValueError, match=r"^a yuv420p10le picture has the sample 1024, over 1023$"):
        planes_from_raw(b"\0\4" * 6, 2, 2, HALF_10)


@formats
def test_y4m_holds_one_full_range_picture(format: YuvFormat) -> None:
    pixels = generated(7, 9)
    data = y4m_bytes(pixels, format)
    assert b" XCOLORRANGE=FULL\nFRAME\n" in data
    assert y4m_format(data) == format
    assert np.array_equal(y4m_pixels(data), round_trip(pixels, format))


def test_y4m_of_decoders_that_were_not_told_the_siting() -> None:
    data = y4m_bytes(generated(6, 6), HALF_8)
    for name in (b"C420jpeg", b"C420"):
        assert np.array_equal(y4m_pixels(data.replace(b"C420mpeg2", name)), y4m_pixels(data))


@pytest.mark.parametrize(
    ("found", "instead", "reason"),
    [
        (b"YUV4MPEG2", b"YUV4MPEG9", "must begin with YUV4MPEG2"),
        (b"=FULL", b"=LIMITED", "of limited range"),
        (b"W6 ", b"W0 ", "without a width and height"),
        (b"H6 ", b"", "without a width and height"),
        (b"C420mpeg2", b"C422", "of the format C422; those known are"),
        (b"FRAME\n", b"", "without a FRAME"),
        (b"FRAME\n", b"FRAME\nFRAME\n", "bytes are not one yuv420p picture"),
    ],
)
def test_y4m_that_cannot_be_read_is_refused_in_one_line(found: bytes, instead: bytes, reason: str) -> None:
    data = y4m_bytes(generated(6, 6), HALF_8)
    assert found in data
    with pytest.raises(ValueError, match=reason) as told:
        y4m_pixels(data.replace(found, instead))
    assert "\n" not in str(told.value)
