"""Where to try next when the size jumps over a target: near it, and at other values of the fine scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise

from stimuli.codecs.base import Scale
from stimuli.priors import Point, Tries, width
from stimuli.size_model import FINEST, JUMP, Aim, SizeModel, column_of

#: Values that a fine scale has at most to be tried one by one.
_FEW = 8
#: Tries at another fine value tell where its curve passes a target up to this far off in ln bytes.
_NEARBY = 0.1
#: How far on each side neighbours are tried where sizes go up and down, in parts of half the tolerance.
_DISTANCES = (1, 2, 3, 4, 6, 9, 14, 20)


def stride_of(model: SizeModel, aim: Aim) -> float:
    """A part of the coarse coordinate that should move the size by half the tolerance, at least one step."""
    scale = model.coarse
    step = scale.step if scale.step else FINEST * width(scale)
    return max(step, 0.5 * aim.tolerance / model.slope_near(aim.wanted))


def near_the_line(model: SizeModel, tries: Tries, aim: Aim) -> Iterator[Point]:
    """Points about where the curve passes the target, at every fine value where these are few.

    Sizes need not rise with every step, and other fine values give other sizes nearby.
    """
    scale, stride = model.coarse, stride_of(model, aim)
    lines: list[tuple[tuple[float, ...], float]] = []
    if len(model.scales) == 1:
        lines.append(((), model.nearest(aim.wanted)))
    for value in _few(model.scales[1]) if len(model.scales) > 1 else []:
        at = scale.value_at(model.nearest(aim.wanted))
        shift = model.fine_shift(at, value)
        middle = model.nearest(aim.wanted - shift)
        lines.append(((value,), middle))
        if value != model.scales[1].first:
            line = {point[0]: math.log(size) for point, size in tries.items() if point[1] == value}
            position = _on_line(model, line, aim, middle)
            if position is not None:
                yield (scale.value_at(position), value)
    # The crossing may be that of a spike: then the nearest try is elsewhere, and leads elsewhere.
    led = model.led(aim.wanted)
    if abs(led - lines[0][1]) > 4 * stride:
        yield (scale.value_at(led), *lines[0][0])
        lines.insert(0, (lines[0][0], led))
    for distance in _DISTANCES:
        for rest, middle in lines:
            for sign in (1, -1):
                yield (scale.value_at(middle + sign * distance * stride), *rest)


def _few(fine: Scale) -> list[float]:
    """The values of a fine scale, from the neutral one outwards; that one alone where there are many."""
    values = {fine.first}
    if fine.step and width(fine) / fine.step <= _FEW:
        values |= {
            value for k in range(-_FEW, _FEW + 1) if (value := fine.neighbour(fine.first, k)) is not None
        }
    zero = fine.coordinate(fine.first)
    return sorted(values, key=lambda value: (abs(fine.coordinate(value) - zero), value))


def _on_line(model: SizeModel, line: Mapping[float, float], aim: Aim, middle: float) -> float | None:
    """The next coordinate at another fine value, whose curve is the coarse one shifted; None when closed."""
    knots = sorted((model.coarse.coordinate(value), size) for value, size in line.items())
    slope = model.slope_near(aim.wanted)
    # Only tries near the target tell where this line passes it.
    knots = [knot for knot in knots if abs(knot[1] - aim.wanted) < _NEARBY]
    if not knots:
        return middle
    for left, right in pairwise(knots):
        if left[1] < aim.wanted <= right[1]:
            if (right[0] - left[0]) * slope < JUMP * aim.tolerance:
                return None
            share = (aim.wanted - left[1]) / (right[1] - left[1])
            return left[0] + min(max(share, 0.25), 0.75) * (right[0] - left[0])
    best = min(knots, key=lambda knot: abs(knot[1] - aim.wanted))
    return best[0] + (aim.wanted - best[1]) / slope


def near_the_columns(model: SizeModel, tries: Tries, aim: Aim) -> Iterator[Point]:
    """Untried neighbours along the fine scale at the coarse values nearest to the target."""
    fine = model.scales[1]
    nearest = sorted(model.knots, key=lambda knot: abs(knot[1] - aim.wanted))[:3]
    for position, _ in nearest:
        value = model.coarse.value_at(position)
        column = column_of(tries, value)
        best = min(column, key=lambda at: (abs(column[at] - aim.wanted), at))
        slope = abs(model.fine_slope(value, True)) or width(fine)
        stride = max(fine.step or FINEST * width(fine), 0.5 * aim.tolerance / slope)
        for distance in _DISTANCES:
            for sign in (1, -1):
                yield (value, fine.value_at(fine.coordinate(best) + sign * distance * stride))
