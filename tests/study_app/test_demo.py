"""`matchrate demo` as a process: it builds, rates, serves, stops what it started, and reuses what exists."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import requests

#: The demo's own study.toml in small: real photographs and codecs, fewer of each.
SMALL_STUDY = """
name = "demo"
title = "Which picture is closer to the original?"
targets = [0.4, 0.8, 1.4]
session_length = 6
seed = 3

[sources]
files = ["sources/china.png", "sources/flower.png", "sources/rocket.png"]

[pairing]
include_reference = true

[[codecs]]
name = "jpeg"

[[codecs]]
name = "webp"
"""
PATIENCE_S = 240


class DemoProcess:
    """A running demo, and what it said so far."""

    def __init__(self, folder: Path, *options: str) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "MATCHRATE_DATABASE_URL"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "study_app", "demo", "--folder", str(folder), "--port", "8000", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            # As a script that starts it in the background would: Ctrl-C has to stop it all the same.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
        self.said = ""

    def read_until(self, mark: str) -> None:
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_S
        while mark not in self.said:
            line = self.process.stdout.readline()
            assert line, f"the demo ended early:\n{self.said}"
            assert time.monotonic() < deadline, self.said
            self.said += line

    def found(self, pattern: str) -> str:
        match = re.search(pattern, self.said, re.M)
        assert match, self.said
        return match[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "a demo"
    folder.mkdir()
    (folder / "study.toml").write_text(SMALL_STUDY, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def visit(folder: Path) -> Iterator[dict[str, object]]:
    """One run of the demo: a human answers while it is up, then Ctrl-C; what was seen on the way."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8000))
            taken.listen()
        except OSError:
            pass  # Somebody else has it: taken all the same.
        demo = DemoProcess(folder)
        try:
            demo.read_until("Serving until Ctrl-C.")
            yield _visit(folder, demo)
        finally:
            demo.process.kill()
            demo.process.communicate()


def _visit(folder: Path, demo: DemoProcess) -> dict[str, object]:
    address = demo.found(r"^Rate at: +(\S+)/$")
    researcher = demo.found(r"^Researcher: +(\S+)$")
    seen: dict[str, object] = {"address": address}
    seen["without token"] = requests.get(f"{address}/researcher", timeout=20).status_code
    with requests.Session() as browser:
        seen["researcher"] = browser.get(researcher, timeout=20).text
        seen["report"] = browser.get(f"{address}/researcher/report/", timeout=20).text
    with requests.Session() as human:
        human.post(f"{address}/enrol", data={"consent": "yes"}, headers={"Origin": address}, timeout=20)
        trial = human.get(f"{address}/api/trials", timeout=20).json()["trials"][0]
        for picture in trial["pictures"].values():
            response = human.get(address + picture, timeout=20)
            assert response.headers["Content-Type"] == "image/png"
        judgment = {
            "client_uuid": str(uuid.uuid4()),
            "trial": trial["trial"],
            "choice": 1,
            "response_ms": 4321,
            "exposure_ms": 4000,
            "flips": 3,
            "magnification": 1,
            "device_pixel_ratio": 1,
            "viewport": "1440x900",
        }
        answer = human.post(
            f"{address}/api/judgments", json=judgment, headers={"Origin": address}, timeout=20
        )
        assert answer.status_code == 201
    export = subprocess.run(
        [sys.executable, "-m", "study_app", "export", str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    seen["export"] = Path(export.stdout.strip())
    seen["servers before"] = _servers(folder)
    demo.process.send_signal(signal.SIGINT)
    # The promise to the user is ten seconds.
    seen["status"] = demo.process.wait(timeout=10)
    seen["servers after"] = _servers(folder)
    seen["said"] = demo.said
    return seen


def _servers(folder: Path) -> list[str]:
    """Postgres processes on this study's data."""
    shown = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if str(folder) in line and "bin/postgres" in line]


def test_all_that_it_started_stops_within_ten_seconds(visit: dict[str, object]) -> None:
    assert visit["status"] == 0
    assert visit["servers before"]
    assert visit["servers after"] == []
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{visit['address']}/", timeout=5)


def test_a_taken_port_gives_way_to_the_next(visit: dict[str, object]) -> None:
    assert not str(visit["address"]).endswith(":8000")
    assert "port 8000 is taken, using " in str(visit["said"])


def test_the_researcher_needs_the_token_and_sees_counts_and_report(visit: dict[str, object]) -> None:
    assert visit["without token"] == 403
    assert "240" in str(visit["researcher"])  # 40 simulated sessions of 6
    assert "SIMULATED" in str(visit["report"])


def test_a_humans_answer_reaches_the_next_export(visit: dict[str, object]) -> None:
    export = visit["export"]
    assert isinstance(export, Path)
    rows = pd.read_csv(export / "judgments.csv")
    assert rows["is_simulated"].value_counts().to_dict() == {True: 240, False: 1}
    assert rows.loc[~rows["is_simulated"], "response_ms"].tolist() == [4321]


def test_a_second_run_reuses_what_exists_and_once_ends_by_itself(
    folder: Path, visit: dict[str, object]
) -> None:
    kept = {
        path: path.stat().st_mtime_ns
        for path in [*folder.glob("stimuli/pictures/*"), *folder.glob("stimuli/tries/**/*")]
        if path.is_file()
    }
    demo = DemoProcess(folder, "--once")
    said, _ = demo.process.communicate(timeout=PATIENCE_S)
    assert demo.process.returncode == 0, said
    assert "0 simulated raters sent 0 judgments" in said
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    results = json.loads((folder / "report" / "results.json").read_text(encoding="utf-8"))
    assert results["counts"]["judgments"] == 241
    assert results["counts"]["simulated"] == 240
    assert _servers(folder) == []


def test_the_truth_of_the_simulated_raters_lies_beside_the_report(
    folder: Path, visit: dict[str, object]
) -> None:
    truth = pd.read_csv(folder / "report" / "simulated_truth.csv")
    assert set(truth["condition"]) == {
        *(f"{codec}@{target}" for codec in ("jpeg", "webp") for target in (0.4, 0.8, 1.4)),
        "reference",
    }
