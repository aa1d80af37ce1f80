"""Study to files: every source through every codec at every target, in parallel and resumable."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

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
    StudyFileError,
)
from stimuli.files import exclusive, remove_leftovers
from stimuli.manifest import FORMAT, CodecRecord, Manifest, SourceRecord, StudyRecord, write_manifest
from stimuli.parallel import run_jobs, worker_count
from stimuli.study import CodecSpec, Condition, Source, Stimulus, Study
from stimuli.units import FileJob, ReadFile, Unit, encode_unit, read_file


def encode_study(study: Study, *, workers: int | None = None, progress: bool = True) -> Manifest:
    """Encode a study into `<folder>/stimuli/` and write its manifest.

    `workers` is the number of processes (default: the study's, else one a processor); it changes nothing
    but the time. What is finished is kept: after an interrupt or a crash the next call resumes.

    Raises StudyFileError for pictures and codecs that cannot be used, CodecError for a codec that fails,
    EncodingError when the run cannot go on.
    """
    try:
        return _encode_study(study, worker_count(workers if workers is not None else study.workers), progress)
    except OSError as error:
        where = error.filename or study.folder / "stimuli"
        raise EncodingError(
            f"{where}: {error.strerror or error}; free space or set permissions, then run again to resume"
        ) from None


def _encode_study(study: Study, count: int, progress: bool) -> Manifest:
    folder = study.folder / "stimuli"
    with exclusive(folder):
        remove_leftovers(folder)
        codecs = _codec_records(study)
        sources = _read_sources(study, count, progress)
        stimuli = _encode_all(study, codecs, sources, count, progress)
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
            ),
            sources=sources,
            codecs=codecs,
            conditions=study.conditions,
            stimuli=_with_inclusion(study, stimuli),
        )
        write_manifest(study.folder, manifest)
    return manifest


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
    if problems:
        raise StudyFileError(tuple(problems))
    return tuple(records)


def _read_sources(study: Study, workers: int, progress: bool) -> tuple[SourceRecord, ...]:
    jobs = [FileJob(study.folder, source.path, source.crop) for source in study.sources]
    read: dict[int, ReadFile] = {}
    problems: dict[int, str] = {}
    with tqdm(total=len(jobs), desc="sources", unit="picture", disable=not progress) as bar:
        for i, result in run_jobs(read_file, jobs, workers):
            if isinstance(result, str):
                problems[i] = f"{study.file}: sources: {jobs[i].path} {result}"
            else:
                read[i] = result
            bar.update()
    if problems:
        raise StudyFileError(tuple(problems[i] for i in sorted(problems)))
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
    )


def _encode_all(
    study: Study,
    codecs: Sequence[CodecRecord],
    sources: Sequence[SourceRecord],
    workers: int,
    progress: bool,
) -> tuple[Stimulus, ...]:
    units = [
        Unit(
            study.folder, source, spec, record.version, study.targets, study.tolerance, given.get(source.name)
        )
        for spec, record in zip(study.codecs, codecs, strict=True)
        for given in (_given_by_source(study, spec),)
        for source in sources
    ]
    # The slow codecs first, as far as the order of study.toml does not tell: sources large to small.
    order = sorted(range(len(units)), key=lambda i: -units[i].source.width * units[i].source.height)
    done: dict[tuple[str, str], tuple[Stimulus, ...]] = {}
    with tqdm(
        total=len(units) * len(study.targets), desc="stimuli", unit="stimulus", disable=not progress
    ) as bar:
        for i, stimuli in run_jobs(encode_unit, [units[i] for i in order], workers):
            unit = units[order[i]]
            done[unit.source.name, unit.spec.name] = stimuli
            bar.update(len(study.targets))
    return tuple(
        stimulus for source in sources for spec in study.codecs for stimulus in done[source.name, spec.name]
    )


def _given_by_source(study: Study, spec: CodecSpec) -> dict[str, dict[float, Reconstruction]]:
    if spec.family != RECONSTRUCTIONS:
        return {}
    names = [source.name for source in study.sources]
    given: dict[str, dict[float, Reconstruction]] = {name: {} for name in names}
    cells = Reconstructions(spec.settings, study.folder, spec.name).cells(names, study.targets)
    for (name, target), cell in cells.items():
        given[name][target] = cell
    return given


def _with_inclusion(study: Study, stimuli: Sequence[Stimulus]) -> tuple[Stimulus, ...]:
    """Leave a source and rate point out for all codecs where one of them misses it."""
    if study.allow_mismatch:
        return tuple(stimuli)
    there = {(stimulus.source, stimulus.condition): stimulus for stimulus in stimuli}
    reasons: dict[tuple[str, float], str] = {}
    for source in study.sources:
        for target in study.targets:
            misses = [
                miss
                for condition in study.conditions
                if condition.target_bpp == target
                and (miss := _miss(condition, there.get((source.name, condition.name))))
            ]
            if misses:
                reasons[source.name, target] = "; ".join(misses)
    return tuple(
        replace(stimulus, included=False, left_out=reason)
        if (reason := reasons.get((stimulus.source, stimulus.target_bpp)))
        else stimulus
        for stimulus in stimuli
    )


def _miss(condition: Condition, stimulus: Stimulus | None) -> str | None:
    if stimulus is None:
        return f"{condition.codec}: no reconstruction"
    if stimulus.status in ("matched", "given"):
        return None
    return f"{condition.codec}: {stimulus.status} ({100 * stimulus.residual:+.2f} %)"
