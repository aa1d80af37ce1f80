"""Resampling whole clusters: each replicate is a refit of duplicated rows, and the variances add up as
stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from analysis.bdrate import LogRatios, compare_curves
from analysis.bootstrap import Bootstrap, Resampled, bootstrap, codec_knots
from analysis.bradley_terry import BradleyTerry, resampled_wins
from analysis.judgments import Comparisons, select_comparisons, tables_from_frames
from analysis.rates import ConditionRates, condition_rates
from analysis.scaling import Scores
from analysis.simulation import SimulatedStudy, simulate_study

PAIRS = [("old", "mid"), ("old", "new")]
Prepared = tuple[Comparisons, ConditionRates, Scores]


@pytest.fixture(scope="module")
def prepared(small_study: SimulatedStudy) -> Prepared:
    tables = tables_from_frames(small_study.judgments, small_study.stimuli)
    comparisons = select_comparisons(tables)
    return comparisons, condition_rates(tables), BradleyTerry().fit(comparisons)


def duplicated(comparisons: Comparisons, weights: np.ndarray) -> Comparisons:
    """The comparisons with row k standing `weights[k]` times."""
    rows = np.repeat(np.arange(len(comparisons)), weights.astype(int))
    return replace(
        comparisons,
        **{
            name: getattr(comparisons, name)[rows] for name in ("first", "second", "score", "source", "rater")
        },
    )


@pytest.mark.parametrize("kind", ["raters", "sources", "cells"])
def test_a_replicate_is_a_fit_of_the_duplicated_rows(prepared: Prepared, kind: str) -> None:
    """Batched and warm-started, a replicate is the single fit of its rows to 1e-8 logits."""
    comparisons, _, scores = prepared
    cluster, number = comparisons.clusters(kind)  # type: ignore[arg-type]
    counts = np.random.default_rng(1).multinomial(number, np.full(number, 1 / number), 6).astype(float)
    refits = BradleyTerry().refit(comparisons, cluster, counts, scores)
    wins = resampled_wins(comparisons, cluster, counts)
    for i in range(6):
        rows = duplicated(comparisons, counts[i][cluster])
        np.testing.assert_allclose(wins[i], rows.wins(), atol=1e-9)
        alone = BradleyTerry().fit(rows)
        assert refits.prior_used[i] == (alone.prior is not None)
        np.testing.assert_allclose(refits.theta[i], alone.theta, atol=1e-8)
        np.testing.assert_allclose(refits.variance[i], alone.variance, rtol=1e-6)


def test_a_cell_is_one_rater_on_one_source(prepared: Prepared) -> None:
    """Cells number the pairs of rater and source that occur."""
    comparisons = prepared[0]
    cell, number = comparisons.clusters("cells")
    pairs = {(r, s) for r, s in zip(comparisons.rater.tolist(), comparisons.source.tolist(), strict=True)}
    assert number == len(pairs)
    for k in range(number):
        assert len(set(comparisons.rater[cell == k])) == len(set(comparisons.source[cell == k])) == 1


def test_everything_is_refitted(prepared: Prepared) -> None:
    """A replicate's ln ratio is that of the curves through its own scores and its own rates."""
    comparisons, rates, scores = prepared
    result = bootstrap(comparisons, rates, scores, BradleyTerry(), PAIRS, replicates=100, seed=9)
    number = len(comparisons.sources)
    rng = np.random.default_rng(np.random.SeedSequence(9).spawn(3)[1])
    counts = rng.multinomial(number, np.full(number, 1 / number), 100).astype(float)
    refits = BradleyTerry().refit(comparisons, comparisons.source, counts, scores)
    for i in range(5):
        log_rates = rates.mean("geometric", counts[i : i + 1])
        row = slice(i, i + 1)
        curves = codec_knots(
            refits.theta[row], refits.variance[row], log_rates, comparisons.conditions, rates
        )
        expected = compare_curves(curves["old"].curve(0), curves["new"].curve(0)).log_ratio
        assert result.resampled["sources"].ratios["old", "new"].value[i] == pytest.approx(expected, abs=1e-9)


def test_the_seed_decides_every_bit(prepared: Prepared) -> None:
    """The same seed gives the same bits, another seed others."""
    runs = [bootstrap(*prepared[:3], BradleyTerry(), PAIRS, replicates=150, seed=seed) for seed in (3, 3, 4)]
    for kind in ("raters", "sources", "cells"):
        first, again, other = (run.resampled[kind] for run in runs)
        assert first.elo.tobytes() == again.elo.tobytes()
        assert first.elo.tobytes() != other.elo.tobytes()


def test_replicates_are_a_prefix_of_more_replicates(prepared: Prepared) -> None:
    """Asking for more replicates adds to the ones that were drawn."""
    few = bootstrap(*prepared, BradleyTerry(), PAIRS, replicates=120, seed=3).resampled["raters"].elo
    many = bootstrap(*prepared, BradleyTerry(), PAIRS, replicates=230, seed=3).resampled["raters"].elo
    np.testing.assert_array_equal(few, many[:120])


def made(kind: str, clusters: int, spread: float, censored: np.ndarray | None = None) -> Resampled:
    """A resampling whose Elo and ln ratio have exactly the variance `spread`^2."""
    value = spread * np.tile([1.0, -1.0], 50) * np.sqrt(99 / 100)
    none = np.zeros(100, dtype=np.int8) if censored is None else censored
    ratios = LogRatios(value, none, np.ones(100), np.zeros(100), np.ones(100))
    return Resampled(kind, clusters, value[:, None], {("a", "t"): ratios}, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raters", "sources", "cells", "variance"),
    [(2.0, 3.0, 1.5, 4 + 9 - 2.25), (2.0, 3.0, 2.5, 9.0), (3.0, 2.0, 4.0, 9.0)],
)
def test_the_multiway_variance(raters: float, sources: float, cells: float, variance: float) -> None:
    """V = raters + sources - cells, not under the larger of the first two; t with the fewest clusters less
    one."""
    many = 10**9  # so that the correction clusters / (clusters - 1) vanishes
    ways = {"raters": made("raters", many, raters), "cells": made("cells", many, cells)}
    result = Bootstrap(100, 0, {**ways, "sources": made("sources", many, sources)})  # type: ignore[dict-item]
    interval = result.log_ratio_interval(("a", "t"), 0.5, 0.95)
    assert interval.standard_error == pytest.approx(np.sqrt(variance))
    assert result.elo_standard_errors(np.eye(1))[0] == pytest.approx(np.sqrt(variance))
    few = Bootstrap(100, 0, {**ways, "sources": made("sources", 8, sources)})  # type: ignore[dict-item]
    assert few.degrees_of_freedom == 7
    expected = np.sqrt(max(raters**2 + sources**2 * 8 / 7 - cells**2, raters**2, sources**2 * 8 / 7))
    interval = few.log_ratio_interval(("a", "t"), 0.5, 0.95)
    assert interval.high - 0.5 == pytest.approx(stats.t.ppf(0.975, 7) * expected)
    assert 0.5 - interval.low == pytest.approx(interval.high - 0.5)


def test_censored_replicates_open_a_limit_and_are_never_dropped() -> None:
    """More censored replicates on a side than its tail holds leave that limit open; fewer only count."""
    below = np.zeros(100, dtype=np.int8)
    below[:4] = -1
    ways = {kind: made(kind, 50, 1.0) for kind in ("raters", "cells")}
    result = Bootstrap(100, 0, {**ways, "sources": made("sources", 50, 1.0, below)})  # type: ignore[dict-item]
    interval = result.log_ratio_interval(("a", "t"), 0.0, 0.95)
    assert interval.low == -np.inf
    assert np.isfinite(interval.high)
    assert result.censored(("a", "t")) == {"raters": 0, "cells": 0, "sources": 4}
    assert np.isfinite(result.log_ratio_interval(("a", "t"), 0.0, 0.9).low)


def test_one_source_is_fixed_and_one_rater_too() -> None:
    """A kind with one cluster is not resampled; with one of both there is no interval."""
    study = simulate_study(2, savings={"old": 1.0, "new": 1.4}, sources=1, raters=12, judgments=900)
    tables = tables_from_frames(study.judgments, study.stimuli)
    comparisons, rates = select_comparisons(tables), condition_rates(tables)
    scores = BradleyTerry().fit(comparisons)
    result = bootstrap(comparisons, rates, scores, BradleyTerry(), [("old", "new")], replicates=100)
    assert set(result.resampled) == {"raters"}
    assert result.degrees_of_freedom == 11
    alone = replace(comparisons, raters=("one",), rater=np.zeros_like(comparisons.rater))
    nothing = bootstrap(alone, rates, scores, BradleyTerry(), [("old", "new")], replicates=100)
    assert np.isnan(nothing.log_ratio_interval(("old", "new"), 0.1, 0.95).low)


def test_clustered_answers_widen_the_interval() -> None:
    """Effects of sources and raters raise the standard error above that of single judgments."""
    study = simulate_study(6, judgments=4000, sources=20, raters=40, source_effect=80.0, rater_effect=80.0)
    tables = tables_from_frames(study.judgments, study.stimuli)
    comparisons, rates = select_comparisons(tables), condition_rates(tables)
    scores = BradleyTerry().fit(comparisons)
    result = bootstrap(comparisons, rates, scores, BradleyTerry(), [("alpha", "delta")], replicates=300)
    spread = {kind: r.ratios["alpha", "delta"].value.std() for kind, r in result.resampled.items()}
    assert spread["raters"] > 1.1 * spread["cells"]
    assert spread["sources"] > 1.3 * spread["cells"]
