"""How long codecs take: CPU seconds a megapixel, of the study's own encodes or of codecs timed elsewhere."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.errors import AnalysisError, UnknownCodecError
from analysis.judgments import StudyTables

FILE = "timings.csv"
NEEDED = ("codec", "device", "encode", "decode")


@dataclass(frozen=True, slots=True)
class Timing:
    """A codec's times in CPU seconds a megapixel, one thread; None where one is not known.

    `device` is where they were measured; None for the machine that encoded the study.
    """

    codec: str
    device: str | None
    encode: float | None
    decode: float | None


@dataclass(frozen=True, slots=True)
class StudyTimings:
    """The times of a study's codecs, by name; times are relative to the codec `reference`."""

    reference: str
    timings: tuple[Timing, ...]

    def document(self) -> dict[str, Any]:
        """As results.json has it; a codec is elsewhere when its device is not that of the reference."""
        own = next((t for t in self.timings if t.codec == self.reference), None)
        rows = []
        for t in self.timings:
            rows.append(
                {
                    "codec": t.codec,
                    "device": t.device,
                    "elsewhere": own is not None and t.device != own.device,
                    "encode": t.encode,
                    "decode": t.decode,
                    "relative_encode": _ratio(t.encode, None if own is None else own.encode),
                    "relative_decode": _ratio(t.decode, None if own is None else own.decode),
                }
            )
        return {"reference": self.reference, "codecs": rows}


def _ratio(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else value / reference


def find_timings(place: str | Path) -> Path | None:
    """The timings.csv of a study folder, or beside or above an export; None where there is none."""
    try:
        folder = Path(place).resolve()
        above = [folder.parent, folder.parent.parent] if folder.parent.name == "exports" else []
        return next((found / FILE for found in [folder, *above] if (found / FILE).is_file()), None)
    except (OSError, ValueError):
        # Reading the tables says what is wrong with such a place.
        return None


def read_timings(path: Path) -> tuple[Timing, ...]:
    """The rows of a timings.csv: `codec device encode decode`, others are passed over.

    Raises AnalysisError naming the line and what is wrong with it.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            for name in NEEDED:
                if name not in (reader.fieldnames or ()):
                    raise AnalysisError(f"{path}: has no column {name}; it needs {', '.join(NEEDED)}")
            return tuple(_timing(f"{path}, line {reader.line_num}", row) for row in reader)
    except OSError as error:
        raise AnalysisError(
            f"{path}: cannot be read: {error.strerror}; name a file with --timings"
        ) from error
    except (ValueError, csv.Error) as error:
        raise AnalysisError(f"{path}: is no table in UTF-8: {error}") from error


def _timing(where: str, row: dict[str, str | None]) -> Timing:
    texts = {name: (row[name] or "").strip() for name in NEEDED}
    for name in ("codec", "device"):
        if not texts[name]:
            raise AnalysisError(
                f"{where}, column {name}: is empty; say which codec was timed on which device"
            )
    times = [_seconds(f"{where}, column {name}", texts[name]) for name in ("encode", "decode")]
    return Timing(texts["codec"], texts["device"], *times)


def _seconds(where: str, text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise AnalysisError(f"{where}: {text!r} is no time in CPU seconds a megapixel, which is above zero")
    return value


def study_timings(
    tables: StudyTables, codecs: Sequence[str], given: Sequence[Timing], reference: str
) -> StudyTimings | None:
    """The times of the codecs that were compared; None where none is known.

    A row of `given` wins over the study's own encodes; of several rows of a codec, the one on the device of
    the reference's, which is the device that times most of the codecs where it has several itself. Raises
    UnknownCodecError for a reference that was not compared.
    """
    if reference not in codecs:
        raise UnknownCodecError(reference, list(codecs))
    rows = [timing for timing in given if timing.codec in codecs]
    # Codecs and not rows: a codec timed again on a device makes it no more common.
    common = Counter(device for _, device in {(timing.codec, timing.device) for timing in rows})
    of_reference = [timing.device for timing in rows if timing.codec == reference]
    chosen = max(of_reference, key=lambda device: common[device], default=None)

    def comparable(timing: Timing) -> tuple[bool, int]:
        return timing.device == chosen, common[timing.device]

    found = []
    for codec in codecs:
        mine = [timing for timing in rows if timing.codec == codec]
        timing = max(mine, key=comparable) if mine else _own(tables, codec)
        if timing.encode is not None or timing.decode is not None:
            found.append(timing)
    return StudyTimings(reference, tuple(found)) if found else None


def _own(tables: StudyTables, codec: str) -> Timing:
    stimuli = tables.stimuli
    stimuli = stimuli[(stimuli["role"] == "scored") & (stimuli["codec"] == codec)]
    pixels = (stimuli["width"] * stimuli["height"]).astype(float) / 1e6
    times: list[float | None] = []
    for name in ("encode_s", "decode_s"):
        seconds = stimuli[name].astype(float)
        known = (seconds.notna() & pixels.notna()).to_numpy()
        total = float(seconds[known].sum())
        times.append(total / float(pixels[known].sum()) if total > 0 else None)
    return Timing(codec, None, *times)
