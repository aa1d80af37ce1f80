"""Search of the quality setting for a target size: pure, it knows sizes and nothing of pictures.

One curve of tries serves all the targets of a source and codec. `size_model` says what sizes to expect from
the tries so far, an earlier source's prior and a fast preset's preview; `proposals` ranks the points worth
the next try. The answer is always one whole try of the real codec. docs/matching.md tells it in a page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from stimuli.codecs.base import Scale
from stimuli.priors import Point as Point
from stimuli.priors import Prior as Prior
from stimuli.priors import Tries as Tries
from stimuli.priors import prior_from as prior_from
from stimuli.priors import width
from stimuli.proposals import proposals
from stimuli.size_model import Aim, SizeModel

#: Encodes that one target may cause; the ends of the range come on top.
MOST_TRIES = 16
#: Failed encodes that one target may cause, and a source before anything could be measured.
MOST_FAILURES = 6
#: Residual up to which a reachable miss is called near.
NEAR = 0.02
#: Tolerance of the search on a preview: its knots lie where the real tries begin.
PREVIEW_TOLERANCE = 0.01
#: How many times the file at the other end the end for small files must be for a scale to be reversed: on
#: a picture of one colour the ends of a sound codec are some dozen bytes and may differ by a quarter.
REVERSED = 1.5

Measure = Callable[[Point], int]


class ReversedScaleError(Exception):
    """Files shrink along a scale in the direction in which it says they grow."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        grows = "falls" if scale.increasing else "rises"
        super().__init__(f"files grow as {scale.name} {grows}, but the direction says otherwise")


class FailedTry(Exception):  # noqa: N818 - what a measure says of one point, caught by the search
    """A point at which the codec gave no size: it crashed, hung or used too much memory."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Match:
    """The try that is kept for one target: its point, its real size in bytes and how good that is.

    `encodes` and `previews` count what this target caused beyond those before it, failed ones too. `limit`
    is the floor or ceiling in bytes where the target is not reachable, else None.
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
    """A target for which no size could be measured that would answer it, with the last failure's reason."""

    reason: str
    encodes: int
    previews: int = 0


def match_targets(
    scales: Sequence[Scale],
    targets: Sequence[float],
    tolerance: float,
    measure: Measure,
    *,
    prior: Prior | None = None,
    preview: Measure | None = None,
) -> tuple[Match | Failed, ...]:
    """Find for every target (bytes, need not be whole) the point whose size is nearest.

    `measure` encodes at a point and gives the size in bytes, or raises FailedTry where it cannot: then the
    search goes round that point. `prior` is an earlier source's, in ln bytes (`Prior.at`). `preview`
    measures the same points with a faster preset: it is searched first, and the real tries follow its
    curve, shifted by the ratio that they show. The targets share their tries and are taken from the middle
    outwards, so the result depends on the sizes alone. Raises ReversedScaleError when the ends of the first
    scale show that its direction is wrong.
    """
    previews = dict.fromkeys(range(len(targets)), 0)
    if preview is not None:
        quick = _Search(scales, max(tolerance, PREVIEW_TOLERANCE), preview, prior)
        previews = quick.run(targets)
        # A preview of the source itself knows its curve better than another source's prior.
        prior = prior_from(scales, quick.tries, 1) or prior
    search = _Search(scales, tolerance, measure, prior)
    spent = search.run(targets)
    return tuple(search.answer(i, target, spent[i], previews[i]) for i, target in enumerate(targets))


@dataclass
class _Search:
    """The tries of one source and codec, and the points at which it failed."""

    scales: Sequence[Scale]
    tolerance: float
    measure: Measure
    prior: Prior | None
    tries: dict[Point, int] = field(default_factory=dict)
    failures: dict[Point, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    """The last failure that each target met."""

    def run(self, targets: Sequence[float]) -> dict[int, int]:
        """Search every target; gives how many encodes each caused."""
        spent = {}
        middle = (len(targets) - 1) / 2
        for i in sorted(range(len(targets)), key=lambda i: (abs(i - middle), i)):
            spent[i] = self._search(i, targets[i])
        return spent

    def _search(self, i: int, target: float) -> int:
        before, failed = len(self.tries), len(self.failures)
        while True:
            failures = len(self.failures) - (failed if self.tries else 0)
            spent = len(self.tries) - before + len(self.failures) - failed
            if failures >= MOST_FAILURES:
                self.reasons.setdefault(i, next(reversed(self.failures.values())))
                return spent
            point = self._next(target, spent)
            if point is None:
                return spent
            try:
                self.tries[point] = self.measure(point)
            except FailedTry as error:
                self.failures[point] = self.reasons[i] = error.reason
                continue
            self._check_direction()

    def _next(self, target: float, spent: int) -> Point | None:
        """The point to try next for a target, or None when it is met or nothing is left to try."""
        tries = self.tries
        outside = not tries or not min(tries.values()) <= target <= max(tries.values())
        if tries and abs(tries[_best(tries, target)] / target - 1) <= self.tolerance:
            return None
        if spent >= MOST_TRIES and not outside:
            return None
        aim = Aim(math.log(target), self.tolerance, spent, outside)
        model = SizeModel(self.scales, tries, self.prior)
        for wanted in proposals(model, tries, aim):
            for point in self._round_failures(wanted):
                if point not in tries:
                    return point
        return self._doubted_end(target) if tries else None

    def _round_failures(self, point: Point) -> Iterator[Point]:
        """The point, or where it failed those beside it along the coarse scale, further and further."""
        if point not in self.failures:
            yield point
            return
        scale = self.scales[0]
        stride = max(scale.step, width(scale) / 64)
        for further in (1, 3, 9, 27):
            for sign in (1, -1):
                value = scale.value_at(scale.coordinate(point[0]) + sign * further * stride)
                moved = (value, *point[1:])
                if moved not in self.failures:
                    yield moved

    def _ends(self) -> tuple[Point, Point]:
        rest = tuple(scale.first for scale in self.scales[1:])
        return (self.scales[0].smallest, *rest), (self.scales[0].largest, *rest)

    def _doubted_end(self, target: float) -> Point | None:
        """The end to try before a target is called unreachable, where the other end looks wrong.

        That is where the end that should give the largest file gave the smallest one, or the other way round.
        """
        tries = self.tries
        if min(tries.values()) <= target <= max(tries.values()):
            return None
        small, large = self._ends()
        line = [size for point, size in tries.items() if point[1:] == small[1:]]
        if not line:
            return None
        high = target > max(tries.values())
        tried, other, wrong = (large, small, min(line)) if high else (small, large, max(line))
        return other if tries.get(tried) == wrong and other not in {*tries, *self.failures} else None

    def _check_direction(self) -> None:
        small, large = self._ends()
        if small in self.tries and large in self.tries and self.tries[small] > REVERSED * self.tries[large]:
            raise ReversedScaleError(self.scales[0])

    def answer(self, i: int, target: float, encodes: int, previews: int) -> Match | Failed:
        """What target `i` gets: the best try, or the reason where failures stood in its way."""
        reason = self.reasons.get(i)
        if not self.tries:
            return Failed(reason or "nothing could be measured", encodes, previews)
        match = judge(self.tries, target, self.tolerance, encodes, previews)
        if reason is not None and not match.reachable:
            # Beyond the tries lies a failure, not a floor or a ceiling.
            return Failed(reason, encodes, previews)
        return match


def judge(tries: Tries, target: float, tolerance: float, encodes: int, previews: int = 0) -> Match:
    """The best whole try for a target, and its status.

    A target between the smallest and the largest size is reachable: a miss there is `near` up to 2 %, and
    beyond that takes the name of the side it fell on, with `reachable` still true. Outside that range the
    status is `unreachable_low` (the target is below the floor) or `unreachable_high`, unless the end of the
    range lies within the tolerance.
    """
    point = _best(tries, target)
    size = tries[point]
    residual = size / target - 1
    floor, ceiling = min(tries.values()), max(tries.values())
    reachable = floor <= target <= ceiling
    if abs(residual) <= tolerance:
        # An end of the range that lies within the tolerance serves its target as well as any other try.
        return Match(point, size, residual, "matched", True, encodes, previews)
    limit = None if reachable else floor if target < floor else ceiling
    if reachable and abs(residual) <= NEAR:
        status = "near"
    else:
        status = "unreachable_low" if residual > 0 else "unreachable_high"
    return Match(point, size, residual, status, reachable, encodes, previews, limit)


def _best(tries: Tries, target: float) -> Point:
    return min(tries, key=lambda point: (abs(tries[point] / target - 1), point))
