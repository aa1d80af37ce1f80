"""Ready-made reconstructions: a folder of decoded pictures and a table of their bpp.

How a codec without a public encoder takes part: there is no bitstream, and its rates are believed.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stimuli.codecs.base import Setting, resolve_settings
from stimuli.errors import CodecSettingsError

FAMILY = "reconstructions"

_PLACEHOLDERS = ("source", "codec", "target")


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """One decoded picture and the rate it was given, in bpp."""

    path: Path
    bpp: float


#: Pixels that a picture may differ from its source on a side to be the same picture with another border.
BORDER = 16


def common_size(picture: tuple[int, int], source: tuple[int, int]) -> tuple[int, int] | None:
    """Width and height of the part that both have, None where they differ by more than a border."""
    if any(abs(p - s) > min(BORDER, s // 8) for p, s in zip(picture, source, strict=True)):
        return None
    return min(picture[0], source[0]), min(picture[1], source[1])


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    source: str
    codec: str
    bpp: float
    target: float | None


class Reconstructions:
    """The pictures of one codec, found by `pattern` under `folder`, with their bpp from `table`.

    `table` is a CSV with the columns `source`, `codec` and `bpp`, and `target_bpp` where rows should not be
    given to the nearest target by the logarithm of their rate. Rows of other sources, other codecs and
    other targets are passed over: a table may hold more than a study uses. With `crop`, pictures that differ
    from their source by a border are cut to the common part, from the top left. An `optional` codec takes no
    source and rate point from the others where it lacks a picture.
    """

    def __init__(self, settings: Mapping[str, object], folder: Path, name: str) -> None:
        self.settings = resolve_settings(
            settings,
            {
                "folder": Setting("reconstructions"),
                "pattern": Setting("{source}/{codec}.png"),
                "table": Setting("bpp.csv"),
                "codec": Setting(name),
                "version": Setting("given"),
                "crop": Setting(False),
                "optional": Setting(False),
            },
        )
        self.version = str(self.settings["version"])
        self._codec = str(self.settings["codec"])
        self._pattern = str(self.settings["pattern"])
        for found in re.findall(r"\{([^{}]*)\}", self._pattern):
            if found not in _PLACEHOLDERS:
                options = ", ".join(f"{{{known}}}" for known in _PLACEHOLDERS)
                raise CodecSettingsError(
                    "pattern", f"has the unknown placeholder {{{found}}}; it knows {options}"
                )
        if "{source}" not in self._pattern:
            raise CodecSettingsError("pattern", "must use {source}")
        self._folder = folder / str(self.settings["folder"])
        if not os.path.isdir(self._folder):  # noqa: PTH112 - Path.is_dir raises on names that are too long
            raise CodecSettingsError("folder", f"is not a folder: {self._folder}")
        self._table = self._folder / str(self.settings["table"])
        self._rows = [row for row in _read_table(self._table) if row.codec == self._codec]
        if not self._rows:
            raise CodecSettingsError("codec", f"{self._codec!r} has no row in {self._table}")

    def only_rate(self, source: str) -> float:
        """The bpp of a source that has one row; raises CodecSettingsError for none or several."""
        rates = [row.bpp for row in self._rows if row.source == source]
        if len(rates) != 1:
            many = "no row" if not rates else f"{len(rates)} rows"
            raise CodecSettingsError("table", f"{self._table} has {many} of {self._codec!r} for {source!r}")
        return rates[0]

    def middle_rate(self, source: str) -> float:
        """The geometric mean of the bpp of a source; 1 where it has no row."""
        rates = [math.log(row.bpp) for row in self._rows if row.source == source]
        return math.exp(sum(rates) / len(rates)) if rates else 1.0

    def cells(self, targets: Mapping[str, Mapping[float, float]]) -> dict[tuple[str, float], Reconstruction]:
        """The reconstructions by source name and target; raises CodecSettingsError for contradictions.

        `targets` has for each source the targets of study.toml and the bits per pixel they mean there.
        """
        cells: dict[tuple[str, float], Reconstruction] = {}
        lines: dict[tuple[str, float], int] = {}
        for row in self._rows:
            target = _nearest(row, targets.get(row.source, {}))
            if target is None:
                continue
            if (row.source, target) in cells:
                raise CodecSettingsError(
                    "table",
                    f"{self._table} lines {lines[row.source, target]} and {row.line} both give "
                    f"{row.source} at {target:g} bpp; add a target_bpp column or another target",
                )
            relative = self._pattern
            for name, value in (("source", row.source), ("codec", self._codec), ("target", repr(target))):
                relative = relative.replace(f"{{{name}}}", value)
            cells[row.source, target] = Reconstruction(self._folder / relative, row.bpp)
            lines[row.source, target] = row.line
        return cells


def _nearest(row: _Row, targets: Mapping[float, float]) -> float | None:
    if row.target is not None:
        wanted = row.target
        close = [target for target in targets if math.isclose(target, wanted, rel_tol=1e-9)]
        return close[0] if close else None
    return min(targets, key=lambda target: abs(math.log(targets[target] / row.bpp)), default=None)


def _read_table(path: Path) -> list[_Row]:
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113 - as above
        raise CodecSettingsError("table", f"is not a file: {path}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            for needed in ("source", "codec", "bpp"):
                if needed not in columns:
                    raise CodecSettingsError("table", f"{path} has no column {needed!r}")
            return [_read_row(path, reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise CodecSettingsError("table", f"does not exist: {path}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise CodecSettingsError("table", f"{path} cannot be read ({error})") from None


def _read_row(path: Path, line: int, row: Mapping[str, str | None]) -> _Row:
    target = (row.get("target_bpp") or "").strip()
    return _Row(
        line,
        (row["source"] or "").strip(),
        (row["codec"] or "").strip(),
        _positive(path, line, "bpp", row["bpp"] or ""),
        _positive(path, line, "target_bpp", target) if target else None,
    )


def _positive(path: Path, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise CodecSettingsError("table", f"{path} line {line}: {column} must be positive, got {text!r}")
    return value
