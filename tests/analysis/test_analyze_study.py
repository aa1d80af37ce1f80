"""The command from its arguments to its files."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import report
from analysis.analyze_study import main
from analysis.report import OUTPUTS
from analysis.simulation import SimulatedStudy, simulate_study

FolderMaker = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]
FAST = ["--replicates", "100"]


@pytest.fixture
def export(small_study: SimulatedStudy, write_export: FolderMaker) -> Path:
    return write_export(small_study.judgments, small_study.stimuli)


def results(folder: Path) -> dict[str, Any]:
    """results.json, read strictly: NaN and Infinity are no JSON."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in results.json")

    return dict(json.loads((folder / "results.json").read_text(), parse_constant=refuse))


def warned(document: dict[str, Any]) -> str:
    return "\n".join(document["warnings"])


def test_all_outputs_are_written_and_the_report_is_named(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 0, the table and the report's path on stdout, nothing on stderr, every file, no leavings."""
    out = tmp_path / "deep" / "out"
    assert main([str(export), "--anchor", "old", "-o", str(out), *FAST]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert f"report: {out / 'report.html'}" in said.out
    assert "SIMULATED" in said.out
    assert sorted(path.name for path in out.iterdir()) == sorted(OUTPUTS)
    document = results(out)
    assert [(row["anchor"], row["test"]) for row in document["bd_rates"]] == [("old", "mid"), ("old", "new")]
    for row in document["bd_rates"]:
        assert row["bd_rate_low"] < row["bd_rate_percent"] < row["bd_rate_high"]
        assert row["savings_factor"] == pytest.approx(1 / (1 + row["bd_rate_percent"] / 100))
        assert row["savings_low"] == pytest.approx(1 / (1 + row["bd_rate_high"] / 100))
        assert f"{row['bd_rate_percent']:+.1f} %" in said.out


def test_every_output_carries_the_stamp_and_the_label(standard: Path) -> None:
    """Data hash, seed, version, judgments, raters, exclusions and SIMULATED, on each file in its own way."""
    out, document = standard, results(standard)
    digest = document["provenance"]["data_sha256"]
    for name in ("bd_rates.md", "bd_rates.tex", "elo_curves.svg", "report.html"):
        text = (out / name).read_text()
        for part in (
            "SIMULATED",
            digest,
            "seed 17",
            "1500 judgments",
            "20 raters",
            "0 excluded",
            "matchrate 0.",
            f"numpy {np.__version__}",
        ):
            assert part in text, (name, part)
    png = (out / "elo_curves.png").read_bytes()
    assert b"SIMULATED" in png
    assert digest.encode() in png
    for name in ("bd_rates.csv", "scores.csv"):
        for row in csv.DictReader((out / name).read_text().splitlines()):
            assert row["evidence"] == "simulated"
            assert (row["data_sha256"], row["seed"]) == (digest, "17")
            assert (row["study_judgments"], row["study_raters"], row["study_excluded"]) == ("1500", "20", "0")
            assert row["numpy_version"] == np.__version__
    assert {"python", "numpy", "scipy", "pandas", "choix", "matchrate"} <= set(
        document["provenance"]["versions"]
    )


def test_real_judgments_bear_no_label(
    small_study: SimulatedStudy, write_export: FolderMaker, tmp_path: Path
) -> None:
    """The word SIMULATED stands nowhere when no judgment is."""
    export = write_export(small_study.judgments.assign(is_simulated=False, study="s"), small_study.stimuli)
    out = tmp_path / "out"
    assert main([str(export), "--anchor", "old", "-o", str(out), *FAST]) == 0
    assert all(b"SIMULATED" not in path.read_bytes() for path in out.iterdir())
    assert results(out)["evidence"] == "real"


def test_a_mixture_is_refused_unless_asked_for(
    small_study: SimulatedStudy, write_export: FolderMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names both numbers and the option; with it, PARTLY SIMULATED stands on top."""
    mixed = small_study.judgments.assign(is_simulated=np.arange(1500) % 3 > 0)
    arguments = [
        str(write_export(mixed, small_study.stimuli)),
        "--anchor",
        "old",
        "-o",
        str(tmp_path / "out"),
    ]
    assert main([*arguments, *FAST]) == 2
    assert "1000 simulated judgments stand among 500 real ones" in capsys.readouterr().err
    assert main([*arguments, *FAST, "--include-simulated"]) == 0
    assert "PARTLY SIMULATED" in (tmp_path / "out" / "report.html").read_text()
    assert "--include-simulated" in results(tmp_path / "out")["provenance"]["command"]


def test_test_mode_compares_one_codec_with_every_other(export: Path, tmp_path: Path) -> None:
    """--test turns the roles; each row holds both directions."""
    for option, out in ((["--anchor", "mid"], "anchor"), (["--test", "mid"], "test")):
        assert main([str(export), *option, "-o", str(tmp_path / out), *FAST]) == 0
    anchored, tested = results(tmp_path / "anchor")["bd_rates"], results(tmp_path / "test")["bd_rates"]
    assert [(row["test"], row["anchor"]) for row in tested] == [("mid", "new"), ("mid", "old")]
    for there, back in zip(anchored, tested, strict=True):
        assert there["reverse_percent"] == pytest.approx(back["bd_rate_percent"])
        assert there["reverse_low"] == pytest.approx(back["bd_rate_low"])
        assert there["bd_rate_high"] == pytest.approx(back["reverse_high"])


def test_three_ways_of_running_and_any_number_of_threads_give_the_same_bytes(
    export: Path, tmp_path: Path
) -> None:
    """Console script, file and module, with one thread and with two, write identical outputs."""
    script = Path(sys.executable).with_name("analyze-study")
    runs = {
        "script": ([str(script)], "1"),
        "file": ([sys.executable, "-W", "error", str(ROOT / "analysis" / "analyze_study.py")], "2"),
        "module": ([sys.executable, "-m", "analysis.analyze_study"], "2"),
    }
    written = {}
    for name, (command, threads) in runs.items():
        out = tmp_path / "out"
        arguments = [*command, str(export), "--anchor", "old", "-o", str(out), "--seed", "5", *FAST]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        done = subprocess.run(
            arguments, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), name
        written[name] = {path.name: path.read_bytes() for path in out.iterdir()}
        shutil.rmtree(out)
    assert written["script"] == written["file"] == written["module"]


def test_the_command_in_the_report_repeats_it(export: Path, tmp_path: Path) -> None:
    """Running the words of `provenance.command` again gives the same results."""
    out = tmp_path / "an out"
    assert main([str(export), "--anchor", "old", "-o", str(out), "--rate-mean", "arithmetic", *FAST]) == 0
    first = (out / "results.json").read_bytes()
    program, *arguments = shlex.split(json.loads(first)["provenance"]["command"])
    assert program == "analyze-study"
    assert main(arguments) == 0
    assert (out / "results.json").read_bytes() == first


def test_a_study_folder_gets_its_report_folder(
    small_study: SimulatedStudy, write_export: FolderMaker
) -> None:
    """Without -o a study folder's outputs go to report/; an export folder needs -o."""
    exported = write_export(
        small_study.judgments, small_study.stimuli, "study/exports/20260101T000000.000001Z"
    )
    study = exported.parent.parent
    assert main([str(study), "--anchor", "old", *FAST]) == 0
    assert (study / "report" / "report.html").exists()
    assert main([str(exported), "--anchor", "old", *FAST]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--anchor", "odd"], "no codec 'odd' in this study; there is mid, new, old"),
        (["--test", "reference"], "no codec 'reference'"),
        (["--anchor", "old", "--zero", "odd@1"], "no condition 'odd@1' was judged"),
        (["--anchor", "old", "--replicates", "5"], "5 replicates are too few"),
        (["--anchor", "old", "--confidence", "95"], "confidence 95 is not between"),
        (["--anchor", "old", "--seed", "-1"], "seed -1 is below zero"),
        (["--anchor", "old", "--study", "odd"], "no study 'odd' here; there is simulated"),
    ],
)
def test_bad_options_are_one_line(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """Exit 2 and one line that names the option's value and what there is."""
    assert main([str(export), "-o", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [[], ["--anchor", "old", "--test", "new"]])
def test_anchor_and_test_exclude_each_other(export: Path, arguments: list[str]) -> None:
    """One of them is needed."""
    with pytest.raises(SystemExit) as caught:
        main([str(export), "-o", "out", *arguments])
    assert caught.value.code == 2


def test_an_output_that_is_a_file_is_named(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is overwritten."""
    (tmp_path / "out").write_text("mine")
    assert main([str(export), "--anchor", "old", "-o", str(tmp_path / "out"), *FAST]) == 2
    assert "is a file" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_a_failure_leaves_the_earlier_report_whole(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs are moved in only when all are made."""
    out = tmp_path / "out"
    assert main([str(export), "--anchor", "old", "-o", str(out), *FAST]) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report, "plot_elo_curves", full)
    assert main([str(export), "--anchor", "new", "-o", str(out), *FAST]) == 2
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_an_interrupt_is_one_line(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C while resampling writes nothing and shows no traceback."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("analysis.results.analyse_study", interrupted)
    assert main([str(export), "--anchor", "old", "-o", str(tmp_path / "out"), *FAST]) == 130
    assert capsys.readouterr().err == "analyze-study: interrupted; nothing was written\n"
    assert not (tmp_path / "out").exists()


def test_an_interrupt_while_starting_is_one_line(export: Path, tmp_path: Path) -> None:
    """Libraries take a second or two to load, and Ctrl-C then shows no traceback either."""
    program = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'pandas': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from analysis.analyze_study import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, str(export), "--anchor", "old", "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (130, "analyze-study: interrupted; nothing was written\n")


def test_the_reference_is_the_zero_and_never_in_a_bd_rate(standard: Path) -> None:
    """The original stands at 1500 with an interval, and each codec's meeting with it is given or said to
    fail."""
    document = results(standard)
    assert document["scaling"]["zero"] == "reference"
    reference = document["reference"]
    assert reference["elo"] == 1500
    assert reference["elo_low"] < 1500 < reference["elo_high"]
    assert [row["codec"] for row in reference["meets"]] == ["mid", "new", "old"]
    assert all("reference" not in (row["anchor"], row["test"]) for row in document["bd_rates"])
    scores = {row["condition"]: row for row in document["scores"]}
    for row in reference["meets"]:
        mine = [s for s in scores.values() if s["codec"] == row["codec"]]
        reached = [s["bpp"] for s in mine if s["elo_high"] >= 1500]
        assert (row["bpp"] is not None) == bool(reached)
        if reached:
            assert row["bpp"] <= min(reached) + 1e-12


def test_a_named_zero_moves_elo_and_no_bd_rate(export: Path, standard: Path, tmp_path: Path) -> None:
    """Elo differences and BD-rates stay as they are; the named condition stands at 1500."""
    arguments = ["--anchor", "old", "-o", str(tmp_path), "--zero", "old@0.2", "--seed", "17", *FAST]
    assert main([str(export), *arguments]) == 0
    one, two = results(standard), results(tmp_path)
    shifts = [a["elo"] - b["elo"] for a, b in zip(one["scores"], two["scores"], strict=True)]
    assert np.ptp(shifts) < 1e-9
    assert next(row["elo"] for row in two["scores"] if row["condition"] == "old@0.2") == 1500
    for a, b in zip(one["bd_rates"], two["bd_rates"], strict=True):
        assert (a["bd_rate_percent"], a["bd_rate_low"]) == (b["bd_rate_percent"], b["bd_rate_low"])


def test_one_rate_point_a_codec_gives_scores_and_bounds(tmp_path: Path, write_export: FolderMaker) -> None:
    """Elo of every codec, and in place of a BD-rate the words that it needs two rate points."""
    study = simulate_study(
        3, savings={"a": 1.0, "b": 1.5, "c": 0.7}, ladder=(0.2,), sources=12, raters=30, judgments=1200
    )
    out = tmp_path / "out"
    export = write_export(study.judgments, study.stimuli)
    assert main([str(export), "--anchor", "a", "-o", str(out), *FAST]) == 0
    document = results(out)
    assert len(document["scores"]) == 3
    for row in document["bd_rates"]:
        assert row["status"] == "single_point"
        assert row["bd_rate_percent"] is row["bd_rate_low"] is row["savings_factor"] is None
        assert (row["ratio_at_most"] is None) == (row["test"] == "c")
        assert 0 <= row["apart_share"] <= 1
        more = "no fewer bits than the anchor" if row["test"] == "c" else "no more bits than the anchor"
        assert row["bound"].startswith(more)
    assert "A BD-rate needs at least two rate points, and there is a single one of a, b, c" in warned(
        document
    )
    assert "none" in (out / "bd_rates.md").read_text()


def test_curves_without_overlap_give_bounds(tmp_path: Path, write_export: FolderMaker) -> None:
    """A codec so much better that no Elo is shared: at least x % at the closest qualities, never a bare
    number."""
    study = simulate_study(
        4,
        savings={"weak": 1.0, "strong": 4.0},
        ladder=(0.2, 0.3),
        sources=20,
        raters=40,
        judgments=4000,
        slope=400,
    )
    out = tmp_path / "out"
    assert (
        main([str(write_export(study.judgments, study.stimuli)), "--anchor", "weak", "-o", str(out), *FAST])
        == 0
    )
    (row,) = results(out)["bd_rates"]
    assert row["status"] == "no_overlap"
    assert row["bd_rate_percent"] is None
    assert row["ratio_at_most"] == pytest.approx(0.2 / 0.3, abs=0.01)
    assert re.fullmatch(r"at least 3\d\.\d % fewer bits \(so in \d+\.\d % of replicates\)", row["bound"])
    assert row["apart_share"] > 0.9
    assert row["bound"] in (out / "report.html").read_text()


def test_separated_data_are_said_with_their_groups(
    tmp_path: Path, write_export: FolderMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    """A condition that lost every time: a prior is named, and the group with it."""
    study = simulate_study(5, savings={"a": 1.0, "b": 1.3}, ladder=(0.1, 0.2, 0.4), sources=8, judgments=600)
    rows = study.judgments.copy()
    rows.loc[rows["condition_a"] == "a@0.1", "choice"] = "b"
    rows.loc[rows["condition_b"] == "a@0.1", "choice"] = "a"
    out = tmp_path / "out"
    assert main([str(write_export(rows, study.stimuli)), "--anchor", "a", "-o", str(out), *FAST]) == 0
    document = results(out)
    assert "Gaussian prior of standard deviation 1000 Elo" in document["scaling"]["prior"]
    assert document["scaling"]["separated"][-1] == ["a@0.1"]
    (said,) = (line for line in capsys.readouterr().out.splitlines() if "each group never lost" in line)
    assert said.startswith("note: Some conditions won (or lost) every comparison")
    assert said.endswith("> {a@0.1}.")


def test_a_disconnected_graph_is_refused_with_its_components(
    tmp_path: Path, write_export: FolderMaker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two rate points that were never joined."""
    study = simulate_study(5, savings={"a": 1.0, "b": 1.3}, ladder=(0.1, 0.4), sources=8, judgments=600)
    rate = study.judgments[["condition_a", "condition_b"]].map(lambda name: name.split("@")[1])
    rows = study.judgments[rate["condition_a"] == rate["condition_b"]]
    assert main([str(write_export(rows, study.stimuli)), "--anchor", "a", "-o", str(tmp_path / "out")]) == 2
    assert "a@0.1, b@0.1 | a@0.4, b@0.4" in capsys.readouterr().err


def test_missing_stimuli_are_counted_in_the_outputs(
    small_study: SimulatedStudy, write_export: FolderMaker, tmp_path: Path
) -> None:
    """A cell that one codec lacks leaves its rate point for all, and the report lists it."""
    lost = ("source003", "new@0.2")
    stimuli = small_study.stimuli[
        ~((small_study.stimuli["source"] == lost[0]) & (small_study.stimuli["condition"] == lost[1]))
    ]
    rows = small_study.judgments
    touched = (rows["source"] == lost[0]) & (
        (rows["condition_a"] == lost[1]) | (rows["condition_b"] == lost[1])
    )
    out = tmp_path / "out"
    export = write_export(rows[~touched], stimuli)
    assert main([str(export), "--anchor", "old", "-o", str(out), *FAST]) == 0
    document = results(out)
    assert document["left_out"] == [{"source": "source003", "rate_point": "0.2 bpp", "lacking": ["new"]}]
    (exclusion,) = document["exclusions"]
    assert exclusion["rule"] == "source missing at the rate point"
    assert exclusion["judgments"] > 0
    assert 'id="left-out"' in (out / "report.html").read_text()


def test_both_means_are_printed_where_they_differ(tmp_path: Path, write_export: FolderMaker) -> None:
    """Rates that vary between sources: both rates of every condition and a BD-rate under the other mean."""
    study = simulate_study(
        8, savings={"a": 1.0, "b": 1.3}, ladder=(0.1, 0.2, 0.4), sources=10, judgments=1500, rate_spread=0.3
    )
    out = tmp_path / "out"
    assert (
        main([str(write_export(study.judgments, study.stimuli)), "--anchor", "a", "-o", str(out), *FAST]) == 0
    )
    document = results(out)
    assert document["rate_means_differ"]
    assert document["bd_rates"][0]["other_mean_percent"] != document["bd_rates"][0]["bd_rate_percent"]
    assert "arithmetic mean rate" in (out / "bd_rates.md").read_text()
    assert "stimuli are more than 2 % off" in warned(document)
    again = tmp_path / "again"
    arguments = [
        str(tmp_path / "export"),
        "--anchor",
        "a",
        "-o",
        str(again),
        "--rate-mean",
        "arithmetic",
        *FAST,
    ]
    assert main(arguments) == 0
    other = results(again)["bd_rates"][0]
    assert other["bd_rate_percent"] == pytest.approx(document["bd_rates"][0]["other_mean_percent"])


def test_rates_of_the_payload_are_labelled(
    small_study: SimulatedStudy, write_export: FolderMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A codec whose container is a fifth of its file gains by that much, and every output says why."""
    stimuli = small_study.stimuli.copy()
    stimuli["payload_bytes"] = stimuli["bytes"] * np.where(stimuli["codec"] == "new", 0.8, 1.0) // 1
    export = write_export(small_study.judgments, stimuli)
    ratios = {}
    for rate in ("file", "payload"):
        out = tmp_path / rate
        assert main([str(export), "--anchor", "old", "--rate", rate, "-o", str(out), *FAST]) == 0
        ratios[rate] = {row["test"]: row["log_ratio"] for row in results(out)["bd_rates"]}
    assert ratios["payload"]["new"] - ratios["file"]["new"] == pytest.approx(np.log(0.8), abs=1e-3)
    assert ratios["payload"]["mid"] == pytest.approx(ratios["file"]["mid"], abs=1e-6)
    assert "Rates are those of the payload" in capsys.readouterr().out
    assert "--rate payload" in results(out)["provenance"]["command"]
    for name in ("bd_rates.md", "bd_rates.tex", "elo_curves.svg", "report.html"):
        assert "of the payload" in (out / name).read_text()
    for name in ("bd_rates.csv", "scores.csv"):
        assert set(pd.read_csv(out / name)["rate"]) == {"payload"}


def test_few_clusters_are_said(standard: Path) -> None:
    """Under 30 raters or sources."""
    document = results(standard)
    assert "Only 20 raters" in warned(document)
    assert "Only 8 sources" in warned(document)
    assert document["resampling"]["degrees_of_freedom"] == 7
