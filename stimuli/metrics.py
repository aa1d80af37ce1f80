"""Objective metrics of a decoded picture against its original; docs/metrics.md says what each is measured on.

Values are finite and rounded to six decimals, so that the last bits of a machine's arithmetic stay out of
manifests. A metric that cannot be measured at a picture's size is absent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stimuli.errors import CodecNotInstalledError, MetricError
from stimuli.ffmpeg import find_ffmpeg
from stimuli.pictures import Pixels
from stimuli.ssimulacra2_score import ssimulacra2_score, ssimulacra2_version
from stimuli.video_metrics import video_metric_version, video_metrics

METRICS: tuple[str, ...] = ("psnr", "ssimulacra2", "ms_ssim", "vmaf_neg", "xpsnr")
#: What PSNR and XPSNR say of identical pictures, and at most.
MOST_DECIBELS = 100.0
_OF_FFMPEG = ("ms_ssim", "vmaf_neg", "xpsnr")
_DECIBELS = ("psnr", "xpsnr")
#: The least side in pixels. MS-SSIM halves a picture four times under a window of 11; libvmaf reads beyond
#: pictures under 17, and its coarsest scale of a picture under 32 holds nothing.
_LEAST_SIDE = {"ms_ssim": 176, "vmaf_neg": 32}
_DECIMALS = 6


def missing_metric(name: str) -> str | None:
    """One line that says what to install where a metric cannot be measured on this machine, else None."""
    try:
        _require(name)
    except MetricError as error:
        return str(error)
    return None


def missing_metrics(names: Sequence[str]) -> tuple[str, ...]:
    """A line for each metric that a study cannot have on this machine."""
    found = [missing for name in names if (missing := missing_metric(name)) is not None]
    return tuple(f"metrics: {missing}, or leave it out of `metrics`" for missing in found)


def metric_version(name: str) -> str:
    """What a value depends on beside the pictures; raises MetricError where the metric is missing."""
    _require(name)
    if name in _OF_FFMPEG:
        return video_metric_version(name)
    return ssimulacra2_version() if name == "ssimulacra2" else "1"


def measure(reference: Pixels, picture: Pixels, names: Sequence[str]) -> dict[str, float]:
    """The named metrics of a picture against its original, both height x width x 3 of 8-bit sRGB.

    In the order of `names`, without those that cannot be measured at this size. One thread; the same values
    every time. Raises MetricError for an unknown or missing metric and where ffmpeg fails, ValueError for
    pictures of two sizes.
    """
    if reference.shape != picture.shape:
        raise ValueError(f"pictures of two sizes: {reference.shape[:2]} and {picture.shape[:2]}")
    for name in names:
        _require(name)
    names = [name for name in names if min(picture.shape[:2]) >= _LEAST_SIDE.get(name, 0)]
    found: dict[str, float] = {}
    if "psnr" in names:
        found["psnr"] = _psnr(reference, picture)
    if "ssimulacra2" in names:
        found["ssimulacra2"] = ssimulacra2_score(reference, picture)
    if asked := [name for name in names if name in _OF_FFMPEG]:
        found |= video_metrics(reference, picture, asked)
    for name in _DECIBELS:
        if name in found:
            found[name] = min(MOST_DECIBELS, found[name])
    return {name: round(found[name], _DECIMALS) for name in names if math.isfinite(found[name])}


def _require(name: str) -> None:
    if name not in METRICS:
        raise MetricError(name, f"is unknown; the metrics are {', '.join(METRICS)}")
    if name in _OF_FFMPEG:
        try:
            find_ffmpeg()
        except CodecNotInstalledError as error:
            raise MetricError(name, f"is not installed; {error.remedy}") from None


def _psnr(reference: Pixels, picture: Pixels) -> float:
    """10 log10(255^2 / MSE) in dB, the mean over R, G and B of all pixels together; exact sums."""
    total = 0
    # Row by row: the differences of a large picture would take eight times its memory.
    for row, other in zip(reference, picture, strict=True):
        difference = row.astype(np.int64) - other
        total += int((difference * difference).sum())
    return math.inf if total == 0 else 10.0 * math.log10(255**2 * reference.size / total)
