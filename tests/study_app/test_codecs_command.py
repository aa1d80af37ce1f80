"""`matchrate codecs`: a text that fits a terminal, and JSON."""

from __future__ import annotations

import json
import re

import pytest

from stimuli.codecs.listing import Family
from stimuli.codecs.registry import family_names
from study_app.cli import main


def test_every_family_has_a_block_that_fits_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codecs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("    in ")] == []
    heads = [re.fullmatch(r"  ([\w.-]+): (ready|needs settings|missing|broken).*", line) for line in lines]
    assert sorted(head[1] for head in heads if head) == sorted(family_names())
    at = lines.index("built in:")
    assert lines[at + 1].startswith("  jpeg: ready, libjpeg-turbo ")
    assert lines[at + 2].startswith("    JPEG through Pillow and libjpeg-turbo")
    assert lines[at + 3] == "    quality 1 to 100, step 0.03125, up"
    assert lines[at + 4] == '    defaults: subsampling = "4:2:0", progressive = true, optimize = true'
    assert lines[at + 5].startswith("    in ")
    assert lines[-1].startswith(f"{len(family_names())} families: ")


def test_a_recipe_tells_its_settings_whether_its_programs_are_here_or_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["codecs"]) == 0
    out = capsys.readouterr().out
    blocks = dict(re.findall(r"^  ([\w.-]+): (.*?)(?=^  \S|^\S)", out, re.M | re.S))
    assert "    defaults: effort = 9\n" in blocks["cjxl"]
    assert "    defaults: home (to be given), " in blocks["jpegai"]


def test_a_scale_tells_its_fine_one_and_its_geometric_step(capsys: pytest.CaptureFixture[str]) -> None:
    main(["codecs"])
    out = capsys.readouterr().out
    assert "ratio 2 to 2400, geometric step 0.002, down; fine: block 0 to 3, step 1, up" in out


def test_what_is_missing_is_told_under_its_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def two() -> tuple[Family, ...]:
        print("a package that prints as it is imported")
        return (
            Family("first", "built in", None, "missing", None, None, (), {}, "run: pip install first " * 20),
            Family("second", "entry point", "Second", "broken", None, None, (), {}, "its entry point fails"),
        )

    monkeypatch.setattr("stimuli.codecs.listing.list_families", two)
    assert main(["codecs"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("built in:\n  first: missing\n    run: pip install first ")
    assert all(len(line) <= 120 for line in out.splitlines())
    assert "entry point:\n  second: broken\n    Second\n    its entry point fails\n" in out
    assert "2 families: 1 missing, 1 broken." in out


def test_json_is_json_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codecs", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [record["name"] for record in records] == list(family_names())
    assert all(record["note"] for record in records if record["status"] != "ready")
    assert all(
        {"name", "low", "high", "step", "direction"} <= set(scale)
        for record in records
        for scale in record["scales"]
    )
