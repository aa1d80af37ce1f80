"""Every kind of bad table gets one line that names the file, the row and the column."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.analyze_study import main
from analysis.errors import AnalysisError
from analysis.judgments import read_judgments, read_tables

JUDGMENTS = """\
judgment_id,trial,revision,study,rater,source,condition_a,condition_b,choice,slot_of_a,response_ms,kind,is_simulated,is_excluded,answered_at
j1,t1,0,one,anna,cat,old@0.1,new@0.1,a,1,900,scored,false,false,2026-01-31T12:00:00Z
j2,t2,0,one,bert,cat,old@0.2,new@0.2,b,2,800,scored,false,false,2026-01-31T12:00:01Z
j3,t3,0,one,anna,dog,old@0.1,old@0.2,b,1,,scored,false,false,
j4,t4,0,one,bert,dog,new@0.1,new@0.2,tie,2,700,scored,false,false,2026-01-31T12:00:03Z
"""
STIMULI = """\
source,condition,codec,role,status,target_bpp,bpp
cat,old@0.1,old,scored,matched,0.1,0.1
cat,old@0.2,old,scored,matched,0.2,0.201
cat,new@0.1,new,scored,matched,0.1,0.0995
cat,new@0.2,new,scored,matched,0.2,0.2
dog,old@0.1,old,scored,matched,0.1,0.1005
dog,old@0.2,old,scored,matched,0.2,0.2
dog,new@0.1,new,scored,matched,0.1,0.1
dog,new@0.2,new,scored,matched,0.2,0.1991
"""

# table, text to replace, its replacement, and what the message must say
CASES = [
    ("judgments", "j2,t2", "j1,t2", ["line 3", "judgment_id", "'j1' stands twice"]),
    ("judgments", "j2,t2,0", "j2,t1,0", ["line 3", "revision", "'t1' has revision 0 twice"]),
    ("judgments", "j2,t2,0", "j2,t2,0.5", ["line 3", "revision", "'0.5' is not a whole number"]),
    ("judgments", "j2,t2,0", "j2,t2,-1", ["line 3", "revision", "'-1' is below 0"]),
    ("judgments", "j2,t2,0", "j2,t2,", ["line 3", "revision", "is empty"]),
    ("judgments", "j3,t3,0,one,anna", "j3,t3,0,one,", ["line 4", "rater", "is empty"]),
    ("judgments", "j3,t3,0,one,anna", "j3,t3,0,one, anna", ["line 4", "rater", "space"]),
    ("judgments", "j3,t3", ",t3", ["line 4", "judgment_id", "is empty"]),
    ("judgments", "anna,dog", "anna,", ["line 4", "source", "is empty"]),
    ("judgments", "anna,dog", "anna,cow", ["line 4", "source", "no source 'cow' under condition 'old@0.1'"]),
    ("judgments", "old@0.1,old@0.2", "old@0.1,old@0.3", ["line 4", "condition_b", "'old@0.3' is not in"]),
    ("judgments", "old@0.1,old@0.2", "odd@0.1,old@0.2", ["line 4", "condition_a", "'odd@0.1' is not in"]),
    ("judgments", "old@0.1,old@0.2", "old@0.2,old@0.2", ["line 4", "condition_b", "compared with itself"]),
    ("judgments", "old@0.1,old@0.2", ",old@0.2", ["line 4", "condition_a", "is empty"]),
    ("judgments", ",tie,", ",c,", ["line 5", "choice", "'c' is not one of a, b, tie"]),
    ("judgments", ",tie,", ",,", ["line 5", "choice", "is empty"]),
    ("judgments", ",tie,2", ",tie,3", ["line 5", "slot_of_a", "'3' is not one of 1, 2"]),
    ("judgments", ",tie,2", ",tie,left", ["line 5", "slot_of_a", "'left' is not a whole number"]),
    ("judgments", ",700,", ",fast,", ["line 5", "response_ms", "'fast' is not a whole number"]),
    ("judgments", ",700,", ",-700,", ["line 5", "response_ms", "below 0"]),
    ("judgments", ",700,", ",nan,", ["line 5", "response_ms", "'nan' is not a whole number"]),
    ("judgments", ",700,", ",inf,", ["line 5", "response_ms", "'inf' is not a whole number"]),
    ("judgments", "700,scored", "700,score", ["line 5", "kind", "'score' is not one of scored, golden"]),
    ("judgments", "700,scored,false", "700,scored,maybe", ["line 5", "is_simulated", "not true or false"]),
    ("judgments", "12:00:03Z", "12:00:99Z", ["line 5", "answered_at", "is not a time"]),
    ("judgments", "2026-01-31T12:00:03Z", "yesterday", ["line 5", "answered_at", "is not a time"]),
    ("judgments", "j4,t4,0,one", "j4,t4,0,two", ["2 studies (one, two)", "--study"]),
    ("judgments", "j4,t4,0,one", "j4,t4,0,", ["line 5", "study", "is empty"]),
    ("judgments", "j4,t4,0,", "j4,t4,", ["line 5", "14 cells where the header names 15"]),
    ("judgments", "j4,t4,0,", "j4,t4,0,0,", ["line 5", "16 cells where the header names 15"]),
    ("judgments", "judgment_id,trial", "judgment_id,judgment_id", ["names the column judgment_id twice"]),
    ("judgments", ",choice,", ",answer,", ["lacks the column choice"]),
    ("judgments", JUDGMENTS.split("\n", 1)[1], "",
     ["holds no judgments yet: nobody has rated this study; run it again after somebody has rated"]),
    ("judgments", JUDGMENTS, "", ["is empty"]),
    ("judgments", "anna,cat", '"anna,cat', ["is not CSV"]),
    ("stimuli", "cat,old@0.2,old,scored,matched,0.2,0.201", "cat,old@0.2,old,scored,matched,0.2,0",
     ["line 3", "bpp", "'0' is not above zero"]),
    ("stimuli", "0.2,0.201", "0.2,-0.2", ["line 3", "bpp", "not above zero"]),
    ("stimuli", "0.2,0.201", "0.2,NaN", ["line 3", "bpp", "'NaN' is not a number"]),
    ("stimuli", "0.2,0.201", "0.2,", ["line 3", "bpp", "is empty for a scored stimulus"]),
    ("stimuli", "0.2,0.201", "0.2,0.2 bpp", ["line 3", "bpp", "'0.2 bpp' is not a number"]),
    ("stimuli", "0.2,0.201", "two,0.201", ["line 3", "target_bpp", "'two' is not a number"]),
    ("stimuli", "cat,old@0.2,old", "cat,old@0.2,new", ["line 7", "codec", "condition 'old@0.2'"]),
    ("stimuli", "cat,old@0.2,old", "cat,old@0.1,old", ["condition", "'old@0.1'"]),
    ("stimuli", "cat,old@0.2,old", "cat,old@0.2,", ["line 3", "codec", "is empty"]),
    ("stimuli", "cat,old@0.2,old,scored,matched", "cat,old@0.2,old,scored,perfect",
     ["line 3", "status", "'perfect' is not one of matched, near"]),
    ("stimuli", "cat,old@0.2,old,scored", "cat,old@0.2,old,rated", ["line 3", "role", "'rated' is not one"]),
    ("stimuli", ",bpp\n", ",rate\n", ["lacks the column bpp"]),
    ("stimuli", STIMULI.split("\n", 1)[1], "", ["holds no rows"]),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "judgments.csv").write_text(JUDGMENTS)
    (tmp_path / "stimuli.csv").write_text(STIMULI)
    return tmp_path


def test_the_unspoilt_tables_are_read(folder: Path) -> None:
    """The table that every case spoils is itself sound."""
    comparisons = read_judgments(folder)
    assert comparisons.score.tolist() == [1.0, 0.0, 0.0, 0.5]
    assert comparisons.raters == ("anna", "bert")


@pytest.mark.parametrize(("table", "old", "new", "said"), CASES)
def test_a_bad_cell_is_named(folder: Path, table: str, old: str, new: str, said: list[str]) -> None:
    """The message is one line and holds the file, the row as the file counts and the column."""
    path = folder / f"{table}.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(AnalysisError) as caught:
        read_judgments(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in said), message
    if "--study" not in said:
        assert f"{table}.csv" in message


def test_the_command_says_it_in_one_line_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, one line on stderr, and no output folder."""
    path = folder / "judgments.csv"
    path.write_text(path.read_text().replace(",tie,", ",c,"))
    assert main([str(folder), "--anchor", "old", "-o", str(folder / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "line 5, column choice" in error
    assert not (folder / "out").exists()


def test_more_bad_rows_are_counted(folder: Path) -> None:
    """The first bad row is named and the others are counted."""
    path = folder / "judgments.csv"
    path.write_text(path.read_text().replace(",scored,", ",score,"))
    with pytest.raises(AnalysisError, match=r"line 2, column kind: .* \(3 more rows alike\)"):
        read_tables(folder)


Spoil = Callable[[Path], object]

PLACES: list[tuple[Spoil, str]] = [
    (lambda folder: (folder / "judgments.csv").unlink(), "holds neither judgments.csv nor an export"),
    (lambda folder: (folder / "stimuli.csv").unlink(), "holds no stimuli.csv or stimuli.parquet"),
    (lambda folder: (folder / "stimuli.csv").write_bytes(b"source,\xff\n"), "is not UTF-8 text"),
    (
        lambda folder: (
            (folder / "stimuli.csv").unlink(),
            (folder / "stimuli.parquet").write_bytes(b"PAR1"),
        ),
        "is no readable Parquet file",
    ),
]


@pytest.mark.parametrize(("spoil", "said"), PLACES)
def test_a_bad_folder_is_named(folder: Path, spoil: Spoil, said: str) -> None:
    """A folder without readable tables is named with what it lacks."""
    spoil(folder)
    with pytest.raises(AnalysisError, match=said):
        read_tables(folder)


def test_no_folder_and_a_file_are_named(folder: Path) -> None:
    """A place that does not exist, and a file in place of a folder."""
    with pytest.raises(AnalysisError, match="no such folder"):
        read_tables(folder / "nowhere")
    with pytest.raises(AnalysisError, match="is a file"):
        read_tables(folder / "judgments.csv")


@pytest.mark.parametrize(
    ("codec", "said"),
    [
        ("old", "judgments.csv: holds no judgments yet: nobody has rated this study"),
        ("OLDE", "no codec 'OLDE' in this study; there is new, old: did you mean old?"),
        ("xyz", "no codec 'xyz' in this study; there is new, old\n"),
    ],
)
def test_a_misspelt_codec_is_said_before_anybody_has_rated(
    folder: Path, capsys: pytest.CaptureFixture[str], codec: str, said: str
) -> None:
    """The codecs are those of the stimuli table, which needs no judgment."""
    path = folder / "judgments.csv"
    path.write_text(path.read_text().split("\n", 1)[0] + "\n")
    for option in ("--anchor", "--test"):
        assert main([str(folder), option, codec, "-o", str(folder / "out")]) == 2
        assert said in capsys.readouterr().err
