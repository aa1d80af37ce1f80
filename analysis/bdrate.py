"""BD-rate: the mean difference of ln rate between two curves over the quality that they share (Bjontegaard
2001).

The rules of overlap: the shared range over the range of the narrower curve is flagged under 1/2 and refused
under 1/4; where there is none, or a curve is one point, monotony alone bounds the rate ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.curves import Curve, Floats, Knots, knots, mean_log_rate
from analysis.errors import BadCurveError, InsufficientOverlapError

FLAGGED_UNDER = 0.5
REFUSED_UNDER = 0.25

Status = Literal["ok", "flagged", "refused", "no_overlap", "single_point", "one_quality"]
Method = Literal["pchip"]


@dataclass(frozen=True, slots=True)
class BDRate:
    """A comparison of a test curve against an anchor curve.

    `log_ratio` is the mean of ln(test rate / anchor rate), NaN unless `status` is ok or flagged, or
    one_quality (see `analysis.one_quality`: no BD-rate, but the ratio at a single quality); `ratio_low`
    and `ratio_high` bound the ratio of rates at every shared quality by monotony alone (0 and inf where
    open).
    """

    status: Status
    log_ratio: float
    overlap: float
    quality_low: float
    quality_high: float
    ratio_low: float
    ratio_high: float

    @property
    def percent(self) -> float:
        """BD-rate in per cent; below zero the test needs fewer bits than the anchor."""
        return 100.0 * float(np.expm1(self.log_ratio))

    @property
    def reverse_percent(self) -> float:
        """The same comparison with the roles exchanged: the anchor against the test."""
        return 100.0 * float(np.expm1(-self.log_ratio))

    @property
    def savings(self) -> float:
        """Savings factor, 1 / (1 + BD-rate): how many times as many bits the anchor needs."""
        return float(np.exp(-self.log_ratio))


def bd_rate(
    anchor_rates: Sequence[float] | Floats,
    anchor_quality: Sequence[float] | Floats,
    test_rates: Sequence[float] | Floats,
    test_quality: Sequence[float] | Floats,
    method: Method = "pchip",
) -> BDRate:
    """BD-rate of a test codec against an anchor from rates (bpp, kbit/s, any unit) and qualities (Elo, dB,
    any scale).

    Quality is made monotone by isotonic regression first, all points weighing alike. Raises BadCurveError for
    points that are no curve and InsufficientOverlapError where the curves share less than a quarter of the
    narrower one's quality.
    """
    if method != "pchip":
        raise BadCurveError(f"method {method!r} is unknown; the method is 'pchip'")
    pair = []
    for name, rates, quality in (
        ("anchor", anchor_rates, anchor_quality),
        ("test", test_rates, test_quality),
    ):
        r, q = np.asarray(rates, dtype=float), np.asarray(quality, dtype=float)
        if r.ndim != 1 or r.shape != q.shape:
            raise BadCurveError(
                f"{name}: {r.size} rates and {q.size} qualities; give one quality for each rate"
            )
        if not (np.isfinite(r).all() and np.isfinite(q).all() and (r > 0).all()):
            raise BadCurveError(f"{name}: rates must be above zero and qualities finite")
        if r.size < 2 or len(set(r.tolist())) < 2:
            raise BadCurveError(
                f"{name}: a BD-rate needs at least two rate points, and there is {len(set(r.tolist()))}"
            )
        curve = knots(q[None], np.log(r)[None], np.ones((1, r.size))).curve(0)
        if len(curve.quality) < 2:
            raise BadCurveError(f"{name}: quality does not rise with rate anywhere, so no curve exists")
        pair.append(curve)
    result = compare_curves(pair[0], pair[1])
    if result.status in ("refused", "no_overlap"):
        raise InsufficientOverlapError(result.overlap, result.ratio_low, result.ratio_high)
    return result


def compare_curves(anchor: Curve, test: Curve) -> BDRate:
    """The comparison of two curves with its status; never raises, a comparison that cannot be made says
    so."""
    low, high = max(anchor.low, test.low), min(anchor.high, test.high)
    bounds = ratio_bounds(anchor, test)
    if anchor.is_flat or test.is_flat:
        # Its rate points are one knot only since quality does not rise: monotony itself does not hold.
        bounds = 0.0, np.inf
    if len(anchor.quality) < 2 or len(test.quality) < 2:
        return BDRate("single_point", np.nan, np.nan, min(low, high), max(low, high), *bounds)
    overlap = max(0.0, high - low) / min(anchor.high - anchor.low, test.high - test.low)
    if overlap < REFUSED_UNDER:
        status: Status = "refused" if overlap > 0 else "no_overlap"
        return BDRate(status, np.nan, overlap, min(low, high), max(low, high), *bounds)
    status = "flagged" if overlap < FLAGGED_UNDER else "ok"
    lows, highs = np.array([low]), np.array([high])
    means = [mean_log_rate(c.quality[None], c.log_rate[None], lows, highs)[0] for c in (test, anchor)]
    return BDRate(status, float(means[0] - means[1]), overlap, low, high, *bounds)


def ratio_bounds(anchor: Curve, test: Curve) -> tuple[float, float]:
    """Bounds of the ratio of rates that follow from monotony and the knots alone.

    They hold at every quality that both curves share or, where they share none, at every quality between the
    two.
    """
    ends = sorted((max(anchor.low, test.low), min(anchor.high, test.high)))
    inner = np.concatenate([anchor.quality, test.quality, ends])
    at = np.unique(inner[(inner >= ends[0]) & (inner <= ends[1])])
    at = np.unique(np.concatenate([at, (at[1:] + at[:-1]) / 2]))
    anchor_low, anchor_high = _rate_bounds(anchor, at)
    test_low, test_high = _rate_bounds(test, at)
    return float(np.exp((test_low - anchor_high).min())), float(np.exp((test_high - anchor_low).max()))


def _rate_bounds(curve: Curve, at: Floats) -> tuple[Floats, Floats]:
    below = np.searchsorted(curve.quality, at, side="right") - 1
    above = np.searchsorted(curve.quality, at, side="left")
    padded = np.concatenate([[-np.inf], curve.log_rate, [np.inf]])
    return padded[below + 1], padded[above + 1]


@dataclass(frozen=True, slots=True, eq=False)
class LogRatios:
    """ln rate ratios of a batch of curve pairs.

    `value` is the mean ln ratio where the curves overlap; where they do not, `censored` is -1 (the ratio is
    below `value`), +1 (above it) or 0 with a NaN value (nothing is known). `overlap` and the range of quality
    go along.
    """

    value: Floats
    censored: NDArray[np.int8]
    overlap: Floats
    quality_low: Floats
    quality_high: Floats


def log_ratios(anchor: Knots, test: Knots) -> LogRatios:
    """`compare_curves` for every row of a batch, without refusing a narrow overlap: censoring is for none at
    all."""
    rows = len(anchor.count)
    value = np.full(rows, np.nan)
    censored = np.zeros(rows, dtype=np.int8)
    a_low, a_high = anchor.quality[:, 0], np.nanmax(anchor.quality, axis=1)
    t_low, t_high = test.quality[:, 0], np.nanmax(test.quality, axis=1)
    low, high = np.maximum(a_low, t_low), np.minimum(a_high, t_high)
    narrower = np.minimum(a_high - a_low, t_high - t_low)
    overlap = np.where(narrower > 0, np.maximum(high - low, 0.0) / np.where(narrower > 0, narrower, 1.0), 0.0)
    for index, a_count, t_count in anchor.by_count(test):
        index = index[overlap[index] > 0]
        if a_count < 2 or t_count < 2 or not len(index):
            continue
        means = [
            mean_log_rate(k.quality[index, :n], k.log_rate[index, :n], low[index], high[index])
            for k, n in ((test, t_count), (anchor, a_count))
        ]
        value[index] = means[0] - means[1]
    a_last = np.take_along_axis(anchor.log_rate, anchor.count[:, None] - 1, axis=1)[:, 0]
    t_last = np.take_along_axis(test.log_rate, test.count[:, None] - 1, axis=1)[:, 0]
    apart = np.isnan(value)
    better, worse = apart & (t_low >= a_high), apart & (a_low >= t_high)
    censored[better], censored[worse] = -1, 1
    value[better] = (test.log_rate[:, 0] - a_last)[better]
    value[worse] = (t_last - anchor.log_rate[:, 0])[worse]
    return LogRatios(value, censored, overlap, low, high)
