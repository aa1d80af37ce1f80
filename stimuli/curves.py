"""A smooth curve through knots that never overshoots them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

Knot = tuple[float, float]


class Curve:
    """Cubic Hermite pieces through knots (coordinate, value), and straight lines beyond the last ones.

    The tangents are those of Fritsch and Butland (SIAM J. Sci. Stat. Comput. 5, 1984): between two knots
    the curve stays between their values. With one knot it is a line of the slope that is given, without
    any such a line through the origin. `low_slope` and `high_slope` are those of the lines beyond the ends.
    """

    def __init__(
        self,
        knots: Sequence[Knot],
        slope: float,
        low_slope: float | None = None,
        high_slope: float | None = None,
    ) -> None:
        self.knots = sorted(knots) or [(0.0, 0.0)]
        self._chords = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(self.knots)] or [slope]
        self._tangents = [self._tangent(i) for i in range(len(self.knots))]
        self._low = self._chords[0] if low_slope is None else low_slope
        self._high = self._chords[-1] if high_slope is None else high_slope

    def at(self, position: float) -> float:
        """The value at a coordinate."""
        knots = self.knots
        if position <= knots[0][0]:
            return knots[0][1] + self._low * (position - knots[0][0])
        if position >= knots[-1][0]:
            return knots[-1][1] + self._high * (position - knots[-1][0])
        i = bisect_right(knots, position, key=lambda knot: knot[0])
        left, right = knots[i - 1], knots[i]
        share = (position - left[0]) / (right[0] - left[0])
        straight = left[1] + share * (right[1] - left[1])
        first, last = (self._tangents[k] - self._chords[i - 1] for k in (i - 1, i))
        return straight + share * (1 - share) * ((1 - share) * first - share * last) * (right[0] - left[0])

    def _tangent(self, i: int) -> float:
        """The slope at a knot; at the last ones half of the bend beside them goes on."""
        chords, knots = self._chords, self.knots
        if len(chords) == 1:
            return chords[0]
        if i in (0, len(chords)):
            first, second = chords[:2] if i == 0 else chords[:-3:-1]
            bent = 1.5 * first - 0.5 * second
            return min(max(bent, 0.0), 3 * first) if first > 0 else max(min(bent, 0.0), 3 * first)
        before, after = chords[i - 1], chords[i]
        if before * after <= 0:
            return 0.0
        one, two = knots[i][0] - knots[i - 1][0], knots[i + 1][0] - knots[i][0]
        share = (one + 2 * two) / (3 * (one + two))
        return before * after / (share * after + (1 - share) * before)
