"""What a newcomer meets first is true: the targets, the lock, and a tree that speaks of itself alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert phony
    unlisted = [name for name in phony[1].split() if f"make {name} " not in shown and name not in HELPERS]
    assert unlisted == []


#: Steps of `make check`, listed under it.
HELPERS = {"lint", "types", "floors", "pytest"}


def test_ci_runs_the_readme_test_command_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]
    assert commands == ["exec make test"]
    assert "make test" in (ROOT / "README.md").read_text()


def test_lock_names_no_host_and_pins_every_dependency() -> None:
    text = LOCK.read_text()
    assert "://" not in text
    assert "--index-url" not in text
    assert "--extra-index-url" not in text
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", text, re.M)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for ds in project["optional-dependencies"].values() for d in ds)]
    names = {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line)[0]).lower() for line in wanted}  # type: ignore[index]
    assert names - {"matchrate"} <= pinned


def test_every_entry_of_the_lock_is_hashed() -> None:
    entries = re.split(r"\n(?=\S)", LOCK.read_text().strip())
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_top_level_is_the_agreed_one() -> None:
    for name in ("study_app", "stimuli", "analysis", "migrations", "tests"):
        assert (ROOT / name).is_dir()
    for name in ("pyproject.toml", "README.md", "Makefile", "CHANGELOG.md", "LICENSE"):
        assert (ROOT / name).is_file()


def test_tree_holds_no_path_of_a_machine() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing to list")
    places = "|".join(("(^|[^A-Za-z.])/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/[a-z]"))
    found = subprocess.run(
        ["git", "grep", "-nIE", places, "--", ".", ":!LICENSE"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
