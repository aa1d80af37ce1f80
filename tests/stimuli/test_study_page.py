"""The page on study.toml and the file of `matchrate init`: every key is there, and every example is read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stimuli.study import Study, read_study
from stimuli.template import write_template
from stimuli.toml_table import Table

PAGE = Path(__file__).parents[2] / "docs" / "study-toml.md"
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
PARTS = {
    "name": 'name = "example"\n',
    "targets": "targets = [0.5, 1.0]\n",
    "sources": '\n[sources]\nfolder = "sources"\n',
    "codecs": '\n[[codecs]]\nname = "jpeg"\n',
}
RECIPE = """
name = "mine"
encode = ["{encoder}", "{quality}", "{input}", "{output}"]
decode = ["{decoder}", "{input}", "{output}"]
quality = { range = [0, 63], direction = "down" }
[programs]
encoder = "myenc"
decoder = "mydec"
"""


def picture(path: Path, width: int = 96, height: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(path)


def surroundings(folder: Path) -> None:
    """The files that the examples name, beside study.toml."""
    for name in ("sources/kodim01", "sources/kodim02", "more/extra"):
        picture(folder / f"{name}.png")
    for name in ("kodim01", "kodim02"):
        picture(folder / "reconstructions" / name / "published.png")
        for target in (0.25, 0.5):
            # A row too high, which `crop` cuts.
            picture(folder / "recon" / f"{name}-{target}.png", height=65)
    rows = "".join(f"{name},published,0.3\n" for name in ("kodim01", "kodim02"))
    (folder / "reconstructions" / "bpp.csv").write_text(f"source,codec,bpp\n{rows}")
    (folder / "recon" / "rates.csv").write_text("source,codec,bpp\nkodim01,theirs,.2\nkodim01,theirs,.6\n")
    (folder / "mine.toml").write_text(RECIPE)
    (folder / "mine.pth").write_bytes(b"")


def read(folder: Path, block: str) -> Study:
    """The study of an example, with whatever it leaves to others."""
    surroundings(folder)
    values = tomllib.loads(block)
    lacking = {key: part for key, part in PARTS.items() if key not in values}
    before = "".join(part for key, part in lacking.items() if key in ("name", "targets"))
    after = "".join(part for key, part in lacking.items() if key in ("sources", "codecs"))
    (folder / "study.toml").write_text(before + block + after, encoding="utf-8")
    return read_study(folder)


@pytest.mark.parametrize("i", range(len(BLOCKS)))
def test_every_example_of_the_page_is_read(tmp_path: Path, i: int) -> None:
    study = read(tmp_path, BLOCKS[i])
    assert study.conditions
    values = tomllib.loads(BLOCKS[i])
    for key in ("title", "rate", "tolerance", "session_length", "expected_savings", "timeout", "memory"):
        if key in values:
            assert getattr(study, key) == values[key]
    assert str(study.match) == values.get("match", "each")


def test_examples_say_what_the_page_says_of_them(tmp_path: Path) -> None:
    (block,) = (block for block in BLOCKS if "[sources.targets]" in block)
    study = read(tmp_path / "sources", block)
    sources = {source.name: source for source in study.sources}
    assert list(sources) == ["kodim01", "kodim02", "again", "extra"]
    assert sources["kodim01"].crop == (16, 8, 48, 32)
    assert sources["kodim02"].targets == {0.25: 0.4, 0.5: 0.8}
    assert (sources["kodim02"].dataset, sources["again"].dataset) == ("house", None)
    (block,) = (block for block in BLOCKS if "crop = true" in block)
    study = read(tmp_path / "cropped", block)
    assert [condition.name for condition in study.conditions][:2] == ["published@0.25", "published@0.5"]
    (block,) = (block for block in BLOCKS if 'recipe = "mine.toml"' in block)
    codecs = {codec.name: codec for codec in read(tmp_path / "codecs", block).codecs}
    assert codecs["jpeg"].targets == (0.5, 1.0, 2.0)
    assert codecs["avif-slow"].family == "avif"
    (block,) = (block for block in BLOCKS if 'match = "vvc qp 32"' in block)
    assert [c.name for c in read(tmp_path / "match", block).conditions][:3] == [
        "vvc@0.5x",
        "vvc@0.7x",
        "vvc@1.0x",
    ]


def test_a_fine_scale_may_be_said_too(tmp_path: Path) -> None:
    (match,) = re.findall(r'`"(avif quality [^"]*)"`', PAGE.read_text(encoding="utf-8"))
    study = read(tmp_path, f'match = "{match}"\n[[codecs]]\nname = "avif"\n')
    assert str(study.match) == match


def test_every_key_that_is_read_is_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[tuple[str, str]] = set()
    take = Table.take

    def spy(self: Table, key: str) -> object:
        if self.file.name == "study.toml":
            asked.add((re.sub(r"\[\d+\]", "", self.where), key))
        return take(self, key)

    monkeypatch.setattr(Table, "take", spy)
    for i, block in enumerate(BLOCKS):
        read(tmp_path / str(i), block)
    page = PAGE.read_text(encoding="utf-8")
    parts = {"": page.split("\n## ")[0] + page[page.index("## What a target") :]}
    for where, title in (
        ("sources", "## `[sources]`"),
        ("pairing", "## `[pairing]`"),
        ("codecs", "## `[[codecs]]`"),
    ):
        parts[where] = page[page.index(title) :].split("\n## ")[0]
    for where, key in asked:
        if where in parts and key not in ("sources", "codecs", "pairing"):
            assert re.search(rf"^\|[^|]*`{key}`", parts[where], re.M), f"{where} {key}"
    assert {"match", "rate", "fast", "metrics", "timeout", "memory"} <= {key for _, key in asked}


def _commented() -> list[str]:
    """Each run of commented lines of the template that are TOML."""
    runs: list[list[str]] = [[]]
    for line in write_text().splitlines():
        if re.match(r"# (\[|\w+ = )", line):
            runs[-1].append(line[2:])
        elif runs[-1]:
            runs.append([])
    return ["\n".join(run) for run in runs if run]


def write_text() -> str:
    from stimuli.template import _TEMPLATE

    return _TEMPLATE


@pytest.mark.parametrize("run", _commented(), ids=lambda run: run.splitlines()[-1].split(" =")[0])
def test_what_the_template_says_in_comments_is_sound(tmp_path: Path, run: str) -> None:
    """Each alternative alone, with the comment sign taken away."""
    file = write_template(tmp_path / "study")
    surroundings(file.parent)
    for path in ("sources/kodim01.png", "reconstructions/kodim01/published.png"):
        picture(file.parent / path, 640, 512)
    (file.parent / "mycodec").write_text("#!/bin/sh\n")
    (file.parent / "mycodec").chmod(0o755)
    text = file.read_text()
    for line in run.splitlines() if not run.startswith("[") and "match" in run else [run]:
        commented = "\n".join(f"# {part}" for part in line.splitlines())
        assert commented in text
        file.write_text(text.replace(commented, line, 1))
        assert read_study(file).conditions
