"""Facts of the balanced sampler, whatever the counts."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from study_app.sampling import BalancedSampler, PairCounts, Snapshot


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    pairs = []
    for pair in range(draw(st.integers(0, 6))):
        sources = draw(st.lists(st.integers(0, 5), unique=True, min_size=1, max_size=6))
        counts = draw(st.lists(st.integers(0, 4), min_size=len(sources), max_size=len(sources)))
        seen = draw(st.lists(st.booleans(), min_size=len(sources), max_size=len(sources)))
        pairs.append(PairCounts(pair, tuple(sources), tuple(counts), tuple(seen)))
    return Snapshot(tuple(pairs))


@given(snapshots(), st.integers())
def test_draw_is_the_least_counted_pair_and_its_least_used_source_unseen_by_the_rater(
    snapshot: Snapshot, seed: int
) -> None:
    draw = BalancedSampler().choose(snapshot, Random(seed))
    askable = [pair for pair in snapshot.pairs if not all(pair.seen)]
    if not askable:
        assert draw is None
        return
    assert draw is not None
    assert draw.slot_of_a in (1, 2)
    chosen = next(pair for pair in snapshot.pairs if pair.pair == draw.pair)
    assert chosen.total == min(pair.total for pair in askable)
    place = chosen.sources.index(draw.source)
    assert not chosen.seen[place]
    fresh = [count for count, seen in zip(chosen.counts, chosen.seen, strict=True) if not seen]
    assert chosen.counts[place] == min(fresh)


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 5),
    st.lists(st.integers(0, 4), max_size=120),
    st.integers(),
)
def test_raters_in_any_order_never_see_a_source_and_pair_twice_and_the_pairs_stay_level(
    pairs: int, sources: int, raters: int, order: list[int], seed: int
) -> None:
    rng = Random(seed)
    counts = {(pair, source): 0 for pair in range(pairs) for source in range(sources)}
    seen: set[tuple[int, int, int]] = set()
    for turn in order:
        rater = turn % raters
        snapshot = Snapshot(
            tuple(
                PairCounts(
                    pair,
                    tuple(range(sources)),
                    tuple(counts[pair, source] for source in range(sources)),
                    tuple((rater, pair, source) in seen for source in range(sources)),
                )
                for pair in range(pairs)
            )
        )
        draw = BalancedSampler().choose(snapshot, rng)
        if draw is None:
            assert sum(entry[0] == rater for entry in seen) == pairs * sources
            continue
        assert (rater, draw.pair, draw.source) not in seen
        seen.add((rater, draw.pair, draw.source))
        counts[draw.pair, draw.source] += 1
        totals = [sum(counts[pair, source] for source in range(sources)) for pair in range(pairs)]
        nobody_is_short = all(
            sum((other, pair, source) in seen for source in range(sources)) < sources
            for other in range(raters)
            for pair in range(pairs)
        )
        if nobody_is_short:
            assert max(totals) - min(totals) <= 1


def test_slots_fall_on_both_sides_about_equally() -> None:
    snapshot = Snapshot((PairCounts(1, (1,), (0,), (False,)),))
    rng = Random(5)
    first = 0
    for _ in range(2000):
        draw = BalancedSampler().choose(snapshot, rng)
        assert draw is not None
        first += draw.slot_of_a == 1
    # 5 standard deviations of 2,000 fair tosses.
    assert abs(first - 1000) < 5 * (2000 * 0.25) ** 0.5


def test_ties_between_sources_go_to_the_one_that_the_study_used_least() -> None:
    snapshot = Snapshot(
        (
            PairCounts(1, (10, 11), (0, 0), (False, False)),
            PairCounts(2, (10, 11), (5, 0), (False, False)),
        )
    )
    for seed in range(20):
        draw = BalancedSampler().choose(snapshot, Random(seed))
        assert draw is not None
        assert (draw.pair, draw.source) == (1, 11)
