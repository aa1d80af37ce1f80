"""Which pair next: pure functions of a frozen snapshot of counts; participation.py locks and inserts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeVar

T = TypeVar("T")
K = TypeVar("K", int, tuple[int, int])


@dataclass(frozen=True, slots=True)
class PairCounts:
    """One pair of conditions; the three tuples run over the sources that it can be asked on."""

    pair: int
    sources: tuple[int, ...]
    counts: tuple[int, ...]
    """Judged plus open trials of all raters, a source."""
    seen: tuple[bool, ...]
    """Whether this rater was offered the pair on the source before."""

    @property
    def total(self) -> int:
        """Judged plus open trials of the pair."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The counts of a study as one rater's next trial is drawn."""

    pairs: tuple[PairCounts, ...]

    def source_totals(self) -> Counter[int]:
        """Judged plus open trials a source, over all pairs."""
        totals: Counter[int] = Counter()
        for pair in self.pairs:
            for source, count in zip(pair.sources, pair.counts, strict=True):
                totals[source] += count
        return totals


@dataclass(frozen=True, slots=True)
class Draw:
    """What a sampler chose: the pair, the source, and the slot (1 or 2) of the pair's first condition."""

    pair: int
    source: int
    slot_of_a: int


class PairSampler(Protocol):
    """A policy; `name` goes into the column `policy` of every judgment that it led to."""

    name: str

    def choose(self, snapshot: Snapshot, rng: Random) -> Draw | None:
        """The next trial, or None when this rater has seen all that can be asked."""
        ...


class BalancedSampler:
    """The pair with the fewest judged plus open trials, then its least-used source, in random slots.

    Ties between pairs fall at random; ties between a pair's sources go to the source that the whole study
    used least, then at random.
    """

    name = "balanced"

    def choose(self, snapshot: Snapshot, rng: Random) -> Draw | None:
        """See `PairSampler.choose`."""
        open_pairs = [pair for pair in snapshot.pairs if not all(pair.seen)]
        if not open_pairs:
            return None
        pair = rng.choice(_least((pair, pair.total) for pair in open_pairs))
        fresh = [
            (source, count)
            for source, count, seen in zip(pair.sources, pair.counts, pair.seen, strict=True)
            if not seen
        ]
        totals = snapshot.source_totals()
        source = rng.choice(_least((source, (count, totals[source])) for source, count in fresh))
        return Draw(pair=pair.pair, source=source, slot_of_a=rng.choice((1, 2)))


def _least(ranked: Iterable[tuple[T, K]]) -> list[T]:
    entries = list(ranked)
    fewest = min(key for _, key in entries)
    return [item for item, key in entries if key == fewest]
