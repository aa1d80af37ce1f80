"""timings.csv: CPU seconds a megapixel of codecs on devices, measured here or written in by a person."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from stimuli.errors import TimingError
from stimuli.files import write_atomic

NAME = "timings.csv"
#: What every row says; the rest is for those that were measured here.
NEEDED = ("codec", "device", "encode", "decode")
#: CPU seconds a second of the clock, beyond which more than one thread was at work.
ONE_THREAD = 1.2


@dataclass(frozen=True, slots=True)
class Timing:
    """A codec on a device: `encode` and `decode` in CPU seconds a megapixel.

    Each is the mean over the `cells` (a source at a kept quality) of the median of `repeats` runs. The
    relative figures are multiples of those of the codec `reference`, timed in the same run. `*_threads` are
    CPU seconds a second of the clock: above 1.2 several threads were at work.
    """

    codec: str
    device: str
    encode: float
    decode: float
    relative_encode: float | None
    relative_decode: float | None
    reference: str
    version: str
    sources: int
    cells: int
    repeats: int
    encode_threads: float
    decode_threads: float

    @property
    def threads(self) -> str:
        """Which of its two sides used threads, in words; empty for neither."""
        sides = {"encode": self.encode_threads, "decode": self.decode_threads}
        return " and ".join(side for side, ratio in sides.items() if ratio > ONE_THREAD)


_COLUMNS = tuple(field.name for field in fields(Timing))


@dataclass(frozen=True, slots=True)
class TimingTable:
    """The rows of a timings.csv as text, with whatever columns it has."""

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]

    def with_timings(self, timings: Sequence[Timing]) -> TimingTable:
        """New rows take the place of those of the same codec and device; all others are kept as they are."""
        new = {(timing.codec, timing.device): _row(timing) for timing in timings}
        rows = [new.pop((row["codec"], row["device"]), row) for row in self.rows]
        columns = (*self.columns, *(name for name in _COLUMNS if name not in self.columns))
        return TimingTable(columns, (*rows, *new.values()))

    def kept(self, timings: Sequence[Timing]) -> tuple[Mapping[str, str], ...]:
        """The rows that are not of these codecs on their devices."""
        measured = {(timing.codec, timing.device) for timing in timings}
        return tuple(row for row in self.rows if (row["codec"], row["device"]) not in measured)


def read_timings(path: Path) -> TimingTable:
    """The rows of a timings.csv, none where there is no such file; raises TimingError naming the line."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = tuple(reader.fieldnames or ())
            for name in NEEDED:
                if name not in columns:
                    raise TimingError(path, f"has no column {name!r}; it needs {', '.join(NEEDED)}")
            rows = [_checked(path, reader.line_num, row) for row in reader]
    except FileNotFoundError:
        return TimingTable(NEEDED, ())
    except (OSError, ValueError, csv.Error) as error:
        raise TimingError(path, f"cannot be read ({error})") from None
    return TimingTable(columns, tuple(rows))


def write_timings(path: Path, table: TimingTable) -> None:
    """Write the rows, whole or not at all."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, table.columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(table.rows)
    write_atomic(path, buffer.getvalue().encode())


def _checked(path: Path, line: int, row: Mapping[str | None, object]) -> Mapping[str, str]:
    if None in row:
        raise TimingError(path, f"line {line} has more values than the header has columns")
    texts = {str(key): str(value or "").strip() for key, value in row.items()}
    if not texts["codec"] or not texts["device"]:
        raise TimingError(path, f"line {line} needs a codec and a device")
    for name in ("encode", "decode"):
        # A codec may be known by one of its two times.
        if texts[name] and not _is_positive(texts[name]):
            reason = f"line {line}: {name} must be CPU seconds a megapixel, got {texts[name]!r}"
            raise TimingError(path, reason)
    return texts


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _row(timing: Timing) -> Mapping[str, str]:
    return {name: _text(getattr(timing, name)) for name in _COLUMNS}


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def timing_lines(timings: Sequence[Timing]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The header and rows of the table for a terminal; x is a multiple of the reference codec's time."""
    header = ("codec", "encode s/MP", "x", "decode s/MP", "x", "threads")
    rows: list[tuple[str, ...]] = [
        (
            timing.codec,
            *(f"{timing.encode:.3g}", _times(timing.relative_encode)),
            *(f"{timing.decode:.3g}", _times(timing.relative_decode)),
            timing.threads or "one",
        )
        for timing in timings
    ]
    return header, rows


def _times(relative: float | None) -> str:
    return "-" if relative is None else f"{relative:.3g}"
