"""`matchrate rd`: curves and BD-rates from the manifest alone, and what it refuses in one line."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stimuli.manifest import Failure, Manifest, write_manifest
from study_app.cli import main

ManifestMaker = Callable[..., Manifest]


@pytest.fixture
def measured(make_manifest: ManifestMaker, study_folder: Path) -> Manifest:
    """Two sources and codecs at three rates, `codecy` at 25 % fewer bits for the same PSNR; on disk."""
    made = make_manifest(sources=2, targets=(0.5, 1.0, 2.0), width=80, height=48)
    stimuli = tuple(
        replace(
            stimulus,
            bpp=stimulus.target_bpp,
            residual=0.0,
            payload_bytes=(stimulus.bytes or 0) - 40,
            metrics={"psnr": 30 + 5 * math.log(stimulus.bpp / (0.75 if stimulus.codec == "codecy" else 1.0))},
        )
        for stimulus in made.stimuli
    )
    study = replace(made.study, metrics=("psnr", "ms_ssim"))
    manifest = replace(made, study=study, stimuli=stimuli)
    write_manifest(study_folder, manifest)
    return manifest


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_it_reads_the_manifest_alone(
    measured: Manifest, study_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No study.toml, no database; the anchor is the first codec, and warnings stand below the tables."""
    assert main(["rd", str(study_folder)]) == 0
    said = capsys.readouterr().out
    assert "BD-rate against codecx: below zero the codec needs fewer bits" in said
    assert "codecy  PSNR    -25.0 %" in said
    assert "opposite orders" in said
    assert "warning: ms_ssim: measured on no stimulus, as the pictures are too small for it" in said
    assert said.splitlines()[-1] == f"report: {study_folder / 'rd' / 'rd.html'}"
    names = {path.name for path in (study_folder / "rd").iterdir()}
    assert names == {"rd.csv", "rd_bd_rates.csv", "rd.html", "rd_psnr.png", "rd_psnr.svg"}
    (row,) = rows_of(study_folder / "rd" / "rd_bd_rates.csv")
    assert float(row["bd_rate_percent"]) == pytest.approx(-25.0)
    assert [row["condition"] for row in rows_of(study_folder / "rd" / "rd.csv")] == [
        condition.name for condition in measured.conditions
    ]
    assert not (study_folder / "postgres").exists()


def test_anchor_metric_rate_and_folder_can_be_chosen(
    measured: Manifest, study_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "elsewhere"
    chosen = ["--anchor", "codecy", "--metric", "psnr", "--rate", "payload", "-o", str(out)]
    assert main(["rd", str(study_folder), *chosen]) == 0
    assert "rates of the payload" in capsys.readouterr().out
    (row,) = rows_of(out / "rd_bd_rates.csv")
    assert (row["anchor"], row["test"], row["rate"], row["other_rate"]) == (
        "codecy", "codecx", "payload", "file",
    )  # fmt: skip
    assert float(row["other_rate_percent"]) == pytest.approx(100 / 3)
    assert float(row["bd_rate_percent"]) > 100 / 3 + 1
    assert row["rate_mean"] == "geometric"
    assert main(["rd", str(study_folder), *chosen, "--rate-mean", "arithmetic"]) == 0
    assert ", arithmetic mean rates of the payload" in capsys.readouterr().out
    assert {row["rate_mean"] for row in rows_of(out / "rd.csv")} == {"arithmetic"}
    page = (out / "rd.html").read_text(encoding="utf-8")
    assert "Rates are the arithmetic mean of bpp over" in page
    assert "sources, arithmetic mean rates of the payload. No" in page
    assert not (study_folder / "rd").exists()


def test_rates_are_those_of_the_study_unless_told(measured: Manifest, study_folder: Path) -> None:
    write_manifest(study_folder, replace(measured, study=replace(measured.study, rate="payload")))
    assert main(["rd", str(study_folder)]) == 0
    assert rows_of(study_folder / "rd" / "rd_bd_rates.csv")[0]["rate"] == "payload"
    assert main(["rd", str(study_folder), "--rate", "file"]) == 0
    assert rows_of(study_folder / "rd" / "rd_bd_rates.csv")[0]["rate"] == "file"


@pytest.mark.parametrize(("match", "missed"), [("each", True), ("set-mean", False)])
def test_a_set_that_meets_its_target_misses_none(
    match: str, missed: bool, measured: Manifest, study_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its pictures lie 30 % to both sides."""
    spread = {measured.sources[0].name: 0.7, measured.sources[1].name: 1.3}
    stimuli = tuple(
        replace(s, bpp=s.target_bpp * spread[s.source], residual=spread[s.source] - 1)
        for s in measured.stimuli
    )
    study = replace(measured.study, match=match)
    write_manifest(study_folder, replace(measured, study=study, stimuli=stimuli))
    assert main(["rd", str(study_folder)]) == 0
    assert ("misses 6 of 6 targets by more than 2 %" in capsys.readouterr().out) is missed


def test_stimuli_that_raters_will_not_see_count_and_failures_are_said(
    measured: Manifest, study_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = [
        replace(s, included=False, left_out="for a test", status="unreachable_low") for s in measured.stimuli
    ]
    first = out.pop(0)
    failure = Failure(first.source, first.condition, first.codec, "the encoder hung")
    write_manifest(study_folder, replace(measured, stimuli=tuple(out), failures=(failure,)))
    assert main(["rd", str(study_folder)]) == 0
    said = capsys.readouterr().out
    assert (
        "1 stimulus could not be made and is missing here: scenery0 codecx@0.5: failed, the encoder hung"
        in said
    )
    counts = {row["condition"]: row["sources"] for row in rows_of(study_folder / "rd" / "rd.csv")}
    assert counts["codecx@0.5"] == counts["codecy@0.5"] == "1"
    assert counts["codecx@1.0"] == counts["codecy@1.0"] == "2"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--anchor", "codecz"], "no codec 'codecz' in this study; there is codecx, codecy"),
        (["--metric", "ssim"], "no metric 'ssim'; the metrics are"),
        (["--metric", "xpsnr"], "add it to `metrics` in study.toml and run `matchrate encode`"),
        (["-o", "{}/stimuli/manifest.json/rd"], "cannot be written"),
    ],
)
def test_what_it_cannot_do_is_one_line(
    measured: Manifest,
    study_folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    assert main(["rd", str(study_folder), *(word.format(study_folder) for word in arguments)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_study_without_manifest_or_metrics_is_told_the_next_step(
    make_manifest: ManifestMaker, study_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rd", str(study_folder)]) == 2
    assert "run `matchrate encode` on the study first" in capsys.readouterr().err
    write_manifest(study_folder, make_manifest())
    assert main(["rd", str(study_folder)]) == 2
    assert "name some under `metrics` in study.toml and run `matchrate encode`" in capsys.readouterr().err
    assert not (study_folder / "rd").exists()
