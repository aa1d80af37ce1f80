"""Objective metrics of every stimulus, each measured once and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from stimuli.errors import EncodingError
from stimuli.manifest import SourceRecord, picture_path
from stimuli.metrics import measure, metric_version
from stimuli.parallel import Crash, note
from stimuli.pictures import png_pixels
from stimuli.study import Stimulus
from stimuli.tries import TryCache, metric_key
from stimuli.workforce import Workforce


@dataclass(frozen=True, slots=True)
class MetricJob:
    """One decoded picture beside its original, both by the SHA-256 of their PNG."""

    folder: Path
    reference: str
    picture: str
    names: tuple[str, ...]


def measure_picture(job: MetricJob) -> dict[str, float]:
    """The metrics of one picture by name; one that cannot be measured at its size is absent."""
    cache = TryCache(job.folder / "stimuli" / "tries")
    keys = {name: metric_key(job.reference, job.picture, name, metric_version(name)) for name in job.names}
    kept = {name: cache.load_metrics(key) for name, key in keys.items()}
    lacking = [name for name in job.names if kept[name] is None]
    if lacking:
        note(f"measuring {', '.join(lacking)} of {job.picture}")
        pictures = [
            png_pixels(picture_path(job.folder, sha256).read_bytes())
            for sha256 in (job.reference, job.picture)
        ]
        height, width = pictures[1].shape[:2]
        # A given picture may lack a border of its source: what both have is compared.
        measured = measure(pictures[0][:height, :width], pictures[1], lacking)
        for name in lacking:
            kept[name] = {name: measured[name]} if name in measured else {}
            cache.keep_metrics(keys[name], kept[name] or {})
    return {name: value for found in kept.values() for name, value in (found or {}).items()}


def with_metrics(
    folder: Path,
    stimuli: Sequence[Stimulus],
    sources: Sequence[SourceRecord],
    names: Sequence[str],
    force: Workforce,
    progress: bool,
) -> tuple[Stimulus, ...]:
    """Every stimulus with its metrics; raises EncodingError when a metric ends its worker."""
    if not names:
        return tuple(stimuli)
    references = {source.name: source.picture_sha256 for source in sources}
    pairs = list(dict.fromkeys((references[s.source], s.picture_sha256) for s in stimuli))
    jobs = [MetricJob(folder, reference, picture, tuple(names)) for reference, picture in pairs]
    found: dict[tuple[str, str], Mapping[str, float]] = {}
    with tqdm(total=len(jobs), desc="metrics", unit="picture", disable=not progress) as bar:
        for i, result in force.run(measure_picture, jobs):
            if isinstance(result, Crash):
                raise EncodingError(
                    f"{result.note or 'measuring'}: {result.reason}; take the metric out of `metrics`, "
                    "or run again to resume"
                )
            found[pairs[i]] = result
            bar.update()
    return tuple(replace(s, metrics=found[references[s.source], s.picture_sha256]) for s in stimuli)
