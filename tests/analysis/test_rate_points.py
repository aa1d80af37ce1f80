"""Rate points of targets per source, of shares of a rate and of ladders of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.errors import MalformedRowError
from analysis.judgments import StudyTables, tables_from_frames
from analysis.rate_points import rate_points
from analysis.rates import condition_rates, study_basis
from analysis.results import Options, analyse_study
from analysis.simulation import SimulatedStudy, simulate_study

#: The rate that each source has under the codec that the others are matched to.
ANCHORED = {"cat": 0.2, "dog": 0.3, "elk": 0.5}


def tables(rows: list[tuple[str, str, str, float | None, float]], **columns: object) -> StudyTables:
    """A study of (source, codec, ending, target, bpp) in which every pair of a source was judged once."""
    stimuli = pd.DataFrame(
        [(s, f"{c}@{end}", c, "scored", "matched", t, b) for s, c, end, t, b in rows],
        columns=["source", "condition", "codec", "role", "status", "target_bpp", "bpp"],
    ).assign(**columns)
    pairs = [
        (source, a, b)
        for source, group in stimuli.groupby("source")
        for a in group["condition"]
        for b in group["condition"]
        if a < b
    ]
    judgments = pd.DataFrame(pairs, columns=["source", "condition_a", "condition_b"])
    judgments["judgment_id"] = [f"j{i}" for i in range(len(pairs))]
    judgments["rater"], judgments["choice"] = "r", "a"
    return tables_from_frames(judgments, stimuli)


SHARES = [
    (source, codec, f"{share}x", share * bpp, share * bpp)
    for source, bpp in ANCHORED.items()
    for codec in ("new", "old")
    for share in (0.5, 1.0)
]


def test_shares_of_a_rate_are_rate_points_by_their_names() -> None:
    """Targets differ from source to source, and every codec has the same ones."""
    rates = condition_rates(tables(SHARES))
    assert dict(zip(rates.conditions, rates.points, strict=True)) == {
        "new@0.5x": "0.5x",
        "new@1.0x": "1.0x",
        "old@0.5x": "0.5x",
        "old@1.0x": "1.0x",
    }
    assert np.isnan(rates.targets).all()
    assert rates.mismatched == 0


def test_a_miss_is_that_of_the_sources_own_target() -> None:
    """One stimulus in twelve is 3 % off; against the first source's target eight would be."""
    rows = [
        (s, c, end, t, b * 1.03 if (s, c, end) == ("elk", "new", "1.0x") else b) for s, c, end, t, b in SHARES
    ]
    assert condition_rates(tables(rows)).mismatched == 1


def test_a_cell_that_lacks_names_the_share() -> None:
    """The label of the rate point stands in the count."""
    rates = condition_rates(tables([row for row in SHARES if row[:3] != ("dog", "new", "0.5x")]))
    assert [(c.source, c.rate_point, c.lacking) for c in rates.left_out] == [("dog", "0.5x", ("new",))]
    assert rates.left_out_cells == {("dog", "old@0.5x")}


def test_codecs_with_ladders_of_their_own_ask_only_those_that_have_a_rate_point() -> None:
    """`old` has .4 alone: nobody else lacks it, and a source missing there costs no other point."""
    ladders = {"new": (0.1, 0.2), "old": (0.2, 0.4)}
    rows = [
        (s, c, str(t), t, t)
        for s in ANCHORED
        for c, ladder in ladders.items()
        for t in ladder
        if (s, c, t) != ("dog", "old", 0.4)
    ]
    rates = condition_rates(tables(rows))
    assert rates.points == ("0.1 bpp", "0.2 bpp", "0.2 bpp", "0.4 bpp")
    assert [(c.source, c.rate_point, c.lacking) for c in rates.left_out] == [("dog", "0.4 bpp", ("old",))]
    assert rates.source_counts == {"new@0.1": 3, "new@0.2": 3, "old@0.2": 3, "old@0.4": 2}


def test_conditions_that_disagree_on_one_source_are_two_rate_points() -> None:
    """Named alike, and yet not at the same rate on every source that both have."""
    targets = np.array([[0.2, 0.3], [0.2, 0.31], [0.2 * (1 + 1e-10), np.nan], [np.nan, np.nan]])
    labels = rate_points(("a@1x", "b@1x", "c@1x", "d@1x"), ("a", "b", "c", "d"), targets)
    assert labels[0] == labels[2] == "1x"
    assert labels[1] == "1x (2)"
    assert labels[3] == "d@1x"


def test_names_decide_where_a_lacking_source_leaves_two_points_open() -> None:
    """On the first source both points have the same target."""
    targets = np.array([[0.2, 0.3], [0.2, 0.5], [0.2, np.nan], [0.2, np.nan]])
    labels = rate_points(("a@1x", "a@2x", "b@2x", "b@1x"), ("a", "a", "b", "b"), targets)
    assert labels == ("1x", "2x", "2x", "1x")


def test_pictures_matched_by_the_mean_of_the_set_are_counted_as_they_are() -> None:
    """They vary about their target by design, and a reader is told of how many."""
    spread = {"cat": 0.7, "dog": 1.0, "elk": 1.4}
    rows = [(s, c, str(t), t, t * spread[s]) for s in spread for c in ("new", "old") for t in (0.2, 0.4)]
    assert condition_rates(tables(rows)).mismatched == 8


PAYLOADS = [(s, c, "0.2", 0.2, 0.25) for s in ANCHORED for c in ("new", "old")]


def test_the_basis_of_the_study_is_the_default_and_judges_the_misses() -> None:
    """Files of .25 bpp hold the .2 bpp of payload that the study matched."""
    matched = tables(PAYLOADS, rate="payload", width=100, height=80, payload_bytes=200)
    assert study_basis(matched) == "payload"
    rates = condition_rates(matched)
    assert np.exp(rates.mean("geometric")[0]).tolist() == pytest.approx([0.2, 0.2])
    assert rates.mismatched == 0
    files = condition_rates(matched, "file")
    assert np.exp(files.mean("geometric")[0]).tolist() == pytest.approx([0.25, 0.25])
    assert files.mismatched == 0
    # The same tables of a study that matched files miss all six targets.
    assert condition_rates(tables(PAYLOADS, width=100, height=80, payload_bytes=200)).mismatched == 6


def test_a_study_has_one_basis() -> None:
    """Two in one table contradict each other."""
    with pytest.raises(
        MalformedRowError, match=r"row 4, column rate: 'payload' where other stimuli have 'file'"
    ):
        tables(PAYLOADS, rate=["file"] * 3 + ["payload"] * 3)


def shared(study: SimulatedStudy) -> SimulatedStudy:
    """The study with a target of its own for each source, named as shares."""
    factor = 1.0 + 0.1 * study.stimuli["source"].str[-1].astype(int)
    stimuli = study.stimuli.copy()
    stimuli["target_bpp"] *= factor
    stimuli["bpp"] *= factor
    return SimulatedStudy(
        study.judgments.assign(
            **{name: study.judgments[name] + "x" for name in ("condition_a", "condition_b")}
        ),
        stimuli.assign(condition=stimuli["condition"] + "x"),
        study.elo,
    )


def test_the_road_takes_targets_per_source() -> None:
    """BD-rates are those of the plain study, as all rates of a source are moved alike."""
    plain = simulate_study(
        3, savings={"a": 1.0, "b": 1.4}, ladder=(0.1, 0.2, 0.4), sources=6, raters=20, judgments=900
    )
    found = []
    for study in (plain, shared(plain)):
        result = analyse_study(
            tables_from_frames(study.judgments, study.stimuli), Options(anchor="a", replicates=100)
        )
        found.append(result.codec_comparisons[0].rate.log_ratio)
    assert found[1] == pytest.approx(found[0], abs=1e-9)
    assert [score.rate_point for score in result.conditions[:3]] == ["0.1x", "0.2x", "0.4x"]


def test_targets_join_conditions_whatever_their_names() -> None:
    """Other people's conditions are called by qualities: the same target is the same rate point."""
    targets = np.array([[0.25, 0.25], [0.5, 0.5], [0.25, 0.25]])
    labels = rate_points(("a q30", "a q60", "b qp 37"), ("a", "a", "b"), targets)
    assert labels == ("0.25 bpp", "0.5 bpp", "0.25 bpp")


def test_a_condition_without_a_target_keeps_its_name_to_itself() -> None:
    """Called as a rate point would be, it would leave sources out there."""
    labels = rate_points(("0.25 bpp", "a@0.25"), ("given", "a"), np.array([[np.nan], [0.25]]))
    assert labels == ("0.25 bpp", "0.25 bpp (2)")
