"""Both BD-rates: over whole files and over payloads without their containers."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.analyze_study import main
from analysis.simulation import SimulatedStudy

FolderMaker = Callable[..., Path]
#: Bytes that each codec spends outside its payload, on pictures of 512 x 512.
CONTAINERS = {"old": 0, "mid": 300, "new": 1500}


def with_payloads(study: SimulatedStudy, rate: str | None = None) -> pd.DataFrame:
    stimuli = study.stimuli
    payload = stimuli["bytes"] - stimuli["codec"].map(CONTAINERS)
    made = stimuli.assign(payload_bytes=payload)
    return made if rate is None else made.assign(rate=rate)


@pytest.fixture
def analyse(
    write_export: FolderMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[dict[str, Any], str, Path]]:
    def run(study: SimulatedStudy, stimuli: pd.DataFrame, *options: str) -> tuple[dict[str, Any], str, Path]:
        out = tmp_path / "out"
        export = write_export(study.judgments, stimuli)
        assert main([str(export), "--anchor", "old", "-o", str(out), "--replicates", "100", *options]) == 0
        return json.loads((out / "results.json").read_text()), capsys.readouterr().out, out

    return run


Analyse = Callable[..., tuple[dict[str, Any], str, Path]]


def test_both_stand_in_every_table(small_study: SimulatedStudy, analyse: Analyse) -> None:
    """The headline over files, the payload beside it, which is kinder to the codec with the big container."""
    document, printed, out = analyse(small_study, with_payloads(small_study))
    assert (document["rate"], document["other_basis"]) == ("file", "payload")
    for row in document["bd_rates"]:
        assert row["other_basis_percent"] < row["bd_rate_percent"]
    new = document["bd_rates"][1]
    assert new["test"] == "new"
    shown = f"{new['other_basis_percent']:+.1f} %"
    for text in (printed, (out / "bd_rates.md").read_text()):
        assert "BD-rate, payload rates" in text
        assert shown in text
    assert f"{abs(new['other_basis_percent']):.1f}" in (out / "bd_rates.tex").read_text()
    rows = list(csv.DictReader((out / "bd_rates.csv").read_text().splitlines()))
    assert float(rows[1]["other_basis_percent"]) == new["other_basis_percent"]
    assert {row["other_basis"] for row in rows} == {"payload"}
    page = (out / "report.html").read_text()
    assert "BD-rate, payload rates</th>" in page
    assert 'data-key="bd_rates.1.other_basis_percent"' in page


def test_the_other_one_is_the_headline_of_the_other_basis(
    small_study: SimulatedStudy, analyse: Analyse
) -> None:
    """What stands beside the headline is the headline of `--rate` with the other basis, and back."""
    files, _, _ = analyse(small_study, with_payloads(small_study))
    payloads, _, _ = analyse(small_study, with_payloads(small_study), "--rate", "payload")
    for one, other in zip(files["bd_rates"], payloads["bd_rates"], strict=True):
        assert one["other_basis_percent"] == pytest.approx(other["bd_rate_percent"])
        assert other["other_basis_percent"] == pytest.approx(one["bd_rate_percent"])


def test_what_the_study_matched_is_the_headline(small_study: SimulatedStudy, analyse: Analyse) -> None:
    """The table says payload, and the command that repeats it too."""
    document, printed, _ = analyse(small_study, with_payloads(small_study, "payload"))
    assert (document["rate"], document["other_basis"]) == ("payload", "file")
    assert "--rate payload" in document["provenance"]["command"]
    assert "BD-rate, file rates" in printed
    assert "targets are those of whole files" not in printed
    chosen, printed, _ = analyse(small_study, with_payloads(small_study), "--rate", "payload")
    assert "targets are those of whole files" in printed
    assert chosen["counts"]["stimuli_beyond_2_percent"] == 0
    files, printed, _ = analyse(small_study, with_payloads(small_study, "payload"), "--rate", "file")
    assert (
        "note: Rates are those of whole files, containers included; targets are those of payloads." in printed
    )
    assert files["rate"] == "file"


@pytest.mark.parametrize("rate", [None, "payload"])
def test_one_line_says_where_payloads_are_not_known(
    small_study: SimulatedStudy, analyse: Analyse, rate: str | None
) -> None:
    """As with ready-made reconstructions: files are counted, and no column stands empty."""
    stimuli = with_payloads(small_study, rate)
    stimuli["payload_bytes"] = stimuli["payload_bytes"].astype("Int64").mask(stimuli["codec"] == "mid")
    document, printed, _ = analyse(small_study, stimuli)
    assert (document["rate"], document["other_basis"]) == ("file", None)
    assert "payload rates" not in printed
    said = [line for line in printed.splitlines() if "payload" in line]
    assert said == [
        "note: The payload of 32 stimuli is not known (mid), so there is no BD-rate over rates of the "
        "payload.",
        *(
            ["note: Rates are those of whole files, containers included; targets are those of payloads."]
            if rate == "payload"
            else []
        ),
    ]
