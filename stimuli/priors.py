"""What an earlier source taught about a codec: how size goes along its coarse and its fine scale.

A prior only says where to look first. What is kept is always a real try, so a bad prior costs tries and
never changes what a target may be answered with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stimuli.codecs.base import Scale

#: A value for every scale of a codec, in their order.
Point = tuple[float, ...]
#: Sizes in bytes by point.
Tries = Mapping[Point, int]

#: Knots nearer than this in ln bytes are made one: between them the slope is mostly noise.
_APART = 0.03
#: Change of ln bytes over a whole fine range, assumed where a scale says nothing.
FINE_SPAN = 0.4
#: Standard deviation in ln bytes of a pair of tries about the fine scale's slope: adaptive quantisation
#: moves by small jumps.
_NOISE = 0.01
#: The share of the coarse range within which a slope that was seen holds.
_NEAR = 0.2
#: How much the slope on the other side of neutral counts.
_OTHER_SIDE = 0.3
#: How much a pair of tries of another source counts.
_OTHER_SOURCE = 0.3


@dataclass(frozen=True, slots=True)
class FineSlope:
    """Change of ln bytes a unit of the fine scale's coordinate, near one coarse value on one side."""

    coarse: float
    above: bool
    """Whether it was seen on the side of larger coordinates than the neutral one."""
    slope: float
    span: float
    """How far the two tries that showed it lie apart, in the fine coordinate."""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Prior:
    """A frozen curve of one source and codec: (coarse value, ln of bytes per pixel) by rising size.

    `at` turns it into ln bytes for a picture of that many pixels, which is what `match_targets` takes.
    """

    curve: tuple[tuple[float, float], ...]
    fine: tuple[FineSlope, ...] = ()

    def at(self, area: float) -> Prior:
        """The prior in ln bytes for a picture of `area` pixels."""
        shift = math.log(area)
        return Prior(tuple((value, size + shift) for value, size in self.curve), self.fine)


def prior_from(scales: Sequence[Scale], tries: Tries, area: float) -> Prior | None:
    """The prior that the tries of one source of `area` pixels teach; None where they show no curve."""
    coarse = scales[0]
    slopes = fine_slopes(scales, tries)
    line = neutral_line(scales, tries, slopes)
    knots = _rising([(coarse.coordinate(value), size - math.log(area)) for value, size in line.items()])
    if len(knots) < 2:
        return None
    curve = tuple((coarse.value_at(position), size) for position, size in knots)
    return Prior(curve, fine_slopes(scales, tries, _OTHER_SOURCE))


def neutral_line(scales: Sequence[Scale], tries: Tries, slopes: Sequence[FineSlope]) -> dict[float, float]:
    """ln bytes at the neutral fine value by coarse value, estimated where only others were tried."""
    if len(scales) == 1:
        return {point[0]: math.log(size) for point, size in tries.items()}
    fine = scales[1]
    zero = fine.coordinate(fine.first)
    line: dict[float, tuple[float, float]] = {}
    for (value, at), size in sorted(tries.items()):
        off = fine.coordinate(at) - zero
        if value not in line or abs(off) < line[value][0]:
            effect = fine_slope(scales, slopes, value, off > 0) * off
            line[value] = abs(off), math.log(size) - effect
    return {value: size for value, (_, size) in line.items()}


def fine_slopes(scales: Sequence[Scale], tries: Tries, weight: float = 1.0) -> tuple[FineSlope, ...]:
    """The slopes of the fine scale that neighbouring tries at one coarse value show."""
    if len(scales) == 1:
        return ()
    fine = scales[1]
    zero = fine.coordinate(fine.first)
    columns: dict[float, list[tuple[float, float]]] = {}
    for (value, at), size in sorted(tries.items()):
        columns.setdefault(value, []).append((fine.coordinate(at), math.log(size)))
    found = []
    for value, column in columns.items():
        for left, right in pairwise(sorted(column)):
            span = right[0] - left[0]
            above = (left[0] + right[0]) / 2 > zero
            found.append(FineSlope(value, above, (right[1] - left[1]) / span, span, weight))
    return tuple(found)


def fine_slope(scales: Sequence[Scale], slopes: Sequence[FineSlope], value: float, above: bool) -> float:
    """The slope to expect at a coarse value, on one side of the neutral fine value.

    It is the mean of what the scale says and what was seen, each by the inverse of its variance; what was
    seen far away along the coarse scale or on the other side counts less.
    """
    coarse, fine = scales[0], scales[1]
    declared, doubt = declared_slope(fine, above)
    here, near = coarse.coordinate(value), _NEAR * width(coarse)
    weight = 1 / (doubt * declared) ** 2
    total = weight * declared
    for seen in slopes:
        far = (coarse.coordinate(seen.coarse) - here) / near
        counts = seen.weight * (seen.span / _NOISE) ** 2 / (1 + far * far)
        counts *= 1.0 if seen.above == above else _OTHER_SIDE
        weight += counts
        total += counts * seen.slope
    return total / weight


def declared_slope(fine: Scale, above: bool) -> tuple[float, float]:
    """Change of ln bytes a unit of the fine coordinate by what the scale says, and its relative doubt."""
    if fine.slope:
        return fine.slope, 0.3
    zero = fine.coordinate(fine.first)
    room = abs(fine.coordinate(fine.largest if above else fine.smallest) - zero)
    if fine.reach is not None and room > 0 and fine.reach[above]:
        return fine.reach[above] / room, 0.5
    return FINE_SPAN / width(fine), 1.0


def width(scale: Scale) -> float:
    """The length of a scale in its coordinate."""
    return abs(scale.coordinate(scale.high) - scale.coordinate(scale.low))


def _rising(knots: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Knots in order with sizes that rise by at least `_APART`: those in between are averaged."""
    groups: list[list[tuple[float, float]]] = []
    for knot in sorted(knots):
        groups.append([knot])
        while len(groups) > 1 and _mean(groups[-1])[1] - _mean(groups[-2])[1] < _APART:
            last = groups.pop()
            groups[-1] += last
    return [_mean(group) for group in groups]


def _mean(group: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return sum(knot[0] for knot in group) / len(group), sum(knot[1] for knot in group) / len(group)
