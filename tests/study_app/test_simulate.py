"""`matchrate simulate`: any encoded study goes to a BD-rate table with labelled simulated raters."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skimage.data
from PIL import Image
from sqlalchemy import Engine
from sqlalchemy.orm import Session as Database

from stimuli.manifest import Manifest, read_manifest
from stimuli.study import Pairing
from study_app.cli import main
from study_app.counts import StudyCounts, count_study
from study_app.errors import UsageError
from study_app.loading import load_manifest
from study_app.settings import Settings
from study_app.simulation import ELO_A_POINT, OtherTruthError, metric_truth, simulate_study

Make = Callable[..., Manifest]

TOML = """
name = "rehearsal"
targets = [0.8, 1.6, 3.2]
tolerance = 0.05
allow_mismatch = true
session_length = 10
metrics = ["psnr", "ssimulacra2"]
sources = { folder = "sources" }

[[codecs]]
name = "jpeg"

[[codecs]]
name = "webp"
fast = true
"""


def measured(manifest: Manifest) -> Manifest:
    """SSIMULACRA2 is 40 at the lower rate and 60 at the higher, 5 more for the second codec, and 10 more
    altogether on the first source."""
    stimuli = tuple(
        replace(
            s,
            metrics={
                "ssimulacra2": 40.0
                + 20 * s.condition.endswith("@0.5")
                + 5 * s.condition.startswith("codecy")
                + 10 * s.source.endswith("0")
            },
        )
        for s in manifest.stimuli
    )
    return replace(manifest, stimuli=stimuli)


def counts(engine: Engine, study: str = "tiny") -> StudyCounts:
    with Database(engine) as db:
        return count_study(db, study)


def test_what_they_see_follows_the_metric(manifest: Manifest) -> None:
    """Five points are 100 Elo, up to a draw of each condition that the seed alone decides."""
    truth = metric_truth(measured(manifest), 7)
    assert truth.elo["codecy@0.25"] - truth.elo["codecx@0.25"] == pytest.approx(5 * ELO_A_POINT, abs=60)
    assert truth.elo["codecx@0.5"] - truth.elo["codecx@0.25"] == pytest.approx(20 * ELO_A_POINT, abs=60)
    assert truth.elo["codecy@0.25"] - truth.elo["codecx@0.25"] != 5 * ELO_A_POINT
    assert truth == metric_truth(measured(manifest), 7)
    assert truth.elo != metric_truth(measured(manifest), 8).elo


def test_a_source_that_one_condition_lacks_counts_for_none(manifest: Manifest) -> None:
    """The easy first source left out of one condition does not make the others look better."""
    full = measured(manifest)
    without = replace(
        full,
        stimuli=tuple(s for s in full.stimuli if (s.source[-1], s.condition) != ("0", "codecx@0.25")),
    )
    of_all, of_shared = (metric_truth(m, 7).elo for m in (full, without))
    gap = of_all["codecy@0.25"] - of_all["codecx@0.25"]
    assert of_shared["codecy@0.25"] - of_shared["codecx@0.25"] == pytest.approx(gap)


def test_without_the_metric_bits_alone_count(manifest: Manifest) -> None:
    """Twice the bits are 485 Elo, whatever the codec."""
    elo = metric_truth(manifest, 7).elo
    assert elo["codecx@0.5"] - elo["codecx@0.25"] == pytest.approx(700 * np.log(2), abs=60)
    assert elo["codecy@0.5"] - elo["codecx@0.5"] == pytest.approx(0, abs=60)


def test_a_study_is_filled_and_goes_on_where_it_stopped(
    engine: Engine, make_manifest: Make, study_folder: Path, settings: Settings
) -> None:
    """Three answers each, then the rest of the session; the sum is what was asked for all labelled."""
    manifest = make_manifest(session_length=5, pairing=Pairing(include_reference=True))
    load_manifest(engine, manifest, study_folder)

    def run(raters: int, answers: int | None, seed: int = 3) -> Path:
        return simulate_study(
            engine, settings, manifest, raters=raters, answers=answers, seed=seed, progress=False
        )

    path = run(2, 3)
    assert counts(engine).judgments_simulated == 6
    run(2, 3)
    assert counts(engine).judgments_simulated == 6
    run(3, None)
    assert (counts(engine).judgments_simulated, counts(engine).judgments_real) == (15, 0)
    truth = pd.read_csv(path)
    assert set(truth["condition"]) == {c.name for c in manifest.conditions} | {"reference"}
    with pytest.raises(OtherTruthError, match="repeat it with the same --seed"):
        run(4, None, seed=4)
    assert counts(engine).judgments_simulated == 15
    with pytest.raises(UsageError, match="--answers 6: a session of study 'tiny' has 5 trials"):
        run(1, 6)


def test_a_study_that_people_judged_is_refused_unless_asked_for(
    engine: Engine, manifest: Manifest, settings: Settings, rater: Any
) -> None:
    """Their judgments are not to be found among made ones by accident."""
    rater.enrol()
    assert rater.answer()
    with pytest.raises(UsageError, match=r"has 1 judgments by people.*--among-real"):
        simulate_study(engine, settings, manifest, raters=1, answers=1, seed=1, progress=False)
    assert counts(engine).raters_simulated == 0
    simulate_study(engine, settings, manifest, raters=1, answers=1, seed=1, among_real=True, progress=False)
    assert (counts(engine).judgments_real, counts(engine).judgments_simulated) == (1, 1)


def test_the_road_from_study_toml_to_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """init, check, encode, simulate, analyze: the documented commands and nothing else."""
    monkeypatch.delenv("MATCHRATE_DATABASE_URL", raising=False)
    folder = tmp_path / "a study"
    assert main(["init", str(folder)]) == 0
    (folder / "study.toml").write_text(TOML)
    for name, picture in (("cat", skimage.data.chelsea()), ("cup", skimage.data.coffee())):
        Image.fromarray(picture[100:196, 150:278]).save(folder / "sources" / f"{name}.png")
    assert main(["check", str(folder)]) == 0
    assert main(["encode", str(folder), "--workers", "1"]) == 0
    assert all("ssimulacra2" in s.metrics for s in read_manifest(folder).stimuli)
    capsys.readouterr()
    assert main(["simulate", str(folder), "--raters", "12", "--seed", "5"]) == 0
    said = capsys.readouterr().out
    assert "study 'rehearsal' loaded" in said
    assert "12 simulated raters sent 120 judgments" in said
    assert f"next: matchrate analyze '{folder}' --anchor jpeg --include-simulated" in said
    options = ["--anchor", "jpeg", "--include-simulated", "--replicates", "100"]
    assert main(["analyze", str(folder), *options]) == 0
    assert "SIMULATED" in capsys.readouterr().out
    document = json.loads((folder / "report" / "results.json").read_text())
    assert [(row["anchor"], row["test"]) for row in document["bd_rates"]] == [("jpeg", "webp")]
    assert document["counts"]["judgments"] == document["counts"]["simulated"] == 120
    assert (folder / "report" / "simulated_truth.csv").exists()
