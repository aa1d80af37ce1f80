"""Facts of the design: which conditions are paired, and how groups are told apart."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from stimuli.study import Condition, Pairing, condition_name
from study_app.design import connected_groups, pair_conditions


def ladder(codecs: int, rates: int) -> list[Condition]:
    return [
        Condition(condition_name(f"c{codec}", 0.1 * (rate + 1)), f"c{codec}", rate, 0.1 * (rate + 1))
        for codec in range(codecs)
        for rate in range(rates)
    ]


@given(st.integers(1, 5), st.integers(1, 5))
def test_each_rule_pairs_exactly_what_it_says(codecs: int, rates: int) -> None:
    pairs = pair_conditions(ladder(codecs, rates), Pairing())
    by_kind = {kind: sum(pair.kind == kind for pair in pairs) for kind in ("same_rate", "adjacent_within")}
    across = sum(pair.kind == "adjacent_across" for pair in pairs)
    between = codecs * (codecs - 1) // 2
    assert by_kind["same_rate"] == between * rates
    assert by_kind["adjacent_within"] == codecs * (rates - 1)
    assert across == 2 * between * (rates - 1)
    assert len({frozenset((pair.condition_a, pair.condition_b)) for pair in pairs}) == len(pairs)


def test_a_rule_that_is_off_makes_no_pairs_and_the_reference_meets_the_highest_rates() -> None:
    pairing = Pairing(same_rate=False, adjacent_within=True, adjacent_across=False, include_reference=True)
    pairs = pair_conditions(ladder(2, 3), pairing, "reference")
    assert {pair.kind for pair in pairs} == {"adjacent_within", "reference"}
    met = {pair.condition_a for pair in pairs if pair.kind == "reference"}
    assert met == {condition_name(f"c{c}", 0.1 * (r + 1)) for c in range(2) for r in (1, 2)}
    assert all(pair.condition_b == "reference" for pair in pairs if pair.kind == "reference")


@given(st.integers(1, 8), st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=12))
def test_groups_are_a_partition_that_no_edge_crosses(size: int, edges: set[tuple[int, int]]) -> None:
    nodes = [str(node) for node in range(size)]
    kept = [(str(a), str(b)) for a, b in edges if a < size and b < size]
    groups = connected_groups(nodes, kept)
    assert sorted(node for group in groups for node in group) == sorted(nodes)
    home = {node: number for number, group in enumerate(groups) for node in group}
    assert all(home[a] == home[b] for a, b in kept)
    # Within a group every node is reachable: merging along the edges leaves as many sets as groups.
    merged = {node: {node} for node in nodes}
    for a, b in kept:
        union = merged[a] | merged[b]
        for node in union:
            merged[node] = union
    assert len({frozenset(group) for group in merged.values()}) == len(groups)


def test_all_rules_together_connect_every_ladder() -> None:
    for codecs, rates in combinations(range(1, 6), 2):
        conditions = ladder(codecs, rates)
        pairs = pair_conditions(conditions, Pairing())
        groups = connected_groups(
            [c.name for c in conditions], [(p.condition_a, p.condition_b) for p in pairs]
        )
        assert len(groups) == 1


def test_ladders_that_share_no_rate_point_are_paired_with_their_neighbours() -> None:
    """One codec at the rate points 0, 2 and 4, the other at 1 and 3: each meets the next of the other."""
    conditions = [
        *(Condition(f"a@{point}", "a", point, point + 1.0) for point in (0, 2, 4)),
        *(Condition(f"b@{point}", "b", point, point + 1.0) for point in (1, 3)),
    ]
    pairs = {(p.condition_a, p.condition_b): p.kind for p in pair_conditions(conditions, Pairing())}
    assert pairs == {
        ("a@0", "a@2"): "adjacent_within",
        ("a@2", "a@4"): "adjacent_within",
        ("b@1", "b@3"): "adjacent_within",
        ("a@0", "b@1"): "adjacent_across",
        ("b@1", "a@2"): "adjacent_across",
        ("a@2", "b@3"): "adjacent_across",
        ("b@3", "a@4"): "adjacent_across",
    }


def test_a_ladder_that_skips_a_rate_point_stays_connected() -> None:
    conditions = [
        *(Condition(f"a@{point}", "a", point, point + 1.0) for point in (0, 1, 2)),
        *(Condition(f"b@{point}", "b", point, point + 1.0) for point in (0, 2)),
    ]
    pairs = {(p.condition_a, p.condition_b): p.kind for p in pair_conditions(conditions, Pairing())}
    assert pairs["b@0", "b@2"] == "adjacent_within"
    assert pairs["a@0", "b@0"] == pairs["a@2", "b@2"] == "same_rate"
    assert pairs["a@0", "b@2"] == "adjacent_across"
    assert pairs["a@1", "b@2"] == pairs["b@0", "a@1"] == "adjacent_across"
