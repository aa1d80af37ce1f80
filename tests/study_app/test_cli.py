"""The command line: the road through it as a user walks it, and one line for what is wrong."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import requests
from PIL import Image

from study_app import __version__
from study_app.cli import cli, main
from study_app.commands.results import study_and_options

TOML = """
name = "road"
title = "Road"
question = "Which one is closer to the original?"
instructions = "Look."
targets = [1.0, 2.0]
tolerance = 0.05
allow_mismatch = true
session_length = 8

[sources]
folder = "sources"

[[codecs]]
name = "jpeg"

[[codecs]]
name = "webp"
"""


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "study_app", *arguments],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if not name.startswith("MATCHRATE_")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two small pictures, made with the commands, in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("the road") / "my study"
    done = run("init", str(folder))
    assert done.returncode == 0, done.stderr
    (folder / "study.toml").write_text(TOML)
    ramp = np.linspace(0, 255, 96)
    for number in range(2):
        noise = np.random.default_rng(number).normal(0, 25, (96, 96, 3))
        pixels = np.clip(ramp[None, :, None] + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "sources" / f"field{number}.png")
    for command in (
        ["check"],
        ["encode", "--workers", "1"],
        ["verify", "--workers", "1"],
        ["load"],
        ["load"],
    ):
        done = run(*command, str(folder))
        assert done.returncode == 0, done.stderr
    assert "is loaded already" in done.stdout
    return folder


@pytest.fixture
def serving(encoded: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MATCHRATE_")}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "study_app", "serve", "--port", "0"],
        cwd=encoded,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def unrated(encoded: Path, tmp_path: Path) -> Path:
    """The encoded study in another folder, in no database yet."""
    folder = tmp_path / "unrated"
    shutil.copytree(encoded, folder, ignore=shutil.ignore_patterns("postgres", "exports", "report"))
    return folder


def test_every_step_taken_too_early_names_the_step_before_it(unrated: Path) -> None:
    for command in ("serve", "export", "analyze"):
        early = run(command, str(unrated), *(["--anchor", "jpeg"] if command == "analyze" else []))
        assert early.returncode == 2
        assert "run `matchrate load`" in early.stderr
    assert run("load", str(unrated)).returncode == 0
    early = run("analyze", str(unrated), "--anchor", "jpeg")
    assert early.returncode == 2
    assert "nobody has rated study" in early.stderr
    assert list(unrated.glob("exports/*")) == []


def test_a_study_file_that_was_changed_after_encoding_is_said(unrated: Path) -> None:
    assert "note:" not in run("load", str(unrated)).stderr
    file = unrated / "study.toml"
    file.write_text(file.read_text().replace("Which one is closer", "Which is nearer"))
    done = run("load", str(unrated))
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "study.toml was changed after the last encode (question)" in done.stderr


def test_check_says_which_pictures_no_window_holds(tmp_path: Path) -> None:
    folder = tmp_path / "wide"
    assert run("init", str(folder)).returncode == 0
    (folder / "study.toml").write_text(TOML)
    Image.new("RGB", (900, 40)).save(folder / "sources" / "panorama.png")
    done = run("check", str(folder))
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("note: panorama is shown at 900x40")
    assert "is fine: 1 source, " in done.stdout


def rate_session(address: str) -> int:
    answered = 0
    with requests.Session() as http:
        http.trust_env = False
        http.post(address + "enrol", data={"consent": "yes"}, timeout=30, allow_redirects=False)
        while not (page := http.get(address + "api/trials", timeout=30).json())["complete"]:
            body = {"client_uuid": f"2f1c7a52-7d0e-4a3a-9a80-{answered:012d}", "choice": 1 + answered % 2}
            body |= {"trial": page["trials"][0]["trial"], "response_ms": 900, "exposure_ms": 900, "flips": 2}
            body |= {"magnification": 1, "device_pixel_ratio": 1, "viewport": "1440x900"}
            assert http.post(address + "api/judgments", json=body, timeout=30).status_code == 201
            answered += 1
    return answered


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_road_from_encoding_to_report(
    encoded: Path, serving: subprocess.Popen[str], sign: signal.Signals
) -> None:
    assert serving.stdout is not None
    first, second = serving.stdout.readline(), serving.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", first)
    assert found is not None, first
    token = (encoded / "researcher-token").read_text().strip()
    assert second.strip().endswith(f"/researcher?token={token}")
    exported_before = len(list(encoded.glob("exports/*/judgments.csv")))
    if sign == signal.SIGINT:
        assert rate_session(found[0]) == 8
    # While the server runs, another command uses the same database.
    done = run("export", str(encoded))
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert len((folder / "judgments.csv").read_text().splitlines()) == 1 + 8
    assert len(list(encoded.glob("exports/*/judgments.csv"))) == exported_before + 1
    serving.send_signal(sign)
    _, said = serving.communicate(timeout=30)
    assert serving.returncode == 0, said
    assert said == ""
    assert not (encoded / "postgres" / "data" / "postmaster.pid").exists()
    if sign == signal.SIGTERM:
        done = run("analyze", "--anchor", "jpeg", "--replicates", "100", str(encoded))
        assert done.returncode == 0, done.stderr
        assert (encoded / "report" / "report.html").is_file()
        done = run("db", "check", cwd=encoded)
        assert (done.returncode, done.stderr) == (0, "")


def test_every_command_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    def walk(command: click.Command, names: list[str]) -> Iterator[list[str]]:
        assert command.help, names
        for option in command.params:
            assert isinstance(option, click.Argument) or getattr(option, "help", None), (names, option.name)
        yield names
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                yield from walk(inner, [*names, name])

    commands = list(walk(cli, []))
    assert {names[0] for names in commands if names} == {
        "init", "codecs", "check", "encode", "verify", "timings", "rd", "load", "serve", "export", "analyze",
        "db", "demo", "simulate",
    }  # fmt: skip
    for names in commands:
        assert main([*names, "--help"]) == 0
        assert "Usage: matchrate" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "{}/nothing"],
        ["serve", "{}"],
        ["load", "{}"],
        ["export", "{}"],
        ["encode", "{}"],
        ["verify", "{}"],
        ["analyze", "{}", "--anchor", "jpeg"],
        ["db", "upgrade", "{}/nothing"],
        ["serve", "--port", "70000"],
        ["load", "--nonsense"],
        ["nonsense"],
        ["encode", "--workers", "0"],
    ],
)
def test_what_is_wrong_is_said_without_a_traceback_and_exits_2(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(tmp_path) for argument in arguments]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.strip()
    if said.startswith("matchrate:"):
        assert str(tmp_path) in said
    assert list(tmp_path.iterdir()) == []


def test_analyze_without_a_codec_to_compare_with_speaks_of_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["analyze", str(tmp_path)])
    said = capsys.readouterr().err
    assert said.startswith("usage: matchrate analyze [STUDY] (--anchor CODEC | --test CODEC)")
    assert said.endswith("matchrate analyze: error: one of the arguments --anchor --test is required\n")


def test_a_database_that_does_not_answer_is_one_line(
    encoded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MATCHRATE_DATABASE_URL", "postgresql://u:secret@127.0.0.1:1/d")
    assert main(["load", str(encoded)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "does not answer" in said
    assert "secret" not in said


def test_an_interrupt_is_one_short_line(
    encoded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("study_app.loading.load_manifest", interrupted)
    assert main(["load", str(encoded)]) == 130
    assert capsys.readouterr().err.strip() == "matchrate: interrupted"


def test_an_error_of_the_program_itself_is_one_line_and_its_traceback_is_in_a_file(
    encoded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("study_app.loading.load_manifest", broken)
    assert main(["load", str(encoded)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    kept = re.search(r"\S+matchrate-error-\S+\.log", said)
    assert kept is not None
    assert "Traceback" in Path(kept[0]).read_text()
    Path(kept[0]).unlink()


@pytest.mark.parametrize(
    ("arguments", "study", "options"),
    [
        (["--anchor", "jpeg"], ".", ["--anchor", "jpeg"]),
        (["folder", "--anchor", "jpeg"], "folder", ["--anchor", "jpeg"]),
        (["--anchor", "jpeg", "folder"], "folder", ["--anchor", "jpeg"]),
        (["jpeg", "--anchor", "jpeg"], "jpeg", ["--anchor", "jpeg"]),
        (["--test=jpeg", "jpeg"], "jpeg", ["--test=jpeg"]),
    ],
)
def test_analyze_finds_the_study_among_the_options(
    arguments: list[str], study: str, options: list[str]
) -> None:
    assert study_and_options(arguments) == (Path(study), options)


def test_analyze_refuses_options_that_its_analysis_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["analyze", "--nonsense"])
    assert caught.value.code == 2
    assert "analyze-study" in capsys.readouterr().err
