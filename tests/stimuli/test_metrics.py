"""Objective metrics: known values, the sizes that a metric cannot take, and what is missing is said."""

from __future__ import annotations

import importlib.metadata
import pickle
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
from scipy import ndimage

from stimuli import metrics, video_metrics
from stimuli.encoding import encode_study
from stimuli.errors import CodecNotInstalledError, MetricError, StudyFileError
from stimuli.metrics import METRICS, measure, metric_version, missing_metric
from stimuli.programs import ProgramError
from stimuli.study import check_study, read_study

Pixels = npt.NDArray[np.uint8]


def astronaut(width: int, height: int) -> Pixels:
    """The upper left of a fixed place in NASA's photograph."""
    return np.ascontiguousarray(skimage.data.astronaut()[20 : 20 + height, 150 : 150 + width])


def posterised(pixels: Pixels, step: int) -> Pixels:
    """Every sample in the middle of its step."""
    return (pixels // step * step + step // 2).astype(np.uint8)


def test_psnr_is_that_of_all_samples_of_red_green_and_blue_together() -> None:
    """One sample of 3 x 16 x 20 off by 3: 10 log10(255^2 x 960 / 9)."""
    black = np.zeros((16, 20, 3), np.uint8)
    other = black.copy()
    other[5, 7, 2] = 3
    expected = 10 * np.log10(255**2 * 960 / 9)
    assert measure(black, other, ["psnr"]) == {"psnr": pytest.approx(expected, abs=1e-6)}
    assert measure(other, black, ["psnr"]) == measure(black, other, ["psnr"])
    assert measure(black, black + np.uint8(255), ["psnr"]) == {"psnr": 0.0}


@pytest.mark.parametrize(
    ("width", "height", "step", "score"),
    [
        (21, 40, 8, 91.07844),
        (64, 48, 8, 60.18428),
        (64, 48, 32, -48.49612),
        (131, 97, 8, 84.39461),
        (131, 97, 32, 34.42516),
        (260, 270, 8, 83.65372),
        (260, 270, 32, 19.17618),
    ],
)
def test_ssimulacra2_is_that_of_its_reference_program(
    width: int, height: int, step: int, score: float
) -> None:
    """Scores of the reference program (version 2.1, C++) on these pictures, small and odd ones among them."""
    picture = astronaut(width, height)
    found = measure(picture, posterised(picture, step), ["ssimulacra2"])
    assert found["ssimulacra2"] == pytest.approx(score, abs=0.1)


def test_identical_pictures_are_as_good_as_can_be() -> None:
    """Finite numbers; VMAF's model gives an unchanged picture 97.4."""
    picture = astronaut(180, 176)
    found = measure(picture, picture, METRICS)
    assert found.pop("vmaf_neg") == pytest.approx(97.43, abs=0.1)
    assert found == {"psnr": 100.0, "ssimulacra2": 100.0, "ms_ssim": 1.0, "xpsnr": 100.0}


def test_worse_is_lower_in_every_metric_and_the_same_every_time() -> None:
    picture = astronaut(180, 176)
    fine, coarse = (measure(picture, posterised(picture, step), METRICS) for step in (8, 48))
    assert tuple(fine) == METRICS
    assert [name for name in METRICS if not coarse[name] < fine[name]] == []
    assert measure(picture, posterised(picture, 8), METRICS) == fine
    assert measure(picture, posterised(picture, 8), ["xpsnr", "psnr"]) == {
        name: fine[name] for name in ("xpsnr", "psnr")
    }


@pytest.mark.parametrize(
    ("width", "height", "absent"),
    [
        (16, 16, ("ms_ssim", "vmaf_neg")),
        (31, 200, ("ms_ssim", "vmaf_neg")),
        (32, 32, ("ms_ssim",)),
        (400, 175, ("ms_ssim",)),
        (176, 176, ()),
    ],
)
def test_a_metric_that_a_size_is_too_small_for_is_absent(
    width: int, height: int, absent: Sequence[str]
) -> None:
    picture = np.tile(astronaut(200, 200), (1, 2, 1))[:height, :width]
    found = measure(picture, posterised(picture, 16), METRICS)
    assert tuple(found) == tuple(name for name in METRICS if name not in absent)
    assert np.isfinite(list(found.values())).all()


def test_vmaf_and_xpsnr_know_which_picture_is_the_original() -> None:
    """Lost detail costs more than the same detail gained, as VMAF sees it; XPSNR forgives it where the
    original is busy."""
    sharp = astronaut(120, 96)
    smooth = ndimage.gaussian_filter(sharp, (1.2, 1.2, 0))
    assert measure(sharp, smooth, ["vmaf_neg"])["vmaf_neg"] < 65
    assert measure(smooth, sharp, ["vmaf_neg"])["vmaf_neg"] > 75
    flat = np.full((96, 120, 3), 128, np.uint8)
    noisy = flat + np.random.default_rng(3).integers(0, 20, (96, 120, 1), dtype=np.uint8)
    assert measure(flat, noisy, ["xpsnr"])["xpsnr"] < measure(noisy, flat, ["xpsnr"])["xpsnr"] - 0.5


@pytest.mark.parametrize(("width", "height"), [(128, 97), (136, 133), (200, 153), (320, 217)])
def test_xpsnr_of_a_picture_with_one_line_too_many_is_near_that_of_one_line_less(
    width: int, height: int
) -> None:
    """The filter itself is 7 to 12 dB off where a last row of blocks is one line high."""
    picture = np.tile(astronaut(160, 220), (1, 2, 1))[:height, :width]
    whole = measure(picture, posterised(picture, 8), ["xpsnr"])["xpsnr"]
    one_less = measure(picture[:-1], posterised(picture[:-1], 8), ["xpsnr"])["xpsnr"]
    assert whole == pytest.approx(one_less, abs=0.5)


def test_filters_see_the_range_of_video(monkeypatch: pytest.MonkeyPatch) -> None:
    """Y from 64 to 940 and grey chroma at 512, in ten bits, as VMAF's model was trained."""
    seen: dict[str, bytes] = {}

    def spy(arguments: Sequence[str], files: Mapping[str, bytes], output: str, *, timeout: float) -> bytes:
        seen.update(files)
        assert "yuv444p10le" in arguments
        assert "32x32" in arguments
        return b"n: 1 XPSNR y: 30.0 XPSNR u: 31.0 XPSNR v: 29.5\n"

    monkeypatch.setattr(video_metrics, "run_ffmpeg", spy)
    black = np.zeros((32, 32, 3), np.uint8)
    assert measure(black, black + np.uint8(255), ["xpsnr"]) == {"xpsnr": 29.5}
    for name, luma in (("reference.yuv", 64), ("picture.yuv", 940)):
        samples = np.frombuffer(seen[name], "<u2").reshape(3, -1)
        assert [set(plane) for plane in samples.tolist()] == [{luma}, {512}, {512}]
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    measure(red, red, ["xpsnr"])
    samples = np.frombuffer(seen["reference.yuv"], "<u2").reshape(3, -1)[:, 0]
    assert samples.tolist() == pytest.approx([250, 409, 960], abs=1)


def test_what_is_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [missing_metric(name) for name in METRICS] == [None] * 5

    def no_ffmpeg() -> None:
        raise CodecNotInstalledError("ffmpeg", "run: pip install imageio-ffmpeg")

    monkeypatch.setattr(metrics, "find_ffmpeg", no_ffmpeg)
    said = "metric 'xpsnr' is not installed; run: pip install imageio-ffmpeg"
    assert missing_metric("xpsnr") == said
    assert [missing_metric(name) for name in ("psnr", "ssimulacra2")] == [None] * 2
    picture = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(MetricError, match="pip install imageio-ffmpeg"):
        measure(picture, picture, ["psnr", "vmaf_neg"])
    with pytest.raises(MetricError, match="pip install imageio-ffmpeg") as caught:
        metric_version("xpsnr")
    # It crosses from worker processes.
    assert str(pickle.loads(pickle.dumps(caught.value))) == said


def test_a_study_is_told_of_a_missing_metric_before_it_is_encoded(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_ffmpeg() -> None:
        raise CodecNotInstalledError("ffmpeg", "run: pip install imageio-ffmpeg")

    toml = 'name = "m"\nmetrics = ["psnr", "xpsnr"]\ntargets = [1, 2]\nsources = { folder = "sources" }\n'
    folder = studies.write_study(tmp_path / "study", toml + '[[codecs]]\nname = "jpeg"\n')
    study = read_study(folder)
    monkeypatch.setattr(metrics, "find_ffmpeg", no_ffmpeg)
    for refuse in (check_study, partial(encode_study, workers=1, isolated=False, progress=False)):
        with pytest.raises(StudyFileError) as caught:
            refuse(study)
        (line,) = caught.value.problems
        assert line == (
            f"{study.file}: metrics: metric 'xpsnr' is not installed; run: pip install imageio-ffmpeg, "
            "or leave it out of `metrics`"
        )
    assert not list((folder / "stimuli").glob("tries/*"))


def test_versions_name_what_a_value_depends_on() -> None:
    versions = {name: metric_version(name) for name in METRICS}
    assert len(set(versions.values())) >= 4
    assert "ffmpeg" in versions["ms_ssim"]
    assert "vmaf_v0.6.1neg" in versions["vmaf_neg"]
    assert importlib.metadata.version("ssimulacra2") in versions["ssimulacra2"]


def test_what_cannot_be_measured_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = astronaut(64, 48)
    with pytest.raises(MetricError, match=r"'ssim' is unknown; the metrics are psnr, ssimulacra2"):
        measure(picture, picture, ["psnr", "ssim"])
    with pytest.raises(ValueError, match="two sizes"):
        measure(picture, picture[1:], ["psnr"])

    def broken(*_: object, timeout: float) -> bytes:
        raise ProgramError("ffmpeg failed (SIGSEGV) and said nothing")

    monkeypatch.setattr(video_metrics, "run_ffmpeg", broken)
    with pytest.raises(MetricError, match=r"^metric 'libvmaf' failed: ffmpeg failed \(SIGSEGV\)"):
        measure(picture, picture, ["vmaf_neg"])
    for said in (b"", b"{}", b'{"frames": []}', b"XPSNR y: nan"):
        monkeypatch.setattr(video_metrics, "run_ffmpeg", lambda *_, said=said, timeout: said)
        for name in ("vmaf_neg", "xpsnr"):
            with pytest.raises(MetricError, match="something else than values"):
                measure(picture, picture, [name])
