"""docs/architecture.md names files that are there, and every field of the manifest."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from stimuli.manifest import FORMAT, CodecRecord, Failure, Machine, Manifest, SourceRecord, StudyRecord
from stimuli.study import Condition, Stimulus

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MANIFEST = PAGE.split("## manifest.json")[1].split("\n## ")[0]


def test_the_rooms_have_the_files_that_are_named() -> None:
    table = PAGE.split("## The rooms")[1].split("`analysis`:")[0]
    names = re.findall(r"`(\w+)`", table)
    assert len(names) > 45
    for name in set(names) - {"stimuli"}:
        there = [ROOT / "stimuli" / f"{name}.py", ROOT / "stimuli" / "codecs" / f"{name}.py"]
        assert any(path.is_file() for path in there), name


@pytest.mark.parametrize(
    "kind", [Manifest, StudyRecord, SourceRecord, CodecRecord, Condition, Failure, Machine, Stimulus]
)
def test_every_field_of_the_manifest_is_told(kind: type) -> None:
    told = {word for text in re.findall(r"`([^`]+)`", MANIFEST) for word in re.findall(r"\w+", text)}
    from analysis.contract import STIMULUS_NAMES

    told |= set(STIMULUS_NAMES) if kind is Stimulus else set()
    lacking = {field.name for field in dataclasses.fields(kind)} - told
    assert not lacking
    assert f"`format`: {FORMAT} " in MANIFEST
