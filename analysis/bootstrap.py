"""Cluster resampling of raters, of sources and of their cells, and the multiway variance that follows.

Judgments of one rater, and judgments of one source, are not independent. Whole clusters are drawn with
replacement and everything is fitted again: scores, curves, BD-rates. With V the variance over replicates,

    V = V_raters + V_sources - V_cells, not under the larger of V_raters and V_sources

(Cameron, Gelbach and Miller 2011), and intervals take a t quantile with one degree of freedom less than the
fewest clusters. Each V carries the factor clusters / (clusters - 1), since drawing n of n clusters
understates it by that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.bdrate import LogRatios
from analysis.curves import Floats, Knots, knots
from analysis.elo import ELO_PER_LOGIT, elo
from analysis.judgments import Clusters, Comparisons
from analysis.one_quality import codec_ratios
from analysis.rates import ConditionRates, RateMean
from analysis.scaling import ScalingModel, Scores

RESAMPLINGS: tuple[Clusters, ...] = ("raters", "sources", "cells")
#: Fewer clusters than this are said in every report: the quantile of t is then only a rough guide.
FEW_CLUSTERS = 30
_CHUNK = 100


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """What one way of resampling gave: Elo about the mean (replicates x conditions), and ln ratios for each
    pair of codecs."""

    kind: Clusters
    clusters: int
    elo: Floats
    ratios: Mapping[tuple[str, str], LogRatios]
    prior_used: int

    @property
    def correction(self) -> float:
        """clusters / (clusters - 1)."""
        return self.clusters / (self.clusters - 1)


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate's standard error and limits; an open limit is -inf or inf, an unknown one NaN."""

    standard_error: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Bootstrap:
    """All resamplings of a study; kinds with a single cluster are absent."""

    replicates: int
    seed: int
    resampled: Mapping[Clusters, Resampled]

    @property
    def fewest_clusters(self) -> int:
        """The clusters of the kind that has fewest, among raters and sources that were resampled."""
        ways = [r.clusters for kind, r in self.resampled.items() if kind != "cells"]
        return min(ways, default=0)

    @property
    def degrees_of_freedom(self) -> int:
        """One less than the fewest clusters."""
        return self.fewest_clusters - 1

    def quantile(self, confidence: float) -> float:
        """The two-sided t quantile."""
        if self.degrees_of_freedom < 1:
            return float("nan")
        return float(stats.t.ppf(0.5 + confidence / 2, self.degrees_of_freedom))

    def elo_standard_errors(self, contrast: Floats) -> Floats:
        """Multiway standard errors of linear contrasts (rows of `contrast`, contrasts x conditions) of
        Elo."""
        if not self.resampled:
            return np.full(len(contrast), np.nan)
        return np.sqrt(self._multiway(lambda r: np.einsum("ck,bk->bc", contrast, r.elo).var(axis=0, ddof=1)))

    def log_ratio_interval(self, pair: tuple[str, str], estimate: float, confidence: float) -> Interval:
        """The interval of a mean ln rate ratio.

        Replicates whose curves share no quality take part with the bound that they imply; where more of them
        than the tail allows lie on one side, that limit is open.
        """
        enough = all(np.isfinite(r.ratios[pair].value).sum() > 1 for r in self.resampled.values())
        if not self.resampled or np.isnan(estimate) or not enough:
            return Interval(np.nan, np.nan, np.nan)
        variance = self._multiway(lambda r: np.atleast_1d(np.nanvar(r.ratios[pair].value, ddof=1)))
        error = float(np.sqrt(variance[0]))
        half = self.quantile(confidence) * error
        tail = (1.0 - confidence) / 2.0
        low, high = estimate - half, estimate + half
        for r in self.resampled.values():
            censored, value = r.ratios[pair].censored, r.ratios[pair].value
            unknown = np.isnan(value).mean()
            if (censored < 0).mean() + unknown > tail:
                low = -np.inf
            if (censored > 0).mean() + unknown > tail:
                high = np.inf
        return Interval(error, low, high)

    def censored(self, pair: tuple[str, str]) -> dict[str, int]:
        """For each resampling, the replicates whose curves share no quality (or one of which is no curve)."""
        return {
            kind: int(((r.ratios[pair].censored != 0) | np.isnan(r.ratios[pair].value)).sum())
            for kind, r in self.resampled.items()
        }

    def apart_share(self, pair: tuple[str, str], side: int) -> float | None:
        """The share of replicates, over raters or sources whichever is less, in which the curves lie apart on
        `side`.

        `side` is -1 where the test's ratio is bounded from above and +1 where it is bounded from below.
        """
        shares = [
            float((r.ratios[pair].censored == side).mean())
            for kind, r in self.resampled.items()
            if kind != "cells"
        ]
        return min(shares, default=None)

    def overlap_spread(self, pair: tuple[str, str]) -> tuple[float, float] | None:
        """The 2.5 % and 97.5 % points of the overlap over raters and sources: the range is refitted as
        well."""
        values = [r.ratios[pair].overlap for kind, r in self.resampled.items() if kind != "cells"]
        if not values:
            return None
        low, high = np.quantile(np.concatenate(values), [0.025, 0.975])
        return float(low), float(high)

    def _multiway(self, variance: Callable[[Resampled], Floats]) -> Floats:
        by_kind = {kind: variance(r) * r.correction for kind, r in self.resampled.items()}
        ways = [by_kind[kind] for kind in ("raters", "sources") if kind in by_kind]
        if not ways:
            raise ValueError("nothing was resampled")
        if len(ways) == 1:
            return ways[0]
        return np.maximum(ways[0] + ways[1] - by_kind["cells"], np.maximum(ways[0], ways[1]))


def bootstrap(
    comparisons: Comparisons,
    rates: ConditionRates,
    scores: Scores,
    model: ScalingModel,
    pairs: Sequence[tuple[str, str]],
    *,
    replicates: int = 1000,
    seed: int = 0,
    rate_mean: RateMean = "geometric",
    progress: Callable[[int], object] = lambda _: None,
) -> Bootstrap:
    """Resamples raters, sources and cells, and refits scores, curves and the ln ratio of each (anchor, test)
    pair.

    The draws of each resampling come from their own child of `seed`, so that the result depends on nothing
    else. `progress` is told of every finished replicate.
    """
    children = dict(zip(RESAMPLINGS, np.random.SeedSequence(seed).spawn(len(RESAMPLINGS)), strict=True))
    sizes = {kind: comparisons.clusters(kind)[1] for kind in RESAMPLINGS}
    kinds = [kind for kind in ("raters", "sources") if sizes[kind] > 1]
    if len(kinds) == 2:
        kinds.append("cells")
    done: dict[Clusters, Resampled] = {}
    for kind in RESAMPLINGS:
        if kind in kinds:
            rng = np.random.default_rng(children[kind])
            parts = []
            for start in range(0, replicates, _CHUNK):
                size = min(_CHUNK, replicates - start)
                parts.append(_chunk(kind, size, rng, comparisons, rates, scores, model, pairs, rate_mean))
                progress(size)
            done[kind] = _joined(kind, sizes[kind], parts)
    return Bootstrap(replicates, seed, done)


def _chunk(
    kind: Clusters,
    size: int,
    rng: np.random.Generator,
    comparisons: Comparisons,
    rates: ConditionRates,
    scores: Scores,
    model: ScalingModel,
    pairs: Sequence[tuple[str, str]],
    rate_mean: RateMean,
) -> tuple[Floats, dict[tuple[str, str], LogRatios], NDArray[np.bool_]]:
    cluster, number = comparisons.clusters(kind)
    counts = rng.multinomial(number, np.full(number, 1.0 / number), size=size).astype(float)
    refits = model.refit(comparisons, cluster, counts, scores)
    log_rates = rates.mean(rate_mean)
    if kind == "sources":
        # Only here do rates vary with the draw: in the sum of the three variances they then count once.
        weights = np.zeros((size, len(rates.sources)))
        place = {name: i for i, name in enumerate(rates.sources)}
        weights[:, [place[name] for name in comparisons.sources]] = counts
        log_rates = rates.mean(rate_mean, weights)
    log_rates = np.broadcast_to(log_rates, (size, len(rates.conditions)))
    curves = codec_knots(refits.theta, refits.variance, log_rates, comparisons.conditions, rates)
    ratios = {pair: codec_ratios(curves[pair[0]], curves[pair[1]]) for pair in pairs}
    return elo(refits.theta), ratios, refits.prior_used


def codec_knots(
    theta: Floats, variance: Floats, log_rates: Floats, judged: Sequence[str], rates: ConditionRates
) -> dict[str, Knots]:
    """Each codec's knots, in Elo about the mean, for every row of scores in logits and ln rates."""
    score = {name: i for i, name in enumerate(judged)}
    rate = {name: i for i, name in enumerate(rates.conditions)}
    scale = elo(theta)
    found = {}
    for codec, conditions in rates.codec_conditions(judged).items():
        at = [score[name] for name in conditions]
        found[codec] = knots(
            scale[:, at],
            log_rates[:, [rate[name] for name in conditions]],
            1.0 / (variance[:, at] * ELO_PER_LOGIT**2),
        )
    return found


def _joined(
    kind: Clusters,
    clusters: int,
    parts: Sequence[tuple[Floats, dict[tuple[str, str], LogRatios], NDArray[np.bool_]]],
) -> Resampled:
    ratios = {
        pair: LogRatios(
            *(
                np.concatenate([getattr(part[1][pair], name) for part in parts])
                for name in ("value", "censored", "overlap", "quality_low", "quality_high")
            )
        )
        for pair in parts[0][1]
    }
    prior_used = int(sum(part[2].sum() for part in parts))
    return Resampled(kind, clusters, np.concatenate([part[0] for part in parts]), ratios, prior_used)
