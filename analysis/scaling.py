"""What a scaling model is: comparisons in, scores out, and refits under resampled clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.judgments import Comparisons

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores in logits, summing to zero, with their model-based covariance (conditions x conditions)."""

    conditions: tuple[str, ...]
    theta: Floats
    covariance: Floats
    prior: str | None
    """The prior in words, when the maximum of the likelihood does not exist."""
    separated: tuple[tuple[str, ...], ...] = ()
    """The strongly connected components of the win graph when there are several, strongest first."""

    @property
    def variance(self) -> Floats:
        """Model-based variance of each score about the mean of all."""
        return np.diag(self.covariance).copy()


@dataclass(frozen=True, slots=True, eq=False)
class Refits:
    """Scores refitted under `replicates` sets of weights; `theta` and `variance` are replicates x
    conditions."""

    theta: Floats
    variance: Floats
    prior_used: NDArray[np.bool_]


class ScalingModel(Protocol):
    """A model of choice; `bootstrap` takes any of them."""

    @property
    def name(self) -> str:
        """What the report calls the model."""

    @property
    def prior(self) -> str:
        """The prior, in words, that enters where the data alone give no finite scores."""

    def fit(self, comparisons: Comparisons) -> Scores:
        """Scores of all conditions. Raises DisconnectedGraphError when no common scale exists."""

    def refit(
        self, comparisons: Comparisons, cluster: NDArray[np.intp], counts: Floats, scores: Scores
    ) -> Refits:
        """Scores again, comparison k weighted by `counts[:, cluster[k]]`; `scores` is the fit to start
        from."""
