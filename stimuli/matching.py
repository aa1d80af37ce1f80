"""Search of the quality setting for a target size: pure, it knows sizes and nothing of pictures.

One curve of tries serves all the targets of a source and codec. The next try is the log-linear
interpolation of the parameter between the two real tries that bracket the target; where the steps of the
quality parameter are coarser than the tolerance, the fine parameter is searched the same way at the
nearest coarse value. The answer is always one whole try.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stimuli.codecs.base import Scale

#: A value for every scale of a codec, in their order.
Point = tuple[float, ...]
Tries = Mapping[Point, int]

#: Encodes that one target may cause; the ends of the range come on top.
MOST_TRIES = 16
#: After so many tries for one target a bracket is halved instead of interpolated.
PATIENCE = 7
#: A bracket of a scale without steps is closed at this share of the range.
FINEST = 1e-4
#: Change of ln bytes over a whole range, assumed where a scale says no slope: until two tries tell.
COARSE_SPAN = 4.0
FINE_SPAN = 0.4
#: Residual up to which a reachable miss is called near.
NEAR = 0.02
#: How many times the file at the other end the end for small files must be for a scale to be reversed: on
#: a picture of one colour the ends of a sound codec are some dozen bytes and may differ by a quarter.
REVERSED = 1.5


class ReversedScaleError(Exception):
    """Files shrink along a scale in the direction in which it says they grow."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        grows = "falls" if scale.increasing else "rises"
        super().__init__(f"files grow as {scale.name} {grows}, but the direction says otherwise")


class FailedTry(Exception):  # noqa: N818 - a try that failed, and no error of the search
    """`measure` could not make a file at a point; the text is the reason in one line."""


@dataclass(frozen=True, slots=True)
class Match:
    """The try that is kept for one target: its point, its real size in bytes and how good that is.

    `previews` are encodes of a fast preview on top of `encodes`; `limit` is the floor or ceiling in bytes
    where the target is out of range.
    """

    point: Point
    size: int
    residual: float
    status: str
    reachable: bool
    encodes: int
    previews: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A target for which no try could be made."""

    reason: str
    encodes: int


@dataclass(frozen=True, slots=True)
class Prior:
    """The curve of an earlier source of the same codec: (first parameter, ln bytes a pixel), rising."""

    curve: tuple[tuple[float, float], ...]


def prior_from(scales: Sequence[Scale], tries: Tries, area: int) -> Prior | None:
    """The prior that the tries of one source of `area` pixels make; None of too few tries."""
    neutral = tuple(scale.first for scale in scales[1:])
    curve = sorted((p[0], math.log(size / area)) for p, size in tries.items() if p[1:] == neutral)
    return Prior(tuple(curve)) if len(curve) > 1 else None


def match_targets(
    scales: Sequence[Scale],
    targets: Sequence[float],
    tolerance: float,
    measure: Callable[[Point], int],
    *,
    prior: Prior | None = None,
    area: int | None = None,
    preview: Callable[[Point], int] | None = None,
) -> tuple[Match | Failed, ...]:
    """Find for every target (bytes, need not be whole) the point whose size is nearest.

    `measure` encodes at a point and gives the size in bytes. The targets share their tries and are taken
    from the middle outwards, so the result depends on the sizes alone. Raises ReversedScaleError when the
    ends of the first scale show that its direction is wrong.
    """
    tries: dict[Point, int] = {}
    spent: dict[int, int] = {}
    middle = (len(targets) - 1) / 2
    for i in sorted(range(len(targets)), key=lambda i: (abs(i - middle), i)):
        before = len(tries)
        while (
            point := next_try(scales, tries, targets[i], tolerance, len(tries) - before)
            or _doubted_end(scales, tries, targets[i], tolerance)
        ) is not None:
            tries[point] = measure(point)
            _check_direction(scales, tries)
        spent[i] = len(tries) - before
    return tuple(judge(tries, target, tolerance, spent[i]) for i, target in enumerate(targets))


def _ends(scales: Sequence[Scale]) -> tuple[Point, Point]:
    rest = tuple(scale.first for scale in scales[1:])
    return (scales[0].smallest, *rest), (scales[0].largest, *rest)


def _doubted_end(scales: Sequence[Scale], tries: Tries, target: float, tolerance: float) -> Point | None:
    """The end of the first scale to try before a target is called unreachable, where the other looks wrong.

    That is where the end that should give the largest file gave the smallest one, or the other way round.
    """
    least, most = min(tries.values()), max(tries.values())
    if least <= target <= most or abs(tries[_best(tries, target)] / target - 1) <= tolerance:
        return None
    small, large = _ends(scales)
    line = [size for point, size in tries.items() if point[1:] == small[1:]]
    tried, other, wrong = (large, small, min(line)) if target > most else (small, large, max(line))
    return other if tries.get(tried) == wrong and other not in tries else None


def _check_direction(scales: Sequence[Scale], tries: Tries) -> None:
    small, large = _ends(scales)
    if small in tries and large in tries and tries[small] > REVERSED * tries[large]:
        raise ReversedScaleError(scales[0])


def judge(tries: Tries, target: float, tolerance: float, encodes: int) -> Match:
    """The best whole try for a target, and its status.

    A target between the smallest and the largest size is reachable: a miss there is `near` up to 2 %, and
    beyond that takes the name of the side it fell on, with `reachable` still true. Outside that range the
    status is `unreachable_low` (the target is below the floor) or `unreachable_high`, unless the end of the
    range lies within the tolerance.
    """
    point = _best(tries, target)
    size = tries[point]
    residual = size / target - 1
    reachable = min(tries.values()) <= target <= max(tries.values())
    if abs(residual) <= tolerance:
        # An end of the range that lies within the tolerance serves its target as well as any other try.
        return Match(point, size, residual, "matched", True, encodes)
    if reachable and abs(residual) <= NEAR:
        status = "near"
    else:
        status = "unreachable_low" if residual > 0 else "unreachable_high"
    return Match(point, size, residual, status, reachable, encodes)


def next_try(
    scales: Sequence[Scale], tries: Tries, target: float, tolerance: float, spent: int
) -> Point | None:
    """The point to try next for a target, or None when it is met or nothing is left to try.

    `spent` is how many tries this target caused so far.
    """
    neutral = tuple(scale.first for scale in scales)
    if not tries:
        return neutral
    if abs(tries[_best(tries, target)] / target - 1) <= tolerance:
        return None
    outside = not min(tries.values()) <= target <= max(tries.values())
    if spent >= MOST_TRIES and not outside:
        return None
    for point in _proposals(scales, tries, target, spent, outside):
        if point not in tries:
            return point
    return None


def _best(tries: Tries, target: float) -> Point:
    return min(tries, key=lambda point: (abs(tries[point] / target - 1), point))


def _proposals(
    scales: Sequence[Scale], tries: Tries, target: float, spent: int, outside: bool
) -> Iterator[Point]:
    """Points worth a try, the most promising first; most of the time only the first is looked at."""
    rest = tuple(scale.first for scale in scales[1:])
    line = {point[0]: size for point, size in tries.items() if point[1:] == rest}
    coarse = _next_on_line(scales[0], line, target, spent, COARSE_SPAN)
    if len(scales) == 1:
        if coarse is not None:
            yield (coarse,)
        if not outside:
            yield from ((value,) for value in _around(scales[0], line, target))
        return
    fine = scales[1]
    nearest = sorted(line, key=lambda value: (_distance(fine, line[value], target), value))
    if coarse is not None and not _within_reach(fine, line[nearest[0]], target):
        yield (coarse, *rest)
    columns = {
        value: {point[1]: size for point, size in tries.items() if point[0] == value} for value in nearest[:3]
    }
    for value in nearest[:2]:
        step = _next_on_line(fine, columns[value], target, spent, FINE_SPAN)
        if step is not None:
            yield (value, step)
    if coarse is not None:
        yield (coarse, *rest)
    if nearest[0] in (scales[0].low, scales[0].high):
        # The true end of the range: the fine scale may turn round where the coarse one ends.
        yield (nearest[0], fine.smallest)
        yield (nearest[0], fine.largest)
    if outside:
        return
    for value, column in columns.items():
        yield from ((value, step) for step in _around(fine, column, target))


def _within_reach(fine: Scale, size: int, target: float) -> bool:
    """Whether the fine scale can be expected to move a size to the target."""
    if fine.reach is None:
        return False
    down, up = fine.reach
    return -0.7 * down <= math.log(target / size) <= 0.7 * up


def _distance(fine: Scale, size: int, target: float) -> tuple[bool, float]:
    """The order in which coarse values are refined: those within reach first, then the nearest."""
    return not _within_reach(fine, size, target), abs(math.log(target / size))


def _next_on_line(
    scale: Scale, line: Mapping[float, int], target: float, spent: int, span: float
) -> float | None:
    """The next value of one scale, or None when the bracket has closed or the end of the range is tried."""
    knots = sorted((scale.coordinate(value), math.log(size)) for value, size in line.items())
    wanted = math.log(target)
    brackets = [
        (left, right)
        for left, right in pairwise(knots)
        if left[1] < wanted <= right[1] or left[1] > wanted >= right[1]
    ]
    if not brackets:
        return _outwards(scale, line, knots, wanted, span)
    left, right = min(brackets, key=lambda pair: min(abs(pair[0][1] - wanted), abs(pair[1][1] - wanted)))
    share = 0.5 if spent >= PATIENCE else (wanted - left[1]) / (right[1] - left[1])
    value = scale.value_at(left[0] + share * (right[0] - left[0]))
    return _inside(scale, value, left[0], right[0])


def _inside(scale: Scale, value: float, low: float, high: float) -> float | None:
    """The value, moved off the ends of its bracket; None when no allowed value lies between them."""
    position = scale.coordinate(value)
    if low < position < high:
        return value
    if scale.step == 0:
        whole = abs(scale.coordinate(scale.high) - scale.coordinate(scale.low))
        return scale.value_at((low + high) / 2) if high - low > FINEST * whole else None
    moved = scale.neighbour(value, 1 if position <= low else -1)
    return moved if moved is not None and low < scale.coordinate(moved) < high else None


def _outwards(
    scale: Scale, line: Mapping[float, int], knots: list[tuple[float, float]], wanted: float, span: float
) -> float | None:
    """A step beyond the tries on one side of the target, at least one step of the scale."""
    larger = wanted > max(knots, key=lambda knot: knot[1])[1]
    edge = knots[-1] if larger else knots[0]
    end = scale.largest if larger else scale.smallest
    if end in line:
        other = scale.smallest if larger else scale.largest
        return other if scale.turns and other not in line else None
    whole = abs(scale.coordinate(scale.high) - scale.coordinate(scale.low))
    slope = scale.slope if scale.slope is not None else span / whole
    if len(knots) > 1:
        inner = knots[-2] if larger else knots[1]
        secant = (edge[1] - inner[1]) / (edge[0] - inner[0])
        if secant < slope / 4:
            # A flat or falling stretch tells nothing but that the end may be near.
            return end
        slope = secant
    # A little too far: a bracket is worth more than a second miss on the same side.
    stride = 1.1 * (wanted - edge[1]) / slope
    value = scale.value_at(edge[0] + stride)
    if value in line:
        edge_value = scale.value_at(edge[0])
        moved = scale.neighbour(edge_value, 1 if larger else -1)
        return moved if moved is not None and moved not in line else end
    return value


def _around(scale: Scale, line: Mapping[float, int], target: float) -> Iterator[float]:
    """Untried neighbours of the best value, nearest first: sizes need not rise with every step."""
    if not line or scale.step == 0:
        return
    best = min(line, key=lambda value: (abs(line[value] / target - 1), value))
    for distance in range(1, 7):
        for direction in (1, -1) if line[best] < target else (-1, 1):
            value = scale.neighbour(best, direction * distance)
            if value is not None and value not in line:
                yield value
