"""Which conditions stand at the same rate point: those whose targets agree on every source that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: Targets that agree within this share are one: a share of a rate may have been rounded on its way.
SAME_TARGET = 1e-9


@dataclass(slots=True, eq=False)
class _Point:
    """A rate point in the making: its members, and what they say of the targets of the sources."""

    ending: str
    targets: NDArray[np.float64]
    members: list[int] = field(default_factory=list)

    def agrees(self, targets: NDArray[np.float64], ending: str) -> bool:
        both = np.isfinite(self.targets) & np.isfinite(targets)
        if not both.any():
            # Without a common source the names alone can say it.
            return ending == self.ending
        return bool(np.allclose(self.targets[both], targets[both], rtol=SAME_TARGET, atol=0.0))


def rate_points(
    conditions: Sequence[str], codecs: Sequence[str], targets: NDArray[np.float64]
) -> tuple[str, ...]:
    """For each condition the label of its rate point, equal for conditions of one point.

    `targets` is conditions x sources in bpp, NaN where a condition has no stimulus or no target; a condition
    without any is a point of its own. A label is the common target where all sources share one (`0.25 bpp`),
    else what stands after `@` in the condition's name (`0.5x`).
    """
    points: list[_Point] = []
    labels = list(conditions)
    for i, name in enumerate(conditions):
        if not np.isfinite(targets[i]).any():
            continue
        ending = name.rpartition("@")[2]
        # A codec has each rate point once; where a lacking source leaves two open, the name decides.
        open_to = [
            point
            for point in points
            if point.agrees(targets[i], ending) and codecs[i] not in {codecs[m] for m in point.members}
        ]
        point = next((p for p in open_to if p.ending == ending), open_to[0] if open_to else None)
        if point is None:
            point = _Point(ending, np.full(targets.shape[1], np.nan))
            points.append(point)
        point.members.append(i)
        point.targets = np.where(np.isfinite(point.targets), point.targets, targets[i])
    grouped = {i for point in points for i in point.members}
    alone = [name for i, name in enumerate(conditions) if i not in grouped]
    for point, label in zip(points, _labels(points, alone), strict=True):
        for i in point.members:
            labels[i] = label
    return tuple(labels)


def _labels(points: Sequence[_Point], alone: Sequence[str]) -> list[str]:
    labels: list[str] = []
    for point in points:
        common = common_target(point.targets)
        label = point.ending if np.isnan(common) else f"{common:g} bpp"
        # Two points of one label would be one to every reader.
        taken = label
        number = 2
        while taken in labels or taken in alone:
            taken, number = f"{label} ({number})", number + 1
        labels.append(taken)
    return labels


def common_target(targets: NDArray[np.float64]) -> float:
    """The target that all sources with one share, NaN where they differ or there is none."""
    known = targets[np.isfinite(targets)]
    if len(known) and np.allclose(known, known[0], rtol=SAME_TARGET, atol=0.0):
        return float(known[0])
    return float("nan")
