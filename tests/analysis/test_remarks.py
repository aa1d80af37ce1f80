"""What stands before the numbers of a small study."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.analyze_study import main
from analysis.arguments import parser
from analysis.errors import counted
from analysis.simulation import SimulatedStudy, simulate_study

FolderMaker = Callable[..., Path]


@pytest.fixture
def analyse(
    write_export: FolderMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[dict[str, Any], str, Path]]:
    def run(study: SimulatedStudy, judgments: int) -> tuple[dict[str, Any], str, Path]:
        export = write_export(study.judgments.head(judgments), study.stimuli)
        out = tmp_path / "out"
        assert main([str(export), "--anchor", "a", "-o", str(out), "--replicates", "100"]) == 0
        return json.loads((out / "results.json").read_text()), capsys.readouterr().out, out

    return run


Analyse = Callable[..., tuple[dict[str, Any], str, Path]]


def study(**changes: Any) -> SimulatedStudy:
    design: dict[str, Any] = {
        "savings": {"a": 1.0, "b": 1.4},
        "ladder": (0.1, 0.2, 0.4),
        "sources": 4,
        "raters": 1,
        "judgments": 400,
    }
    return simulate_study(3, **{**design, **changes})


def test_too_few_judgments_are_said_before_the_table(analyse: Analyse) -> None:
    """The first line, the first warning and the head of the report, with the conditions that are missing."""
    made = study()
    # Pairs of three conditions alone, so that three of the six were never judged.
    kept = {"a@0.1", "b@0.1", "a@0.2"}
    rows = made.judgments
    among = rows["condition_a"].isin(kept) & rows["condition_b"].isin(kept)
    document, printed, out = analyse(replace(made, judgments=rows[among]), 8)
    said = "Only 8 judgments by 1 rater: too few for any finding. 3 of 6 conditions were never judged."
    assert document["too_few"] == document["warnings"][0] == said
    lines = [line for line in printed.splitlines() if not line.startswith("SIMULATED")]
    assert lines[0] == f"note: {said}"
    assert printed.count(said) == 1
    page = (out / "report.html").read_text()
    assert page.index(said) < page.index('id="bd-rates"')


def test_one_rater_is_too_few_whatever_the_judgments(analyse: Analyse) -> None:
    """400 judgments of six conditions are many, and one rater is one."""
    document, _, _ = analyse(study(), 400)
    assert document["warnings"][0] == "400 judgments by only 1 rater: too few raters for any finding."
    assert "Only one rater: the intervals say nothing about other raters." in document["warnings"]


def test_one_source_is_said(analyse: Analyse) -> None:
    """The same of sources."""
    document, _, _ = analyse(study(sources=1, raters=20), 400)
    assert document["too_few"] is None
    assert "Only one source: the intervals say nothing about other sources." in document["warnings"]


@pytest.mark.parametrize(("judgments", "thin"), [(29, True), (30, False)])
def test_ten_judgments_a_condition_are_enough(analyse: Analyse, judgments: int, thin: bool) -> None:
    """Each judgment counts for both of its six conditions' members."""
    made = study(raters=200)
    document, _, _ = analyse(made, judgments)
    assert document["counts"]["conditions"] == 6
    assert (document["too_few"] is not None) == thin


def test_numbers_and_nouns_agree() -> None:
    """One of a thing is singular."""
    assert [counted(n, "rater") for n in (0, 1, 2)] == ["0 raters", "1 rater", "2 raters"]
    assert [counted(n, "stimulus", "stimuli") for n in (1, 2)] == ["1 stimulus", "2 stimuli"]


def test_the_help_of_zero_says_both_defaults() -> None:
    """Most studies show no original."""
    assert "the original if it was shown, else the mean" in " ".join(parser().format_help().split())


@pytest.mark.parametrize("changes", [{"sources": 1}, {"sources": 2, "raters": 2}])
def test_one_of_a_thing_is_singular_in_every_output(analyse: Analyse, changes: dict[str, Any]) -> None:
    """Terminal, report and tables: no "1 raters", "1 sources" or "1 degrees"."""
    _, printed, out = analyse(study(**changes), 400)
    texts = [printed] + [
        re.sub(r"<[^>]*>", "", path.read_text())
        for path in out.iterdir()
        if path.suffix in (".md", ".tex", ".html", ".json")
    ]
    for text in texts:
        assert not re.search(
            r"(?<![\d.,])1\s+(raters|sources|judgments|conditions|stimuli|replicates|degrees)\b", text
        )
    stamp = "1 rater," if "raters" not in changes else "2 raters,"
    assert stamp in (out / "bd_rates.md").read_text()
