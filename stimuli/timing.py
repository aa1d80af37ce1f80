"""How long the codecs of a study take, beside one of them that is timed in the same run."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean, median

from tqdm import tqdm

from stimuli.attempts import cpu_seconds, decode_bitstream, one_line, patience_with
from stimuli.codecs.base import Codec
from stimuli.codecs.registry import make_codec
from stimuli.codecs_here import CodecHere, codec_here, guard_limits
from stimuli.errors import StimuliError, TimingError
from stimuli.machine import this_machine
from stimuli.manifest import CodecRecord, Manifest, SourceRecord, manifest_path, read_manifest
from stimuli.parallel import Crash, note
from stimuli.pictures import Pixels
from stimuli.reproduction import read_picture
from stimuli.timing_table import NAME, Timing, read_timings, write_timings
from stimuli.workforce import open_workforce

#: Under so many megapixels what a program needs to start is no small part of its seconds a megapixel.
SMALL = 0.25


@dataclass(frozen=True, slots=True)
class Cell:
    """One source with one codec at one quality that the study kept."""

    folder: Path
    source: SourceRecord
    codec: CodecRecord
    quality: tuple[tuple[str, float], ...]

    @property
    def megapixels(self) -> float:
        """The size of its source."""
        return self.source.width * self.source.height / 1e6

    def __str__(self) -> str:
        said = ", ".join(f"{name} {value:g}" for name, value in self.quality)
        return f"{self.codec.name} on {self.source.name} at {said}"


@dataclass(frozen=True, slots=True)
class Run:
    """An encode and a decode: CPU seconds of the process and its programs, and seconds of the clock."""

    encode: float
    encode_clock: float
    decode: float
    decode_clock: float


@dataclass(frozen=True, slots=True)
class Timings:
    """The figures of one run, the rows of timings.csv that were kept, and what could not be timed."""

    device: str
    reference: str
    timings: tuple[Timing, ...]
    kept: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...]


def time_study(
    folder: Path, *, reference: str | None = None, repeats: int = 3, sources: int = 2, progress: bool = True
) -> Timings:
    """Time every codec at its kept qualities on the first sources, and write timings.csv into the folder.

    One process does all of it, one run after the other, in rounds in which each codec has a turn: what slows
    the machine down for a while slows all of them, and the `reference` (by default the first codec) too. Rows
    of timings.csv for other devices, or for codecs that were not timed, are kept. Raises ManifestError, and
    TimingError where nothing can be timed or compared.
    """
    manifest = read_manifest(folder)
    table = read_timings(folder / NAME)
    cells = cells_of(folder, manifest, sources)
    names = list(dict.fromkeys(cell.codec.name for cell in cells))
    if not names:
        raise TimingError(manifest_path(folder), "has no encoded stimulus, so there is nothing to time")
    reference = names[0] if reference is None else reference
    if reference not in names:
        raise TimingError(
            manifest_path(folder),
            f"has no encodes of {reference!r} to compare with; it has {', '.join(names)}",
        )
    here = {c.name: codec_here(folder, c) for c in manifest.codecs if c.name in names}
    if (reason := here[reference].reason) is not None:
        raise TimingError(manifest_path(folder), f"names {reference!r}, which cannot be run here: {reason}")
    notes = [f"codec {name}: {found.note}" for name, found in here.items() if found.note is not None]
    lacking = {name: found.reason for name, found in here.items() if found.reason is not None}
    notes += [f"codec {name} cannot be run here and is not timed: {why}" for name, why in lacking.items()]
    cells = in_rounds([cell for cell in cells if cell.codec.name not in lacking], reference)
    runs, failed = _run_all(folder, cells, repeats, progress)
    notes += [f"{cells[i]} is not timed: {reason}" for i, reason in failed.items()]
    machine = this_machine()
    device = f"{machine.name} ({machine.processor})"
    measured = {
        name: _figures([(cells[i], found) for i, found in runs.items() if cells[i].codec.name == name])
        for name in names
    }
    timings = tuple(
        _timing(name, here[name], figures, measured[reference], device, reference, repeats)
        for name, figures in measured.items()
        if figures is not None
    )
    if not timings:
        raise TimingError(folder / NAME, f"stays as it was, as no codec could be timed: {notes[-1]}")
    notes += [
        f"codec {timing.codec} used threads to {timing.threads}: its CPU seconds are those of all of them"
        for timing in timings
        if timing.threads
    ]
    if small := {cells[i].source.name: cells[i].megapixels for i in runs if cells[i].megapixels < SMALL}:
        notes.append(
            f"sources under {SMALL:g} megapixel ({len(small)} here, the smallest of "
            f"{min(small.values()):.2g}): what a program needs to start is part of these figures; "
            "time on sources of a real size"
        )
    kept = table.kept(timings)
    write_timings(folder / NAME, table.with_timings(timings))
    return Timings(device, reference, timings, kept, tuple(notes))


def cells_of(folder: Path, manifest: Manifest, sources: int) -> list[Cell]:
    """What is timed: each kept quality once, though several targets may share it."""
    codecs = {codec.name: codec for codec in manifest.codecs}
    chosen = {source.name: source for source in manifest.sources[:sources]}
    cells: dict[tuple[object, ...], Cell] = {}
    for s in manifest.stimuli:
        if s.bitstream is not None and s.source in chosen:
            quality = tuple(sorted((s.quality or {}).items()))
            cell = Cell(folder, chosen[s.source], codecs[s.codec], quality)
            cells.setdefault((s.source, s.codec, quality), cell)
    return list(cells.values())


def in_rounds(cells: Sequence[Cell], reference: str) -> list[Cell]:
    """The cells so that codecs take turns: on each source the lowest rate of each, then the next of each.

    In every turn the reference codec comes first.
    """
    turns: dict[tuple[str, str], int] = {}
    places = []
    sources = list(dict.fromkeys(cell.source.name for cell in cells))
    for cell in cells:
        turn = turns.get((cell.source.name, cell.codec.name), 0)
        turns[cell.source.name, cell.codec.name] = turn + 1
        places.append((sources.index(cell.source.name), turn, cell.codec.name != reference))
    order = sorted(range(len(cells)), key=lambda i: (places[i], i))
    return [cells[i] for i in order]


def time_once(cell: Cell) -> Run | str:
    """One encode and one decode; gives the reason where the codec cannot do them."""
    try:
        codec = _codec(cell.folder, cell.codec.family, json.dumps(dict(cell.codec.settings)))
        pixels = _pixels(cell.folder, cell.source.picture_sha256).copy()
    except (StimuliError, OSError, ValueError) as error:
        return one_line(error)
    try:
        note(f"encoding {cell}", patience_with(codec))
        began = cpu_seconds(), time.perf_counter()
        bitstream = codec.encode(pixels, dict(cell.quality))
        encoded = cpu_seconds(), time.perf_counter()
        note(f"decoding {cell}", patience_with(codec))
        start = cpu_seconds(), time.perf_counter()
        decode_bitstream(codec, cell.codec.name, cell.source, bitstream)
        end = cpu_seconds(), time.perf_counter()
    except (Exception, SystemExit) as error:
        return one_line(error)
    return Run(encoded[0] - began[0], encoded[1] - began[1], end[0] - start[0], end[1] - start[1])


@lru_cache
def _codec(folder: Path, family: str, settings: str) -> Codec:
    # Made once: a network is loaded for minutes, and that is no part of an encode.
    return make_codec(family, json.loads(settings), folder)


@lru_cache(4)
def _pixels(folder: Path, sha256: str) -> Pixels:
    return read_picture(folder, sha256)


def _run_all(
    folder: Path, cells: Sequence[Cell], repeats: int, progress: bool
) -> tuple[dict[int, list[Run]], dict[int, str]]:
    """The runs of every cell, and why others have none; what fails once is not begun again."""
    runs: dict[int, list[Run]] = {}
    failed: dict[int, str] = {}
    timeout, memory = guard_limits(folder)
    with (
        open_workforce(1, timeout=timeout, memory=memory) as force,
        tqdm(total=len(cells) * repeats, desc="timings", unit="run", disable=not progress) as bar,
    ):
        for _ in range(repeats):
            for i, cell in enumerate(cells):
                if i not in failed:
                    ((_, result),) = force.run(time_once, [cell])
                    if isinstance(result, Run):
                        runs.setdefault(i, []).append(result)
                    else:
                        failed[i] = result.reason if isinstance(result, Crash) else result
                        runs.pop(i, None)
                bar.update()
    return runs, failed


@dataclass(frozen=True, slots=True)
class _Figures:
    encode: float
    decode: float
    encode_threads: float
    decode_threads: float
    sources: int
    cells: int


def _figures(found: Sequence[tuple[Cell, Sequence[Run]]]) -> _Figures | None:
    """CPU seconds a megapixel: the mean over cells of the median over runs; None without any."""
    if not found:
        return None
    every = [run for _, runs in found for run in runs]
    return _Figures(
        fmean(median(run.encode for run in runs) / cell.megapixels for cell, runs in found),
        fmean(median(run.decode for run in runs) / cell.megapixels for cell, runs in found),
        _ratio(sum(run.encode for run in every), sum(run.encode_clock for run in every)),
        _ratio(sum(run.decode for run in every), sum(run.decode_clock for run in every)),
        len({cell.source.name for cell, _ in found}),
        len(found),
    )


def _timing(
    codec: str,
    here: CodecHere,
    figures: _Figures,
    reference: _Figures | None,
    device: str,
    name: str,
    repeats: int,
) -> Timing:
    return Timing(
        codec=codec,
        device=device,
        encode=figures.encode,
        decode=figures.decode,
        relative_encode=None if reference is None else _ratio(figures.encode, reference.encode),
        relative_decode=None if reference is None else _ratio(figures.decode, reference.decode),
        reference=name,
        version=here.version or "",
        sources=figures.sources,
        cells=figures.cells,
        repeats=repeats,
        encode_threads=figures.encode_threads,
        decode_threads=figures.decode_threads,
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
