"""Savings of a codec with a single rate: the distance in ln rate from its point to another codec's curve.

A codec that was published at one rate has no curve, so it has no BD-rate. At its own Elo the other codec's
curve has a rate, and the ratio of the two is what it saves at that one quality, and at no other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.bdrate import BDRate, LogRatios, compare_curves, log_ratios
from analysis.curves import Curve, Knots, mean_log_rate


def compare_codecs(anchor: Curve, test: Curve) -> BDRate:
    """`compare_curves`, and where one of the two is a single rate within the other's range of quality, the
    ratio there with the status `one_quality` (`quality_low` and `quality_high` are that quality)."""
    made = compare_curves(anchor, test)
    if made.status != "single_point" or anchor.is_flat or test.is_flat:
        return made
    point, curve = (anchor, test) if len(anchor.quality) == 1 else (test, anchor)
    if len(curve.quality) < 2 or not curve.low <= point.low <= curve.high:
        return made
    at = np.array([point.low])
    log_ratio = float(test.log_rate_at(at)[0] - anchor.log_rate_at(at)[0])
    return replace(
        made, status="one_quality", log_ratio=log_ratio, quality_low=point.low, quality_high=point.low
    )


def codec_ratios(anchor: Knots, test: Knots) -> LogRatios:
    """`compare_codecs` for every row of a batch; a point outside of the other's range is censored by it."""
    made = log_ratios(anchor, test)
    # A curve whose points were pooled into one knot is no point that was measured at one rate.
    points = (anchor.quality.shape[1], test.quality.shape[1])
    if min(points) > 1 or max(points) == 1:
        return made
    point, curve, sign = (anchor, test, 1.0) if points[0] == 1 else (test, anchor, -1.0)
    value = made.value.copy()
    for count in np.unique(curve.count):
        inside = np.flatnonzero((curve.count == count) & np.isnan(value) & (made.censored == 0))
        if count < 2 or not len(inside):
            continue
        at = point.quality[inside, 0]
        other = mean_log_rate(curve.quality[inside, :count], curve.log_rate[inside, :count], at, at)
        value[inside] = sign * (other - point.log_rate[inside, 0])
    return replace(made, value=value)
