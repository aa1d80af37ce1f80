"""Study to files: every source through every codec at every target, in parallel and resumable."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

from tqdm import tqdm

from stimuli.codecs.base import Codec
from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.codecs.reconstructions import Reconstruction, Reconstructions
from stimuli.codecs.registry import make_codec
from stimuli.errors import (
    CodecNotInstalledError,
    CodecProgramError,
    CodecSettingsError,
    EncodingError,
    StimuliError,
    StudyFileError,
)
from stimuli.files import exclusive, remove_leftovers
from stimuli.goals import Goals, given_anchors, plain_goals, targets_of
from stimuli.inclusion import with_inclusion
from stimuli.machine import this_machine
from stimuli.manifest import FORMAT, CodecRecord, Failure, Manifest, SourceRecord, StudyRecord, write_manifest
from stimuli.measuring import with_metrics
from stimuli.metrics import missing_metrics
from stimuli.parallel import Crash, worker_count
from stimuli.study import Source, Stimulus, Study
from stimuli.study_file import reconstructions_of
from stimuli.units import AnchorJob, FileJob, ReadFile, Unit, anchor_bpp, read_file
from stimuli.waves import run_waves
from stimuli.workforce import Workforce, open_workforce

Result = TypeVar("Result")


def encode_study(
    study: Study,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = True,
    isolated: bool = True,
) -> Manifest:
    """Encode a study into `<folder>/stimuli/` and write its manifest.

    `workers` is the number of processes (default: the study's, else one a processor), `scheduler` the address
    of a Dask scheduler whose workers see the study folder; neither changes anything but the time. What is
    finished is kept: after an interrupt or a crash the next call resumes. Without `isolated` one worker is
    this process, so that a codec that crashes or hangs takes it along.

    A stimulus that its codec cannot make is listed among the manifest's failures. Raises StudyFileError for
    pictures and codecs that cannot be used, CodecError for a codec that makes nothing, EncodingError when the
    run cannot go on.
    """
    count = worker_count(workers if workers is not None else study.workers)
    try:
        with open_workforce(
            count,
            scheduler=scheduler,
            folder=study.folder / "stimuli",
            probe=partial(codec_versions, study),
            timeout=study.timeout,
            memory=study.memory,
            isolated=isolated,
        ) as force:
            return _encode_study(study, force, progress)
    except OSError as error:
        where = error.filename or study.folder / "stimuli"
        raise EncodingError(
            f"{where}: {error.strerror or error}; free space or set permissions, then run again to resume"
        ) from None


def _encode_study(study: Study, force: Workforce, progress: bool) -> Manifest:
    folder = study.folder / "stimuli"
    with exclusive(folder):
        remove_leftovers(folder)
        codecs = _codec_records(study)
        sources = _read_sources(study, force, progress)
        goals = _goals(study, codecs, sources, force, progress)
        sources = tuple(
            replace(source, targets=tuple(goals[source.name][t] for t in study.rate_points))
            for source in sources
        )
        stimuli, failures = _encode_all(study, codecs, sources, goals, force, progress)
        stimuli = with_metrics(study.folder, stimuli, sources, study.metrics, force, progress)
        manifest = Manifest(
            format=FORMAT,
            matchrate=importlib.metadata.version("matchrate"),
            study=StudyRecord(
                name=study.name,
                title=study.title,
                question=study.question,
                instructions=study.instructions,
                session_length=study.session_length,
                seed=study.seed,
                tolerance=study.tolerance,
                allow_mismatch=study.allow_mismatch,
                pairing=study.pairing,
                rate=study.rate,
                match=str(study.match),
                metrics=study.metrics,
            ),
            sources=sources,
            codecs=codecs,
            conditions=study.conditions,
            stimuli=with_inclusion(study, stimuli, failures),
            failures=failures,
            machine=this_machine(),
        )
        write_manifest(study.folder, manifest)
    return manifest


def codec_versions(study: Study) -> dict[str, str]:
    """The versions of the study's codecs on this machine, without those that it lacks."""
    versions: dict[str, str] = {}
    for spec in study.codecs:
        if spec.family != RECONSTRUCTIONS:
            with contextlib.suppress(StimuliError):
                versions[spec.name] = make_codec(spec.family, spec.settings, study.folder).version
    return versions


def _codec_records(study: Study) -> tuple[CodecRecord, ...]:
    records: list[CodecRecord] = []
    problems: list[str] = []
    for i, spec in enumerate(study.codecs):
        where = f"{study.file}: codecs[{i}]"
        try:
            codec: Codec | Reconstructions = (
                Reconstructions(spec.settings, study.folder, spec.name)
                if spec.family == RECONSTRUCTIONS
                else make_codec(spec.family, spec.settings, study.folder)
            )
            settings = json.loads(json.dumps(dict(codec.settings), allow_nan=False))
            records.append(CodecRecord(spec.name, spec.family, codec.version, settings))
        except CodecProgramError as error:
            problems.append(f"{where}.{error}")
        except CodecNotInstalledError as error:
            problems.append(f"{where}.family ({spec.name}): {error}")
        except CodecSettingsError as error:
            problems.append(f"{where}.{error}")
        except (TypeError, ValueError) as error:
            problems.append(f"{where}.settings cannot be written into a manifest ({error})")
    # Metrics come last in a run, and a missing one is said before it.
    problems += [f"{study.file}: {missing}" for missing in missing_metrics(study.metrics)]
    if problems:
        raise StudyFileError(tuple(problems))
    return tuple(records)


def _read_sources(study: Study, force: Workforce, progress: bool) -> tuple[SourceRecord, ...]:
    jobs = [FileJob(study.folder, source.path, source.crop) for source in study.sources]
    with tqdm(total=len(jobs), desc="sources", unit="picture", disable=not progress) as bar:
        read = _all_of(
            force.run(read_file, jobs),
            bar,
            lambda i, reason: f"{study.file}: sources: {jobs[i].path} {reason}",
        )
    return tuple(_source_record(study, source, read[i]) for i, source in enumerate(study.sources))


def _source_record(study: Study, source: Source, read: ReadFile) -> SourceRecord:
    picture = read.picture
    shown = source.crop or (0, 0, picture.width, picture.height)
    return SourceRecord(
        name=source.name,
        dataset=source.dataset,
        path=Path(os.path.relpath(source.path.resolve(), study.folder.resolve())).as_posix(),
        file_sha256=read.file_sha256,
        width=picture.width,
        height=picture.height,
        crop=source.crop,
        shown_width=shown[2],
        shown_height=shown[3],
        picture_sha256=picture.picture_sha256,
        shown_sha256=picture.shown_sha256,
        targets=(),
    )


def _goals(
    study: Study,
    codecs: Sequence[CodecRecord],
    sources: Sequence[SourceRecord],
    force: Workforce,
    progress: bool,
) -> Goals:
    """The bits per pixel of every target on every source; another codec is asked where `match` names it."""
    if study.match.codec is None:
        return plain_goals(study)
    anchors = given_anchors(study)
    if anchors is not None:
        return plain_goals(study, anchors)
    place = [spec.name for spec in study.codecs].index(study.match.codec)
    point = tuple(study.match.quality.values())
    jobs = [AnchorJob(unit, point) for unit in _units_of(study, place, codecs, sources, {})]
    with tqdm(total=len(jobs), desc=f"rates of {study.match}", unit="source", disable=not progress) as bar:
        rates = _all_of(
            force.run(anchor_bpp, jobs),
            bar,
            lambda i, reason: (
                f"{study.file}: match: {study.match} has no rate on source {sources[i].name!r}: {reason}; "
                "take the source out, or name another quality"
            ),
        )
    return plain_goals(study, {source.name: rates[i] for i, source in enumerate(sources)})


def _all_of(
    results: Iterable[tuple[int, Result | str | Crash]],
    bar: tqdm[NoReturn],
    problem: Callable[[int, str], str],
) -> dict[int, Result]:
    """Every result by its index; raises StudyFileError with a line for each job that gave a reason."""
    found: dict[int, Result] = {}
    problems: dict[int, str] = {}
    for i, result in results:
        if isinstance(result, Crash):
            problems[i] = problem(i, f"could not be done: {result.reason}")
        elif isinstance(result, str):
            problems[i] = problem(i, result)
        else:
            found[i] = result
        bar.update()
    if problems:
        raise StudyFileError(tuple(problems[i] for i in sorted(problems)))
    return found


def _units_of(
    study: Study, place: int, codecs: Sequence[CodecRecord], sources: Sequence[SourceRecord], goals: Goals
) -> list[Unit]:
    """The units of one codec: one a source, or one for the whole set."""
    spec = study.codecs[place]
    given = _given_by_source(study, place, goals) if goals else {}
    groups = [tuple(sources)] if study.match.kind == "set-mean" and not given else [(s,) for s in sources]
    ladder = study.ladder(spec) if goals else ()
    return [
        Unit(
            folder=study.folder,
            sources=group,
            spec=spec,
            version=codecs[place].version,
            targets=targets_of(goals, group[0].name, ladder),
            tolerance=study.tolerance,
            rate=study.rate,
            match=study.match,
            given=given.get(group[0].name),
        )
        for group in groups
    ]


def _encode_all(
    study: Study,
    codecs: Sequence[CodecRecord],
    sources: Sequence[SourceRecord],
    goals: Goals,
    force: Workforce,
    progress: bool,
) -> tuple[tuple[Stimulus, ...], tuple[Failure, ...]]:
    units = [
        unit for place in range(len(study.codecs)) for unit in _units_of(study, place, codecs, sources, goals)
    ]
    total = sum(len(unit.targets) * len(unit.sources) for unit in units)
    with tqdm(total=total, desc="stimuli", unit="stimulus", disable=not progress) as bar:

        def finished(unit: Unit) -> None:
            bar.update(len(unit.targets) * len(unit.sources))

        results = run_waves(units, force, finished)
    stimuli = _in_order(study, (stimulus for result in results for stimulus in result.stimuli))
    return stimuli, tuple(failure for result in results for failure in result.failures)


def _in_order(study: Study, stimuli: Iterable[Stimulus]) -> tuple[Stimulus, ...]:
    """By source, then by condition, both as in the study."""
    there = {(stimulus.source, stimulus.condition): stimulus for stimulus in stimuli}
    return tuple(
        there[source.name, condition.name]
        for source in study.sources
        for condition in study.conditions
        if (source.name, condition.name) in there
    )


def _given_by_source(study: Study, place: int, goals: Goals) -> Mapping[str, Mapping[float, Reconstruction]]:
    spec = study.codecs[place]
    if spec.family != RECONSTRUCTIONS:
        return {}
    given: dict[str, dict[float, Reconstruction]] = {source.name: {} for source in study.sources}
    try:
        cells = reconstructions_of(study, spec, goals)
    except CodecSettingsError as error:
        raise StudyFileError((f"{study.file}: codecs[{place}].{error}",)) from None
    for (name, target), cell in cells.items():
        given[name][target] = cell
    return given
