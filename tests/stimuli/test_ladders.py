"""Advice on ladders of targets that are too short for the savings that are expected."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from stimuli.errors import StudyFileError
from stimuli.ladders import ladder_advice
from stimuli.study import read_study
from stimuli.template import write_template

HEAD = 'name = "ladders"\nmetrics = []\nsources = { folder = "sources" }\n'
JPEG = '[[codecs]]\nname = "jpeg"\n'
WEBP = '[[codecs]]\nname = "webp"\n'


def advice(studies: ModuleType, folder: Path, head: str, *codecs: str) -> tuple[str, ...]:
    return ladder_advice(
        read_study(studies.write_study(folder, head + HEAD + "".join(codecs or (JPEG, WEBP))))
    )


def test_a_short_ladder_is_told_what_to_add(studies: ModuleType, tmp_path: Path) -> None:
    """A span of 4 for savings of 2.3 lacks a rate at either end, and either makes it long enough."""
    short = "targets = [0.25, 0.5, 1.0]\nexpected_savings = 2.3\n"
    (line,) = advice(studies, tmp_path, short)
    assert line == (
        "targets span 4 x; for savings of 2.3 x they should span at least 6.9 x: add 0.14 bpp, or 1.8 bpp"
    )
    for more in re.findall(r"[\d.]+(?= bpp)", line):
        assert advice(studies, tmp_path, short.replace("[", f"[{more}, ")) == ()


def test_six_times_is_enough_unless_more_is_expected(studies: ModuleType, tmp_path: Path) -> None:
    """Savings of 2 are expected where nothing is said, and rounding decides nothing."""
    assert advice(studies, tmp_path, "targets = [0.1, 0.3, 0.6]\n") == ()
    assert len(advice(studies, tmp_path, "targets = [0.1, 0.3, 0.59]\n")) == 1
    assert len(advice(studies, tmp_path, "targets = [0.1, 0.6]\nexpected_savings = 2.1\n")) == 1


def test_every_ladder_is_looked_at_by_its_name(studies: ModuleType, tmp_path: Path) -> None:
    """Those of the study, of a codec and of a source; a ladder that nobody uses is not."""
    own = WEBP + "targets = [0.2, 0.4]\n"
    assert advice(studies, tmp_path, "targets = [0.1, 0.6]\n", JPEG, own) == (
        "targets of webp span 2 x; for savings of 2 x they should span at least 6 x: add 0.066 bpp, or "
        "1.2 bpp",
    )
    lines = advice(studies, tmp_path, "targets = [0.3, 0.4]\n", own, JPEG + "targets = [0.1, 0.6]\n")
    assert [line.split(" span")[0] for line in lines] == ["targets of webp"]
    sources = '[sources]\nfolder = "sources"\ntargets = { chelsea = [0.3, 0.9] }\n'
    head = HEAD.rsplit("sources =", 1)[0] + "targets = [0.1, 0.6]\n" + sources
    (line,) = ladder_advice(read_study(studies.write_study(tmp_path, head + JPEG)))
    assert line.startswith("targets of source chelsea span 3 x;")


def test_shares_of_a_rate_are_no_bits(studies: ModuleType, tmp_path: Path) -> None:
    """The rate to add is a share as well."""
    (line,) = advice(studies, tmp_path, 'targets = [0.5, 1.0]\nmatch = "jpeg quality 60"\n')
    assert line.endswith("at least 6 x: add 0.16x, or 3x")


def test_savings_are_above_one(studies: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(StudyFileError, match=r"expected_savings must be a number above 1"):
        advice(studies, tmp_path, "targets = [0.1, 0.6]\nexpected_savings = 1\n")


def test_the_template_needs_no_advice(studies: ModuleType, tmp_path: Path) -> None:
    file = write_template(tmp_path / "new")
    studies.write_study(tmp_path / "new", file.read_text())
    assert ladder_advice(read_study(tmp_path / "new")) == ()
