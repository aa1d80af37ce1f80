"""Which conditions a study compares, and whether they hang together: pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from stimuli.study import Condition, Pairing

#: The hidden original is compared with this many of each codec's highest rate points: those are the ones
#: that raters may take for it.
REFERENCE_RATE_POINTS = 2


@dataclass(frozen=True, slots=True)
class ConditionPair:
    """Two conditions by name, and the rule that paired them."""

    condition_a: str
    condition_b: str
    kind: str


def pair_conditions(
    conditions: Sequence[Condition], pairing: Pairing, reference: str | None = None
) -> tuple[ConditionPair, ...]:
    """The pairs of a study, each once, in a fixed order.

    `same_rate` pairs codecs at one rate point, `adjacent_within` one codec's neighbouring rate points,
    `adjacent_across` each rate point of a codec with the next one below and above it of another's ladder;
    `reference` names the hidden original.
    """
    ordered = sorted(conditions, key=lambda condition: (condition.rate_point, condition.codec))
    ladders: dict[str, list[int]] = defaultdict(list)
    for condition in ordered:
        ladders[condition.codec].append(condition.rate_point)
    pairs = []
    for first, second in combinations(ordered, 2):
        kind = _kind(first, second, ladders)
        if kind is not None and getattr(pairing, kind):
            pairs.append(ConditionPair(first.name, second.name, kind))
    if reference is not None:
        pairs.extend(ConditionPair(condition.name, reference, "reference") for condition in _highest(ordered))
    return tuple(pairs)


def _kind(first: Condition, second: Condition, ladders: Mapping[str, Sequence[int]]) -> str | None:
    """The rule that pairs two conditions, of which the first has the lower rate point or the same."""
    low, high = first.rate_point, second.rate_point
    if low == high:
        return "same_rate"
    if first.codec == second.codec:
        between = [point for point in ladders[first.codec] if low < point < high]
        return None if between else "adjacent_within"
    # The next one of either ladder: ladders need not share a single rate point.
    next_above = min((point for point in ladders[second.codec] if point > low), default=None)
    next_below = max((point for point in ladders[first.codec] if point < high), default=None)
    return "adjacent_across" if high == next_above or low == next_below else None


def _highest(ordered: Sequence[Condition]) -> list[Condition]:
    by_codec: dict[str, list[Condition]] = defaultdict(list)
    for condition in ordered:
        by_codec[condition.codec].append(condition)
    return [condition for ladder in by_codec.values() for condition in ladder[-REFERENCE_RATE_POINTS:]]


def connected_groups(nodes: Collection[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The connected components of a graph, largest first, each sorted by name."""
    neighbours: dict[str, set[str]] = {node: set() for node in nodes}
    for first, second in edges:
        neighbours[first].add(second)
        neighbours[second].add(first)
    groups: list[list[str]] = []
    unseen = set(nodes)
    while unseen:
        group: set[str] = set()
        frontier = {min(unseen)}
        while frontier:
            group |= frontier
            frontier = {other for node in frontier for other in neighbours[node]} - group
        unseen -= group
        groups.append(sorted(group))
    return sorted(groups, key=lambda group: (-len(group), group))
