"""Reading the two tables from files and folders, and what of them counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.contract import JUDGMENT_NAMES, STIMULUS_NAMES
from analysis.errors import (
    MalformedRowError,
    MalformedTableError,
    MixedJudgmentsError,
    NothingToAnalyseError,
    SeveralStudiesError,
    UnknownStudyError,
)
from analysis.judgments import read_judgments, read_tables, select_comparisons, tables_from_frames
from analysis.rates import condition_rates
from analysis.simulation import SimulatedStudy

FolderMaker = Callable[..., Path]


def test_csv_and_parquet_are_one_study(small_study: SimulatedStudy, write_export: FolderMaker) -> None:
    """The same content has the same hash and the same rows, whatever the format and the order of rows."""
    csv = read_tables(write_export(small_study.judgments, small_study.stimuli, "csv"))
    shuffled = small_study.judgments.sample(frac=1.0, random_state=1)
    parquet = read_tables(write_export(shuffled, small_study.stimuli, "parquet", form="parquet"))
    assert csv.sha256 == parquet.sha256
    assert list(csv.judgments.columns) == list(JUDGMENT_NAMES)
    assert list(csv.stimuli.columns) == list(STIMULUS_NAMES)
    pd.testing.assert_frame_equal(csv.judgments, parquet.judgments)


def test_the_hash_follows_the_content(small_study: SimulatedStudy) -> None:
    """One changed answer changes the hash."""
    changed = small_study.judgments.copy()
    changed.loc[3, "choice"] = "tie" if changed.loc[3, "choice"] != "tie" else "a"
    first = tables_from_frames(small_study.judgments, small_study.stimuli)
    assert first.sha256 != tables_from_frames(changed, small_study.stimuli).sha256


def test_a_study_folder_is_its_newest_export(
    small_study: SimulatedStudy, write_export: FolderMaker, tmp_path: Path
) -> None:
    """The greatest UTC stamp is read; folders that are no stamps are passed over."""
    for stamp, rows in (("20260101T000000Z", 400), ("20260301T000000Z", 600), ("zzz", 500)):
        write_export(small_study.judgments.head(rows), small_study.stimuli, f"study/exports/{stamp}")
    assert len(read_tables(tmp_path / "study").judgments) == 600


def test_several_studies_need_a_name(small_study: SimulatedStudy, write_export: FolderMaker) -> None:
    """Without --study they are refused by name; with it the others' rows are passed over."""
    rows = small_study.judgments.copy()
    rows.loc[rows.index[:700], "study"] = "other"
    folder = write_export(rows, small_study.stimuli)
    with pytest.raises(SeveralStudiesError, match="other, simulated"):
        read_tables(folder)
    assert len(read_tables(folder, "simulated").judgments) == 800
    with pytest.raises(UnknownStudyError, match="no study 'third'"):
        read_tables(folder, "third")


def test_stimuli_of_another_study_are_named(small_study: SimulatedStudy) -> None:
    """The table holds rows, and none of the study that was judged."""
    with pytest.raises(MalformedTableError, match="stimuli: holds no rows of study 'simulated'"):
        tables_from_frames(small_study.judgments, small_study.stimuli.assign(study="other"))


def test_row_numbers_survive_the_choice_of_a_study(
    small_study: SimulatedStudy, write_export: FolderMaker
) -> None:
    """A bad row is named by its line in the file, not by its place among the study's rows."""
    rows = small_study.judgments.copy()
    rows.loc[rows.index[:700], "study"] = "other"
    rows.loc[rows.index[900], "choice"] = "x"
    with pytest.raises(MalformedRowError, match="line 902, column choice"):
        read_tables(write_export(rows, small_study.stimuli), "simulated")


def test_a_quoted_line_break_does_not_shift_the_row_numbers(tmp_path: Path) -> None:
    """Lines are counted as an editor shows them."""
    (tmp_path / "stimuli.csv").write_text("source,condition,codec,bpp\ns,a,a,1\ns,b,b,1\n")
    header = "judgment_id,rater,source,condition_a,condition_b,choice,exclusion\n"
    rows = 'j1,r,s,a,b,a,"two\nlines"\nj2,r,s,a,b,x,\n'
    (tmp_path / "judgments.csv").write_text(header + rows)
    with pytest.raises(MalformedRowError, match="line 4, column choice"):
        read_tables(tmp_path)


def test_wrong_types_in_parquet_are_named(small_study: SimulatedStudy, write_export: FolderMaker) -> None:
    """A column of lists, floats or flags where text stands is refused by row."""
    rows = small_study.judgments.copy()
    rows["rater"] = 0.5
    with pytest.raises(MalformedRowError, match=r"row 1, column rater: '0.5' is not text"):
        read_tables(write_export(rows, small_study.stimuli, form="parquet"))
    rows["rater"] = np.arange(len(rows)) % 7
    rows["revision"] = False
    with pytest.raises(MalformedRowError, match="row 1, column revision"):
        read_tables(write_export(rows, small_study.stimuli, form="parquet"))
    rows["revision"] = 0
    assert len(read_judgments(write_export(rows, small_study.stimuli, form="parquet")).raters) == 7


def test_optional_columns_may_be_absent(small_study: SimulatedStudy) -> None:
    """Anybody's data joins with the needed columns alone: all scored, all real, one revision a row."""
    needed = ["judgment_id", "rater", "source", "condition_a", "condition_b", "choice"]
    stimuli = small_study.stimuli[["source", "condition", "codec", "bpp"]]
    tables = tables_from_frames(small_study.judgments[needed], stimuli)
    comparisons = select_comparisons(tables)
    assert len(comparisons) == 1500
    assert comparisons.evidence == "real"
    assert condition_rates(tables).reference == "reference"


def test_only_what_counts_is_counted(small_study: SimulatedStudy) -> None:
    """Earlier revisions, other kinds and excluded rows are left out, each counted under its rule."""
    rows = small_study.judgments.copy()
    rows["exclusion"] = None
    rows.loc[1, ["trial", "revision"]] = [rows.loc[0, "trial"], 1]
    rows.loc[2, "kind"] = "golden"
    rows.loc[3, "kind"] = "bias_probe"
    rows.loc[3, "condition_b"] = rows.loc[3, "condition_a"]
    rows.loc[[4, 5], "is_excluded"] = True
    rows.loc[4, "exclusion"] = "too fast"
    rows.loc[6, ["is_excluded", "kind"]] = [True, "golden"]
    comparisons = select_comparisons(tables_from_frames(rows, small_study.stimuli))
    assert comparisons.exclusions == {
        "superseded by a later answer": 1,
        "kind bias_probe": 1,
        "kind golden": 2,
        "no rule named": 1,
        "too fast": 1,
    }
    assert len(comparisons) == 1500 - 6


def test_an_excluded_last_revision_does_not_bring_back_the_first(small_study: SimulatedStudy) -> None:
    """The last revision decides: an answer that was undone never counts."""
    rows = small_study.judgments.copy()
    rows.loc[1, ["trial", "revision"]] = [rows.loc[0, "trial"], 1]
    rows.loc[1, "is_excluded"] = True
    assert len(select_comparisons(tables_from_frames(rows, small_study.stimuli))) == 1498


def test_simulated_and_real_judgments_do_not_mix_by_accident(small_study: SimulatedStudy) -> None:
    """A mixture is refused with both numbers, and labelled where it is asked for."""
    rows = small_study.judgments.copy()
    rows.loc[:9, "is_simulated"] = False
    tables = tables_from_frames(rows, small_study.stimuli)
    with pytest.raises(MixedJudgmentsError, match="1490 simulated judgments stand among 10 real"):
        select_comparisons(tables)
    assert select_comparisons(tables, include_simulated=True).evidence == "mixed"
    assert select_comparisons(tables_from_frames(small_study.judgments, small_study.stimuli)).evidence == (
        "simulated"
    )


def test_nothing_left_says_why(small_study: SimulatedStudy) -> None:
    """When every row falls to a rule, the rules are named."""
    rows = small_study.judgments.assign(kind="training")
    with pytest.raises(NothingToAnalyseError, match="kind training: 1500"):
        select_comparisons(tables_from_frames(rows, small_study.stimuli))


def test_wins_count_ties_as_halves() -> None:
    """Each judgment adds one to the win matrix, split for a tie."""
    judgments = pd.DataFrame(
        {
            "judgment_id": ["1", "2", "3"],
            "rater": "r",
            "source": "s",
            "condition_a": ["x", "y", "x"],
            "condition_b": ["y", "x", "y"],
            "choice": ["a", "a", "tie"],
        }
    )
    stimuli = pd.DataFrame({"source": "s", "condition": ["x", "y"], "codec": ["x", "y"], "bpp": 1.0})
    wins = select_comparisons(tables_from_frames(judgments, stimuli)).wins()
    assert wins.tolist() == [[0.0, 1.5], [1.5, 0.0]]
