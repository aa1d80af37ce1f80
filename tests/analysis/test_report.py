"""report.html: every number equals results.json, and nothing is fetched from elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from analysis.analyze_study import main
from analysis.publication import interval_text
from analysis.report import look_up
from analysis.simulation import simulate_study

FolderMaker = Callable[..., Path]


class Numbers(HTMLParser):
    """The keyed numbers, the texts of table cells beside them, and every address that a browser would
    fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.keyed: list[tuple[str, str, str]] = []
        self.cells: list[str] = []
        self.addresses: list[str] = []
        self._open: dict[str, str | None] | None = None
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.addresses += [str(found[name]) for name in ("src", "href") if name in found]
        if tag in ("td", "th"):
            self._in_cell = True
            self.cells.append("")
        if "data-key" in found:
            self._open = found

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._in_cell = False
        if tag == "span":
            self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.keyed.append((str(self._open["data-key"]), str(self._open["data-format"]), data))
        elif self._in_cell:
            self.cells[-1] += data


def strings(value: Any) -> set[str]:
    """Every text within a JSON value."""
    if isinstance(value, dict):
        return set().union(*(strings(v) for v in value.values()), set())
    if isinstance(value, list):
        return set().union(*(strings(v) for v in value), set())
    return {value} if isinstance(value, str) else set()


STUDIES = {
    "with the original": {"reference": True},
    "rates that vary": {"rate_spread": 0.2},
    "one rate point": {"ladder": (0.2,)},
    "no overlap": {"ladder": (0.2, 0.24), "savings": {"a": 1.0, "b": 6.0}},
}


@pytest.mark.parametrize("name", STUDIES)
def test_every_number_is_in_results_json(name: str, write_export: FolderMaker, tmp_path: Path) -> None:
    """Each number in a table is the value at its key in its format; other digits stand in texts of the
    JSON."""
    design: dict[str, Any] = {"savings": {"a": 1.0, "b": 1.3, "c": 1.5}, "sources": 9, "judgments": 1200}
    study = simulate_study(2, **{**design, **STUDIES[name]})
    out = tmp_path / "out"
    export = write_export(study.judgments, study.stimuli)
    assert main([str(export), "--anchor", "a", "-o", str(out), "--replicates", "100"]) == 0
    document = json.loads((out / "results.json").read_text())
    page = Numbers()
    page.feed((out / "report.html").read_text())
    assert len(page.keyed) > 20
    for key, form, text in page.keyed:
        value = look_up(document, key)
        shown = text.replace("−", "-").removesuffix(" %")
        assert shown == ("–" if value is None else format(value, form)), key
        if value is not None:
            printed = float(shown.replace(",", ""))
            decimals = len(shown.partition(".")[2])
            assert abs(printed - value) <= 0.5000001 * 10.0**-decimals or "g" in form, key
    known = strings(document)
    headings = {"99 % interval"}
    for cell in page.cells:
        text = " ".join(cell.split())
        if re.search(r"\d", text) and text not in headings:
            assert text in known, text
    scores = {key for key, _, _ in page.keyed if key.endswith(".elo")}
    assert len([key for key in scores if key.startswith("scores.")]) == len(document["scores"])


def test_a_unit_stands_at_the_last_number() -> None:
    """An open limit is a word and has no unit."""
    limits = {"low_is_open": False, "high_is_open": True, "x_low": -12.04, "x_high": None}
    assert interval_text(limits, "x", "+.1f", " %") == "-12.0 % to open"
    turned = {"low_is_open": True, "high_is_open": False, "x_low": None, "x_high": 3.0}
    assert interval_text(turned, "x", "+.1f", " %") == "open to +3.0 %"
    both = {"low_is_open": True, "high_is_open": True, "x_low": None, "x_high": None}
    assert interval_text(both, "x", "+.1f", " %") == "open to open"


def test_a_browser_needs_nothing_else(standard: Path) -> None:
    """One file: no script, and no address but data."""
    text = (standard / "report.html").read_text()
    page = Numbers()
    page.feed(text)
    assert page.addresses
    assert all(address.startswith("data:") for address in page.addresses)
    assert "<script" not in text
    assert "@import" not in text
    assert "url(" not in text
