"""The wheel holds what an installed Matchrate needs, and works from there."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, unpacked as pip would lay it out."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    zipfile.ZipFile(wheel).extractall(site)
    return site


def test_only_the_three_rooms_travel(unpacked: Path) -> None:
    tops = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"study_app", "stimuli", "analysis"}


@pytest.mark.parametrize("room", ["study_app", "stimuli", "analysis"])
def test_every_tracked_file_of_a_room_travels(unpacked: Path, room: str) -> None:
    listed = subprocess.run(
        ["git", "ls-files", room], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\n")
    tracked = [name for name in listed if name] or [
        str(path.relative_to(ROOT)) for path in (ROOT / room).rglob("*.py")
    ]
    missing = [name for name in tracked if (ROOT / name).exists() and not (unpacked / name).exists()]
    assert missing == []


def test_migrations_travel_inside_the_application(unpacked: Path) -> None:
    ours = {path.name for path in (ROOT / "migrations" / "versions").glob("*.py")}
    theirs = {path.name for path in (unpacked / "study_app" / "migrations" / "versions").glob("*.py")}
    assert ours
    assert theirs == ours
    assert (unpacked / "study_app" / "migrations" / "env.py").exists()


def test_the_unpacked_wheel_has_the_recipes(unpacked: Path, tmp_path: Path) -> None:
    """They are read as package data: what counts is what an installed Matchrate finds."""
    code = "import stimuli.codecs.recipe as r; print(r.__file__, *r.shipped_recipes())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    where, *names = done.stdout.split()
    assert where.startswith(str(unpacked))
    assert names == sorted(path.stem for path in (ROOT / "stimuli" / "recipes").glob("*.toml"))


def test_the_unpacked_wheel_migrates_a_database(unpacked: Path, tmp_path: Path) -> None:
    """From outside the checkout, with the wheel first on the path, a schema is made and checked."""
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    environment.pop("MATCHRATE_DATABASE_URL", None)
    where = subprocess.run(
        [sys.executable, "-c", "import study_app; print(study_app.__file__)"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(unpacked))
    study = tmp_path / "a study"
    for command in (["init", str(study)], ["db", "upgrade", str(study)], ["db", "check", str(study)]):
        done = subprocess.run(
            [sys.executable, "-m", "study_app", *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
