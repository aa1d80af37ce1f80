"""The whole road by the commands that a person types, for each way in which another codec takes part."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import skimage.data
from PIL import Image

from stimuli.manifest import Manifest, read_manifest
from study_app.simulated_raters import SimulatedRater, SimulatedTruth, rate_all

ROOT = Path(__file__).parents[2]
THIRD_PARTY = ROOT / "tests" / "stimuli" / "third_party"
PICO = ROOT.parent / "shared" / "data" / "pico"
KODAK = ("kodak_kodim04", "kodim15", "kodim23")

THIRD_PARTY_STUDY = """
name = "third-party"
title = "Other people's codecs"
targets = [2.5, 3.5, 5.0]
tolerance = 0.05
session_length = 10

[sources]
folder = "sources"

[[codecs]]
name = "jpeg"

[[codecs]]
name = "toy"
family = "command"
encode = ["{python}", "{study}/toycodec.py", "enc", "{input}", "{output}", "{quality}"]
decode = ["{python}", "{study}/toycodec.py", "dec", "{input}", "{output}"]
version = "1.0"
extension = "toy"
quality = { range = [1.5, 64], step = 0, direction = "down", scale = "log" }

[[codecs]]
name = "thin"
"""

PICO_STUDY = """
name = "pico"
title = "Learned and conventional codecs"
targets = [0.27]
session_length = 12

[sources]
folder = "sources"

[pairing]
include_reference = true
"""

PICO_CODEC = """
[[codecs]]
name = "{name}"
family = "reconstructions"
folder = "given"
pattern = "{{source}}/{{codec}}.png"
table = "bpp.csv"
"""


class Road:
    """A study folder, and the commands run on it."""

    def __init__(self, folder: Path, path: Path | None = None) -> None:
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if k != "MATCHRATE_DATABASE_URL"}
        if path is not None:
            self.environment["PYTHONPATH"] = str(path)

    def run(self, command: str, *options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "study_app", command, str(self.folder), *options],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def rate(self, raters: int) -> int:
        """Let simulated raters prefer more bits, over HTTP; return how many judgments they sent."""
        manifest = read_manifest(self.folder)
        server = subprocess.Popen(
            [sys.executable, "-m", "study_app", "serve", str(self.folder), "--port", "0"],
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        try:
            assert server.stdout is not None
            said = "".join(server.stdout.readline() for _ in range(2))
            address = re.search(r"(http://\S+)/researcher\?token=(\S+)", said)
            assert address, said
            truth = _truth(manifest)
            return rate_all(
                [
                    SimulatedRater(address[1], address[2], f"worker-{i}", truth, _condition_of(manifest))
                    for i in range(raters)
                ],
                progress=False,
            )
        finally:
            server.send_signal(signal.SIGINT)
            server.communicate(timeout=20)


def _truth(manifest: Manifest) -> SimulatedTruth:
    elo = {
        condition.name: 1500.0 + 150.0 * condition.rate_point + 40.0 * number
        for number, condition in enumerate(manifest.conditions)
    } | {"reference": 2000.0}
    codec_of = {condition.name: condition.codec for condition in manifest.conditions}
    return SimulatedTruth(elo=elo, codec_of=codec_of | {"reference": "reference"}, rater_sd=0.0, seed=1)


def _condition_of(manifest: Manifest) -> dict[str, str]:
    shown = {stimulus.shown_sha256: stimulus.condition for stimulus in manifest.stimuli if stimulus.included}
    if manifest.study.pairing.include_reference:
        shown |= {source.shown_sha256: "reference" for source in manifest.sources}
    return shown


@pytest.fixture
def third_party(tmp_path: Path) -> Road:
    """A study of JPEG, a program and an installed class, on two photographs."""
    folder = tmp_path / "a study"
    (folder / "sources").mkdir(parents=True)
    photograph = Image.fromarray(skimage.data.astronaut())
    photograph.crop((150, 20, 278, 148)).save(folder / "sources" / "face.png")
    photograph.crop((380, 0, 476, 96)).save(folder / "sources" / "shuttle.png")
    shutil.copy(THIRD_PARTY / "toycodec.py", folder)
    # What pip would lay down for a package with this entry point.
    site = tmp_path / "site"
    (site / "thincodec-1.0.dist-info").mkdir(parents=True)
    shutil.copy(THIRD_PARTY / "thincodec.py", site)
    (site / "thincodec-1.0.dist-info" / "METADATA").write_text("Name: thincodec\nVersion: 1.0\n")
    (site / "thincodec-1.0.dist-info" / "entry_points.txt").write_text(
        "[matchrate.codecs]\nthin = thincodec:ThinCodec\n"
    )
    (folder / "study.toml").write_text(THIRD_PARTY_STUDY, encoding="utf-8")
    return Road(folder, site)


def test_third_party_codecs_go_the_whole_road(third_party: Road) -> None:
    third_party.run("check")
    third_party.run("encode")
    third_party.run("verify")
    manifest = read_manifest(third_party.folder)
    assert {codec.name: codec.family for codec in manifest.codecs} == {
        "jpeg": "jpeg",
        "toy": "command",
        "thin": "thin",
    }
    assert all(stimulus.included for stimulus in manifest.stimuli), manifest.mismatched()
    third_party.run("load")
    assert third_party.rate(12) == 120
    third_party.run("analyze", "--anchor", "jpeg", "--replicates", "100", "--include-simulated")
    results = json.loads((third_party.folder / "report" / "results.json").read_text(encoding="utf-8"))
    assert {row["test"] for row in results["bd_rates"]} == {"toy", "thin"}
    assert results["counts"]["judgments"] == 120
    assert results["counts"]["simulated"] == 120


@pytest.mark.real_data
def test_given_reconstructions_go_the_whole_road(tmp_path: Path) -> None:
    """PICO, HiFiC, DCVC-RT, VVC and BPG as decoded pictures with their bitrates, on Kodak scenes."""
    if not PICO.is_dir():
        pytest.skip(f"SKIPPED: {PICO} with real reconstructions is not there")
    folder = tmp_path / "pico study"
    (folder / "sources").mkdir(parents=True)
    names = ("pico", "hific", "dcvc", "vvc", "bpg")
    for scene in KODAK:
        shutil.copy(PICO / scene / "reference.png", folder / "sources" / f"{scene}.png")
        (folder / "given" / scene).mkdir(parents=True)
        for name in names:
            shutil.copy(PICO / scene / f"{name}.png", folder / "given" / scene)
    table = pd.read_csv(PICO / "bpp.csv")
    table[table["source"].isin(KODAK)].to_csv(folder / "given" / "bpp.csv", index=False)
    codecs = "".join(PICO_CODEC.format(name=name) for name in names)
    (folder / "study.toml").write_text(PICO_STUDY + codecs, encoding="utf-8")
    road = Road(folder)
    road.run("check")
    road.run("encode")
    road.run("verify")
    manifest = read_manifest(folder)
    assert len(manifest.stimuli) == 15
    assert {stimulus.status for stimulus in manifest.stimuli} == {"given"}
    assert all(stimulus.included for stimulus in manifest.stimuli)
    road.run("load")
    assert road.rate(8) == 96
    road.run("analyze", "--test", "pico", "--replicates", "100", "--include-simulated")
    results = json.loads((folder / "report" / "results.json").read_text(encoding="utf-8"))
    scores = {row["codec"]: row["elo"] for row in results["scores"]}
    assert scores.keys() == {*names, "reference"}
    # One rate point a codec makes no curve: the report has Elo, and no savings as a bare number.
    assert {row["test"] for row in results["bd_rates"]} | {
        row["anchor"] for row in results["bd_rates"]
    } == set(names)
    assert all(row["bd_rate_percent"] is None for row in results["bd_rates"])
