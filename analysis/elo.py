"""The Elo scale on which scores are printed."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: Elo points in one logit: 400 points are odds of ten to one.
ELO_PER_LOGIT = 400.0 / math.log(10.0)
ELO_ORIGIN = 1500.0


def elo(theta: NDArray[np.float64], zero: int | None = None) -> NDArray[np.float64]:
    """Elo of scores in logits, along the last axis.

    1500 + 400 / ln 10 x (theta - origin). The origin is the mean of all conditions, or the condition `zero`:
    a scale centred on the mean moves when a codec is added, one that is fixed to a condition does not.
    """
    origin = theta.mean(axis=-1, keepdims=True) if zero is None else theta[..., zero : zero + 1]
    return ELO_ORIGIN + ELO_PER_LOGIT * (theta - origin)


def win_probability(elo_a: float, elo_b: float) -> float:
    """The chance that A is preferred to B under Bradley-Terry: 1 / (1 + 10^((B - A) / 400))."""
    return 1.0 / (1.0 + math.pow(10.0, (elo_b - elo_a) / 400.0))
