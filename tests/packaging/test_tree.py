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
#: What `make learned` installs on top, so that the tests need no torch.
LEARNED_LOCK = ROOT / "requirements-learned.lock"


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


def _names(lines: list[str]) -> set[str]:
    return {re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line)[0]).lower() for line in lines}  # type: ignore[index]


def _pinned(lock: Path) -> set[str]:
    return _names(re.findall(r"^[\w.-]+==", lock.read_text(), re.M))


def test_locks_name_no_host_and_pin_every_dependency() -> None:
    for lock in (LOCK, LEARNED_LOCK):
        text = lock.read_text()
        for word in ("://", "--index-url", "--extra-index-url", "--find-links"):
            assert word not in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    learned = _names(extras.pop("learned"))
    wanted = [*project["dependencies"], *(line for lines in extras.values() for line in lines)]
    assert _names(wanted) - {"matchrate"} <= _pinned(LOCK)
    assert learned | {"compressai"} <= _pinned(LEARNED_LOCK)


def test_torch_comes_with_make_learned_alone_and_for_the_cpu() -> None:
    assert _pinned(LOCK) & _pinned(LEARNED_LOCK) == set()
    assert "torch" in _pinned(LEARNED_LOCK)
    gpu = [name for name in _pinned(LEARNED_LOCK) if name.startswith(("nvidia", "cuda", "triton"))]
    assert gpu == []


@pytest.mark.parametrize("lock", [LOCK, LEARNED_LOCK], ids=["tests", "learned"])
def test_every_entry_of_a_lock_is_hashed(lock: Path) -> None:
    entries = re.split(r"\n(?=\S)", lock.read_text().strip())
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
