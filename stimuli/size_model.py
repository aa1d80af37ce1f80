"""What the tries of a source say about sizes between and beyond them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from stimuli.codecs.base import Scale
from stimuli.curves import Curve
from stimuli.priors import Prior, Tries, fine_slope, fine_slopes, neutral_line, width

#: Change of ln bytes over a whole coarse range, assumed where a scale says no slope: until two tries tell.
COARSE_SPAN = 4.0
#: A bracket of a scale without steps is closed at this share of the range.
FINEST = 1e-4
#: A bracket over which less than this share of the tolerance is expected holds a jump: nothing is in between.
JUMP = 0.5
#: Tries nearer than this in ln bytes give no slope to go on with beyond them.
_LEVER = 0.08
#: Straight pieces by which a curve between two tries is followed.
_PIECES = 16
#: Variance of a try about its curve over the variance of how much a source's curve leans against a prior's.
_SHRINKAGE = 0.005


@dataclass(frozen=True, slots=True)
class Aim:
    """A target to be met: ln bytes, the tolerance, and the tries it caused.

    `outside` says that it lies beyond all tries.
    """

    wanted: float
    tolerance: float
    spent: int
    outside: bool


class SizeModel:
    """ln bytes along the coarse scale, and what the fine scale adds.

    Along the coarse scale it is the prior's curve, or a straight line without one, plus the difference of
    the real tries from it, interpolated between them. So the first try follows the prior, the second one
    the prior shifted by the ratio seen, and later ones interpolate between real tries.
    """

    def __init__(self, scales: Sequence[Scale], tries: Tries, prior: Prior | None) -> None:
        self.scales = scales
        self.coarse = scales[0]
        self._slopes = (*(prior.fine if prior else ()), *fine_slopes(scales, tries))
        line = neutral_line(scales, tries, self._slopes)
        self.knots = sorted((self.coarse.coordinate(value), size) for value, size in line.items())
        declared = self.coarse.slope
        self._declared = declared if declared is not None else COARSE_SPAN / width(self.coarse)
        self.has_prior = prior is not None
        self._prior: Curve | None = None
        if prior is not None:
            curve = [(self.coarse.coordinate(value), size) for value, size in prior.curve]
            self._prior = Curve(curve, self._declared)
        ends = [self._end_slope(upper) for upper in (False, True)]
        off = [(knot[0], knot[1] - self._base(knot[0])) for knot in self.knots]
        self._own = Curve(off, 0.0, *ends)

    def _base(self, position: float) -> float:
        return self._prior.at(position) if self._prior is not None else 0.0

    @property
    def knows_fine(self) -> bool:
        """Whether it can be said how far the fine scale reaches."""
        return bool(self._slopes) or self.scales[1].reach is not None

    def fine_slope(self, value: float, above: bool) -> float:
        """Change of ln bytes a unit of the fine coordinate at a coarse value, on one side of neutral."""
        return fine_slope(self.scales, self._slopes, value, above)

    def fine_shift(self, value: float, at: float) -> float:
        """Expected change of ln bytes from the neutral fine value to another at a coarse value."""
        fine = self.scales[1]
        off = fine.coordinate(at) - fine.coordinate(fine.first)
        return self.fine_slope(value, off > 0) * off

    def at(self, position: float) -> float:
        """Expected ln bytes at a coarse coordinate and the neutral fine value."""
        return self._base(position) + (self._own.at(position) if self.knots else 0.0)

    def _end_slope(self, upper: bool) -> float:
        """How the tries go on, above the prior where there is one, beyond the last of them.

        Beside a prior they lean as they do over all tries (a regression on the prior's ln bytes, shrunk to
        none); without one they go on as between the last try and one that is far enough.
        """
        if not self.knots:
            return self._declared
        edge, *inner = reversed(self.knots) if upper else self.knots
        if self._prior is not None:
            part = width(self.coarse) / 50
            rise = self._prior.at(edge[0] + part) - self._prior.at(edge[0] - part)
            return self._lean() * rise / (2 * part)
        for knot in inner:
            if abs(knot[1] - edge[1]) >= _LEVER:
                return max((edge[1] - knot[1]) / (edge[0] - knot[0]), self._declared / 4)
        return self._declared

    def _lean(self) -> float:
        """How much the tries rise above the prior with a unit of its ln bytes."""
        base = [self._base(knot[0]) for knot in self.knots]
        off = [knot[1] - b for knot, b in zip(self.knots, base, strict=True)]
        x, y = sum(base) / len(base), sum(off) / len(off)
        products = sum((b - x) * (d - y) for b, d in zip(base, off, strict=True))
        return min(max(products / (sum((b - x) ** 2 for b in base) + _SHRINKAGE), -0.5), 1.0)

    def slope_near(self, wanted: float) -> float:
        """Change of ln bytes a unit of the coarse coordinate about a size, never 0."""
        position, part = self.nearest(wanted), width(self.coarse) / 50
        slope = (self.at(position + part) - self.at(position - part)) / (2 * part)
        return max(slope, self._declared / 10)

    def nearest(self, wanted: float) -> float:
        """The coordinate where ln bytes should be `wanted`, or that of the end which comes nearest."""
        brackets = self.brackets(wanted)
        if brackets:
            (low, _), (high, _) = brackets[0]
        else:
            low, high = (self.coarse.coordinate(end) for end in (self.coarse.smallest, self.coarse.largest))
        return self.crossing(low, high, wanted)

    def led(self, wanted: float) -> float:
        """The coordinate to which the nearest try leads by the curve's slope."""
        position, size = min(self.knots, key=lambda knot: abs(knot[1] - wanted))
        return position + (wanted - size) / self.slope_near(wanted)

    def brackets(self, wanted: float) -> list[tuple[tuple[float, float], tuple[float, float]]]:
        """Neighbouring tries between which ln bytes passes `wanted`, the nearest pair first."""
        found = [
            (left, right)
            for left, right in pairwise(self.knots)
            if left[1] < wanted <= right[1] or left[1] > wanted >= right[1]
        ]
        return sorted(found, key=lambda pair: min(abs(pair[0][1] - wanted), abs(pair[1][1] - wanted)))

    def crossing(self, low: float, high: float, wanted: float) -> float:
        """The coordinate between two others where expected ln bytes passes `wanted`, else the nearer end."""
        bends = [knot[0] for knot in self.knots if low < knot[0] < high]
        even = [low + (high - low) * k / _PIECES for k in range(1, _PIECES)]
        path = [(position, self.at(position)) for position in (low, *sorted({*bends, *even}), high)]
        for left, right in pairwise(path):
            if min(left[1], right[1]) <= wanted <= max(left[1], right[1]):
                share = (wanted - left[1]) / (right[1] - left[1]) if right[1] != left[1] else 0.5
                return left[0] + share * (right[0] - left[0])
        return min(path, key=lambda knot: abs(knot[1] - wanted))[0]


def column_of(tries: Tries, value: float) -> Mapping[float, float]:
    """ln bytes by fine value at one coarse value."""
    return {point[1]: math.log(size) for point, size in tries.items() if point[0] == value}
