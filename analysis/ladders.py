"""Which rates to add where the curves of two codecs share too little quality."""

from __future__ import annotations

import math

from analysis.bdrate import FLAGGED_UNDER, BDRate
from analysis.curves import Curve

#: Rates in bpp outside of these are no advice: following a curve that hardly rises leads anywhere.
SENSIBLE = (0.001, 24.0)
#: ln of a rate beyond which a float has no room.
_MOST = 700.0


def rates_to_add(better: Curve, worse: Curve) -> tuple[float, float] | None:
    """The rate (bpp) to add below `better`'s lowest, and the one above `worse`'s highest: either makes the
    curves share half of the narrower one's quality.

    Both curves are followed beyond their ends by their mean slope, so the rates are a rough guide. None where
    a curve is a single knot.
    """
    if len(better.quality) < 2 or len(worse.quality) < 2:
        return None
    shared = worse.high - better.low
    down = _extension(better, worse, shared)
    up = _extension(worse, better, shared)
    return (
        math.exp(float(better.log_rate[0]) - _slope(better) * down),
        math.exp(min(_MOST, float(worse.log_rate[-1]) + _slope(worse) * up)),
    )


def _slope(curve: Curve) -> float:
    """ln bpp a point of quality, over the whole curve."""
    return float(curve.log_rate[-1] - curve.log_rate[0]) / (curve.high - curve.low)


def _extension(extended: Curve, other: Curve, shared: float) -> float:
    """By how much quality a curve must go on towards the other for half of the narrower one to be shared."""
    mine, its = extended.high - extended.low, other.high - other.low
    # Half of the other's range, or half of its own, which grows with what is added.
    enough = min(FLAGGED_UNDER * its - shared, (FLAGGED_UNDER * mine - shared) / (1.0 - FLAGGED_UNDER))
    return max(0.0, enough)


def ladder_advice(anchor: str, test: str, curves: tuple[Curve, Curve], rate: BDRate) -> str | None:
    """One sentence with the rates to add to each of two codecs, None where they share enough, no curve is
    there to follow, or neither rate is `SENSIBLE`; of the two, one that is not is left out."""
    if rate.status not in ("flagged", "refused", "no_overlap"):
        return None
    first, second = curves
    names = (anchor, test) if first.high > second.high else (test, anchor)
    found = rates_to_add(*((first, second) if names[0] == anchor else (second, first)))
    if found is None:
        return None
    rates = [
        f"of about {bpp:.2g} bpp to {name}"
        for bpp, name in zip(found, names, strict=True)
        if SENSIBLE[0] <= bpp <= SENSIBLE[1]
    ]
    if not rates:
        return None
    either = "either" if len(rates) > 1 else "it"
    return f"Add a rate {', or '.join(rates)}: with {either} they would share half."
