"""BD-rates of known curves, and what is said where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from analysis.bdrate import bd_rate, compare_curves, log_ratios
from analysis.curves import Curve, Knots, knots
from analysis.errors import BadCurveError, InsufficientOverlapError

RATES = [0.1, 0.2, 0.4, 0.8]
ELO = [1300.0, 1450.0, 1560.0, 1620.0]


def curve(rates: list[float], quality: list[float]) -> Curve:
    """A curve from points, all of one weight."""
    r, q = np.log([rates]), np.array([quality])
    return knots(q, r, np.ones_like(r)).curve(0)


def test_half_the_bits_everywhere() -> None:
    """A codec with the same quality at half the rate: -50 %, factor 2, and +100 % the other way."""
    result = bd_rate(RATES, ELO, [r / 2 for r in RATES], ELO)
    assert result.percent == pytest.approx(-50)
    assert result.savings == pytest.approx(2)
    assert result.reverse_percent == pytest.approx(100)
    assert result.overlap == 1
    assert result.status == "ok"


def test_twenty_per_cent_more_is_seventeen_per_cent_less_the_other_way() -> None:
    """The two directions of one comparison."""
    result = bd_rate(RATES, ELO, [r * 1.2 for r in RATES], ELO)
    assert result.percent == pytest.approx(20)
    assert result.reverse_percent == pytest.approx(-100 / 6)


def test_the_curve_is_scipys_pchip() -> None:
    """Between knots ln rate follows PchipInterpolator."""
    ours = curve(RATES, ELO)
    theirs = PchipInterpolator(ELO, np.log(RATES))
    at = np.linspace(1300, 1620, 97)
    np.testing.assert_allclose(ours.log_rate_at(at), theirs(at), atol=1e-12)


def test_a_tied_block_is_one_knot_at_its_weighted_mean_rate() -> None:
    """Quality that falls while rate rises is pooled, and ln rate with it, by the same weights."""
    quality, rate = np.array([[1.0, 4.0, 2.0, 5.0]]), np.array([[0.0, 1.0, 2.0, 3.0]])
    fitted = knots(quality, rate, np.array([[1.0, 1.0, 3.0, 1.0]])).curve(0)
    assert fitted.quality.tolist() == pytest.approx([1.0, 2.5, 5.0])
    assert fitted.log_rate.tolist() == pytest.approx([0.0, 1.75, 3.0])
    assert fitted.violations == 1


@pytest.mark.parametrize(
    ("shift", "status", "overlap"),
    [(0, "ok", 1.0), (150, "ok", 0.53125), (180, "flagged", 0.4375), (250, "refused", 0.21875),
     (320, "no_overlap", 0.0), (400, "no_overlap", 0.0)],
)  # fmt: skip
def test_the_rule_of_overlap(shift: float, status: str, overlap: float) -> None:
    """Under a half flagged, under a quarter refused, none: bounds."""
    result = compare_curves(curve(RATES, ELO), curve(RATES, [q + shift for q in ELO]))
    assert result.status == status
    assert result.overlap == pytest.approx(overlap)
    assert math.isnan(result.log_ratio) == (status in ("refused", "no_overlap"))
    if status in ("refused", "no_overlap"):
        with pytest.raises(InsufficientOverlapError, match="share"):
            bd_rate(RATES, ELO, RATES, [q + shift for q in ELO])


def test_overlap_is_over_the_narrower_curve() -> None:
    """A narrow curve within a wide one overlaps wholly."""
    assert compare_curves(curve(RATES, ELO), curve([0.2, 0.3], [1400.0, 1500.0])).overlap == 1


def test_curves_apart_are_bounded_from_one_side() -> None:
    """A test wholly above: at the qualities between, it needs at most its lowest over the anchor's highest
    rate."""
    above = compare_curves(curve(RATES, ELO), curve([0.2, 0.4], [1700.0, 1800.0]))
    assert (above.ratio_low, above.ratio_high) == (0.0, pytest.approx(0.25))
    below = compare_curves(curve([0.2, 0.4], [1700.0, 1800.0]), curve(RATES, ELO))
    assert (below.ratio_low, below.ratio_high) == (pytest.approx(4.0), math.inf)


def test_single_points_are_bounded_by_their_neighbours() -> None:
    """One point within a curve lies between two of its rate points; two single points bound one side."""
    within = compare_curves(curve(RATES, ELO), curve([0.15], [1500.0]))
    assert within.status == "single_point"
    assert (within.ratio_low, within.ratio_high) == (pytest.approx(0.15 / 0.4), pytest.approx(0.15 / 0.2))
    two = compare_curves(curve([0.3], [1500.0]), curve([0.2], [1600.0]))
    assert (two.ratio_low, two.ratio_high) == (0.0, pytest.approx(2 / 3))


def test_a_curve_that_does_not_rise_bounds_nothing() -> None:
    """Several rate points pooled into one knot: monotony, which the bounds rest on, does not hold."""
    flat = curve(RATES, [1500.0, 1480.0, 1460.0, 1440.0])
    for result in (compare_curves(curve(RATES, ELO), flat), compare_curves(flat, flat)):
        assert result.status == "single_point"
        assert (result.ratio_low, result.ratio_high) == (0.0, math.inf)


@pytest.mark.parametrize(
    ("rates", "quality", "said"),
    [
        ([0.1], [1.0], "at least two rate points, and there is 1"),
        ([0.1, 0.1], [1.0, 2.0], "at least two rate points, and there is 1"),
        ([0.1, 0.2], [1.0], "2 rates and 1 qualities"),
        ([0.1, 0.0], [1.0, 2.0], "above zero"),
        ([0.1, math.nan], [1.0, 2.0], "above zero"),
        ([0.1, 0.2], [1.0, math.nan], "finite"),
        ([0.1, 0.2], [2.0, 1.0], "quality does not rise"),
    ],
)
def test_points_that_are_no_curve_are_named(rates: list[float], quality: list[float], said: str) -> None:
    """Anchor and test are told apart in the message."""
    with pytest.raises(BadCurveError, match=f"anchor: .*{said}"):
        bd_rate(rates, quality, RATES, ELO)
    with pytest.raises(BadCurveError, match=f"test: .*{said}"):
        bd_rate(RATES, ELO, rates, quality)


def test_an_unknown_method_is_named() -> None:
    """Cubic polynomials, which overshoot, are not on offer."""
    with pytest.raises(BadCurveError, match="method 'cubic'"):
        bd_rate(RATES, ELO, RATES, ELO, method="cubic")  # type: ignore[arg-type]


def test_batched_ratios_are_the_single_ones() -> None:
    """Rows that overlap, lie apart on either side and are single points, in one batch."""
    rng = np.random.default_rng(4)
    rows = 400
    rate = np.tile(np.log(RATES), (rows, 1))
    one = knots(np.array(ELO) + rng.normal(0, 60, (rows, 4)), rate, np.ones((rows, 4)))
    moved = np.array(ELO) + rng.choice([-500, -100, 0, 100, 500], (rows, 1)) + rng.normal(0, 120, (rows, 4))
    two = knots(moved, rate, np.ones((rows, 4)))
    batch = log_ratios(one, two)
    seen = set()
    for i in range(rows):
        anchor, test = one.curve(i), two.curve(i)
        single = compare_curves(anchor, test)
        seen.add(single.status)
        if single.status in ("ok", "flagged"):
            assert batch.value[i] == pytest.approx(single.log_ratio, abs=1e-12)
            assert batch.censored[i] == 0
        elif single.status == "no_overlap":
            above = test.low >= anchor.high
            assert batch.censored[i] == (-1 if above else 1)
            bound = single.ratio_high if above else single.ratio_low
            assert batch.value[i] == pytest.approx(math.log(bound))
    assert {"ok", "flagged", "refused", "no_overlap"} <= seen


def test_a_single_point_within_the_other_curve_is_unknown_in_a_batch() -> None:
    """Nothing bounds it on one side alone, so the value is NaN."""
    point = Knots(np.array([[1500.0]]), np.array([[-1.0]]), np.array([1]))
    wide = Knots(np.array([[1400.0, 1600.0]]), np.array([[-2.0, 0.0]]), np.array([2]))
    assert np.isnan(log_ratios(wide, point).value[0])
