"""Bradley-Terry scores by damped Newton steps, one win matrix or a whole batch of them.

Bradley and Terry 1952: P(i preferred to j) = 1 / (1 + exp(theta_j - theta_i)). The likelihood has a finite
maximum only where the win graph is strongly connected (Ford 1957); elsewhere a stated Gaussian prior makes it
finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from analysis.elo import ELO_PER_LOGIT
from analysis.errors import DisconnectedGraphError, NotConvergedError
from analysis.judgments import Comparisons
from analysis.scaling import Floats, Refits, Scores

#: A step in logits below which the maximum is reached; Newton's error is then about its square.
_STEP_TOLERANCE = 1e-7
_FLOOR = 1e-13
_MOST_STEPS = 200
#: No step moves a score further than this many logits: Newton overshoots from far away.
_LONGEST_STEP = 2.0
#: The information changes by at most a factor of e for each logit of difference, so within this step, which
#: changes differences by twice as much, it stays under two times itself and a Newton step cannot lower the
#: objective.
_SAFE_STEP = 0.3


@dataclass(frozen=True, slots=True)
class BradleyTerry:
    """The scaling model; `prior_elo` is the standard deviation of the prior that is used where one is
    needed."""

    prior_elo: float = 1000.0

    @property
    def name(self) -> str:
        """What the report calls the model."""
        return "Bradley-Terry by maximum likelihood"

    @property
    def prior(self) -> str:
        """The prior in words."""
        return (
            f"Gaussian prior of standard deviation {self.prior_elo:g} Elo on each score about the mean of all"
        )

    @property
    def ridge(self) -> float:
        """The prior's precision in logits."""
        return (ELO_PER_LOGIT / self.prior_elo) ** 2

    def fit(self, comparisons: Comparisons) -> Scores:
        """Maximum likelihood, or the maximum under the prior where the win graph is not strongly connected.

        Raises DisconnectedGraphError when conditions were never compared with each other, even through
        others.
        """
        wins = comparisons.wins()
        groups = components(wins, strongly=False)
        if len(groups) > 1:
            raise DisconnectedGraphError([[comparisons.conditions[i] for i in group] for group in groups])
        groups = components(wins, strongly=True)
        separated = len(groups) > 1
        ridge = self.ridge if separated else 0.0
        theta, covariance = maximise(wins[None], np.array([ridge]), np.zeros(len(wins)))
        named: tuple[tuple[str, ...], ...] = ()
        if separated:
            groups.sort(key=lambda group: -theta[0, group].mean())
            named = tuple(tuple(comparisons.conditions[i] for i in group) for group in groups)
        prior = self.prior if separated else None
        return Scores(comparisons.conditions, theta[0], covariance[0], prior, named)

    def refit(
        self, comparisons: Comparisons, cluster: NDArray[np.intp], counts: Floats, scores: Scores
    ) -> Refits:
        """Scores under resampled clusters; the prior enters where the fit needed it or a replicate does."""
        wins = resampled_wins(comparisons, cluster, counts)
        prior_used = np.full(len(wins), True) if scores.prior else ~strongly_connected(wins)
        theta, covariance = maximise(wins, np.where(prior_used, self.ridge, 0.0), scores.theta)
        return Refits(theta, np.diagonal(covariance, axis1=1, axis2=2).copy(), prior_used)


def components(wins: Floats, *, strongly: bool) -> list[list[int]]:
    """The connected components of the win graph, each a list of conditions."""
    # connected_components follows an edge from winner to loser; its direction does not matter to the
    # components.
    edges = csr_array((wins > 0).astype(np.int8))
    number, label = connected_components(edges, directed=True, connection="strong" if strongly else "weak")
    return [np.flatnonzero(label == component).tolist() for component in range(number)]


def strongly_connected(wins: Floats) -> NDArray[np.bool_]:
    """For each of a batch of win matrices, whether condition 0 reaches all others and all others reach it."""
    edges = (wins > 0).astype(np.float32)
    connected = np.full(len(wins), True)
    for direction in (edges, edges.transpose(0, 2, 1)):
        reached = np.zeros(wins.shape[:2], dtype=np.float32)
        reached[:, 0] = 1
        while True:
            further = np.minimum(reached + np.einsum("bi,bij->bj", reached, direction), 1)
            if np.array_equal(further > 0, reached > 0):
                break
            reached = (further > 0).astype(np.float32)
        connected &= reached.all(axis=1)
    return connected


def resampled_wins(comparisons: Comparisons, cluster: NDArray[np.intp], counts: Floats) -> Floats:
    """Win matrices (replicates x conditions x conditions) with comparison k weighted by `counts[:,
    cluster[k]]`.

    One sparse product: clusters x ordered pairs of conditions, summed beforehand.
    """
    size = len(comparisons.conditions)
    forward = comparisons.first * size + comparisons.second
    backward = comparisons.second * size + comparisons.first
    pairs, index = np.unique(np.concatenate([forward, backward]), return_inverse=True)
    won = np.concatenate([comparisons.score, 1.0 - comparisons.score])
    both = np.concatenate([cluster, cluster])
    by_cluster = csr_array((won, (index, both)), shape=(len(pairs), counts.shape[1]))
    by_cluster.sum_duplicates()
    flat = np.zeros((len(counts), size * size))
    flat[:, pairs] = (by_cluster @ counts.T).T
    return flat.reshape(len(counts), size, size)


def maximise(wins: Floats, ridge: Floats, start: Floats) -> tuple[Floats, Floats]:
    """The maximum of the penalised likelihood for each win matrix, and the inverse of its information.

    `wins` is batch x n x n, `ridge` (batch) the precision of the Gaussian prior about the mean, `start` n
    scores. Returns scores (batch x n, each row summing to zero) and covariances (batch x n x n). Raises
    NotConvergedError.
    """
    batch, size, _ = wins.shape
    theta = np.tile(start - start.mean(), (batch, 1))
    totals = wins + wins.transpose(0, 2, 1)
    won = wins.sum(axis=2)
    # Scores are free up to a constant; this much of 11^T makes the information invertible without moving the
    # maximum.
    lift = np.maximum(totals.sum(axis=(1, 2)) / (4.0 * size), ridge)[:, None, None] / size
    constant = 1.0 / (size * (ridge[:, None, None] + size * lift))
    open_ = np.arange(batch)
    damping = np.zeros(batch)
    for _ in range(_MOST_STEPS):
        gradient, information = _derivatives(theta[open_], totals[open_], won[open_], ridge[open_])
        # Far from the maximum the information underflows; the floor keeps it invertible.
        floor = np.maximum(damping[open_], _FLOOR * size * lift[open_, 0, 0])
        damped = information + lift[open_] + floor[:, None, None] * np.eye(size)
        step = np.linalg.solve(damped, gradient[..., None])[..., 0]
        step -= step.mean(axis=1, keepdims=True)
        largest = np.abs(step).max(axis=1)
        step *= np.minimum(1.0, _LONGEST_STEP / np.maximum(largest, 1e-300))[:, None]
        tried = theta[open_] + step
        better = np.full(len(open_), True)
        # A long step that lowers the objective is taken back and tried again with more damping.
        far = np.flatnonzero(largest > _SAFE_STEP)
        if len(far):
            rows = open_[far]
            before, after = (_objective(t, wins[rows], ridge[rows]) for t in (theta[rows], tried[far]))
            better[far] = after >= before
        done = (largest < _STEP_TOLERANCE) & (damping[open_] == 0)
        theta[open_[better]] = tried[better]
        damping[open_[better]] = 0.0
        worse = open_[~better]
        diagonal = information[~better].trace(axis1=1, axis2=2) / size
        damping[worse] = np.maximum(4.0 * damping[worse], 0.1 * diagonal)
        open_ = open_[~done]
        if not len(open_):
            _, information = _derivatives(theta, totals, won, ridge)
            return theta, np.linalg.inv(information + lift) - constant
    raise NotConvergedError(len(open_))


def _probability(theta: Floats) -> Floats:
    difference = theta[:, :, None] - theta[:, None, :]
    return 1.0 / (1.0 + np.exp(-np.clip(difference, -500, 500)))


def _objective(theta: Floats, wins: Floats, ridge: Floats) -> Floats:
    difference = theta[:, :, None] - theta[:, None, :]
    # log P = -log(1 + exp(-d)), written so that neither end overflows.
    log_p = np.minimum(difference, 0.0) - np.log1p(np.exp(-np.abs(difference)))
    value = (wins * log_p).sum(axis=(1, 2)) - 0.5 * ridge * (theta**2).sum(axis=1)
    return np.asarray(value)


def _derivatives(theta: Floats, totals: Floats, won: Floats, ridge: Floats) -> tuple[Floats, Floats]:
    p = _probability(theta)
    gradient = won - (totals * p).sum(axis=2) - ridge[:, None] * theta
    information = -totals * p * (1.0 - p)
    diagonal = np.arange(theta.shape[1])
    information[:, diagonal, diagonal] = 0.0
    information[:, diagonal, diagonal] = -information.sum(axis=2) + ridge[:, None]
    return gradient, information
