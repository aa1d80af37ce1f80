"""Simulated raters for any loaded study: what they see, their sittings, and the truth beside the report."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session as Database

from analysis.contract import REFERENCE_CONDITION
from stimuli.files import write_atomic
from stimuli.manifest import Manifest
from study_app.app import create_app
from study_app.counts import count_study
from study_app.errors import StudyAppError, UsageError
from study_app.models import Rater, Session, Study
from study_app.server import RunningServer, researcher_token, start_server
from study_app.settings import Settings
from study_app.simulated_raters import SimulatedRater, SimulatedTruth, rate_all

TRUTH_FILE = "simulated_truth.csv"
#: The objective metric that simulated raters answer by, and the Elo that they see in a point of it. AV1 gains
#: some 35 points a unit of ln bpp between .1 and 1 bpp on three Kodak pictures, and so 700 Elo; published
#: studies have 700 to 950. An assumption that makes a rehearsal, and no finding about the metric.
METRIC = "ssimulacra2"
ELO_A_POINT = 20.0
#: Elo a unit of ln bpp, where the manifest has no such metric: every codec is then as good as every other.
ELO_A_LOG_BPP = 700.0
#: Standard deviations in Elo: of a condition about its metric, and of a rater's opinion about a codec.
CONDITION_SD = 10.0
RATER_SD = 60.0
#: How far above the best condition the simulated raters see the original.
REFERENCE_LEAD = 120.0


class OtherTruthError(StudyAppError):
    """The study's simulated raters answered by another truth than the one that is asked for."""

    def __init__(self, study: str, path: Path) -> None:
        self.study, self.path = study, path
        super().__init__(
            f"study {study!r} has simulated judgments by the truth in {path}, which this seed or these "
            "pictures do not give: repeat it with the same --seed, or simulate a study under another name"
        )


def metric_truth(manifest: Manifest, seed: int) -> SimulatedTruth:
    """The Elo of each condition by its mean SSIMULACRA2, or by its ln bpp where the manifest has none.

    The mean is over the sources that every condition has, or over its own where they share none. Each
    condition departs from it by a draw of its own (standard deviation `CONDITION_SD`), so that the raters
    know something that the metric does not.
    """
    shown = [stimulus for stimulus in manifest.stimuli if stimulus.included]
    measured = bool(shown) and all(METRIC in stimulus.metrics for stimulus in shown)
    seen: dict[str, dict[str, float]] = {}
    for s in shown:
        value = ELO_A_POINT * s.metrics[METRIC] if measured else ELO_A_LOG_BPP * math.log(s.bpp)
        seen.setdefault(s.condition, {})[s.source] = value
    shared = set.intersection(*(set(values) for values in seen.values())) if seen else set()
    level = {
        name: float(np.mean([v for source, v in values.items() if source in shared or not shared]))
        for name, values in seen.items()
    }
    middle = float(np.mean(list(level.values()))) if level else 0.0
    elo = {
        name: 1500.0 + value - middle + CONDITION_SD * _departure(seed, name) for name, value in level.items()
    }
    codec_of = {condition.name: condition.codec for condition in manifest.conditions if condition.name in elo}
    elo[REFERENCE_CONDITION] = max(elo.values(), default=1500.0) + REFERENCE_LEAD
    codec_of[REFERENCE_CONDITION] = REFERENCE_CONDITION
    return SimulatedTruth(elo=elo, codec_of=codec_of, rater_sd=RATER_SD, seed=seed)


def _departure(seed: int, condition: str) -> float:
    # From the name, so that a codec more changes nothing about the others.
    digest = hashlib.sha256(f"{seed}\x00condition\x00{condition}".encode()).digest()
    return float(np.random.default_rng(np.frombuffer(digest, dtype=np.uint32)).standard_normal())


def simulate_study(
    engine: Engine,
    settings: Settings,
    manifest: Manifest,
    *,
    raters: int,
    answers: int | None,
    seed: int,
    among_real: bool = False,
    progress: bool = True,
) -> Path:
    """Fill a loaded study with labelled simulated raters; returns the file of what they saw.

    Each gives `answers` (at most a session's, and so many by default). Doing it again goes on where it
    stopped. Raises UsageError for a study with real judgments (unless `among_real`) and for too many answers,
    OtherTruthError where the study has simulated judgments of another truth.
    """
    study = manifest.study
    if answers is not None and answers > study.session_length:
        raise UsageError(
            f"--answers {answers}: a session of study {study.name!r} has {study.session_length} trials; "
            "take more --raters, or raise session_length in study.toml and encode and load again"
        )
    with Database(engine) as db:
        counts = count_study(db, study.name)
    if counts.judgments_real and not among_real:
        raise UsageError(
            f"study {study.name!r} has {counts.judgments_real} judgments by people: simulate a copy of it "
            "under another name, or add simulated judgments to them with --among-real"
        )
    truth = metric_truth(manifest, seed)
    path = settings.folder / "report" / TRUTH_FILE
    text = truth_table(manifest, truth).to_csv(index=False, lineterminator="\n", float_format="%.3f")
    if counts.judgments_simulated and path.exists() and path.read_text(encoding="utf-8") != text:
        raise OtherTruthError(study.name, path)
    # Before the first answer, so that an interrupted run is continued by the same truth only.
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, text.encode())
    token = researcher_token(settings.folder)
    app = create_app(settings, engine=engine, study=study.name, researcher_token=token)
    with start_server(app, 0) as server:
        print(fill_study(engine, server, token, manifest, truth, raters, answers, progress), flush=True)
    return path


def fill_study(
    engine: Engine,
    server: RunningServer,
    token: str,
    manifest: Manifest,
    truth: SimulatedTruth,
    raters: int,
    answers: int | None = None,
    progress: bool = True,
) -> str:
    """Let so many simulated raters sit, but for those that are done; says in a line what they sent."""
    condition_of = {s.shown_sha256: s.condition for s in manifest.stimuli if s.included}
    if manifest.study.pairing.include_reference:
        condition_of |= {source.shown_sha256: REFERENCE_CONDITION for source in manifest.sources}
    finished = _finished_workers(engine, manifest.study.name)
    sitting = [
        SimulatedRater(server.url, token, worker, truth, condition_of, answers)
        for worker in (f"simulated-{number:02d}" for number in range(1, raters + 1))
        if worker not in finished
    ]
    sent = rate_all(sitting, progress=progress) if sitting else 0
    return f"{len(sitting)} simulated raters sent {sent} judgments, labelled as simulated"


def _finished_workers(engine: Engine, study: str) -> set[str]:
    with Database(engine) as db:
        return set(
            db.scalars(
                select(Rater.worker)
                .join(Session, Session.rater_id == Rater.id)
                .join(Study, Study.id == Rater.study_id)
                .where(
                    Study.name == study,
                    Rater.platform == "simulated",
                    Session.completed_at.is_not(None),
                )
            )
        )


def truth_table(manifest: Manifest, truth: SimulatedTruth) -> pd.DataFrame:
    """What the simulated raters see, for a reader to set beside the report; the analysis never reads it."""
    targets: Mapping[str, float] = {condition.name: condition.target for condition in manifest.conditions}
    return pd.DataFrame(
        {
            "condition": list(truth.elo),
            "target": [targets.get(condition) for condition in truth.elo],
            "simulated_elo": list(truth.elo.values()),
        }
    )
