"""Is everything still as the manifest says: files, pictures, bitstreams, sources and the figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stimuli.attempts import decode_bitstream
from stimuli.codecs.base import Pixels, payload_of
from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.codecs.reconstructions import Reconstructions
from stimuli.codecs.registry import make_codec
from stimuli.errors import ManifestError, PictureError, StimuliError
from stimuli.files import is_whole, sha256_of
from stimuli.manifest import (
    CodecRecord,
    Deviation,
    Manifest,
    SourceRecord,
    bitstream_path,
    manifest_path,
    manifest_to_text,
    picture_path,
    read_manifest,
    sidecar_bytes,
)
from stimuli.matching import NEAR
from stimuli.parallel import run_jobs, worker_count
from stimuli.pictures import crop_pixels, load_picture, png_chunks, png_pixels
from stimuli.study import Stimulus
from stimuli.tries import TryCache

_CHUNKS = {b"IHDR", b"sRGB", b"IDAT", b"IEND"}


def verify_study(folder: Path, *, workers: int | None = None, progress: bool = True) -> tuple[Deviation, ...]:
    """Hash every file of a study again, decode every bitstream again, and check the figures.

    Pictures are compared by their pixels, so that another version of zlib is no deviation.
    """
    name = manifest_path(folder).relative_to(folder).as_posix()
    try:
        manifest = read_manifest(folder)
    except ManifestError as error:
        return (Deviation(name, error.reason),)
    deviations = [Deviation(name, reason) for reason in _manifest_reasons(folder, manifest)]
    jobs: list[_SourceJob | _StimulusJob] = [_SourceJob(folder, source) for source in manifest.sources]
    sources = {source.name: source for source in manifest.sources}
    codecs = {codec.name: codec for codec in manifest.codecs}
    points = {condition.name: condition.rate_point for condition in manifest.conditions}
    ladders = {
        codec.name: tuple(
            (condition.target, condition.rate_point)
            for condition in manifest.conditions
            if condition.codec == codec.name
        )
        for codec in manifest.codecs
    }
    jobs += [
        _StimulusJob(folder, s, sources[s.source], codecs[s.codec], points[s.condition], ladders[s.codec])
        for s in manifest.stimuli
    ]
    found: dict[int, tuple[Deviation, ...]] = {}
    with tqdm(total=len(jobs), desc="verify", unit="picture", disable=not progress) as bar:
        for i, result in run_jobs(_verify, jobs, worker_count(workers)):
            found[i] = result
            bar.update()
    for i in sorted(found):
        deviations += [deviation for deviation in found[i] if deviation not in deviations]
    return (*deviations, *_unused_deviations(folder, manifest))


def _unused_deviations(folder: Path, manifest: Manifest) -> Iterator[Deviation]:
    """Check what no stimulus uses: the cache of tries, and files of earlier runs, which keep their hash."""
    for path in TryCache(folder / "stimuli" / "tries").damaged():
        yield Deviation(path.relative_to(folder).as_posix(), "is damaged; delete it, it costs time only")
    used = {f"{sha256}.png" for s in manifest.stimuli for sha256 in (s.picture_sha256, s.shown_sha256)}
    used |= {f"{sha256}.png" for s in manifest.sources for sha256 in (s.picture_sha256, s.shown_sha256)}
    used |= {stimulus.bitstream for stimulus in manifest.stimuli if stimulus.bitstream is not None}
    for kind in ("bitstreams", "pictures"):
        for path in sorted((folder / "stimuli" / kind).glob("*")):
            if path.name not in used and not is_whole(path, path.stem):
                reason = "is used by no stimulus and not named by its SHA-256; delete it"
                yield Deviation(path.relative_to(folder).as_posix(), reason)


@dataclass(frozen=True, slots=True)
class _SourceJob:
    folder: Path
    source: SourceRecord


@dataclass(frozen=True, slots=True)
class _StimulusJob:
    folder: Path
    stimulus: Stimulus
    source: SourceRecord
    codec: CodecRecord
    rate_point: int
    ladder: tuple[tuple[float, int], ...]
    """The targets of the codec, as study.toml says them, with their rate points."""


class _DeviationError(Exception):
    def __init__(self, artefact: str, reason: str) -> None:
        self.deviation = Deviation(artefact, reason)
        super().__init__(artefact, reason)


def _verify(job: _SourceJob | _StimulusJob) -> tuple[Deviation, ...]:
    checks = _source_checks(job) if isinstance(job, _SourceJob) else _stimulus_checks(job)
    return tuple(checks)


def _source_checks(job: _SourceJob) -> Generator[Deviation, None, None]:
    source = job.source
    file = job.folder / source.path
    artefact = f"{source.path} (source {source.name})"
    try:
        data = file.read_bytes()
    except OSError as error:
        data = None
        yield Deviation(artefact, f"cannot be read ({error.strerror or error})")
    whole = yield from _picture_checks(job.folder, source.picture_sha256, source.width, source.height)
    if source.shown_sha256 != source.picture_sha256:
        yield from _crop_checks(job.folder, source.shown_sha256, source, whole)
    if data is None:
        return
    if sha256_of(data) != source.file_sha256:
        yield Deviation(artefact, "is not the file that was encoded; run `matchrate encode` again")
        return
    try:
        read = load_picture(file)
    except PictureError as error:
        yield Deviation(artefact, error.reason)
        return
    if whole is not None and not np.array_equal(read, whole):
        yield Deviation(artefact, "reads as other pixels than the reference that raters see")


def _stimulus_checks(job: _StimulusJob) -> Generator[Deviation, None, None]:
    stimulus, source, folder = job.stimulus, job.source, job.folder
    width, height = source.width, source.height
    try:
        decoded = None if stimulus.bitstream is not None else _given_again(job)
    except _DeviationError as error:
        yield error.deviation
        return
    if decoded is not None and stimulus.note is not None:
        # A given picture that was cropped may lack a border of its source.
        height, width = decoded.shape[:2]
    whole = yield from _picture_checks(folder, stimulus.picture_sha256, width, height)
    if stimulus.shown_sha256 != stimulus.picture_sha256:
        yield from _crop_checks(folder, stimulus.shown_sha256, source, whole)
    try:
        decoded = _decoded_again(job) if decoded is None else decoded
    except _DeviationError as error:
        yield error.deviation
        return
    if whole is not None and not np.array_equal(decoded, whole):
        moved = np.abs(decoded.astype(int) - whole) if decoded.shape == whole.shape else None
        most = "another size" if moved is None else f"differs by up to {moved.max()} levels"
        yield Deviation(
            f"stimuli/pictures/{stimulus.picture_sha256}.png",
            f"is not what {stimulus.source} {stimulus.condition} decodes to now ({most})",
        )


def _decoded_again(job: _StimulusJob) -> Pixels:
    stimulus = job.stimulus
    path = bitstream_path(job.folder, stimulus.bitstream or "")
    artefact = path.relative_to(job.folder).as_posix()
    data = _read_hashed(path, artefact, stimulus.bitstream_sha256 or "")
    if len(data) != stimulus.bytes:
        raise _DeviationError(artefact, f"has {len(data)} bytes, the manifest says {stimulus.bytes}")
    try:
        codec = make_codec(job.codec.family, job.codec.settings, job.folder)
    except StimuliError as error:
        raise _DeviationError(artefact, f"cannot be decoded again: {error}") from None
    payload = payload_of(codec, data)
    if payload != stimulus.payload_bytes:
        told = f"the manifest says {stimulus.payload_bytes}"
        raise _DeviationError(artefact, f"has {payload} bytes of payload, {told}")
    try:
        return decode_bitstream(codec, job.codec.name, job.source, data)
    except StimuliError as error:
        raise _DeviationError(artefact, str(error)) from None


def _given_again(job: _StimulusJob) -> Pixels:
    artefact = f"{job.stimulus.source} {job.stimulus.condition}"
    if job.codec.family != RECONSTRUCTIONS:
        raise _DeviationError(artefact, "has no bitstream")
    try:
        given = Reconstructions(job.codec.settings, job.folder, job.codec.name)
        name = job.source.name
        wanted = {target: job.source.targets[point] for target, point in job.ladder}
        target = next(target for target, point in job.ladder if point == job.rate_point)
        cell = given.cells({name: wanted}).get((name, target))
        if cell is None:
            raise _DeviationError(artefact, "is no longer in the table of reconstructions")
        if cell.bpp != job.stimulus.bpp:
            told = f"the manifest says {job.stimulus.bpp:g}"
            raise _DeviationError(artefact, f"has {cell.bpp:g} bpp in the table, {told}")
        pixels = load_picture(cell.path)
        cut = job.stimulus.note is not None
        return pixels[: job.source.height, : job.source.width] if cut else pixels
    except StimuliError as error:
        raise _DeviationError(artefact, str(error)) from None


def _read_hashed(path: Path, artefact: str, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _DeviationError(artefact, f"cannot be read ({error.strerror or error})") from None
    if sha256_of(data) != sha256:
        raise _DeviationError(artefact, "is damaged (its SHA-256 differs); `matchrate encode` restores it")
    return data


def _picture_checks(
    folder: Path, sha256: str, width: int, height: int
) -> Generator[Deviation, None, Pixels | None]:
    """Check one PNG and give its pixels, None when it cannot be read."""
    path = picture_path(folder, sha256)
    artefact = path.relative_to(folder).as_posix()
    try:
        data = _read_hashed(path, artefact, sha256)
        kinds = [kind for kind, _ in png_chunks(data)]
        pixels = png_pixels(data)
    except _DeviationError as error:
        yield error.deviation
        return None
    except ValueError as error:
        yield Deviation(artefact, f"is not a whole PNG ({error})")
        return None
    if kinds[:2] != [b"IHDR", b"sRGB"] or kinds[-1] != b"IEND" or set(kinds[2:-1]) != {b"IDAT"}:
        yield Deviation(artefact, "holds other chunks than IHDR, sRGB, IDAT and IEND")
    if pixels.shape != (height, width, 3):
        yield Deviation(artefact, f"is not {width}x{height}")
    return pixels


def _crop_checks(
    folder: Path, sha256: str, source: SourceRecord, whole: Pixels | None
) -> Generator[Deviation, None, None]:
    """Check the PNG that is shown: it must be the crop of the whole picture, where that can be read."""
    shown = yield from _picture_checks(folder, sha256, source.shown_width, source.shown_height)
    if shown is None or whole is None or np.array_equal(shown, crop_pixels(whole, source.crop)):
        return
    artefact = picture_path(folder, sha256).relative_to(folder).as_posix()
    yield Deviation(artefact, f"is not the part {source.crop} of the whole picture")


def _manifest_reasons(folder: Path, manifest: Manifest) -> Iterator[str]:
    path = manifest_path(folder)
    data = path.read_bytes()
    try:
        noted = path.with_suffix(".sha256").read_bytes()
    except OSError:
        noted = b""
    if sidecar_bytes(data, path.name) != noted or data.decode() != manifest_to_text(manifest):
        yield "was changed after it was written (manifest.sha256 differs); run `matchrate encode` again"
    for stimulus in manifest.stimuli:
        yield from (
            f"{stimulus.source} {stimulus.condition} {reason}" for reason in _figures(manifest, stimulus)
        )
    yield from _inclusion_reasons(manifest)
    for source in manifest.sources:
        left, top, width, height = source.crop or (0, 0, source.width, source.height)
        inside = left >= 0 and top >= 0 and left + width <= source.width and top + height <= source.height
        if not inside or (width, height) != (source.shown_width, source.shown_height):
            yield f"source {source.name}: the shown size or crop does not fit the picture"


def _inclusion_reasons(manifest: Manifest) -> Iterator[str]:
    """A source and rate point is in for all codecs or left out for all, where one misses it."""
    points = {condition.name: condition.rate_point for condition in manifest.conditions}
    optional = {codec.name for codec in manifest.codecs if codec.settings.get("optional") is True}
    needed = Counter(c.rate_point for c in manifest.conditions if c.codec not in optional)
    there = Counter(
        (s.source, points[s.condition])
        for s in manifest.stimuli
        if s.status in ("matched", "given") and s.codec not in optional
    )
    for stimulus in manifest.stimuli:
        point = points[stimulus.condition]
        whole = there[stimulus.source, point] == needed[point]
        if stimulus.included != (whole or manifest.study.allow_mismatch):
            is_in = "included" if stimulus.included else "left out"
            yield f"{stimulus.source} {stimulus.condition} is {is_in}, which its source and rate point is not"


def _names_the_miss(stimulus: Stimulus) -> bool:
    """Whether `near` is a reachable miss of at most 2 %, and any other status names the side of the miss."""
    if stimulus.status == "near":
        return bool(stimulus.reachable) and abs(stimulus.residual) <= NEAR * (1 + 1e-9)
    return (stimulus.status == "unreachable_low") == (stimulus.residual > 0)


def _figures(manifest: Manifest, stimulus: Stimulus) -> Iterator[str]:
    """What a stimulus says of itself that cannot be true together."""
    source = next(source for source in manifest.sources if source.name == stimulus.source)
    if stimulus.dataset != source.dataset:
        yield f"has the dataset {stimulus.dataset!r}, its source {source.dataset!r}"
    if (stimulus.width, stimulus.height) != (source.width, source.height):
        yield "has another size than its source"
    if stimulus.bytes is not None:
        bpp = 8 * stimulus.bytes / (stimulus.width * stimulus.height)
        if not math.isclose(bpp, stimulus.bpp, rel_tol=1e-9):
            yield f"has {stimulus.bpp:g} bpp, but its bytes make {bpp:g}"
    counted = stimulus.bpp
    if manifest.study.rate == "payload" and stimulus.payload_bytes is not None:
        counted = 8 * stimulus.payload_bytes / (stimulus.width * stimulus.height)
    if not math.isclose(counted / stimulus.target_bpp - 1, stimulus.residual, rel_tol=1e-9, abs_tol=1e-12):
        yield f"has the residual {stimulus.residual:g}, but its bpp makes another"
    if manifest.study.match != "set-mean":
        yield from _status_reasons(manifest, stimulus)
    if stimulus.included != (stimulus.left_out is None):
        yield "is included and left out at once"
    if (stimulus.bitstream is None) != (stimulus.status == "given"):
        yield "has a bitstream and is given, or neither"
    if (stimulus.bitstream or "").partition(".")[0] != (stimulus.bitstream_sha256 or ""):
        yield "has a bitstream that is not named by its SHA-256"


def _status_reasons(manifest: Manifest, stimulus: Stimulus) -> Iterator[str]:
    # The search divides bytes, the record bpp: they may differ in the last bit.
    within = abs(stimulus.residual) <= manifest.study.tolerance * (1 + 1e-9)
    if stimulus.status == "matched" and not within:
        yield f"is called matched at a residual of {stimulus.residual:g}"
    elif stimulus.status not in ("matched", "given") and not _names_the_miss(stimulus):
        yield f"is called {stimulus.status} at a residual of {stimulus.residual:g}"
