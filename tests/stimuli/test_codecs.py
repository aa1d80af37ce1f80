"""Every in-process codec: bytes that repeat, pixels of the right size, a rate that follows the scale."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from stimuli.codecs.base import Codec, payload_bytes
from stimuli.codecs.registry import family_names, make_codec
from stimuli.errors import CodecSettingsError
from stimuli.matching import match_targets

Pixels = npt.NDArray[np.uint8]

FAMILIES = ("jpeg", "mozjpeg", "webp", "jpeg2000", "avif", "heic", "jpegxl")
FAST: dict[str, dict[str, object]] = {
    "avif": {"speed": 9},
    "heic": {"preset": "ultrafast"},
    "jpegxl": {"effort": 3},
}


@pytest.fixture(params=FAMILIES)
def codec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Codec:
    """One codec of each family, at its fast settings."""
    return make_codec(request.param, FAST.get(request.param, {}), tmp_path_factory.mktemp("study"))


def at(codec: Codec, share: float) -> dict[str, float]:
    """The quality at a share of the coarse range, with the fine scale at its start."""
    coarse, *fine = codec.scales
    low, high = coarse.coordinate(coarse.smallest), coarse.coordinate(coarse.largest)
    value = coarse.value_at(low + share * (high - low))
    return {coarse.name: value} | {scale.name: scale.first for scale in fine}


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def test_round_trip_is_close_and_repeats(codec: Codec, photograph: Pixels) -> None:
    quality = at(codec, 0.7)
    bitstream = codec.encode(photograph, quality)
    decoded = codec.decode(bitstream)
    assert decoded.dtype == np.uint8
    assert decoded.shape == photograph.shape
    assert psnr(decoded, photograph) > 26
    assert codec.encode(photograph, quality) == bitstream
    assert np.array_equal(codec.decode(bitstream), decoded)


def test_sizes_follow_the_coarse_scale(codec: Codec, photograph: Pixels) -> None:
    sizes = [len(codec.encode(photograph, at(codec, share))) for share in (0.05, 0.5, 0.65, 0.8, 1)]
    assert all(a < b for a, b in itertools.pairwise(sizes)), sizes
    assert sizes[-1] > 4 * sizes[0]


@pytest.mark.parametrize("kind", ["grey", "black", "checks", "noise"])
def test_no_tiny_picture_makes_a_sound_codec_look_reversed(codec: Codec, kind: str) -> None:
    """Targets below and above everything: both ends are encoded, and the direction is not doubted."""
    pixels: Pixels = np.full((16, 16, 3), 128 if kind == "grey" else 0, dtype=np.uint8)
    if kind == "noise":
        pixels = np.random.default_rng(1).integers(0, 256, pixels.shape, dtype=np.uint8)
    if kind == "checks":
        pixels[(np.add.outer(np.arange(16), np.arange(16)) % 2) == 1] = 255
    names = [scale.name for scale in codec.scales]
    matches = match_targets(
        codec.scales,
        [1, 100_000],
        0.01,
        lambda point: len(codec.encode(pixels, dict(zip(names, point, strict=True)))),
    )
    assert [match.status for match in matches] == ["unreachable_low", "unreachable_high"]


def test_both_ends_of_every_scale_can_be_encoded(codec: Codec, photograph: Pixels) -> None:
    ends = itertools.product(*((scale.low, scale.high) for scale in codec.scales))
    for point in ends:
        quality = dict(zip((scale.name for scale in codec.scales), map(float, point), strict=True))
        assert codec.decode(codec.encode(photograph, quality)).shape == photograph.shape


def test_the_fine_scale_moves_the_size_by_little(codec: Codec, photograph: Pixels) -> None:
    """Every value of a fine scale makes another encode of about the same size."""
    if len(codec.scales) == 1:
        assert codec.name in ("jpeg", "mozjpeg", "jpegxl")
        return
    fine = codec.scales[1]
    middle = at(codec, 0.75)
    neutral = len(codec.encode(photograph, middle))
    sizes = {
        len(codec.encode(photograph, middle | {fine.name: value})) for value in (fine.smallest, fine.largest)
    }
    assert sizes != {neutral}
    assert all(0.6 < size / neutral < 1.7 for size in sizes)


@pytest.mark.parametrize("shape", [(16, 16, 3), (17, 31, 3), (65, 16, 3)])
def test_odd_and_small_pictures(codec: Codec, photograph: Pixels, shape: tuple[int, int, int]) -> None:
    pixels = np.ascontiguousarray(photograph[: shape[0], : shape[1]])
    assert codec.decode(codec.encode(pixels, at(codec, 0.6))).shape == shape


def test_bitstream_carries_no_metadata(codec: Codec, photograph: Pixels) -> None:
    """Encoded from bare pixels: no ICC profile, no EXIF, no XMP."""
    bitstream = codec.encode(photograph, at(codec, 0.5))
    for marker in (b"ICC_PROFILE", b"Exif", b"<x:xmpmeta", b"prof", b"acsp"):
        assert marker not in bitstream


def test_payload_is_the_file_without_its_container(codec: Codec, photograph: Pixels) -> None:
    bitstream = codec.encode(photograph, at(codec, 0.5))
    payload = payload_bytes(bitstream, codec.extension)
    assert payload is not None
    overhead = len(bitstream) - payload
    assert (overhead == 0) == (codec.name in ("jpeg", "mozjpeg", "jpegxl"))
    assert overhead < 600


def test_payload_of_an_unknown_format_is_not_guessed() -> None:
    assert payload_bytes(b"\0\0\0\x10mdat12345678", "xyz") is None
    assert payload_bytes(b"\0\0\0\x10mdat12345678", "avif") == 8
    assert payload_bytes(b"\0\0\0\x02mdat", "avif") is None


@pytest.mark.parametrize("quality", [1, 7, 25, 50, 73, 92, 100])
def test_whole_jpeg_qualities_are_libjpegs_own(photograph: Pixels, quality: int, tmp_path: Path) -> None:
    """The scaled tables are those of libjpeg: the files are equal to the byte."""
    buffer = io.BytesIO()
    Image.fromarray(photograph).save(
        buffer, "JPEG", quality=quality, subsampling="4:2:0", progressive=True, optimize=True
    )
    codec = make_codec("jpeg", {}, tmp_path)
    assert codec.encode(photograph, {"quality": quality}) == buffer.getvalue()


def test_mozjpeg_changes_one_entry_at_a_time_and_none_upwards() -> None:
    """Equal entries of its table would change together, by up to 5 % of the size."""
    from stimuli.codecs.jpeg import quantisation_table
    from stimuli.codecs.mozjpeg import _ROBIDOUX, quantisation_tables

    for quality in (30.0, 88.75, 92.0, 96.5, 100.0):
        assert quantisation_tables(quality) == [quantisation_table(_ROBIDOUX, quality)] * 2
    for low in (76, 92, 96):
        steps = [np.array(quantisation_tables(low + i / 1024)) for i in range(1025)]
        falls = [before - after for before, after in itertools.pairwise(steps)]
        assert all(fall.min() >= 0 and fall.sum() <= 1 for fall in falls)


SUBSAMPLED = (
    *(
        (family, {"subsampling": chroma})
        for family in ("jpeg", "mozjpeg", "avif")
        for chroma in ("4:2:0", "4:2:2")
    ),
    ("heic", {"chroma": "4:2:0"}),
    ("webp", {}),
)


@pytest.mark.parametrize(("family", "settings"), SUBSAMPLED, ids=str)
def test_subsampled_chroma_stays_in_its_place(
    family: str, settings: dict[str, object], tmp_path: Path
) -> None:
    """Waves of red sideways and blue downwards, against green: their phase tells shifts of half a pixel."""
    wave = 60 * np.sin(2 * np.pi * np.arange(64) / 32 + 0.3)
    pixels = np.full((64, 64, 3), 128, dtype=np.float64)
    pixels[..., 0] += wave
    pixels[..., 2] += wave[:, None]
    source = np.rint(pixels).astype(np.uint8)
    codec = make_codec(family, {**FAST.get(family, {}), **settings}, tmp_path)
    decoded = codec.decode(codec.encode(source, at(codec, 0.97)))

    def phase(picture: Pixels, colour: int, along: int) -> float:
        line = (picture[..., colour].astype(float) - picture[..., 1]).mean(along)
        return float(np.angle(np.sum(line * np.exp(-2j * np.pi * np.arange(64) / 32))))

    for colour, along in ((0, 0), (2, 1)):
        shift = (phase(decoded, colour, along) - phase(source, colour, along)) * 32 / (2 * np.pi)
        assert abs(shift) < 0.1


def test_heic_has_no_422_because_its_colours_move(tmp_path: Path) -> None:
    with pytest.raises(CodecSettingsError, match="chroma must be one of '4:4:4', '4:2:0'"):
        make_codec("heic", {"chroma": "4:2:2"}, tmp_path)


def test_fractional_jpeg_quality_lies_between(photograph: Pixels, tmp_path: Path) -> None:
    codec = make_codec("jpeg", {}, tmp_path)
    sizes = [len(codec.encode(photograph, {"quality": quality})) for quality in (60, 60.5, 61)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_settings_are_all_said_with_their_defaults(codec: Codec, tmp_path: Path) -> None:
    """A manifest tells every setting in force, and those settings make the same codec again."""
    assert codec.version
    settings = dict(codec.settings)
    assert settings
    with pytest.raises(CodecSettingsError, match="is not a setting"):
        make_codec(codec.name, settings | {"nonsense": 1}, tmp_path)
    assert make_codec(codec.name, settings, tmp_path).settings == settings


def test_families_are_listed() -> None:
    assert set(family_names()) >= {*FAMILIES, "command", "reconstructions"}
