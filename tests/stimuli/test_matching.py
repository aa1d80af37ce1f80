"""The search on size functions whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimuli.codecs.base import Scale
from stimuli.matching import (
    MOST_FAILURES,
    MOST_TRIES,
    Failed,
    FailedTry,
    Match,
    Point,
    Prior,
    ReversedScaleError,
    match_targets,
    prior_from,
)

TOLERANCE = 0.01


def search(
    size: Callable[..., float], scales: Sequence[Scale], targets: Sequence[float]
) -> tuple[tuple[Match, ...], dict[Point, int]]:
    """Match on a size function, keeping every try, and refusing a try that was made before."""
    tries: dict[Point, int] = {}

    def measure(point: Point) -> int:
        assert point not in tries, "a try was made twice"
        for scale, value in zip(scales, point, strict=True):
            assert scale.low <= value <= scale.high
            assert scale.snap(value) == value
        tries[point] = max(1, round(size(*point)))
        return tries[point]

    matches = match_targets(scales, targets, TOLERANCE, measure)
    assert all(isinstance(match, Match) for match in matches)
    return tuple(match for match in matches if isinstance(match, Match)), tries


@given(
    steepness=st.floats(0.01, 0.12),
    bend=st.floats(-0.4, 0.4),
    start=st.floats(0, 100),
    increasing=st.booleans(),
    shares=st.lists(st.floats(0.02, 0.98), min_size=1, max_size=6, unique=True),
)
def test_smooth_monotone_sizes_are_matched_in_few_tries(
    steepness: float, bend: float, start: float, increasing: bool, shares: list[float]
) -> None:
    """A smooth curve is met within the tolerance, wherever the search starts and however it bends."""

    def size(quality: float) -> float:
        x = (quality if increasing else 100 - quality) / 100
        return 5000 * math.exp(100 * steepness * (x + bend * x * (1 - x)))

    scale = Scale("q", 0, 100, 0.001, increasing=increasing, start=start)
    low, high = (math.log(size(end)) for end in (scale.smallest, scale.largest))
    targets = sorted(math.exp(low + share * (high - low)) for share in shares)
    matches, tries = search(size, [scale], targets)
    assert [match.status for match in matches] == ["matched"] * len(targets)
    assert len(tries) <= 3 + 5 * len(targets)


@given(
    ratio=st.floats(1.02, 1.25),
    wobble=st.floats(0, 0.2),
    shares=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=5, unique=True),
)
def test_coarse_steps_are_bridged_by_the_fine_scale(ratio: float, wobble: float, shares: list[float]) -> None:
    """Steps of up to 25 % are bridged, with a fine scale whose effect depends on the coarse value."""

    def size(quality: float, fine: float) -> float:
        local = 1 + wobble * math.sin(quality)
        return 4000 * ratio**quality * math.exp(0.0016 * local * (fine - 100))

    scales = [Scale("q", 0, 40, 1, start=20), Scale("f", 0, 300, 1, start=100, reach=(0.14, 0.3))]
    targets = sorted(4000 * ratio ** (40 * share) for share in shares)
    matches, tries = search(size, scales, targets)
    assert [match.status for match in matches] == ["matched"] * len(targets)
    assert len(tries) <= 3 + 6 * len(targets)


@given(step=st.floats(0.03, 0.3), share=st.floats(0.1, 0.9))
def test_a_staircase_gives_its_nearest_stair(step: float, share: float) -> None:
    """Where the steps are too coarse, the answer is as near as any value of the whole range."""

    def size(quality: float) -> float:
        return 3000 * math.exp(step * math.floor(quality))

    scale = Scale("q", 0, 20, 0.125, start=3)
    target = 3000 * math.exp(20 * step * share)
    (match,), _ = search(size, [scale], [target])
    nearest = min(abs(round(size(quality)) / target - 1) for quality in range(21))
    assert abs(match.residual) == pytest.approx(nearest)
    assert match.reachable
    assert match.status == ("matched" if nearest <= TOLERANCE else match.status)
    if nearest > 0.02:
        assert match.status == ("unreachable_low" if match.residual > 0 else "unreachable_high")
    elif nearest > TOLERANCE:
        assert match.status == "near"


@given(
    noise=st.lists(st.floats(-0.03, 0.03), min_size=201, max_size=201),
    shares=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=4, unique=True),
)
def test_noise_never_breaks_the_answer(noise: list[float], shares: list[float]) -> None:
    """On sizes that go up and down the answer is the best whole try, within the budget, and honest."""

    def size(quality: float) -> float:
        return 2000 * math.exp(0.04 * quality + noise[round(quality * 2)])

    targets = sorted(2000 * math.exp(4 * share) for share in shares)
    matches, tries = search(size, [Scale("q", 0, 100, 0.5)], targets)
    assert len(tries) == sum(match.encodes for match in matches)
    for match, target in zip(matches, targets, strict=True):
        assert match.size == tries[match.point]
        assert match.residual == match.size / target - 1
        assert abs(match.residual) == min(abs(size / target - 1) for size in tries.values())
        assert match.encodes <= MOST_TRIES + 2
        assert (match.status == "matched") == (abs(match.residual) <= TOLERANCE)


@given(beyond=st.floats(1.011, 5), scales=st.sampled_from(["one", "two"]))
def test_a_target_outside_the_range_is_said_to_be_with_the_true_end(beyond: float, scales: str) -> None:
    """Below the floor and above the ceiling the kept try is the very end of both ranges."""
    axes = [Scale("q", 10, 60, 1, start=40), Scale("f", -2, 2, 0.1, start=0)]

    def size(quality: float, fine: float = 0) -> float:
        return 1000 * math.exp(0.08 * quality + 0.05 * fine)

    used = axes[:1] if scales == "one" else axes
    floor = round(size(10) if scales == "one" else size(10, -2))
    ceiling = round(size(60) if scales == "one" else size(60, 2))
    (low, high), tries = search(size, used, [floor / beyond, ceiling * beyond])
    assert (low.status, low.reachable, low.size) == ("unreachable_low", False, floor)
    assert (high.status, high.reachable, high.size) == ("unreachable_high", False, ceiling)
    assert len(tries) <= 24


def test_a_target_at_the_end_of_the_range_is_met() -> None:
    def size(quality: float) -> float:
        return 1000 * math.exp(0.05 * quality)

    targets = [size(0) * 0.995, size(0), size(100), size(100) * 1.005]
    matches, _ = search(size, [Scale("q", 0, 100, 1)], targets)
    assert [match.status for match in matches] == ["matched"] * 4
    assert all(match.reachable for match in matches)


def test_a_fine_scale_that_turns_round_is_tried_on_both_sides() -> None:
    """HEIC's adaptive quantisation: at high rates files grow on the other side of the start."""

    def size(quality: float, strength: float) -> float:
        side = 0.16 * (1 - strength) if quality < 50 else 0.16 * (strength - 1)
        return 1000 * math.exp(0.065 * quality + side)

    scales = [
        Scale("q", 0, 100, 2, start=38),
        Scale("s", 0, 2, 0.02, increasing=False, start=1, reach=(0.03, 0.15), turns=True),
    ]
    targets = [size(30, 0.5), size(70, 1.5)]
    matches, _ = search(size, scales, targets)
    assert [match.status for match in matches] == ["matched", "matched"]


@given(
    increasing=st.booleans(),
    start=st.one_of(st.none(), st.integers(0, 63)),
    fine=st.booleans(),
    share=st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]),
)
def test_a_reversed_scale_is_told_before_a_target_is_called_unreachable(
    increasing: bool, start: int | None, fine: bool, share: float
) -> None:
    """Whichever side of the start a target lies on: it is met all the same, or the direction is blamed."""

    def size(quality: float, strength: float = 0) -> float:
        return 20000 * math.exp((-0.06 if increasing else 0.06) * quality + 0.02 * strength)

    scales = [Scale("q", 0, 63, 0.01, increasing=increasing, start=start)]
    if fine:
        scales.append(Scale("f", -2, 2, 1, start=0))
    low, high = sorted((size(0), size(63)))
    target = (low / 2) * (4 * high / low) ** share
    match: Match | None
    try:
        (match,), _ = search(size, scales, [target])
    except ReversedScaleError as error:
        told = str(error)
        match = None
    if match is None:
        assert told.startswith(f"files grow as q {'falls' if increasing else 'rises'}, but")
    else:
        assert match.status == "matched"


def test_a_flat_codec_is_not_called_reversed() -> None:
    """A picture of one colour: a few bytes up or down say nothing of the direction."""
    scale = Scale("q", 0, 100, 1)
    for at_zero, at_hundred in ((56, 46), (46, 46), (46, 56)):
        sizes = {0: at_zero, 50: 50, 100: at_hundred}
        for target in (10, 1000):
            (match,), _ = search(lambda q, sizes=sizes: sizes.get(int(q), 50), [scale], [target])
            assert not match.reachable


def test_the_targets_share_their_tries() -> None:
    """Six targets together cost fewer tries than the six alone."""

    def size(quality: float) -> float:
        return 800 * math.exp(0.03 * quality + 0.2 * math.sin(quality / 20))

    scale = Scale("q", 0, 100, 0.01)
    targets = [size(quality) for quality in (10, 25, 40, 55, 70, 85)]
    _, together = search(size, [scale], targets)
    alone = sum(len(search(size, [scale], [target])[1]) for target in targets)
    assert len(together) < 0.85 * alone


@given(
    low=st.floats(0.1, 50),
    span=st.floats(1, 100),
    step=st.sampled_from([0, 0.01, 0.125, 1.0]),
    increasing=st.booleans(),
    log=st.booleans(),
    at=st.floats(0, 1),
)
def test_scales_snap_into_their_range_and_back(
    low: float, span: float, step: float, increasing: bool, log: bool, at: float
) -> None:
    scale = Scale("q", low, low + span, step, increasing=increasing, log=log)
    value = scale.snap(low + at * span)
    assert scale.low <= value <= scale.high
    assert scale.snap(value) == value
    assert scale.value_at(scale.coordinate(value)) == pytest.approx(value)
    assert scale.coordinate(scale.smallest) < scale.coordinate(scale.largest)
    larger = scale.neighbour(value, 1)
    if larger is not None:
        assert scale.coordinate(larger) > scale.coordinate(value)


@pytest.mark.parametrize(
    ("low", "high", "step", "log"),
    [(5, 5, 1, False), (0, 10, -1, False), (0, 10, 1, True), (0, math.inf, 1, False)],
)
def test_impossible_scales_are_refused(low: float, high: float, step: float, log: bool) -> None:
    with pytest.raises(ValueError, match="scale 'q' needs"):
        Scale("q", low, high, step, log=log)


def curve(shift: float, lean: float = 1.0) -> Callable[[float], float]:
    """Sizes of a source of a codec: steep at low qualities, as of JPEG and WebP."""
    return lambda quality: 900 * math.exp(shift + lean * 4 * math.sqrt(quality / 100))


@given(
    shift=st.floats(-1.5, 1.5),
    lean=st.floats(0.9, 1.1),
    area=st.sampled_from([1, 4]),
    shares=st.lists(st.floats(0.15, 0.85), min_size=2, max_size=5, unique=True),
)
def test_a_prior_spares_tries_and_moves_nothing_else(
    shift: float, lean: float, area: int, shares: list[float]
) -> None:
    """Another source of the codec, lighter or heavier and of another area, is met in about two tries."""
    scale = Scale("q", 0, 100, 0.01)
    first = curve(0.0)
    targets = [first(100 * share) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    _, tries = search(first, [scale], targets)
    prior = prior_from([scale], tries, 1000)
    assert prior is not None
    sizes = curve(shift + math.log(area), lean)
    matches: list[Match | Failed] = []
    made: list[Point] = []

    def measure(point: Point) -> int:
        made.append(point)
        return round(sizes(*point))

    targets = sorted(sizes(100 * share) for share in shares)
    matches += match_targets([scale], targets, TOLERANCE, measure, prior=prior.at(1000 * area))
    assert all(isinstance(match, Match) and match.status == "matched" for match in matches)
    assert len(made) <= 4 + 2 * len(targets)


def test_the_first_try_inverts_the_prior_and_the_second_shifts_it() -> None:
    scale = Scale("q", 0, 100, 0.001)
    prior = Prior(tuple((q, math.log(curve(0.0)(q) / 500)) for q in range(0, 101, 5)))
    made: list[float] = []

    def measure(point: Point) -> int:
        made.append(point[0])
        return round(curve(0.3)(*point))

    target = curve(0.0)(40)
    (match,) = match_targets([scale], [target], TOLERANCE, measure, prior=prior.at(500))
    assert isinstance(match, Match)
    assert made[0] == pytest.approx(40, abs=0.5)
    assert curve(0.3)(made[1]) == pytest.approx(target, rel=TOLERANCE)
    assert match.encodes == len(made) == 2


@given(wrong=st.sampled_from(["steep", "flat", "far"]), share=st.floats(0.05, 0.95))
def test_a_bad_prior_costs_tries_and_no_target(wrong: str, share: float) -> None:
    scale = Scale("q", 0, 100, 0.01)
    lean, shift = {"steep": (3.0, 0.0), "flat": (0.2, 0.0), "far": (1.0, 6.0)}[wrong]
    prior = Prior(tuple((q, math.log(curve(shift, lean)(q))) for q in range(20, 81, 20)))
    target = curve(0.0)(100 * share)
    (match,) = match_targets([scale], [target], TOLERANCE, lambda p: round(curve(0.0)(*p)), prior=prior)
    assert isinstance(match, Match)
    assert match.status == "matched"


def test_a_preview_brackets_and_never_answers() -> None:
    """Three real tries a target at most, where a preview's sizes follow by a factor."""
    scales = [Scale("q", 0, 50, 1, start=25), Scale("f", 0, 200, 1, start=100, reach=(0.2, 0.2))]

    def size(quality: float, fine: float) -> float:
        return 500 * math.exp(5 * math.sqrt(quality / 50) + 0.002 * (fine - 100))

    previews: set[Point] = set()
    real: dict[Point, int] = {}

    def preview(point: Point) -> int:
        assert not real, "the preview was asked after a real try"
        previews.add(point)
        return round(1.07 * size(*point))

    def measure(point: Point) -> int:
        real[point] = round(size(*point))
        return real[point]

    targets = [2000.0, 5000.0, 12000.0, 30000.0]
    matches = match_targets(scales, targets, TOLERANCE, measure, preview=preview)
    for match in matches:
        assert isinstance(match, Match)
        assert match.status == "matched"
        assert match.size == real[match.point]
        assert match.encodes <= 3
    assert sum(match.previews for match in matches) == len(previews)
    assert sum(match.encodes for match in matches) == len(real) <= 9


def failing(where: Callable[[Point], bool], size: Callable[..., float]) -> Callable[[Point], int]:
    def measure(point: Point) -> int:
        if where(point):
            raise FailedTry(f"crashed at {point}")
        return round(size(*point))

    return measure


@given(hole=st.floats(0, 100), wide=st.floats(0.01, 3), share=st.floats(0.05, 0.95))
def test_a_hole_is_gone_round(hole: float, wide: float, share: float) -> None:
    """Points that fail cost tries; a target beside them is met, and others are not touched."""
    scale = Scale("q", 0, 100, 0.01)
    sizes = curve(0.0)
    target = sizes(100 * share)
    measure = failing(lambda point: abs(point[0] - hole) < wide, sizes)
    far, near = match_targets([scale], [sizes((hole + 50) % 100 + 0.0), target], TOLERANCE, measure)
    for match, position in ((far, (hole + 50) % 100), (near, 100 * share)):
        if abs(position - hole) > wide + 1 and 2 < position < 98:
            assert isinstance(match, Match)
            assert match.status == "matched"


def test_what_fails_everywhere_gives_the_reason_and_ends_soon() -> None:
    made: list[Point] = []

    def where(point: Point) -> bool:
        made.append(point)
        return True

    answers = match_targets([Scale("q", 0, 100)], [500, 1000, 2000], TOLERANCE, failing(where, curve(0.0)))
    assert all(isinstance(answer, Failed) and answer.reason.startswith("crashed at") for answer in answers)
    assert len(made) == sum(answer.encodes for answer in answers) == MOST_FAILURES
    assert len(set(made)) == len(made)


def test_a_target_behind_a_failing_half_is_failed_and_not_called_unreachable() -> None:
    sizes = curve(0.0)
    measure = failing(lambda point: point[0] > 60, sizes)
    low, high = match_targets([Scale("q", 0, 100, 0.1)], [sizes(30), sizes(90)], TOLERANCE, measure)
    assert isinstance(low, Match)
    assert low.status == "matched"
    assert isinstance(high, Failed)
    assert high.reason.startswith("crashed at")


@given(seed=st.integers(0, 50), share=st.floats(0.1, 0.9), turned=st.booleans())
def test_a_reversed_fine_scale_does_no_harm(seed: int, share: float, turned: bool) -> None:
    """Coarse steps of 12 %, and a fine scale that does the opposite of what it says."""

    def size(quality: float, fine: float) -> float:
        return 4000 * 1.12 ** (quality + seed / 50) * math.exp((-0.002 if turned else 0.002) * (fine - 100))

    scales = [Scale("q", 0, 40, 1), Scale("f", 0, 200, 1, start=100, slope=0.002, reach=(0.2, 0.2))]
    (match,), _ = search(size, scales, [4000 * 1.12 ** (40 * share)])
    assert match.status == "matched"
    assert match.encodes <= MOST_TRIES


@given(
    kind=st.sampled_from(["reversed", "plateaus", "stairs", "spikes"]),
    phase=st.floats(0, 6.28),
    shares=st.lists(st.floats(0.1, 0.9), min_size=1, max_size=4, unique=True),
)
def test_sizes_that_are_not_monotone_give_the_best_try(kind: str, phase: float, shares: list[float]) -> None:
    """Local reversals, plateaus, jumps and lone spikes: an honest answer within the budget, and within 2 %
    but for spikes, where a chain of them may end the search."""

    def size(quality: float, effort: float) -> float:
        wave = math.sin(2 * quality + phase)
        off = {
            "reversed": 0.06 * wave,
            "plateaus": 0.04 * (round(quality + phase) - quality),
            "stairs": 0.02 * math.floor(wave * 2) / 2,
            "spikes": 0.1 if wave > 0.99 else 0.0,
        }[kind]
        return 5000 * math.exp(0.04 * quality + off + 0.017 * (6 - effort))

    scales = [Scale("q", 0, 100, 0.125), Scale("effort", 4, 6, increasing=False, start=6, slope=0.017)]
    targets = sorted(5000 * math.exp(4 * share) for share in shares)
    matches, tries = search(size, scales, targets)
    for match, target in zip(matches, targets, strict=True):
        assert match.size == tries[match.point]
        assert abs(match.residual) == min(abs(size / target - 1) for size in tries.values())
        assert match.encodes <= MOST_TRIES + 3
        assert abs(match.residual) <= (0.06 if kind == "spikes" else 0.02)


def test_the_floor_and_the_ceiling_are_named_over_both_ranges() -> None:
    """A target between the coarse end and the fine one beyond it is reachable; one past both has a limit."""
    scales = [Scale("q", 10, 60, 1), Scale("f", 0, 200, 1, start=100, slope=0.001, reach=(0.1, 0.1))]

    def size(quality: float, fine: float) -> float:
        return 1000 * math.exp(0.08 * quality + 0.001 * (fine - 100))

    between = size(10, 100) * 0.95
    (match, beyond), tries = search(size, scales, [between, size(10, 0) * 0.9])
    assert (match.status, match.reachable, match.limit) == ("matched", True, None)
    assert (beyond.status, beyond.reachable, beyond.limit) == ("unreachable_low", False, tries[(10, 0)])
    (above,), tries = search(size, scales, [size(60, 200) * 1.5])
    assert (above.status, above.limit) == ("unreachable_high", tries[(60, 200)])


def test_a_prior_needs_a_curve() -> None:
    assert prior_from([Scale("q", 0, 100)], {(50.0,): 1000}, 10) is None
    assert prior_from([Scale("q", 0, 100)], {(10.0,): 1000, (90.0,): 1001}, 10) is None
