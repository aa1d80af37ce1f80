"""SSIMULACRA 2.1, made of the package `ssimulacra2` but for its blur and its choice of scales.

The package's maps, weights and colour space are those of the reference program (Sneyers 2022, version 2.1 of
2023), and its edges are not: it mirrors the picture sideways where the reference sees nothing beyond it, and
a picture under 225 pixels gets one scale too few, which moves every weight. That is 1 point on a Kodak
picture and 30 points on a small one. docs/metrics.md has the figures.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from stimuli.pictures import Pixels

Floats = npt.NDArray[np.float64]

#: Counts the changes of this file that change values.
_REVISION = 1
_SCALES = 6
#: A scale is the last one when its picture is smaller than this.
_LEAST_SIDE = 8
_SIGMA = 1.5


def ssimulacra2_version() -> str:
    """The metric's version, the package's and our own."""
    return f"2.1, package {metadata.version('ssimulacra2')}, revision {_REVISION}"


def ssimulacra2_score(reference: Pixels, picture: Pixels) -> float:
    """The score of a picture (height x width x 3, 8-bit sRGB) against its original: 100 at best, no floor."""
    from ssimulacra2 import ssimulacra2 as package

    linear = [package.srgb_to_linear(pixels) for pixels in (reference, picture)]
    score = package.Msssim()
    for scale in range(_SCALES):
        # As the reference does: the size is looked at before it is halved.
        if min(linear[0].shape[:2]) < _LEAST_SIDE:
            break
        if scale:
            linear = [package.downsample(planes, 2, 2) for planes in linear]
        score.scales.append(_scale(package, *linear))
    return float(score.score())


def _scale(package: Any, original: Floats, distorted: Floats) -> Any:
    """The averages of the maps of one scale, a channel at a time, as all three at once take much memory."""
    found = package.MsssimScale()
    images = [
        package.make_positive_xyb(package.linear_rgb_to_xyb(linear)) for linear in (original, distorted)
    ]
    for channel in range(3):
        a, b = (np.ascontiguousarray(image[..., channel : channel + 1]) for image in images)
        mean_a, mean_b = _blurred(a), _blurred(b)
        maps = package.ssim_map(mean_a, mean_b, _blurred(a * a), _blurred(b * b), _blurred(a * b))
        found.avg_ssim[2 * channel : 2 * channel + 2] = maps[:2]
        edges = package.edge_diff_map(a, mean_a, b, mean_b)
        found.avg_edgediff[4 * channel : 4 * channel + 4] = edges[:4]
    return found


def _blurred(plane: Floats) -> Floats:
    """A plane blurred along both sides, with nothing (zero) beyond its edges."""
    # Imported here: every reader of a study.toml needs the names of the metrics, and not SciPy.
    from scipy import ndimage

    rows = ndimage.correlate1d(plane, _kernel(), axis=0, mode="constant")
    return np.asarray(ndimage.correlate1d(rows, _kernel(), axis=1, mode="constant"))


@cache
def _kernel() -> Floats:
    """A Gaussian of sigma 1.5 as three cosines that end at their zero, 9 taps (Charalampidis 2016).

    The weights of the cosines make the taps sum to 1 and their variance that of the Gaussian.
    """
    radius = round(3.2795 * _SIGMA + 0.2546)
    omega = np.array([1, 3, 5]) * np.pi / (2 * radius)
    sign = np.array([1, -1, 1])
    sums = sign / np.tan(omega / 2)
    moments = sign * sums**2 / np.sin(omega)
    # Along the direction that both leave free, the weights are those of the Gaussian's own cosines.
    free = np.cross(sums, moments)
    gaussian = np.exp(-0.5 * _SIGMA**2 * omega**2) / radius
    weights = np.linalg.solve(
        np.array([sums, moments, free]), np.array([1.0, radius**2 - _SIGMA**2, free @ gaussian])
    )
    return np.asarray(weights @ np.cos(omega[:, None] * np.arange(1 - radius, radius)))
