"""The rate of a condition: the mean over shared sources, and which cells are left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.errors import NothingToAnalyseError
from analysis.judgments import StudyTables, select_comparisons, tables_from_frames
from analysis.rates import condition_rates


def tables_of(stimuli: list[tuple[str, str, float, float | None]], status: str = "matched") -> StudyTables:
    """A study of (source, codec, target, bpp) in which every pair of a source was judged once."""
    made = pd.DataFrame(
        [(s, f"{c}@{t}", c, "scored", status, t, b) for s, c, t, b in stimuli],
        columns=["source", "condition", "codec", "role", "status", "target_bpp", "bpp"],
    )
    rows = []
    for source, group in made.groupby("source"):
        names = sorted(group["condition"])
        rows += [(source, a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    judgments = pd.DataFrame(rows, columns=["source", "condition_a", "condition_b"])
    judgments["judgment_id"] = [f"j{i}" for i in range(len(rows))]
    judgments["rater"], judgments["choice"] = "r", "a"
    return tables_from_frames(judgments, made)


FULL = [
    (s, c, t, t * f) for s, f in (("cat", 1.0), ("dog", 1.21)) for c in ("old", "new") for t in (0.1, 0.2)
]


def test_geometric_and_arithmetic_means() -> None:
    """The mean of ln bpp, and the ln of the mean bpp."""
    rates = condition_rates(tables_of(FULL))
    assert np.exp(rates.mean("geometric")[0]).tolist() == pytest.approx([0.11, 0.22] * 2)
    assert np.exp(rates.mean("arithmetic")[0]).tolist() == pytest.approx([0.1105, 0.221] * 2)


def test_resampled_sources_weight_the_mean() -> None:
    """Weights of sources enter both means; a replicate without any of a condition's sources keeps its
    rate."""
    rates = condition_rates(tables_of(FULL))
    weights = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 3.0], [0.0, 0.0]])
    geometric = np.exp(rates.mean("geometric", weights)[:, 0])
    assert geometric.tolist() == pytest.approx([0.1, 0.121, 0.1 * 1.21**0.75, 0.11])
    arithmetic = np.exp(rates.mean("arithmetic", weights)[:, 0])
    assert arithmetic.tolist() == pytest.approx([0.1, 0.121, 0.25 * 0.1 + 0.75 * 0.121, 0.1105])


def test_a_missing_stimulus_leaves_the_source_out_for_all_codecs() -> None:
    """Its rate and its judgments count for no codec at that rate point, and stay at the others."""
    tables = tables_of([row for row in FULL if row[:3] != ("dog", "new", 0.1)])
    rates = condition_rates(tables)
    assert [(cell.source, cell.rate_point, cell.lacking) for cell in rates.left_out] == [
        ("dog", "0.1 bpp", ("new",))
    ]
    by_name = dict(zip(rates.conditions, np.exp(rates.mean("geometric")[0]), strict=True))
    assert by_name == pytest.approx({"new@0.1": 0.1, "old@0.1": 0.1, "new@0.2": 0.22, "old@0.2": 0.22})


def test_judgments_of_left_out_cells_do_not_count() -> None:
    """A third codec judged on the source that the first lacks loses these judgments."""
    third = [(s, "mid", t, t) for s in ("cat", "dog") for t in (0.1, 0.2)]
    tables = tables_of([row for row in FULL + third if row[:3] != ("dog", "new", 0.1)])
    everything = select_comparisons(tables)
    counted = select_comparisons(tables, left_out=condition_rates(tables).left_out_cells)
    # Five stimuli of the dog: two at 0.1, which leave with all ten pairs but the three among the others.
    assert (len(everything), len(counted)) == (15 + 10, 15 + 3)
    assert counted.exclusions == {"source missing at the rate point": 7}


def test_a_source_that_one_codec_lacks_altogether_is_left_out() -> None:
    """Weak codecs must not be judged on easy pictures only."""
    rates = condition_rates(tables_of([row for row in FULL if row[:2] != ("dog", "new")]))
    assert {(cell.source, cell.rate_point) for cell in rates.left_out} == {
        ("dog", "0.1 bpp"),
        ("dog", "0.2 bpp"),
    }


def test_a_missed_target_that_nobody_judged_is_a_missing_stimulus() -> None:
    """The application leaves such stimuli out of its trials; where they were judged they count."""
    tables = tables_of(FULL)
    stimuli = tables.stimuli.copy()
    missed = (stimuli["source"] == "dog") & (stimuli["condition"] == "new@0.1")
    stimuli.loc[missed, "status"] = "unreachable_low"
    assert condition_rates(tables_from_frames(tables.judgments, stimuli)).left_out == ()
    rows = tables.judgments
    shown = (rows["condition_a"] == "new@0.1") | (rows["condition_b"] == "new@0.1")
    unseen = tables_from_frames(rows[~(shown & (rows["source"] == "dog"))], stimuli)
    assert [cell.source for cell in condition_rates(unseen).left_out] == ["dog"]


def test_nothing_shared_is_named() -> None:
    """Codecs on different sources have no common rate."""
    rows = [
        ("cat", "old", 0.1, 0.1),
        ("cat", "old", 0.2, 0.2),
        ("dog", "new", 0.1, 0.1),
        ("dog", "new", 0.2, 0.2),
    ]
    with pytest.raises(NothingToAnalyseError, match=r"'new@0\.1' shares no source"):
        condition_rates(tables_of(rows))


def test_stimuli_far_from_their_target_are_counted() -> None:
    """More than 2 % off."""
    assert condition_rates(tables_of(FULL)).mismatched == 4


def test_payload_rates_leave_out_the_container() -> None:
    """8 x payload bytes / pixels; the miss of a target is still that of the file."""
    tables = tables_of(FULL)
    stimuli = tables.stimuli.assign(width=100, height=80)
    stimuli["payload_bytes"] = (stimuli["bpp"] * 1000 - 50).round()
    rates = condition_rates(tables_from_frames(tables.judgments, stimuli), "payload")
    by_name = dict(zip(rates.conditions, np.exp(rates.mean("geometric")[0]), strict=True))
    assert by_name["old@0.1"] == pytest.approx(np.sqrt(0.05 * 0.071))
    assert by_name["new@0.2"] == pytest.approx(np.sqrt(0.15 * 0.192))
    assert rates.mismatched == condition_rates(tables).mismatched == 4
    stimuli.loc[2, "payload_bytes"] = np.nan
    with pytest.raises(NothingToAnalyseError, match=r"no payload_bytes, .* \(1 such stimulus\).*--rate file"):
        condition_rates(tables_from_frames(tables.judgments, stimuli), "payload")


def test_codecs_are_listed_in_the_order_of_rate() -> None:
    """By number: as text 10.0 would come before 2.0."""
    rows = [(s, c, t, t) for s in ("cat", "dog") for c in ("old", "new") for t in (2.0, 10.0)]
    rates = condition_rates(tables_of(rows))
    assert rates.codec_conditions(rates.conditions)["old"] == ("old@2.0", "old@10.0")
