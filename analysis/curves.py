"""Curves of ln rate over quality: isotonic scores, one knot a tied block, monotone cubic pieces between
knots.

Everything works on a batch of curves at once (rows), so that a thousand replicates cost little more than one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Isotonic values closer than this share of a curve's range are one block: rounding must not make two knots
#: of one.
_SAME = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One codec's knots: `quality` strictly rising, `log_rate` (ln bpp) not falling."""

    quality: Floats
    log_rate: Floats
    violations: int = 0
    """Rate points that were pooled because quality fell while rate rose."""

    @property
    def is_flat(self) -> bool:
        """Whether several rate points became a single knot, as quality does not rise with rate anywhere."""
        return len(self.quality) == 1 and self.violations > 0

    @property
    def low(self) -> float:
        """The lowest quality on the curve."""
        return float(self.quality[0])

    @property
    def high(self) -> float:
        """The highest quality on the curve."""
        return float(self.quality[-1])

    def log_rate_at(self, quality: Floats) -> Floats:
        """ln bpp at qualities within the curve's range (PCHIP)."""
        if len(self.quality) == 1:
            return np.full(np.shape(quality), self.log_rate[0])
        slopes = pchip_slopes(self.quality[None], self.log_rate[None])[0]
        piece = np.clip(np.searchsorted(self.quality, quality, side="right") - 1, 0, len(self.quality) - 2)
        width = np.diff(self.quality)[piece]
        t = (quality - self.quality[piece]) / width
        y0, y1 = self.log_rate[piece], self.log_rate[piece + 1]
        m0, m1 = slopes[piece] * width, slopes[piece + 1] * width
        c2, c3 = 3 * (y1 - y0) - 2 * m0 - m1, 2 * (y0 - y1) + m0 + m1
        return np.asarray(y0 + t * (m0 + t * (c2 + t * c3)))


@dataclass(frozen=True, slots=True, eq=False)
class Knots:
    """A batch of curves: rows of `quality` and `log_rate` hold `count` knots and are padded with NaN after
    them."""

    quality: Floats
    log_rate: Floats
    count: NDArray[np.intp]

    def by_count(self, other: Knots) -> Iterator[tuple[NDArray[np.intp], int, int]]:
        """The rows in which the two batches have the same pair of knot counts."""
        for mine, others in sorted(set(zip(self.count.tolist(), other.count.tolist(), strict=True))):
            yield np.flatnonzero((self.count == mine) & (other.count == others)), mine, others

    def curve(self, row: int) -> Curve:
        """One row as a curve."""
        count = int(self.count[row])
        violations = self.quality.shape[1] - count
        return Curve(self.quality[row, :count].copy(), self.log_rate[row, :count].copy(), violations)


def isotonic(values: Floats, weights: Floats) -> Floats:
    """Weighted isotonic regression of each row of `values` (rows x points), rising along the points.

    The max-min formula: the fit at k is the maximum over i <= k of the minimum over j >= k of the weighted
    mean of points i to j (Robertson, Wright and Dykstra 1988, theorem 1.4.4).
    """
    points = values.shape[1]
    fitted = np.full_like(values, -np.inf)
    # best[k] becomes the minimum over j >= k of the mean of i..j, for the present i.
    for i in range(points):
        weight = np.cumsum(weights[:, i:], axis=1)
        mean = np.cumsum(weights[:, i:] * values[:, i:], axis=1) / weight
        mean[:, 0] = values[:, i]
        best = np.minimum.accumulate(mean[:, ::-1], axis=1)[:, ::-1]
        fitted[:, i:] = np.maximum(fitted[:, i:], best)
    return fitted


def knots(quality: Floats, log_rate: Floats, weights: Floats) -> Knots:
    """The knots of each row: isotonic quality over rate, a tied block being one knot at its weighted mean ln
    rate.

    All three are rows x points, points in the order of rising rate; weights are one over the variance of a
    score.
    """
    order = np.argsort(log_rate, axis=1, kind="stable")
    quality, log_rate, weights = (np.take_along_axis(a, order, axis=1) for a in (quality, log_rate, weights))
    rows, points = quality.shape
    centred = quality - quality.mean(axis=1, keepdims=True)
    fitted = isotonic(centred, weights) + quality.mean(axis=1, keepdims=True)
    span = np.ptp(fitted, axis=1, keepdims=True) if points > 1 else np.zeros((rows, 1))
    rises = np.diff(fitted, axis=1) > _SAME * span
    block = np.concatenate([np.zeros((rows, 1), np.intp), np.cumsum(rises, axis=1)], axis=1)
    count = block[:, -1] + 1
    index = (np.arange(rows)[:, None], block)
    mass, rate, level = (np.zeros((rows, points)) for _ in range(3))
    np.add.at(mass, index, weights)
    np.add.at(rate, index, weights * log_rate)
    np.add.at(level, index, weights * fitted)
    used = np.arange(points)[None, :] < count[:, None]
    mass[~used] = 1.0
    return Knots(np.where(used, level / mass, np.nan), np.where(used, rate / mass, np.nan), count)


def pchip_slopes(x: Floats, y: Floats) -> Floats:
    """Slopes at the knots of rows of monotone cubic curves (Fritsch and Butland 1984), as SciPy's
    PchipInterpolator.

    Both are rows x knots with at least two knots.
    """
    h = np.diff(x, axis=1)
    secant = np.diff(y, axis=1) / h
    if x.shape[1] == 2:
        return np.repeat(secant, 2, axis=1)
    slopes = np.zeros_like(y)
    before, after = secant[:, :-1], secant[:, 1:]
    w1, w2 = 2 * h[:, 1:] + h[:, :-1], h[:, 1:] + 2 * h[:, :-1]
    same = before * after > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = (w1 + w2) / (w1 / before + w2 / after)
    slopes[:, 1:-1] = np.where(same, inner, 0.0)
    slopes[:, 0] = _end_slope(h[:, 0], h[:, 1], secant[:, 0], secant[:, 1])
    slopes[:, -1] = _end_slope(h[:, -1], h[:, -2], secant[:, -1], secant[:, -2])
    return slopes


def _end_slope(h0: Floats, h1: Floats, s0: Floats, s1: Floats) -> Floats:
    # The three-point end condition of Moler's pchiptx, which keeps the curve monotone.
    slope = ((2 * h0 + h1) * s0 - h0 * s1) / (h0 + h1)
    slope = np.where(np.sign(slope) != np.sign(s0), 0.0, slope)
    steep = (np.sign(s0) != np.sign(s1)) & (np.abs(slope) > 3 * np.abs(s0))
    return np.where(steep, 3 * s0, slope)


def mean_log_rate(x: Floats, y: Floats, low: Floats, high: Floats) -> Floats:
    """The mean of each row's PCHIP curve between `low` and `high` (one a row, within its knots), exactly.

    Where `low` equals `high` it is the value there.
    """
    slopes = pchip_slopes(x, y)
    width = np.diff(x, axis=1)
    start = np.clip((low[:, None] - x[:, :-1]) / width, 0.0, 1.0)
    stop = np.clip((high[:, None] - x[:, :-1]) / width, 0.0, 1.0)
    y0, y1 = y[:, :-1], y[:, 1:]
    m0, m1 = slopes[:, :-1] * width, slopes[:, 1:] * width
    c2, c3 = 3 * (y1 - y0) - 2 * m0 - m1, 2 * (y0 - y1) + m0 + m1

    def primitive(t: Floats) -> Floats:
        return t * (y0 + t * (m0 / 2 + t * (c2 / 3 + t * c3 / 4)))

    area = ((primitive(stop) - primitive(start)) * width).sum(axis=1)
    span = high - low
    point = span <= 0
    if point.any():
        piece = np.clip((x < low[:, None]).sum(axis=1) - 1, 0, width.shape[1] - 1)
        pick = (np.arange(len(x)), piece)
        t = ((low - x[pick]) / width[pick])[:, None]
        at = y0[pick] + t[:, 0] * (m0[pick] + t[:, 0] * (c2[pick] + t[:, 0] * c3[pick]))
        return np.asarray(np.where(point, at, area / np.where(point, 1.0, span)))
    return np.asarray(area / span)
