"""Study to files: every source through every codec at every target, in parallel and resumable."""

from __future__ import annotations

import importlib.metadata
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stimuli.codecs.base import Codec, Pixels, payload_bytes
from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.codecs.reconstructions import Reconstruction, Reconstructions
from stimuli.codecs.registry import make_codec
from stimuli.errors import (
    CodecError,
    CodecNotInstalledError,
    CodecSettingsError,
    PictureError,
    StimuliError,
    StudyFileError,
)
from stimuli.files import exclusive, is_whole, remove_leftovers, sha256_of_file, write_content
from stimuli.manifest import (
    FORMAT,
    CodecRecord,
    Manifest,
    SourceRecord,
    StudyRecord,
    picture_path,
    write_manifest,
)
from stimuli.matching import Match, Point, match_targets
from stimuli.parallel import run_jobs, worker_count
from stimuli.pictures import crop_pixels, load_picture, png_bytes, png_pixels
from stimuli.programs import ProgramError
from stimuli.study import CodecSpec, Condition, Crop, Source, Stimulus, Study, condition_name
from stimuli.tries import KeptPicture, Try, TryCache, decode_key, file_key, pixels_key, try_key


def encode_study(study: Study, *, workers: int | None = None, progress: bool = True) -> Manifest:
    """Encode a study into `<folder>/stimuli/` and write its manifest.

    `workers` is the number of processes (default: the study's, else one a processor); it changes nothing
    but the time. What is finished is kept: after an interrupt or a crash the next call resumes.

    Raises StudyFileError for pictures and codecs that cannot be used, CodecError for a codec that fails,
    EncodingError when the run cannot go on.
    """
    count = worker_count(workers if workers is not None else study.workers)
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
        except CodecNotInstalledError as error:
            problems.append(f"{where}.family ({spec.name}): {error}")
        except CodecSettingsError as error:
            problems.append(f"{where}.{error}")
        except (TypeError, ValueError) as error:
            problems.append(f"{where}.settings cannot be written into a manifest ({error})")
    if problems:
        raise StudyFileError(tuple(problems))
    return tuple(records)


# Sources and given pictures


@dataclass(frozen=True, slots=True)
class _FileJob:
    folder: Path
    path: Path
    crop: Crop | None


@dataclass(frozen=True, slots=True)
class _ReadFile:
    file_sha256: str
    picture: KeptPicture


def _read_file(job: _FileJob) -> _ReadFile | str:
    """Read one picture file into `pictures/`; a picture that cannot be used gives the reason as text."""
    cache = TryCache(job.folder / "stimuli" / "tries")
    try:
        file_sha256 = sha256_of_file(job.path)
        key = file_key(file_sha256, job.crop)
        kept = cache.load_picture(key)
        if kept is None or not _is_kept(job.folder, kept):
            start = _cpu_seconds()
            pixels = load_picture(job.path)
            kept = _keep_pixels(job.folder, pixels, job.crop, _cpu_seconds() - start)
            cache.keep_picture(key, kept)
    except PictureError as error:
        return error.reason
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return _ReadFile(file_sha256, kept)


def _read_sources(study: Study, workers: int, progress: bool) -> tuple[SourceRecord, ...]:
    jobs = [_FileJob(study.folder, source.path, source.crop) for source in study.sources]
    read: dict[int, _ReadFile] = {}
    problems: dict[int, str] = {}
    with tqdm(total=len(jobs), desc="sources", unit="picture", disable=not progress) as bar:
        for i, result in run_jobs(_read_file, jobs, workers):
            if isinstance(result, str):
                problems[i] = f"{study.file}: sources: {jobs[i].path} {result}"
            else:
                read[i] = result
            bar.update()
    if problems:
        raise StudyFileError(tuple(problems[i] for i in sorted(problems)))
    return tuple(_source_record(study, source, read[i]) for i, source in enumerate(study.sources))


def _source_record(study: Study, source: Source, read: _ReadFile) -> SourceRecord:
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


# Stimuli


@dataclass(frozen=True, slots=True)
class _Unit:
    """All targets of one source and one codec: they share their tries."""

    folder: Path
    source: SourceRecord
    spec: CodecSpec
    version: str
    targets: tuple[float, ...]
    tolerance: float
    given: Mapping[float, Reconstruction] | None


def _encode_all(
    study: Study,
    codecs: Sequence[CodecRecord],
    sources: Sequence[SourceRecord],
    workers: int,
    progress: bool,
) -> tuple[Stimulus, ...]:
    units = [
        _Unit(
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
        for i, stimuli in run_jobs(_encode_unit, [units[i] for i in order], workers):
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


def _encode_unit(unit: _Unit) -> tuple[Stimulus, ...]:
    if unit.given is not None:
        return tuple(
            _given_stimulus(unit, target, unit.given[target])
            for target in unit.targets
            if target in unit.given
        )
    codec = make_codec(unit.spec.family, unit.spec.settings, unit.folder)
    cache = TryCache(unit.folder / "stimuli" / "tries")
    pixels = png_pixels(picture_path(unit.folder, unit.source.picture_sha256).read_bytes())
    key = pixels_key(pixels)
    names = [scale.name for scale in codec.scales]

    def attempt(point: Point) -> Try:
        quality = dict(zip(names, point, strict=True))
        at = try_key(key, unit.spec.family, codec, quality)
        kept = cache.load_try(at)
        if kept is None:
            kept = _encode(codec, unit, pixels, quality)
            cache.keep_try(at, kept)
        return kept

    area = unit.source.width * unit.source.height
    matches = match_targets(
        codec.scales,
        [target * area / 8 for target in unit.targets],
        unit.tolerance,
        lambda point: len(attempt(point).bitstream),
    )
    return tuple(
        _searched_stimulus(unit, codec, cache, target, match, attempt(match.point))
        for target, match in zip(unit.targets, matches, strict=True)
    )


def _searched_stimulus(
    unit: _Unit, codec: Codec, cache: TryCache, target: float, match: Match, kept: Try
) -> Stimulus:
    source = unit.source
    folder = unit.folder / "stimuli" / "bitstreams"
    bitstream_sha256 = write_content(folder, kept.bitstream, codec.extension)
    key = decode_key(bitstream_sha256, unit.spec.family, codec, source.crop)
    picture = cache.load_picture(key)
    if picture is None or not _is_kept(unit.folder, picture):
        start = _cpu_seconds()
        decoded = decode_bitstream(codec, unit.spec.name, source, kept.bitstream)
        picture = _keep_pixels(unit.folder, decoded, source.crop, _cpu_seconds() - start)
        cache.keep_picture(key, picture)
    size = len(kept.bitstream)
    bpp = 8 * size / (source.width * source.height)
    return replace(
        _blank_stimulus(unit, target, picture),
        status=match.status,
        bpp=bpp,
        bytes=size,
        payload_bytes=payload_bytes(kept.bitstream, codec.extension),
        residual=bpp / target - 1,
        encode_s=round(kept.encode_s, 6),
        decode_s=round(picture.seconds, 6),
        bitstream_sha256=bitstream_sha256,
        quality=dict(zip((scale.name for scale in codec.scales), match.point, strict=True)),
        encodes=match.encodes,
        reachable=match.reachable,
        bitstream=f"{bitstream_sha256}.{codec.extension}",
    )


def _given_stimulus(unit: _Unit, target: float, given: Reconstruction) -> Stimulus:
    read = _read_file(_FileJob(unit.folder, given.path, unit.source.crop))
    if isinstance(read, str):
        raise PictureError(given.path, read)
    picture, source = read.picture, unit.source
    if (picture.width, picture.height) != (source.width, source.height):
        raise PictureError(
            given.path,
            f"is {picture.width}x{picture.height}, but source {source.name!r} is {source.width}x{source.height}",
        )
    stimulus = _blank_stimulus(unit, target, picture)
    return replace(stimulus, status="given", bpp=given.bpp, residual=given.bpp / target - 1)


def _blank_stimulus(unit: _Unit, target: float, picture: KeptPicture) -> Stimulus:
    return Stimulus(
        source=unit.source.name,
        dataset=unit.source.dataset,
        condition=condition_name(unit.spec.name, target),
        codec=unit.spec.name,
        codec_version=unit.version,
        role="scored",
        status="given",
        target_bpp=target,
        bpp=0.0,
        bytes=None,
        payload_bytes=None,
        residual=0.0,
        width=unit.source.width,
        height=unit.source.height,
        encode_s=None,
        decode_s=None,
        bitstream_sha256=None,
        picture_sha256=picture.picture_sha256,
        quality=None,
        encodes=0,
        reachable=None,
        shown_sha256=picture.shown_sha256,
        bitstream=None,
        included=True,
        left_out=None,
    )


def _encode(codec: Codec, unit: _Unit, pixels: Pixels, quality: Mapping[str, float]) -> Try:
    start = _cpu_seconds()
    try:
        bitstream = codec.encode(pixels, quality)
    except Exception as error:
        at = ", ".join(f"{name} {value:g}" for name, value in quality.items())
        reason = f"encoding at {at} failed: {_reason(error)}"
        raise CodecError(unit.spec.name, reason, source=unit.source.name) from None
    seconds = _cpu_seconds() - start
    if not isinstance(bitstream, bytes) or not bitstream:
        reason = f"encode gave {type(bitstream).__name__} and no bytes"
        raise CodecError(unit.spec.name, reason, source=unit.source.name)
    return Try(bitstream, seconds)


def decode_bitstream(codec: Codec, name: str, source: SourceRecord, bitstream: bytes) -> Pixels:
    """The decoded pixels, of the source's size; raises CodecError."""
    try:
        pixels = codec.decode(bitstream)
    except Exception as error:
        raise CodecError(name, f"decoding failed: {_reason(error)}", source=source.name) from None
    wanted = (source.height, source.width, 3)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != wanted:
        got = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise CodecError(name, f"decode gave {got}, not uint8 {wanted}", source=source.name)
    return pixels


def _reason(error: Exception) -> str:
    if isinstance(error, (ProgramError, StimuliError)):
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _keep_pixels(folder: Path, pixels: Pixels, crop: Crop | None, seconds: float) -> KeptPicture:
    pictures = folder / "stimuli" / "pictures"
    picture_sha256 = write_content(pictures, png_bytes(pixels), "png")
    shown_sha256 = picture_sha256
    if crop is not None:
        shown_sha256 = write_content(pictures, png_bytes(crop_pixels(pixels, crop)), "png")
    return KeptPicture(pixels.shape[1], pixels.shape[0], picture_sha256, shown_sha256, seconds)


def _is_kept(folder: Path, picture: KeptPicture) -> bool:
    return all(
        is_whole(picture_path(folder, sha256), sha256)
        for sha256 in {picture.picture_sha256, picture.shown_sha256}
    )


def _cpu_seconds() -> float:
    """CPU time of this process and of the programs that it ran to their end."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


# What is shown


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
