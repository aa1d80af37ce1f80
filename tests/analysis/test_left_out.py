"""Which sources a rate point rests on: counted, printed, and in every output."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.analyze_study import main
from analysis.document import results_document
from analysis.errors import NeverJudgedCodecError
from analysis.judgments import tables_from_frames
from analysis.results import Options, StudyResult, analyse_study
from analysis.simulation import SimulatedStudy


def without(study: SimulatedStudy, source: str, ending: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables without the stimuli of one source whose condition ends so, and without their judgments."""
    rows, stimuli = study.judgments, study.stimuli
    named = rows["condition_a"].str.endswith(ending) | rows["condition_b"].str.endswith(ending)
    gone = (stimuli["source"] == source) & stimuli["condition"].str.endswith(ending)
    return rows[~((rows["source"] == source) & named)], stimuli[~gone]


def analysed(judgments: pd.DataFrame, stimuli: pd.DataFrame) -> StudyResult:
    return analyse_study(tables_from_frames(judgments, stimuli), Options(anchor="old", replicates=100))


def test_a_rate_point_without_any_stimulus_of_a_source_is_counted(small_study: SimulatedStudy) -> None:
    """The application exports no stimulus of a point that it left out for all codecs."""
    document = results_document(analysed(*without(small_study, "source003", "@0.2")))
    assert document["left_out"] == [
        {"source": "source003", "rate_point": "0.2 bpp", "lacking": ["mid", "new", "old"]}
    ]
    assert document["counts"]["cells_left_out"] == 1
    assert any(
        "left out for all codecs: of 8 sources, 0.2 bpp rests on 7." in line for line in document["warnings"]
    )
    sources = {row["condition"]: row["sources"] for row in document["scores"]}
    assert sources == {
        **dict.fromkeys(sources, 8),
        **{f"{codec}@0.2": 7 for codec in ("old", "mid", "new")},
    }


def test_a_source_of_which_only_the_original_is_left_counts_at_no_rate_point(
    small_study: SimulatedStudy,
) -> None:
    """Every target was missed on it: all its rate points are counted."""
    rows, stimuli = small_study.judgments, small_study.stimuli
    gone = (stimuli["source"] == "source003") & (stimuli["role"] == "scored")
    result = analysed(rows[rows["source"] != "source003"], stimuli[~gone])
    assert [cell.source for cell in result.rates.left_out] == ["source003"] * 4
    assert {score.sources for score in result.conditions} == {7}


def test_a_codec_that_nobody_judged_leaves_no_source_out(small_study: SimulatedStudy) -> None:
    """It is not compared: on one source only, it would else cost the others all sources but that one."""
    stimuli = small_study.stimuli
    extra = stimuli[(stimuli["source"] == "source000") & (stimuli["codec"] == "old")]
    extra = extra.assign(codec="later", condition=extra["condition"].str.replace("old@", "later@"))
    plain = analysed(small_study.judgments, stimuli)
    result = analysed(small_study.judgments, pd.concat([stimuli, extra]))
    assert result.rates.left_out == ()
    assert result.never_judged == ("later@0.1", "later@0.2", "later@0.4", "later@0.8")
    assert [c.rate for c in result.codec_comparisons] == [c.rate for c in plain.codec_comparisons]
    assert [c.interval for c in result.codec_comparisons] == [c.interval for c in plain.codec_comparisons]
    tables = tables_from_frames(small_study.judgments, pd.concat([stimuli, extra]))
    with pytest.raises(NeverJudgedCodecError, match="no judgment that counts names the codec 'later'"):
        analyse_study(tables, Options(anchor="later", replicates=100))


def test_the_command_prints_the_count_and_every_output_has_the_sources(
    small_study: SimulatedStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line on the terminal, a column in scores.csv and in the report's table of scores."""
    judgments, stimuli = without(small_study, "source003", "@0.2")
    judgments.to_csv(tmp_path / "judgments.csv", index=False)
    stimuli.to_csv(tmp_path / "stimuli.csv", index=False)
    assert main([str(tmp_path), "--anchor", "old", "-o", str(tmp_path), "--replicates", "100"]) == 0
    assert "1 pair of source and rate point lacks a stimulus" in capsys.readouterr().out
    scores = pd.read_csv(tmp_path / "scores.csv").set_index("condition")["sources"]
    assert (scores["new@0.2"], scores["new@0.4"], scores["reference"]) == (7, 8, 8)
    page = (tmp_path / "report.html").read_text()
    document = json.loads((tmp_path / "results.json").read_text())
    for i, row in enumerate(document["scores"]):
        assert f'data-key="scores.{i}.sources" data-format=",">{row["sources"]}<' in page
    assert "every codec" in page
