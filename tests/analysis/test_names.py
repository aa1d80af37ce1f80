"""Names that mean something to a format, a shell or a terminal."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.analyze_study import main
from analysis.errors import MalformedRowError
from analysis.inputs import without_password
from analysis.judgments import tables_from_frames
from analysis.simulation import SimulatedStudy

FAST = ["--replicates", "100"]
NAMES = {
    "old": "-[a]*b|\\",
    "mid": '=x,"<script>alert(1)</script>',
    "new": "*画质</style><img src=x onerror=f()>",
}


def renamed(study: SimulatedStudy) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The study with codecs and conditions called by NAMES."""

    def of(condition: str) -> str:
        codec, at, target = condition.partition("@")
        return NAMES.get(codec, codec) + at + target

    rows, stimuli = study.judgments.copy(), study.stimuli.copy()
    rows["condition_a"], rows["condition_b"] = rows["condition_a"].map(of), rows["condition_b"].map(of)
    stimuli["condition"] = stimuli["condition"].map(of)
    stimuli["codec"] = stimuli["codec"].map(lambda codec: NAMES.get(codec, codec))
    rows["study"] = "<b>study"
    return rows, stimuli


def test_markup_in_names_neither_breaks_nor_injects(small_study: SimulatedStudy, tmp_path: Path) -> None:
    """HTML, Markdown, LaTeX and CSV say the names and nothing else; the command repeats the analysis."""
    rows, stimuli = renamed(small_study)
    rows.to_csv(tmp_path / "judgments.csv", index=False)
    stimuli.to_csv(tmp_path / "stimuli.csv", index=False)
    out = tmp_path / "out"
    # Warnings are errors in tests: a font without a character must not be one.
    assert main([str(tmp_path), f"--anchor={NAMES['old']}", "-o", str(out), *FAST]) == 0
    page = (out / "report.html").read_text()
    assert not re.search(r"<script|<img src=x|<b>", page)
    markdown = (out / "bd_rates.md").read_text()
    assert not re.search(r"(?<!\\)(<|\[|\*画)", markdown)
    assert all(len(re.split(r"(?<!\\)\|", line)) == 9 for line in markdown.splitlines() if line[:1] == "|")
    table = [line for line in (out / "bd_rates.tex").read_text().splitlines() if line[:1] != "%"]
    # A bracket or a star after \\midrule or \\ would be taken for its option.
    assert [line[:3] for line in table[4:6]] == ["{*}", "=x,"]
    assert "-{[}a{]}{*}b\\textbar{}\\textbackslash{}" in table[4]
    with (out / "bd_rates.csv").open(newline="") as stream:
        assert [row["test"] for row in csv.DictReader(stream)] == [NAMES["new"], NAMES["mid"]]
    first = (out / "results.json").read_bytes()
    assert main(shlex.split(json.loads(first)["provenance"]["command"])[1:]) == 0
    assert (out / "results.json").read_bytes() == first


@pytest.mark.parametrize(
    ("table", "column"), [("judgments", "study"), ("judgments", "rater"), ("stimuli", "codec")]
)
@pytest.mark.parametrize("character", ["\n", "\x01", "\u2028", "\x85"])
def test_a_line_break_in_a_name_is_refused(
    small_study: SimulatedStudy, table: str, column: str, character: str
) -> None:
    """It would end the comment that stamps the LaTeX table, and make the SVG no XML."""
    tables = {"judgments": small_study.judgments.copy(), "stimuli": small_study.stimuli.copy()}
    tables[table][column] = tables[table][column].map(lambda name: f"{name}{character}\\input")
    with pytest.raises(MalformedRowError, match=f"row 1, column {column}: .* holds a line break"):
        tables_from_frames(**tables)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:hush@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:hu/s@h@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me@host/db?a=1&password=hush&b=2", "postgresql://me@host/db?a=1&password=***&b=2"),
        ("postgresql://host/db?SSLPassword=hush", "postgresql://host/db?SSLPassword=***"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
    ],
)
def test_a_password_is_never_shown(address: str, shown: str) -> None:
    """Neither one before the host, with whatever signs, nor one among the options."""
    assert without_password(address) == shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x" * 300], "cannot be read: File name too long"),
        (["postgresql://host:port/db"], "postgresql://host:port/db: is no database address"),
        (["postgresql://me:hu@sh@127.0.0.1:1/db"], "an @ too many"),
        (["postgresql://me@127.0.0.1:1/db?password=hush"], "password=***: Postgres does not answer"),
        ([".", "-o", "y" * 300], "cannot be read: File name too long"),
    ],
)
def test_places_that_the_system_refuses_are_one_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, no traceback and no password."""
    assert main(["--anchor", "a", "-o", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not re.search(r"hush|hu@sh|sh@", error)


def test_a_folder_whose_name_is_no_utf8_and_a_reader_that_went_away(
    small_study: SimulatedStudy, tmp_path: Path
) -> None:
    """Outputs are written, exit 0, nothing on stderr."""
    place = tmp_path / os.fsdecode(b"lat\xe9in")
    folder = str(place)
    try:
        place.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    small_study.judgments.to_csv(place / "judgments.csv", index=False)
    small_study.stimuli.to_csv(place / "stimuli.csv", index=False)
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "analysis.analyze_study",
        folder,
        "--anchor",
        "old",
        "-o",
        folder,
    ]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run([*command, *FAST], stdout=write, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "lat\\xe9in" in json.loads((place / "results.json").read_text())["provenance"]["command"]
