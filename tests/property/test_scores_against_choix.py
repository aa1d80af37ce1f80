"""Bradley-Terry scores against an independent solver, and what must hold for any comparisons."""

from __future__ import annotations

import choix
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.bradley_terry import BradleyTerry, components, maximise, strongly_connected
from analysis.elo import ELO_PER_LOGIT, elo
from analysis.judgments import Comparisons


def comparisons_of(games: list[tuple[int, int, float]], size: int) -> Comparisons:
    """Comparisons out of (first, second, score), each judged by a rater and on a source of its own."""
    first, second, score = (np.array(column) for column in zip(*games, strict=True))
    everyone = np.arange(len(games))
    names = tuple(str(i) for i in everyone)
    conditions = tuple(f"c{i}" for i in range(size))
    return Comparisons(conditions, names, names, first, second, score.astype(float), everyone, everyone)


@st.composite
def strongly_connected_games(draw: st.DrawFn) -> tuple[list[tuple[int, int, float]], int]:
    """Games in which everyone, through others, beat everyone: a cycle of wins and any games beside it."""
    size = draw(st.integers(2, 9))
    cycle = [(i, (i + 1) % size, 1.0) for i in draw(st.permutations(range(size)))]
    item = st.integers(0, size - 1)
    game = st.tuples(item, item, st.sampled_from([0.0, 0.5, 1.0])).filter(lambda g: g[0] != g[1])
    return cycle + draw(st.lists(game, max_size=60)), size


@given(strongly_connected_games())
@settings(max_examples=150, deadline=None)
def test_elo_equals_choix(drawn: tuple[list[tuple[int, int, float]], int]) -> None:
    """The maximum of the likelihood is that of choix to 0.1 Elo; a tie is a win for each of half weight."""
    games, size = drawn
    # choix knows no half wins: every game stands twice, a tie once for each side.
    wins = [pair for a, b, s in games for pair in ([(a, b)] * int(2 * s) + [(b, a)] * int(2 - 2 * s))]
    other = choix.ilsr_pairwise(size, wins, alpha=0.0, max_iter=100_000, tol=1e-10)
    scores = BradleyTerry().fit(comparisons_of(games, size))
    assert scores.prior is None
    np.testing.assert_allclose(elo(scores.theta), elo(other), atol=0.1)


@given(strongly_connected_games(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_and_sides_do_not_matter(
    drawn: tuple[list[tuple[int, int, float]], int], random: np.random.Generator
) -> None:
    """Shuffled games with the sides exchanged give the same scores."""
    games, size = drawn
    turned = [(b, a, 1.0 - s) for a, b, s in games]
    random.shuffle(turned)  # type: ignore[arg-type]
    one, two = (BradleyTerry().fit(comparisons_of(g, size)).theta for g in (games, turned))
    np.testing.assert_allclose(one, two, atol=1e-8)


@given(strongly_connected_games())
@settings(max_examples=60, deadline=None)
def test_the_gradient_vanishes_and_the_covariance_inverts_the_information(
    drawn: tuple[list[tuple[int, int, float]], int],
) -> None:
    """At the maximum each condition wins as often as expected; covariance x information is the centring
    matrix."""
    games, size = drawn
    comparisons = comparisons_of(games, size)
    wins = comparisons.wins()
    scores = BradleyTerry().fit(comparisons)
    p = 1.0 / (1.0 + np.exp(scores.theta[None, :] - scores.theta[:, None]))
    totals = wins + wins.T
    np.testing.assert_allclose((totals * p).sum(axis=1), wins.sum(axis=1), atol=1e-6)
    information = np.diag((totals * p * (1 - p)).sum(axis=1)) - totals * p * (1 - p)
    centring = np.eye(size) - 1.0 / size
    np.testing.assert_allclose(scores.covariance @ information, centring, atol=1e-5)


def games_of_any_kind() -> st.SearchStrategy[np.ndarray]:
    """Win matrices with many zeros, so that many are separated or disconnected."""
    size = st.integers(2, 7)
    return size.flatmap(
        lambda n: st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=n * n, max_size=n * n).map(
            lambda cells: np.array(cells, dtype=float).reshape(n, n) * (1 - np.eye(n))
        )
    )


@given(games_of_any_kind())
@settings(max_examples=200, deadline=None)
def test_the_batched_check_of_connection_equals_scipy(wins: np.ndarray) -> None:
    """Strong connection by reachability is strong connection by components."""
    assert strongly_connected(wins[None])[0] == (len(components(wins, strongly=True)) == 1)


@given(games_of_any_kind())
@settings(max_examples=150, deadline=None)
def test_a_prior_makes_any_win_matrix_finite(wins: np.ndarray) -> None:
    """Separated and even disconnected matrices have a maximum under the prior, with the gradient zero
    there."""
    ridge = BradleyTerry().ridge
    theta, covariance = maximise(wins[None], np.array([ridge]), np.zeros(len(wins)))
    p = 1.0 / (1.0 + np.exp(theta[0][None, :] - theta[0][:, None]))
    gradient = wins.sum(axis=1) - ((wins + wins.T) * p).sum(axis=1) - ridge * theta[0]
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)
    assert np.abs(theta * ELO_PER_LOGIT).max() < 5000
    assert (np.linalg.eigvalsh(covariance[0]) > -1e-8).all()
