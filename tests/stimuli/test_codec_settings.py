"""Settings take effect, fast ones are other defaults, and known faults of codec libraries stay away."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pillow_heif
import pytest

from stimuli.codecs.base import Codec, Setting, resolve_settings, save_with_pillow, to_image
from stimuli.codecs.registry import make_codec
from stimuli.errors import CodecSettingsError

Pixels = npt.NDArray[np.uint8]

FAMILIES = ("jpeg", "mozjpeg", "webp", "jpeg2000", "avif", "heic", "jpegxl")
#: What `fast = true` changes, besides which nothing may change.
FAST: dict[str, dict[str, object]] = {
    "webp": {"method": 4},
    "avif": {"speed": 6},
    "heic": {"preset": "medium"},
    "jpegxl": {"effort": 7},
}


def encode(family: str, settings: Mapping[str, object], pixels: Pixels, value: float) -> tuple[bytes, Pixels]:
    """The bitstream at a value of the first scale, the fine one at its start, and its pixels."""
    codec = make_codec(family, settings, Path())
    quality = {scale.name: scale.first for scale in codec.scales} | {codec.scales[0].name: value}
    bitstream = codec.encode(pixels, quality)
    return bitstream, codec.decode(bitstream)


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("family", FAMILIES)
def test_fast_is_other_defaults_and_what_is_given_wins(family: str) -> None:
    plain, fast = (dict(make_codec(family, {"fast": on}, Path()).settings) for on in (False, True))
    assert plain == make_codec(family, {}, Path()).settings
    assert fast == plain | FAST.get(family, {})
    assert (fast != plain) == (family in FAST)
    for key, value in plain.items():
        assert make_codec(family, {"fast": True, key: value}, Path()).settings[key] == value


def test_fast_is_true_or_false_and_only_where_a_family_knows_it() -> None:
    known = {"effort": Setting(7)}
    assert resolve_settings({"fast": True}, known, fast={"effort": 3}) == {"effort": 3}
    assert resolve_settings({"fast": True, "effort": 9}, known, fast={"effort": 3}) == {"effort": 9}
    with pytest.raises(CodecSettingsError, match="fast must be true or false, got 'yes'"):
        resolve_settings({"fast": "yes"}, known, fast={"effort": 3})
    with pytest.raises(
        CodecSettingsError, match="fast is not a setting of this codec family; it takes effort"
    ):
        resolve_settings({"fast": True}, known)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_codec_tells_where_it_was_found(family: str) -> None:
    assert Path(str(getattr(make_codec(family, {}, Path()), "location", None))).is_dir()


def test_the_preview_of_avif_is_the_same_codec_but_for_its_speed(photograph: Pixels) -> None:
    codec = make_codec("avif", {"subsampling": "4:2:0"}, Path())
    preview: Codec = codec.preview  # type: ignore[attr-defined]
    assert preview.scales == codec.scales
    assert preview.settings == dict(codec.settings) | {"speed": 6}
    assert getattr(preview, "preview", None) is None
    assert getattr(make_codec("avif", {"fast": True}, Path()), "preview", None) is None
    quality = {"quality": 50.0, "deltaq_strength": 100.0}
    real, quick = (len(one.encode(photograph, quality)) for one in (codec, preview))
    assert 0.8 < quick / real < 1.25


EFFECTS: tuple[tuple[str, dict[str, object], dict[str, object]], ...] = (
    ("avif", {"speed": 9}, {"speed": 6}),
    ("avif", {"speed": 9}, {"speed": 9, "subsampling": "4:2:0"}),
    ("avif", {"speed": 9}, {"speed": 9, "tune": "ssimulacra2"}),
    ("avif", {"speed": 9, "tune": "ssim"}, {"speed": 9, "tune": "psnr"}),
    ("heic", {"preset": "ultrafast"}, {"preset": "medium"}),
    ("heic", {"preset": "medium"}, {"preset": "medium", "tune": "psnr"}),
    ("heic", {"preset": "ultrafast"}, {"preset": "ultrafast", "chroma": "4:2:0"}),
    ("jpegxl", {"effort": 3}, {"effort": 6}),
    ("webp", {"method": 6}, {"method": 2}),
    ("jpeg", {}, {"subsampling": "4:4:4"}),
    ("jpeg", {}, {"progressive": False}),
    ("mozjpeg", {}, {"subsampling": "4:4:4"}),
    ("mozjpeg", {}, {"subsampling": "4:2:2"}),
    ("mozjpeg", {}, {"trellis": False}),
    ("jpeg2000", {}, {"irreversible": False}),
)


@pytest.mark.parametrize("case", EFFECTS, ids=lambda case: f"{case[0]}-{case[2]}")
def test_settings_take_effect(
    photograph: Pixels, case: tuple[str, dict[str, object], dict[str, object]]
) -> None:
    """Libraries pass over options that they do not know, and the file is then another codec's."""
    family, one, other = case
    assert encode(family, one, photograph, 50)[0] != encode(family, other, photograph, 50)[0]


def test_mozjpeg_is_mozjpeg(photograph: Pixels) -> None:
    """Its trellis gives the same closeness in fewer bytes; a library built without it would not tell."""
    bitstream, decoded = encode("mozjpeg", {}, photograph, 70)
    flat, without = encode("mozjpeg", {"trellis": False}, photograph, 70)
    assert len(bitstream) < 0.95 * len(flat)
    assert psnr(without, photograph) - psnr(decoded, photograph) < 1.5
    assert bitstream[:4] == b"\xff\xd8\xff\xe0"
    assert b"\xff\xc2" in bitstream, "progressive"


def test_mozjpeg_samples_chroma_as_it_says(photograph: Pixels) -> None:
    for subsampling, factors in {"4:2:0": 0x22, "4:2:2": 0x21, "4:4:4": 0x11}.items():
        bitstream, _ = encode("mozjpeg", {"subsampling": subsampling}, photograph, 50)
        frame = bitstream.index(b"\xff\xc2")
        assert [bitstream[frame + 11 + 3 * i] for i in range(3)] == [factors, 0x11, 0x11]


@pytest.mark.parametrize("family", FAMILIES)
def test_coding_is_lossy_at_every_kind_of_number(photograph: Pixels, family: str) -> None:
    """A wrapper may take 20.3, or the top of a range, for a wish for lossless coding."""
    coarse = make_codec(family, FAST.get(family, {}), Path()).scales[0]
    for value in {coarse.first, coarse.snap(20.3), coarse.snap(50.7), coarse.snap(coarse.largest)}:
        bitstream, decoded = encode(family, FAST.get(family, {}), photograph, value)
        assert not np.array_equal(decoded, photograph), value
        if family == "webp":
            assert bitstream[12:16] == b"VP8 "


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "jpeg"])
def test_no_codec_needs_much_more_than_jpeg(photograph: Pixels, family: str) -> None:
    """At the PSNR of a JPEG file its own is not far larger; a wrapper of JPEG XL wrote four times as much."""
    bitstream, decoded = encode("jpeg", {"subsampling": "4:4:4"}, photograph, 75)
    coarse = make_codec(family, FAST.get(family, {}), Path()).scales[0]
    low, high = coarse.coordinate(coarse.smallest), coarse.coordinate(coarse.largest)
    for _ in range(7):
        middle = (low + high) / 2
        other, shown = encode(family, FAST.get(family, {}), photograph, coarse.value_at(middle))
        if psnr(shown, photograph) < psnr(decoded, photograph):
            low = middle
        else:
            high, best = middle, len(other)
    assert best < 1.5 * len(bitstream)


@pytest.fixture(scope="module")
def telling(photograph: Pixels) -> Pixels:
    """256x192: large enough for encoders to share it among threads."""
    return np.tile(photograph, (2, 2, 1))


def test_avif_is_coded_by_one_thread(telling: Pixels) -> None:
    """libaom codes other bits with several threads, and Pillow takes their number from the machine."""

    def by(threads: int) -> bytes:
        return save_with_pillow(
            telling,
            "AVIF",
            quality=45,
            speed=6,
            subsampling="4:4:4",
            codec="aom",
            max_threads=threads,
            advanced={"tune": "iq", "deltaq-strength": "100"},
        )

    assert by(1) != by(2)
    assert encode("avif", {"speed": 6}, telling, 45)[0] == by(1)


def test_heic_is_coded_by_one_thread(telling: Pixels) -> None:
    """x265 codes wavefronts, other bits, as soon as the machine has a second processor."""

    def by(pools: str) -> bytes:
        buffer = io.BytesIO()
        options = {"preset": "medium", "tune": "ssim", "x265:aq-strength": "1", "x265:frame-threads": "1"}
        image = pillow_heif.from_pillow(to_image(telling))
        image.save(buffer, quality=38, chroma=444, tile_size=0, enc_params={**options, "x265:pools": pools})
        return buffer.getvalue()

    assert by("none") != by("2")
    assert encode("heic", {"preset": "medium"}, telling, 38)[0] == by("none")
