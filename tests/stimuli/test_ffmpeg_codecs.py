"""AV1, SVT-AV1 and VVC through the ffmpeg of a wheel: bits that repeat, and samples that nobody converts."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data

from stimuli import ffmpeg as ffmpeg_module
from stimuli.codecs.base import Codec, payload_bytes
from stimuli.codecs.ffmpeg_still import Still, padded
from stimuli.codecs.registry import make_codec
from stimuli.colour import YuvFormat, planes_from_raw, planes_to_rgb, raw_bytes, rgb_to_planes, y4m_bytes
from stimuli.errors import CodecSettingsError
from stimuli.ffmpeg import find_ffmpeg, run_ffmpeg
from stimuli.programs import ProgramError

Pixels = npt.NDArray[np.uint8]

FAMILIES = ("av1", "svtav1", "vvc")
NOWHERE = Path("/nonexistent")


@pytest.fixture(params=FAMILIES)
def codec(request: pytest.FixtureRequest) -> Codec:
    """One codec of each family, at its fast settings."""
    return make_codec(request.param, {"fast": True}, NOWHERE)


def at(codec: Codec, coarse: float | None = None, **fine: float) -> dict[str, float]:
    """The first value of every scale, with what is given instead."""
    quality = {scale.name: scale.first for scale in codec.scales} | fine
    return quality if coarse is None else quality | {codec.scales[0].name: coarse}


def finest(codec: Codec) -> dict[str, float]:
    """The quality that makes the largest files."""
    return at(codec, codec.scales[0].largest)


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


def decoded(codec: Codec, source: Pixels, quality: Mapping[str, float]) -> Pixels:
    """The picture that comes back, cropped to its source."""
    height, width = source.shape[:2]
    return codec.decode(codec.encode(source, quality))[:height, :width]


def log_of(bitstream: bytes, codec: Codec, tmp_path: Path) -> str:
    """What ffmpeg says of a bitstream."""
    file = tmp_path / f"stream.{codec.extension}"
    file.write_bytes(bitstream)
    argv = [str(find_ffmpeg().path), "-nostdin", "-hide_banner", "-i", str(file), "-f", "null", "-"]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stderr


def test_round_trip_is_close_and_repeats(codec: Codec, photograph: Pixels) -> None:
    bitstream = codec.encode(photograph, at(codec, 20))
    picture = codec.decode(bitstream)
    assert picture.dtype == np.uint8
    assert picture.shape == photograph.shape
    assert psnr(picture, photograph) > 33
    assert codec.encode(photograph, at(codec, 20)) == bitstream
    assert np.array_equal(codec.decode(bitstream), picture)


def test_sizes_follow_the_coarse_scale(codec: Codec, photograph: Pixels) -> None:
    coarse = codec.scales[0]
    shares = (0.95, 0.7, 0.5, 0.3, 0)
    values = [coarse.snap(coarse.low + share * (coarse.high - coarse.low)) for share in shares]
    sizes = [len(codec.encode(photograph, at(codec, value))) for value in values]
    assert all(a < b for a, b in itertools.pairwise(sizes)), sizes
    assert sizes[-1] > 40 * sizes[0]


def test_both_ends_of_every_scale_can_be_encoded(codec: Codec, photograph: Pixels) -> None:
    source = np.ascontiguousarray(photograph[:48, :64])
    for point in itertools.product(*((scale.low, scale.high) for scale in codec.scales)):
        quality = dict(zip((scale.name for scale in codec.scales), point, strict=True))
        assert decoded(codec, source, quality).shape == source.shape


def test_the_fine_scale_moves_the_size_in_small_steps(codec: Codec) -> None:
    """To both sides, and near its start by less than 3 %, on a picture of 12 superblocks."""
    source = np.ascontiguousarray(skimage.data.chelsea()[60:252, 120:376])
    if codec.name == "svtav1":
        codec = make_codec("svtav1", {"preset": 4}, NOWHERE)
    coarse, fine = codec.scales
    assert fine.first == fine.start
    neutral = len(codec.encode(source, at(codec)))

    def size(value: float) -> float:
        return len(codec.encode(source, at(codec, **{fine.name: value}))) / neutral

    assert 0.5 < size(fine.smallest) < 1 - coarse.slope * coarse.step / 2  # type: ignore[operator]
    assert 1 + coarse.slope * coarse.step / 2 < size(fine.largest) < 1.5  # type: ignore[operator]
    near = [size(fine.neighbour(fine.first, steps) or fine.first) for steps in (-3, 3)]
    assert all(0.97 < share < 1.03 for share in near), near


def test_quarter_steps_of_svt_are_real(photograph: Pixels) -> None:
    codec = make_codec("svtav1", {"fast": True}, NOWHERE)
    sizes = [len(codec.encode(photograph, at(codec, crf))) for crf in (30, 30.25, 30.5, 30.75, 31)]
    assert len(set(sizes)) > 3
    assert sizes[0] > sizes[-1]


@pytest.mark.parametrize("shape", [(1, 3), (2, 40), (16, 16), (17, 31), (65, 18)])
def test_odd_and_small_pictures(codec: Codec, photograph: Pixels, shape: tuple[int, int]) -> None:
    """VVC pads to even sizes of at least 16; what is cropped away is all that was added."""
    source = np.ascontiguousarray(photograph[: shape[0], : shape[1]])
    picture = codec.decode(codec.encode(source, finest(codec)))
    if codec.name == "vvc":
        assert codec.padding == 2  # type: ignore[attr-defined]
        assert picture.shape == (max(16, shape[0] + shape[0] % 2), max(16, shape[1] + shape[1] % 2), 3)
    else:
        assert picture.shape == source.shape
    assert psnr(picture[: shape[0], : shape[1]], source) > 33


def test_padding_repeats_the_last_column_and_row() -> None:
    pixels = np.arange(3 * 5 * 3, dtype=np.uint8).reshape(3, 5, 3)
    larger = padded(pixels, 2, 1)
    assert larger.shape == (4, 6, 3)
    assert np.array_equal(larger[:3, :5], pixels)
    assert np.array_equal(larger[3, :5], pixels[2])
    assert np.array_equal(larger[:3, 5], pixels[:, 4])
    assert padded(larger, 2, 1) is larger


def test_the_file_is_bare_payload(codec: Codec, photograph: Pixels) -> None:
    """No container and no words: OBUs from a temporal delimiter on, or NAL units from a start code on."""
    bitstream = codec.encode(photograph, at(codec))
    assert payload_bytes(bitstream, codec.extension) == len(bitstream)
    start = b"\0\0\0\1" if codec.name == "vvc" else b"\x12\0"
    assert bitstream.startswith(start)
    if codec.name == "vvc":
        sequence_parameters = 15
        assert bitstream[5] >> 3 == sequence_parameters  # and no access unit delimiter before them
    assert len(codec.encode(np.full((64, 64, 3), 90, dtype=np.uint8), at(codec))) < 120
    for word in (b"Lav", b"SVT", b"vvenc", b"aom"):
        assert word not in bitstream


def test_the_stream_says_how_to_read_its_samples(codec: Codec, photograph: Pixels, tmp_path: Path) -> None:
    """Full range, BT.709 and sRGB: other players show the same colours."""
    said = log_of(codec.encode(photograph, at(codec, 50)), codec, tmp_path)
    pix_fmt = "yuv444p10le" if codec.name == "av1" else "yuv420p10le"
    assert f"{pix_fmt}(pc, bt709/bt709/iec61966-2-1" in said


def test_the_qp_of_vvc_is_that_of_the_picture(photograph: Pixels) -> None:
    """By itself vvenc lowers it by 3 for an intra picture."""
    height, width = photograph.shape[:2]
    theirs = run_ffmpeg(
        (
            *("-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", f"{width}x{height}", "-r", "1"),
            *("-i", "source", "-c:v", "libvvenc", "-preset", "faster", "-qp", "33", "-qpa", "0"),
            *("-vvenc-params", "IntraPeriod=1:GOPSize=1:AccessUnitDelimiter=0", "-f", "vvc"),
        ),
        {"source": raw_bytes(rgb_to_planes(photograph, YuvFormat("420", 10)))},
        "stream",
    )
    ours = make_codec("vvc", {"fast": True}, NOWHERE)
    assert abs(len(ours.encode(photograph, at(ours, 30))) - len(theirs)) < 12


# Threads ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors can be chosen on Linux only")
def test_the_number_of_processors_changes_no_bits(codec: Codec) -> None:
    """libaom writes other files on two threads; here the encoder sees one processor and then all."""
    source = np.ascontiguousarray(skimage.data.coffee()[:384, :512])
    whole = os.sched_getaffinity(0)
    if len(whole) < 2:
        pytest.skip("this machine has one processor")
    bitstream = codec.encode(source, at(codec))
    picture = codec.decode(bitstream)
    try:
        os.sched_setaffinity(0, {min(whole)})
        assert codec.encode(source, at(codec)) == bitstream
        assert np.array_equal(codec.decode(bitstream), picture)
    finally:
        os.sched_setaffinity(0, whole)


def test_one_thread_is_asked_for_everywhere(
    codec: Codec, photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before every input, for the filters and for the output, in encoding and in decoding."""
    calls: list[list[str]] = []

    def record(argv: list[str], **options: object) -> None:
        calls.append(list(argv))
        ffmpeg_module_run(argv, **options)

    ffmpeg_module_run = ffmpeg_module.run_program
    monkeypatch.setattr(ffmpeg_module, "run_program", record)
    decoded(codec, photograph, at(codec, 50))
    assert len(calls) == 2
    for argv in calls:
        before = argv[: argv.index("-i")]
        assert before[-2:] == ["-threads", "1"]
        assert argv[-3:-1] == ["-threads", "1"]
        assert before[before.index("-filter_threads") + 1] == "1"
    own = {"av1": ("-row-mt", "0"), "svtav1": ("lp=1",), "vvc": ("GOPSize=1",)}[codec.name]
    assert all(any(part in argument for argument in calls[0]) for part in own)


def test_the_instructions_of_the_processor_change_no_bits(
    codec: Codec, photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without vector instructions the files are the same, and the samples of the decoder too."""
    source = np.ascontiguousarray(photograph[:48, :64])
    bitstream = codec.encode(source, at(codec))
    plain = {"av1": {}, "svtav1": {"params": "asm=0"}, "vvc": {"params": "SIMD=SCALAR"}}[codec.name]
    monkeypatch.setenv("AOM_SIMD_CAPS", "0")
    assert make_codec(codec.name, {**codec.settings, **plain}, NOWHERE).encode(source, at(codec)) == bitstream
    picture = codec.decode(bitstream)
    monkeypatch.setattr(ffmpeg_module, "_ALWAYS", (*ffmpeg_module._ALWAYS, "-cpuflags", "0"))
    assert np.array_equal(codec.decode(bitstream), picture)


# Colour -------------------------------------------------------------------------------------------------


def exact(codec: Codec) -> Codec:
    """The codec tuned for the smallest error: tunes for the eye move flat colours a little."""
    tune = {} if codec.name == "vvc" else {"tune": "psnr"}
    return make_codec(codec.name, {**codec.settings, **tune}, NOWHERE)


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (255, 0, 0), (16, 240, 16), (30, 60, 250)])
def test_flat_colours_come_back(codec: Codec, colour: tuple[int, int, int]) -> None:
    """A conversion between limited and full range, or another matrix, would move them by many levels."""
    codec = exact(codec)
    source = np.broadcast_to(np.array(colour, dtype=np.uint8), (32, 48, 3))
    assert np.abs(decoded(codec, np.ascontiguousarray(source), finest(codec)).astype(int) - source).max() <= 1


def test_noise_comes_back_as_far_as_its_chroma_is_coded(codec: Codec) -> None:
    codec = exact(codec)
    source = np.random.default_rng(5).integers(112, 144, (48, 64, 3), dtype=np.uint8)
    format = YuvFormat("444" if codec.name == "av1" else "420", 10)
    best = planes_to_rgb(rgb_to_planes(source, format), format)
    assert psnr(decoded(codec, source, finest(codec)), best) > 42


def test_samples_are_decoded_by_us_and_never_by_swscale(codec: Codec, photograph: Pixels) -> None:
    """The decoded picture is our conversion of the raw samples, and swscale's own would be another."""
    bitstream = codec.encode(photograph, at(codec, 20))
    height, width = photograph.shape[:2]
    format = YuvFormat("444" if codec.name == "av1" else "420", 10)
    name = {"obu": "obu", "266": "vvc"}[codec.extension]

    def read(pix_fmt: str) -> bytes:
        arguments = ("-f", name, "-i", "stream", "-f", "rawvideo", "-pix_fmt", pix_fmt)
        return run_ffmpeg(arguments, {"stream": bitstream}, "raw")

    planes = planes_from_raw(read(format.pix_fmt), width, height, format)
    assert np.array_equal(codec.decode(bitstream), planes_to_rgb(planes, format))
    theirs = np.frombuffer(read("rgb24"), dtype=np.uint8).reshape(height, width, 3)
    assert np.mean(np.any(codec.decode(bitstream) != theirs, axis=-1)) > 0.02


def test_samples_of_another_format_are_refused_and_not_converted(photograph: Pixels) -> None:
    deep = make_codec("svtav1", {"fast": True}, NOWHERE).encode(photograph, {"crf": 50, "lambda_scale": 128})
    shallow = Still(find_ffmpeg(), YuvFormat("420", 8), "libsvtav1", "libdav1d", "obu")
    with pytest.raises(ProgramError, match="holds yuv420p10le samples, and yuv420p were encoded"):
        shallow.decode(deep)


@pytest.mark.parametrize("format", [YuvFormat("444", 10), YuvFormat("420", 8), YuvFormat("420", 10)])
def test_ffmpeg_reads_our_y4m_as_the_same_samples(format: YuvFormat, photograph: Pixels) -> None:
    arguments = ("-i", "picture.y4m", "-f", "rawvideo")
    raw = run_ffmpeg(arguments, {"picture.y4m": y4m_bytes(photograph, format)}, "raw")
    assert raw == raw_bytes(rgb_to_planes(photograph, format))


# Settings -----------------------------------------------------------------------------------------------


def test_settings_are_all_said_with_their_defaults(codec: Codec) -> None:
    settings = dict(codec.settings)
    assert "fast" not in settings
    assert make_codec(codec.name, settings, NOWHERE).settings == settings
    with pytest.raises(CodecSettingsError, match="is not a setting"):
        make_codec(codec.name, settings | {"nonsense": 1}, NOWHERE)


@pytest.mark.parametrize(
    ("family", "settings", "reason"),
    [
        ("vvc", {"chroma": "4:4:4"}, "chroma must be one of '4:2:0', got '4:4:4'"),
        ("vvc", {"bits": 8}, "bits must be one of 10, got 8"),
        ("svtav1", {"chroma": "4:4:4"}, "chroma must be one of '4:2:0', got '4:4:4'"),
        ("svtav1", {"preset": 14}, "preset must lie between -1 and 13, got 14"),
        ("av1", {"speed": 9}, "speed must lie between 0 and 8, got 9"),
        ("av1", {"params": "row-mt=1"}, "params cannot set row-mt: this family sets it itself"),
        ("svtav1", {"params": "lp=4"}, "params cannot set lp: this family sets it itself"),
        ("vvc", {"params": "Threads=2"}, "params cannot set Threads: this family sets it itself"),
        # Each of these was taken, and made other files or colours than the settings on record say.
        ("av1", {"params": "cpu-used=8"}, "params cannot set cpu-used: this family sets it itself"),
        ("svtav1", {"params": "preset=8"}, "params cannot set preset: this family sets it itself"),
        ("svtav1", {"params": "q=3"}, "params cannot set q: this family sets it itself"),
        ("svtav1", {"params": "max-qp=20"}, "params cannot set max-qp: this family sets it itself"),
        ("svtav1", {"params": "lossless=1"}, "params cannot set lossless: this family sets it itself"),
        ("svtav1", {"params": "color-range=0"}, "params cannot set color-range: this family sets it itself"),
        ("vvc", {"params": "PerceptQPA=1"}, "params cannot set PerceptQPA: this family sets it itself"),
        ("vvc", {"params": "MTProfile=3"}, "params cannot set MTProfile: this family sets it itself"),
        ("vvc", {"params": "hdr=pq"}, "params cannot set hdr: this family sets it itself"),
        ("vvc", {"params": "-threads 2"}, "params must be key=value:key=value, got '-threads 2'"),
        ("av1", {"params": "nonsense=1"}, "is refused by libaom-av1: nonsense: Invalid parameter"),
        ("svtav1", {"params": "nonsense=1"}, "is refused by libsvtav1: Error parsing option nonsense"),
        ("vvc", {"params": "nonsense=1"}, "is refused by libvvenc: Unknown vvenc option: nonsense"),
        ("svtav1", {"params": "luma-y-dc-qindex-offset=4"}, "params cannot set luma-y-dc-qindex-offset: "),
    ],
)
def test_a_wrong_setting_is_one_line(family: str, settings: dict[str, object], reason: str) -> None:
    with pytest.raises(CodecSettingsError) as told:
        make_codec(family, settings, NOWHERE)
    assert reason in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("av1", {"tune": "psnr"}),
        ("av1", {"chroma": "4:2:0", "bits": 8}),
        ("av1", {"params": "sharpness=3"}),
        ("svtav1", {"tune": "psnr", "bits": 8}),
        ("svtav1", {"params": "variance-octile=7"}),
        ("vvc", {"qpa": True}),
        ("vvc", {"params": "ALF=0"}),
    ],
)
def test_a_setting_that_is_taken_changes_the_file(
    family: str, settings: dict[str, object], photograph: Pixels
) -> None:
    plain = make_codec(family, {"fast": True}, NOWHERE)
    changed = make_codec(family, {"fast": True, **settings}, NOWHERE)
    assert plain.settings != changed.settings
    quality = at(plain, 25)
    assert changed.encode(photograph, quality) != plain.encode(photograph, quality)
    assert psnr(decoded(changed, photograph, quality), photograph) > 30


def test_without_a_quantiser_that_follows_the_picture_av1_has_one_scale(photograph: Pixels) -> None:
    codec = make_codec("av1", {"fast": True, "deltaq_mode": 0}, NOWHERE)
    assert [scale.name for scale in codec.scales] == ["crf"]
    assert psnr(decoded(codec, photograph, {"crf": 20}), photograph) > 33


def test_a_preview_is_the_same_codec_but_faster(codec: Codec) -> None:
    """A preset has sizes of its own, in either direction: a preview is searched apart, under its settings."""
    assert codec.preview is None  # type: ignore[attr-defined]
    slow = make_codec(codec.name, {}, NOWHERE)
    preview = slow.preview  # type: ignore[attr-defined]
    assert preview.scales == slow.scales
    assert preview.version == slow.version
    assert preview.settings != slow.settings
    assert preview.preview is None
    effort = {"av1": "speed", "svtav1": "preset", "vvc": "preset"}[codec.name]
    assert {key for key in slow.settings if slow.settings[key] != preview.settings[key]} == {effort}


def test_version_and_location(codec: Codec) -> None:
    library = {"av1": "libaom 3.", "svtav1": "SVT-AV1 ", "vvc": "vvenc 1."}[codec.name]
    assert codec.version.startswith(library)
    assert f", {find_ffmpeg().version}" in codec.version
    assert Path(codec.location).is_file()  # type: ignore[attr-defined]
