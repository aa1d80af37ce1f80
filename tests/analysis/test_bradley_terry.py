"""Scores where the likelihood has a maximum, where it has none, and where no scale exists."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis.bradley_terry import BradleyTerry, maximise
from analysis.elo import ELO_PER_LOGIT, elo, win_probability
from analysis.errors import DisconnectedGraphError
from analysis.judgments import Comparisons, comparisons_from_rows
from analysis.simulation import simulate_study, true_theta


def comparisons_of(*games: tuple[str, str, str]) -> Comparisons:
    """Comparisons out of (condition, condition, choice)."""
    rows = pd.DataFrame(games, columns=["condition_a", "condition_b", "choice"])
    rows["source"], rows["rater"] = "s", "r"
    return comparisons_from_rows(rows, "real", {})


def test_two_conditions_have_the_log_odds() -> None:
    """Three wins to one are ln 3 apart, with the variance 1/3 + 1."""
    scores = BradleyTerry().fit(comparisons_of(*[("x", "y", "a")] * 3, ("x", "y", "b")))
    assert scores.theta[0] - scores.theta[1] == pytest.approx(math.log(3), abs=1e-12)
    contrast = np.array([1.0, -1.0])
    assert contrast @ scores.covariance @ contrast == pytest.approx(1 / 3 + 1, abs=1e-9)


def test_400_elo_are_odds_of_ten_to_one() -> None:
    """The scale: ELO_PER_LOGIT logits and the chance to win agree."""
    assert win_probability(1900, 1500) == pytest.approx(10 / 11)
    assert elo(np.array([0.0, math.log(10)])).tolist() == pytest.approx([1300, 1700])
    assert elo(np.array([0.0, math.log(10)]), zero=0).tolist() == pytest.approx([1500, 1900])


def test_a_disconnected_graph_is_refused_with_its_components() -> None:
    """Groups that were never compared have no common scale, whatever the prior."""
    games = [("x1", "x2", "a"), ("x2", "x1", "a"), ("y1", "y2", "a"), ("y2", "y1", "a")]
    with pytest.raises(DisconnectedGraphError, match=r"2 groups .*: x1, x2 \| y1, y2") as caught:
        BradleyTerry().fit(comparisons_of(*games))
    assert caught.value.components == (("x1", "x2"), ("y1", "y2"))


def test_separated_data_get_a_stated_prior_and_their_groups_in_order() -> None:
    """Where one group never lost to the other, scores are finite, the prior is named, strongest group
    first."""
    games = [("x1", "x2", "a"), ("x2", "x1", "a"), ("y1", "y2", "a"), ("y2", "y1", "a")]
    games += [("x1", "y1", "b")] * 20
    scores = BradleyTerry().fit(comparisons_of(*games))
    assert scores.prior is not None
    assert "1000 Elo" in scores.prior
    assert scores.separated == (("y1", "y2"), ("x1", "x2"))
    assert 400 < (scores.theta[2] - scores.theta[0]) * ELO_PER_LOGIT < 3000


def test_the_prior_is_the_gaussian_it_says() -> None:
    """One win of x over y under standard deviation s: 1 - P = (theta_x - theta_y) / 2 s^2."""
    model = BradleyTerry(prior_elo=500.0)
    scores = model.fit(comparisons_of(("x", "y", "a")))
    difference = scores.theta[0] - scores.theta[1]
    deviation = 500.0 / ELO_PER_LOGIT
    assert 1 - 1 / (1 + math.exp(-difference)) == pytest.approx(difference / 2 / deviation**2, rel=1e-8)


def test_very_unequal_data_converge() -> None:
    """A chain in which each condition beats the next 2,000 to 1, ten long: Newton needs its damping."""
    games = [(f"c{i}", f"c{i + 1}", "a") for i in range(10) for _ in range(2000)]
    games += [(f"c{i}", f"c{i + 1}", "b") for i in range(10)]
    scores = BradleyTerry().fit(comparisons_of(*games))
    order = np.argsort([int(name[1:]) for name in scores.conditions])
    assert -np.diff(scores.theta[order]) == pytest.approx([math.log(2000)] * 10, rel=1e-6)


def test_scores_find_the_truth_of_a_large_study() -> None:
    """200,000 judgments leave an error of a few Elo."""
    study = simulate_study(1, judgments=200_000)
    rows = study.judgments
    comparisons = comparisons_from_rows(rows, "simulated", {})
    scores = BradleyTerry().fit(comparisons)
    error = elo(scores.theta) - elo(true_theta(study.elo, comparisons.conditions))
    assert np.abs(error).max() < 15
    assert np.sqrt((error**2).mean()) == pytest.approx(
        ELO_PER_LOGIT * np.sqrt(scores.variance.mean()), rel=0.5
    )


def test_any_start_leads_to_the_maximum() -> None:
    """From scores so wrong that the information underflows to zero, Newton still arrives."""
    wins = np.array([[0.0, 3.0, 1.0], [1.0, 0.0, 2.0], [2.0, 1.0, 0.0]])
    near, covariance = maximise(wins[None], np.zeros(1), np.zeros(3))
    for start in ([40.0, -40.0, 0.0], [-150.0, 120.0, 0.0], [20.0, 0.0, -19.0]):
        far, again = maximise(wins[None], np.zeros(1), np.array(start))
        np.testing.assert_allclose(far, near, atol=1e-9)
        np.testing.assert_allclose(again, covariance, atol=1e-9)


def test_the_covariance_is_of_scores_that_sum_to_zero() -> None:
    """Its rows sum to zero, with a prior and without."""
    for games in ([("x", "y", "a"), ("y", "z", "a"), ("z", "x", "a")], [("x", "y", "a"), ("y", "z", "a")]):
        scores = BradleyTerry().fit(comparisons_of(*games))
        np.testing.assert_allclose(scores.covariance.sum(axis=1), 0.0, atol=1e-9)
        assert scores.theta.sum() == pytest.approx(0.0, abs=1e-12)
