"""Exact pixels: 16 bit to 8, profiles, orientation, and the four kinds of chunks."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from PIL import Image, ImageCms

from stimuli.errors import PictureError
from stimuli.pictures import (
    crop_pixels,
    inspect_picture,
    load_picture,
    png_bytes,
    png_chunks,
    png_pixels,
    sixteen_to_eight,
)

Pixels = npt.NDArray[np.uint8]


@pytest.fixture
def sixteen() -> npt.NDArray[np.uint16]:
    """Every byte pair that rounding could trip over, and noise."""
    ramp = np.arange(0, 65536, 21, dtype=np.uint16)[: 48 * 64 * 1]
    noise = np.random.default_rng(7).integers(0, 65536, (48, 64, 3), dtype=np.uint16)
    noise[..., 1] = np.resize(ramp, (48, 64))
    return noise


def rounded(values: npt.NDArray[np.uint16]) -> Pixels:
    """The definition, in floating point."""
    return np.rint(values.astype(np.float64) * 255 / 65535).astype(np.uint8)


def test_all_sixteen_bit_values_are_rounded() -> None:
    values = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(sixteen_to_eight(values), rounded(values))


def write_png16(path: Path, values: npt.NDArray[np.uint16]) -> None:
    """A PNG by the specification, with a different filter in every row."""
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    stride = 2 * channels
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8).astype(int)
    packed = bytearray()
    for y, row in enumerate(rows):
        kind = y % 5
        left = np.concatenate([np.zeros(stride, int), row[:-stride]])
        up = rows[y - 1] if y else np.zeros_like(row)
        corner = np.concatenate([np.zeros(stride, int), up[:-stride]])
        near = left + up - corner
        distances = np.abs(near - left), np.abs(near - up), np.abs(near - corner)
        paeth = np.where(
            (distances[0] <= distances[1]) & (distances[0] <= distances[2]),
            left,
            np.where(distances[1] <= distances[2], up, corner),
        )
        guess = (np.zeros_like(row), left, up, (left + up) // 2, paeth)[kind]
        packed += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(packed))),
        (b"IEND", b""),
    ]
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def write_ppm16(path: Path, values: npt.NDArray[np.uint16]) -> None:
    """A PPM or PGM of maximum 65535."""
    kind = b"P6" if values.ndim == 3 else b"P5"
    head = kind + b"\n%d %d\n65535\n" % (values.shape[1], values.shape[0])
    path.write_bytes(head + values.astype(">u2").tobytes())


def write_tiff16(path: Path, values: npt.NDArray[np.uint16], **options: object) -> None:
    """A TIFF by another library."""
    tifffile.imwrite(path, values, **options)


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.png", write_png16),
        ("a.ppm", write_ppm16),
        ("a.tif", write_tiff16),
        ("b.tif", lambda path, values: write_tiff16(path, values, byteorder=">")),
    ],
    ids=["png", "ppm", "tiff little-endian", "tiff big-endian"],
)
def test_sixteen_bit_files_are_rounded_and_not_cut(
    tmp_path: Path,
    sixteen: npt.NDArray[np.uint16],
    name: str,
    write: Callable[[Path, npt.NDArray[np.uint16]], None],
    channels: int,
) -> None:
    """Pillow would keep the high bytes of RGB; the low ones decide half of the roundings."""
    values = sixteen if channels == 3 else sixteen[..., 1]
    write(tmp_path / name, values)
    wanted = rounded(values)
    if channels == 1:
        wanted = np.repeat(wanted[..., None], 3, axis=2)
    assert np.array_equal(load_picture(tmp_path / name), wanted)


def test_deflated_sixteen_bit_tiff_is_rounded(tmp_path: Path, sixteen: npt.NDArray[np.uint16]) -> None:
    """libtiff unpacks this one, in the byte order of the machine."""
    write_tiff16(tmp_path / "a.tif", sixteen, compression="zlib", predictor=True)
    assert np.array_equal(load_picture(tmp_path / "a.tif"), rounded(sixteen))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.ppm"])
def test_eight_bit_files_are_read_as_they_are(tmp_path: Path, photograph: Pixels, name: str) -> None:
    Image.fromarray(photograph).save(tmp_path / name)
    assert np.array_equal(load_picture(tmp_path / name), photograph)


def test_grey_and_palette_become_rgb(tmp_path: Path, photograph: Pixels) -> None:
    grey = Image.fromarray(photograph).convert("L")
    grey.save(tmp_path / "grey.png")
    palette = Image.fromarray(photograph).quantize(32)
    palette.save(tmp_path / "palette.png")
    Image.fromarray(photograph).convert("1").save(tmp_path / "bits.png")
    assert np.array_equal(load_picture(tmp_path / "grey.png"), np.asarray(grey.convert("RGB")))
    assert np.array_equal(load_picture(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))
    assert set(np.unique(load_picture(tmp_path / "bits.png"))) == {0, 255}


def test_exif_orientation_is_applied_once(tmp_path: Path, photograph: Pixels) -> None:
    """A photograph taken upright is stored lying down: it is turned, and no tag remains to turn it again."""
    image = Image.fromarray(photograph)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    turned = load_picture(tmp_path / "a.png")
    assert np.array_equal(turned, np.rot90(photograph, -1))
    info = inspect_picture(tmp_path / "a.png")
    assert (info.height, info.width) == turned.shape[:2]


TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p),
}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "deflated.tif", "sixteen.tif"])
@pytest.mark.parametrize("orientation", TURNS)
def test_every_orientation_of_every_format_is_applied_once(
    tmp_path: Path, name: str, orientation: int
) -> None:
    """Pillow turns TIFFs itself while loading them, and nothing else."""
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:16, :24], pixels[:16, 24:], pixels[16:, :24] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    if name.endswith(".tif"):
        tag = (0x0112, 3, 1, orientation, True)
        values = pixels * np.uint16(257) if name == "sixteen.tif" else pixels
        compression = "zlib" if name == "deflated.tif" else None
        tifffile.imwrite(tmp_path / name, values, photometric="rgb", compression=compression, extratags=[tag])
    else:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"quality": 100, "subsampling": 0} if name == "a.jpg" else {}
        Image.fromarray(pixels).save(tmp_path / name, exif=exif, **options)
    read = load_picture(tmp_path / name)
    wanted = TURNS[orientation](pixels)
    assert read.shape == wanted.shape
    assert np.abs(read.astype(int) - wanted).max() <= (2 if name == "a.jpg" else 0)
    info = inspect_picture(tmp_path / name)
    assert (info.height, info.width) == read.shape[:2]


def test_sixteen_bit_tiff_whose_white_is_zero(tmp_path: Path, sixteen: npt.NDArray[np.uint16]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", sixteen[..., 1], photometric="miniswhite")
    wanted = rounded(65535 - sixteen[..., 1])
    assert np.array_equal(load_picture(tmp_path / "a.tif"), np.repeat(wanted[..., None], 3, axis=2))


def rgb_profile(gamma: float) -> bytes:
    """A matrix profile with the sRGB primaries and another gamma, by the ICC specification (v2)."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(fixed(value) for value in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"gamma\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.4361, 0.2225, 0.0139),
        b"gXYZ": xyz(0.3851, 0.7169, 0.0971),
        b"bXYZ": xyz(0.1431, 0.0606, 0.7141),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for kind, data in tags.items():
        data += bytes(-len(data) % 4)
        table += kind + struct.pack(">II", at + len(body), len(data))
        body += data
    head = bytearray(128)
    head[8:12] = bytes([2, 0x10, 0, 0])
    head[12:24] = b"mntrRGB XYZ "
    head[36:40] = b"acsp"
    head[68:80] = fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    head[0:4] = struct.pack(">I", 128 + len(table) + len(body))
    return bytes(head) + table + body


def srgb_encoded(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """IEC 61966-2-1, from linear light to the code value between 0 and 1."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.6])
def test_a_profile_is_converted_to_srgb_once(tmp_path: Path, photograph: Pixels, gamma: float) -> None:
    """Another gamma under the sRGB primaries: the right pixels follow from two formulae."""
    Image.fromarray(photograph).save(tmp_path / "a.png", icc_profile=rgb_profile(gamma))
    wanted = 255 * srgb_encoded((photograph / 255) ** gamma)
    read = load_picture(tmp_path / "a.png")
    assert np.abs(read - wanted).max() <= 1.5
    assert np.abs(read.astype(int) - photograph).max() > 10


def test_the_srgb_profile_changes_no_pixel(tmp_path: Path, photograph: Pixels) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(photograph).save(tmp_path / "a.tif", icc_profile=profile)
    assert np.array_equal(load_picture(tmp_path / "a.tif"), photograph)


def test_a_broken_profile_is_refused(tmp_path: Path, photograph: Pixels) -> None:
    Image.fromarray(photograph).save(tmp_path / "a.png", icc_profile=b"not a profile" * 20)
    with pytest.raises(PictureError, match=r"a\.png: has an ICC profile that cannot be used"):
        load_picture(tmp_path / "a.png")


@given(
    nps.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24), st.just(3))),
)
def test_png_holds_four_kinds_of_chunks_and_the_exact_pixels(pixels: Pixels) -> None:
    data = png_bytes(pixels)
    kinds = [kind for kind, _ in png_chunks(data)]
    assert kinds[:2] == [b"IHDR", b"sRGB"]
    assert set(kinds[2:-1]) == {b"IDAT"}
    assert kinds[-1] == b"IEND"
    assert np.array_equal(png_pixels(data), pixels)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()


def test_a_cut_png_is_no_picture(photograph: Pixels) -> None:
    data = png_bytes(photograph)
    with pytest.raises(ValueError, match="cut off"):
        list(png_chunks(data[:-5]))
    with pytest.raises(ValueError):
        png_pixels(data[:200])


def test_crops_are_left_top_width_height(photograph: Pixels) -> None:
    assert np.array_equal(crop_pixels(photograph, (5, 7, 20, 30)), photograph[7:37, 5:25])
    assert crop_pixels(photograph, None) is photograph
