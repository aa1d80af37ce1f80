"""`matchrate demo`: the whole road on real photographs, with labelled simulated raters."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.orm import Session as Database

from analysis.analyze_study import main as analyze_study
from stimuli.encoding import encode_study
from stimuli.manifest import Manifest
from stimuli.study import read_study
from study_app.app import create_app
from study_app.counts import count_study
from study_app.database import open_database, prepare_schema
from study_app.demo_study import ANCHOR, RATERS, simulated_truth, write_demo_study
from study_app.errors import StudyAppError
from study_app.export import export_study
from study_app.loading import load_manifest
from study_app.server import RunningServer, researcher_token, start_server
from study_app.settings import Settings
from study_app.simulated_raters import SimulatedTruth
from study_app.simulation import TRUTH_FILE, fill_study, truth_table


class DemoAnalysisError(StudyAppError):
    """The analysis refused the demo's own export; its own line stands before this one."""

    def __init__(self, export: Path) -> None:
        self.export = export
        super().__init__(f"the demo's export {export} could not be analysed; the line above says why")


def run_demo(folder: Path, *, once: bool, port: int, progress: bool = True) -> int:
    """Build, rate and analyse the demo study in `folder`; without `once`, serve it until an interrupt.

    What exists is reused. Returns the exit status.

    Raises StimuliError, StudyAppError and AnalysisError with one line for a person.
    """
    settings = Settings.from_environment(folder)
    write_demo_study(settings.folder)
    study = read_study(settings.folder)
    print(f"demo study in {settings.folder}", flush=True)
    manifest = encode_study(study, progress=progress)
    print(manifest.summary(), flush=True)
    for stimulus in manifest.mismatched():
        print(f"  {stimulus.describe()}", flush=True)
    with open_database(settings) as engine:
        prepare_schema(engine)
        print(load_manifest(engine, manifest, settings.folder), flush=True)
        token = researcher_token(settings.folder)
        app = create_app(settings, engine=engine, study=study.name, researcher_token=token)
        with start_server(app, port) as server:
            if port not in (0, server.port):
                print(f"port {port} is taken, using {server.port}", flush=True)
            truth = simulated_truth(manifest)
            print(fill_study(engine, server, token, manifest, truth, RATERS, progress=progress), flush=True)
            report = _analyse(engine, settings, study.name)
            _write_truth(report.parent, manifest, truth)
            _say_where(server, token, report)
            if not once:
                print("Answers from now on are in the report of the next run.")
                print("Serving until Ctrl-C.", flush=True)
                _serve(server)
    return 0


def _analyse(engine: Engine, settings: Settings, study: str) -> Path:
    """The report of all judgments so far: the one that lies there when nothing came in since."""
    report = settings.folder / "report" / "report.html"
    if report.exists() and _is_current(engine, settings.folder, study):
        return report
    export = export_study(engine, study, settings.folder)
    arguments = [str(export), "--study", study, "--anchor", ANCHOR, "-o", str(report.parent)]
    # A visitor's answers join the simulated ones here, in a demo and on request only.
    arguments.append("--include-simulated")
    print(f"analyze-study {shlex.join(arguments)}", flush=True)
    if analyze_study(arguments) != 0:
        raise DemoAnalysisError(export)
    return report


def _is_current(engine: Engine, folder: Path, study: str) -> bool:
    """Whether the report was made from an export that has every judgment of now."""
    newest = max(folder.glob("exports/*/export.json"), default=None)
    results = folder / "report" / "results.json"
    if newest is None or not results.exists():
        return False
    command = json.loads(results.read_text(encoding="utf-8"))["provenance"]["command"]
    exported_at = datetime.fromisoformat(json.loads(newest.read_text(encoding="utf-8"))["exported_at"])
    with Database(engine) as db:
        latest = count_study(db, study).latest_judgment
    return newest.parent.name in command and latest is not None and latest <= exported_at


def _write_truth(folder: Path, manifest: Manifest, truth: SimulatedTruth) -> None:
    table = truth_table(manifest, truth)
    table.to_csv(folder / TRUTH_FILE, index=False, lineterminator="\n", float_format="%.3f")


def _say_where(server: RunningServer, token: str, report: Path) -> None:
    print(f"Rate at:      {server.url}/")
    print(f"Researcher:   {server.url}/researcher?token={token}")
    print(f"Report:       {report}", flush=True)


def _serve(server: RunningServer) -> None:
    try:
        server.wait()
    except KeyboardInterrupt:
        print("Stopping.", file=sys.stderr, flush=True)
