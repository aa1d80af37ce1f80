"""Which point is worth the next try for a target, by what is known of the sizes so far."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise

from stimuli.codecs.base import Scale
from stimuli.neighbours import near_the_columns, near_the_line, stride_of
from stimuli.priors import Point, Tries, width
from stimuli.size_model import FINEST, JUMP, Aim, SizeModel, column_of

#: After so many tries for one target a bracket is halved instead of interpolated.
PATIENCE = 7
#: After so many tries for one target without a bracket the end of the range is tried.
OUTWARDS = 4
#: Expected error of a step, as a share of how far it goes in ln bytes: along the coarse scale, and along the
#: fine one. They only rank proposals.
_COARSE_ERROR = 0.15
_FINE_ERROR = 0.25
#: The share of the fine scale's expected reach that is counted on.
_COUNTED_ON = 0.9


def proposals(model: SizeModel, tries: Tries, aim: Aim) -> Iterator[Point]:
    """Points worth a try, the most promising first; most of the time only the first is looked at.

    They may hold points that were tried already.
    """
    coarse = next_coarse(model, aim)
    if len(model.scales) == 1:
        if coarse is not None:
            yield (coarse,)
        if not aim.outside:
            yield from near_the_line(model, tries, aim)
        return
    yield from _refined(model, tries, aim, coarse)
    if coarse is not None:
        yield (coarse, model.scales[1].first)
    yield from _corners(model, tries, aim)
    if aim.outside:
        return
    if model.scales[1].turns:
        yield from _turned(model, aim)
    stepped = stride_of(model, aim) * model.slope_near(aim.wanted) > 2 * aim.tolerance
    if not stepped:
        yield from near_the_line(model, tries, aim)
    yield from near_the_columns(model, tries, aim)


def next_coarse(model: SizeModel, aim: Aim) -> float | None:
    """The next value of the coarse scale, or None when the bracket has closed or the end is tried."""
    scale = model.coarse
    if not model.knots:
        if not model.has_prior:
            return scale.first
        return scale.value_at(model.crossing(*_range(scale), aim.wanted))
    brackets = model.brackets(aim.wanted)
    if not brackets:
        return _outwards(model, aim)
    if (
        aim.spent >= OUTWARDS
        and min(model.knots, key=lambda knot: abs(knot[1] - aim.wanted)) not in brackets[0]
    ):
        # The bracket ends in a spike, for another try came nearer to the target.
        led = scale.value_at(model.led(aim.wanted))
        if all(scale.coordinate(led) != knot[0] for knot in model.knots):
            return led
    for (low, _), (high, _) in brackets:
        if (high - low) * model.slope_near(aim.wanted) < JUMP * aim.tolerance:
            continue
        position = (low + high) / 2 if aim.spent >= PATIENCE else model.crossing(low, high, aim.wanted)
        value = _inside(scale, position, low, high)
        if value is not None:
            return value
    # A jump or a lone spike: where the last tries on a side lie beyond it, the curve must pass once more.
    ends = _range(scale)
    first, last = model.knots[0], model.knots[-1]
    for (edge, size), end in ((last, ends[1]), (first, ends[0])):
        if (aim.wanted - size) * (end - edge) > 0:
            value = scale.value_at(model.crossing(min(edge, end), max(edge, end), aim.wanted))
            if all(scale.coordinate(value) != knot[0] for knot in model.knots):
                return value
    return None


def _range(scale: Scale) -> tuple[float, float]:
    return scale.coordinate(scale.smallest), scale.coordinate(scale.largest)


def _inside(scale: Scale, position: float, low: float, high: float) -> float | None:
    """The value at a coordinate, moved off the ends of its bracket; None when none lies between them."""
    value = scale.value_at(position)
    snapped = scale.coordinate(value)
    if low < snapped < high:
        return value
    if scale.step == 0:
        return scale.value_at((low + high) / 2) if high - low > FINEST * width(scale) else None
    moved = scale.neighbour(value, 1 if snapped <= low else -1)
    return moved if moved is not None and low < scale.coordinate(moved) < high else None


def _outwards(model: SizeModel, aim: Aim) -> float | None:
    """A step beyond the tries on one side of the target, at least one step of the scale."""
    scale, knots = model.coarse, model.knots
    tried = {scale.value_at(knot[0]) for knot in knots}
    larger = aim.wanted > max(knot[1] for knot in knots)
    end = scale.largest if larger else scale.smallest
    if end in tried:
        other = scale.smallest if larger else scale.largest
        return other if scale.turns and other not in tried else None
    if aim.spent >= OUTWARDS:
        return end
    edge = knots[-1] if larger else knots[0]
    # Without a prior a little too far: a bracket is worth more than a second miss on the same side.
    further = 0.0 if model.has_prior else 0.1 * (aim.wanted - edge[1])
    low, high = sorted((edge[0], scale.coordinate(end)))
    value = scale.value_at(model.crossing(low, high, aim.wanted + further))
    if value not in tried:
        return value
    moved = scale.neighbour(value, 1 if larger else -1)
    return moved if moved is not None and moved not in tried else end


def _refined(model: SizeModel, tries: Tries, aim: Aim, coarse: float | None) -> Iterator[Point]:
    """Coarse values near the target, each with the fine value that should meet it, the surest first."""
    scale = model.coarse
    values = {
        scale.value_at(knot[0]) for knot in sorted(model.knots, key=lambda k: abs(k[1] - aim.wanted))[:3]
    }
    if coarse is not None:
        beside = (scale.neighbour(coarse, step) for step in (-1, 1))
        values |= {coarse, *(value for value in beside if value is not None)}
    if not model.knows_fine:
        # How far the fine scale reaches is not known: first the coarse one as near as it goes.
        if coarse is not None:
            yield (coarse, model.scales[1].first)
        for value in sorted(values, key=lambda v: abs(model.at(scale.coordinate(v)) - aim.wanted)):
            step = _in_column(model, column_of(tries, value), value, aim)
            if step is not None:
                yield (value, step[1])
        return
    found = []
    for value in values:
        column = column_of(tries, value)
        step = _in_column(model, column, value, aim) if column else _from_the_line(model, value, aim)
        if step is not None:
            found.append((step[0], value, step[1]))
    yield from ((value, fine) for _, value, fine in sorted(found))


def _from_the_line(model: SizeModel, value: float, aim: Aim) -> tuple[float, float] | None:
    """(expected error, fine value) at a coarse value without tries; None where it is out of reach."""
    fine = model.scales[1]
    need = aim.wanted - model.at(model.coarse.coordinate(value))
    error = _COARSE_ERROR * min((abs(knot[1] - aim.wanted) for knot in model.knots), default=0.0)
    if abs(need) <= aim.tolerance / 3:
        return error + abs(need), fine.first
    zero = fine.coordinate(fine.first)
    for end in _range(fine):
        slope = model.fine_slope(value, end > zero)
        reach = slope * (end - zero)
        if need * reach > 0 and abs(need) <= _COUNTED_ON * abs(reach):
            at = fine.value_at(zero + need / slope)
            left = need - slope * (fine.coordinate(at) - zero)
            return error + _FINE_ERROR * abs(need) + abs(left), at
    return None


def _in_column(
    model: SizeModel, column: Mapping[float, float], value: float, aim: Aim
) -> tuple[float, float] | None:
    """(expected error, fine value) at a coarse value with tries; None where nothing is left to expect."""
    if not column:
        return None
    fine = model.scales[1]
    knots = sorted((fine.coordinate(at), size) for at, size in column.items())
    for left, right in pairwise(knots):
        if min(left[1], right[1]) < aim.wanted < max(left[1], right[1]):
            slope = model.fine_slope(value, left[0] + right[0] > 2 * fine.coordinate(fine.first))
            if (right[0] - left[0]) * abs(slope) < JUMP * aim.tolerance:
                return None
            share = 0.5 if aim.spent >= PATIENCE else (aim.wanted - left[1]) / (right[1] - left[1])
            at = _inside(fine, left[0] + share * (right[0] - left[0]), left[0], right[0])
            if at is None:
                return None
            return _FINE_ERROR / 2 * min(abs(knot[1] - aim.wanted) for knot in (left, right)), at
    best: tuple[float, float] | None = None
    for edge, end in ((knots[0], _range(fine)[0]), (knots[-1], _range(fine)[1])):
        zero = fine.coordinate(fine.first)
        slope = model.fine_slope(value, (edge[0] if edge[0] != zero else end) > zero)
        need, reach = aim.wanted - edge[1], slope * (end - edge[0])
        if edge[0] == end or need * reach <= 0:
            continue
        # What the scale says of its reach is no promise: half as far again is worth a try at its end.
        if abs(need) > 1.5 * abs(reach) and model.knows_fine:
            continue
        at = fine.value_at(edge[0] + need * min(1.0, abs(reach / need)) / slope)
        if at in column:
            moved = fine.neighbour(at, 1 if end > edge[0] else -1)
            if moved is None or moved in column:
                continue
            at = moved
        error = _FINE_ERROR * abs(need) + max(0.0, abs(need) - abs(reach))
        best = min((error, at), best or (math.inf, at))
    return best


def _turned(model: SizeModel, aim: Aim) -> Iterator[Point]:
    """The ends of a fine scale that can turn round, at the two coarse values nearest to the target."""
    for position, _ in sorted(model.knots, key=lambda knot: abs(knot[1] - aim.wanted))[:2]:
        for end in _range(model.scales[1]):
            yield (model.coarse.value_at(position), model.scales[1].value_at(end))


def _corners(model: SizeModel, tries: Tries, aim: Aim) -> Iterator[Point]:
    """The ends of the fine scale at an end of the coarse one: the true floor and the true ceiling."""
    coarse, fine = model.scales
    if not tries or not aim.outside:
        return
    larger = aim.wanted > math.log(max(tries.values()))
    end = coarse.largest if larger else coarse.smallest
    towards, away = (fine.largest, fine.smallest) if larger else (fine.smallest, fine.largest)
    yield (end, towards)
    column = column_of(tries, end)
    if towards not in column or fine.first not in column:
        return
    gained = (column[towards] - column[fine.first]) * (1 if larger else -1)
    # The fine scale may turn round where the coarse one ends.
    if gained <= 0 or fine.turns:
        yield (end, away)
