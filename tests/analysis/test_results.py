"""Results of a study as objects: the zero, the seams for other models, and the meeting with the original."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.bradley_terry import BradleyTerry
from analysis.document import results_document
from analysis.elo import ELO_PER_LOGIT
from analysis.errors import AnalysisError
from analysis.judgments import Comparisons, tables_from_frames
from analysis.results import Options, analyse_study
from analysis.scaling import Floats, Refits, Scores
from analysis.simulation import SimulatedStudy, simulate_study


def test_intervals_are_of_the_difference_to_the_zero() -> None:
    """Of two conditions, one as the zero gives the other twice the error it has about their mean."""
    study = simulate_study(4, savings={"a": 1.0, "b": 1.4}, ladder=(0.2,), judgments=800)
    tables = tables_from_frames(study.judgments, study.stimuli)
    mean = analyse_study(tables, Options(anchor="a", replicates=100))
    fixed = analyse_study(tables, Options(anchor="a", replicates=100, zero="a@0.2"))
    about_mean, about_a = mean.conditions[1], fixed.conditions[1]
    assert about_a.condition == "b@0.2"
    assert about_a.standard_error == pytest.approx(2 * about_mean.standard_error)
    assert about_a.model_standard_error == pytest.approx(2 * about_mean.model_standard_error)
    assert about_a.elo - 1500 == pytest.approx(2 * (about_mean.elo - 1500))
    # The zero keeps its distance from the mean.
    assert fixed.conditions[0].standard_error == pytest.approx(mean.conditions[0].standard_error)
    assert about_a.high_99 - about_a.low_99 > about_a.high - about_a.low


def test_model_errors_are_those_of_contrasts(small_study: SimulatedStudy) -> None:
    """With a zero, the variance of a difference: C_ii + C_zz - 2 C_iz."""
    tables = tables_from_frames(small_study.judgments, small_study.stimuli)
    result = analyse_study(tables, Options(anchor="old", replicates=100))
    covariance, names = result.scores.covariance, result.scores.conditions
    z = names.index("reference")
    for score in result.conditions:
        i = names.index(score.condition)
        if i != z:
            variance = covariance[i, i] + covariance[z, z] - 2 * covariance[i, z]
            assert score.model_standard_error == pytest.approx(ELO_PER_LOGIT * np.sqrt(variance))


class Doubled:
    """Another scaling model: Bradley-Terry stretched by two."""

    name = "Bradley-Terry, doubled"
    prior = "none"

    def fit(self, comparisons: Comparisons) -> Scores:
        scores = BradleyTerry().fit(comparisons)
        return Scores(scores.conditions, 2 * scores.theta, 4 * scores.covariance, None)

    def refit(
        self, comparisons: Comparisons, cluster: NDArray[np.intp], counts: Floats, scores: Scores
    ) -> Refits:
        start = Scores(scores.conditions, scores.theta / 2, scores.covariance / 4, None)
        refits = BradleyTerry().refit(comparisons, cluster, counts, start)
        return Refits(2 * refits.theta, 4 * refits.variance, refits.prior_used)


def test_any_scaling_model_fits_in(small_study: SimulatedStudy) -> None:
    """A model that stretches the scale changes Elo and no BD-rate, interval included."""
    tables = tables_from_frames(small_study.judgments, small_study.stimuli)
    plain = analyse_study(tables, Options(anchor="old", replicates=100))
    other = analyse_study(tables, Options(anchor="old", replicates=100), model=Doubled())
    assert other.model == "Bradley-Terry, doubled"
    for a, b in zip(plain.codec_comparisons, other.codec_comparisons, strict=True):
        assert b.rate.log_ratio == pytest.approx(a.rate.log_ratio, abs=1e-9)
        assert b.interval.low == pytest.approx(a.interval.low, abs=1e-9)
    assert other.conditions[0].elo - 1500 == pytest.approx(2 * (plain.conditions[0].elo - 1500))


def test_a_lone_codec_is_refused() -> None:
    """A BD-rate compares two."""
    study = simulate_study(4, savings={"a": 1.0}, judgments=400)
    with pytest.raises(AnalysisError, match="'a' is the only codec that was judged"):
        analyse_study(tables_from_frames(study.judgments, study.stimuli), Options(anchor="a"))


def test_ties_alone_give_no_bound(small_study: SimulatedStudy) -> None:
    """Every score is equal, and rounding must not decide which codec needs fewer bits."""
    tables = tables_from_frames(small_study.judgments.assign(choice="tie"), small_study.stimuli)
    document = results_document(analyse_study(tables, Options(anchor="old", replicates=100)))
    assert [(row["bound"], row["apart_share"]) for row in document["bd_rates"]] == [("no bound", None)] * 2


def test_a_condition_that_was_never_judged_is_said(small_study: SimulatedStudy) -> None:
    """It has no score, and the curves go without it."""
    rows = small_study.judgments
    without = rows[(rows["condition_a"] != "new@0.8") & (rows["condition_b"] != "new@0.8")]
    tables = tables_from_frames(without, small_study.stimuli)
    result = analyse_study(tables, Options(anchor="old", replicates=100))
    assert result.never_judged == ("new@0.8",)
    assert "new@0.8" not in {score.condition for score in result.conditions}


def test_replicates_that_are_separated_use_the_prior_and_are_counted() -> None:
    """Few sources and few judgments: some draws leave a condition without a loss."""
    study = simulate_study(
        11, savings={"a": 1.0, "b": 1.3}, ladder=(0.1, 0.3, 0.9), sources=4, raters=6, judgments=150
    )
    tables = tables_from_frames(study.judgments, study.stimuli)
    result = analyse_study(tables, Options(anchor="a", replicates=200))
    assert result.scores.prior is None
    assert sum(kind.prior_used for kind in result.resampled.resampled.values()) > 0
    assert all(np.isfinite(kind.elo).all() for kind in result.resampled.resampled.values())


def test_a_limit_beyond_every_number_is_open() -> None:
    """Two raters on two sources at a confidence of 99.999 %: t is 63,662, and a ratio of e^10000 is none."""
    study = simulate_study(
        0, savings={"a": 1.0, "b": 1.5}, ladder=(0.1, 0.2, 0.4), sources=2, raters=2, judgments=60
    )
    tables = tables_from_frames(study.judgments, study.stimuli)
    document = results_document(
        analyse_study(tables, Options(anchor="a", replicates=100, confidence=0.99999))
    )
    row = document["bd_rates"][0]
    assert row["bd_rate_percent"] is not None
    assert (row["low_is_open"], row["high_is_open"]) == (True, True)
    assert [row[name] for name in ("bd_rate_low", "bd_rate_high", "savings_low", "savings_high")] == [
        None
    ] * 4
