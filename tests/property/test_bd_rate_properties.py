"""What must hold for the BD-rate of any two curves."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.interpolate import PchipInterpolator
from sklearn.isotonic import IsotonicRegression

from analysis.bdrate import BDRate, bd_rate
from analysis.curves import isotonic, knots
from analysis.errors import InsufficientOverlapError

Points = tuple[np.ndarray, np.ndarray]


@st.composite
def points(draw: st.DrawFn) -> Points:
    """Rates that rise by at least 5 %, and qualities that mostly rise."""
    count = draw(st.integers(2, 8))
    steps = draw(st.lists(st.floats(0.05, 0.8), min_size=count, max_size=count))
    rises = draw(st.lists(st.floats(-30.0, 150.0), min_size=count, max_size=count))
    start = draw(st.floats(1200.0, 1350.0))
    return 0.05 * np.exp(np.cumsum(steps)), start + np.cumsum(rises)


def compared(anchor: Points, test: Points) -> BDRate:
    """The BD-rate, where there is one."""
    for rates, quality in (anchor, test):
        fitted = IsotonicRegression().fit_transform(np.log(rates), quality)
        assume(np.ptp(fitted) > 1.0)
    try:
        return bd_rate(*anchor, *test)
    except InsufficientOverlapError:
        assume(False)
        raise


@given(points(), points(), st.floats(0.01, 50.0), st.floats(-2000.0, 2000.0))
@settings(max_examples=200, deadline=None)
def test_an_affine_map_of_quality_changes_nothing(a: Points, t: Points, scale: float, shift: float) -> None:
    """A BD-rate does not depend on the unit or the zero of quality."""
    plain = compared(a, t)
    mapped = bd_rate(a[0], scale * a[1] + shift, t[0], scale * t[1] + shift)
    assert mapped.log_ratio == pytest.approx(plain.log_ratio, abs=1e-9)
    assert mapped.overlap == pytest.approx(plain.overlap, abs=1e-9)


@given(points(), points(), st.floats(0.1, 10.0))
@settings(max_examples=100, deadline=None)
def test_rates_in_another_unit_and_a_scaled_codec(a: Points, t: Points, factor: float) -> None:
    """A unit of rate cancels; a codec with `factor` times the bits shifts the ln ratio by ln `factor`."""
    plain = compared(a, t)
    assert bd_rate(7.0 * a[0], a[1], 7.0 * t[0], t[1]).log_ratio == pytest.approx(plain.log_ratio, abs=1e-9)
    shifted = bd_rate(a[0], a[1], factor * t[0], t[1])
    assert shifted.log_ratio == pytest.approx(plain.log_ratio + np.log(factor), abs=1e-9)


@given(points(), points())
@settings(max_examples=100, deadline=None)
def test_the_other_way_is_the_inverse(a: Points, t: Points) -> None:
    """Exchanging the roles turns the sign; per cent and factor agree with each other."""
    there = compared(a, t)
    back = bd_rate(*t, *a)
    assert back.log_ratio == pytest.approx(-there.log_ratio, abs=1e-12)
    assert back.percent == pytest.approx(there.reverse_percent, abs=1e-9)
    assert there.savings == pytest.approx(1.0 / (1.0 + there.percent / 100.0), rel=1e-12)


@given(points(), points())
@settings(max_examples=100, deadline=None)
def test_equals_scipy_with_numeric_integration(a: Points, t: Points) -> None:
    """scikit-learn's isotonic regression, SciPy's PCHIP and adaptive quadrature give the same number."""
    result = compared(a, t)

    def curve(rates: np.ndarray, quality: np.ndarray) -> PchipInterpolator:
        fitted = IsotonicRegression().fit_transform(np.log(rates), quality)
        # Whether a rise of 1e-7 Elo is a tie is each solver's own affair.
        rises = np.diff(fitted)
        assume(((rises < 1e-10) | (rises > 1e-4)).all())
        levels = np.unique(np.round(fitted, 7))
        nearest = np.abs(fitted[:, None] - levels[None, :]).argmin(axis=1)
        mean = [np.log(rates)[nearest == i].mean() for i in range(len(levels))]
        return PchipInterpolator(levels, mean)

    one, two = curve(*a), curve(*t)
    low, high = max(one.x[0], two.x[0]), min(one.x[-1], two.x[-1])
    inside = sorted({x for x in (*one.x, *two.x) if low < x < high})
    edges = [low, *inside, high]
    area = sum(quad(lambda q: two(q) - one(q), p, q)[0] for p, q in pairwise(edges))
    assert result.log_ratio == pytest.approx(area / (high - low), abs=1e-5)


@given(points(), points())
@settings(max_examples=100, deadline=None)
def test_monotony_bounds_hold_the_bd_rate(a: Points, t: Points) -> None:
    """The mean ratio lies within the bounds that the knots alone imply."""
    result = compared(a, t)
    assert np.log(result.ratio_low) - 1e-9 <= result.log_ratio <= np.log(result.ratio_high) + 1e-9


values = st.lists(st.floats(-100.0, 100.0), min_size=1, max_size=9)


@given(values, st.data())
@settings(max_examples=200, deadline=None)
def test_isotonic_equals_scikit_learn(quality: list[float], data: st.DataObject) -> None:
    """The max-min formula gives the same fit as pool adjacent violators."""
    weights = data.draw(st.lists(st.floats(0.05, 20.0), min_size=len(quality), max_size=len(quality)))
    y, w = np.array(quality), np.array(weights)
    other = IsotonicRegression().fit_transform(np.arange(len(y)), y, sample_weight=w)
    np.testing.assert_allclose(isotonic(y[None], w[None])[0], other, atol=1e-8)


@given(points(), st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_a_batch_of_knots_is_its_rows(curve: Points, copies: int) -> None:
    """Rows of a batch do not touch each other."""
    rng = np.random.default_rng(copies)
    quality = curve[1] + rng.normal(0.0, 40.0, (copies, len(curve[1])))
    rates = np.tile(np.log(curve[0]), (copies, 1))
    weights = rng.uniform(0.5, 2.0, quality.shape)
    together = knots(quality, rates, weights)
    for i in range(copies):
        alone = knots(quality[i : i + 1], rates[i : i + 1], weights[i : i + 1]).curve(0)
        assert np.array_equal(together.curve(i).quality, alone.quality)
        assert np.array_equal(together.curve(i).log_rate, alone.log_rate)
        assert (np.diff(alone.quality) > 0).all()
        assert (np.diff(alone.log_rate) > 0).all()
