"""The files of one source or one stimulus, each hashed, read and decoded again."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stimuli.attempts import decode_bitstream, patience_with
from stimuli.codecs.base import Pixels, payload_of
from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.codecs.reconstructions import Reconstructions
from stimuli.codecs.registry import make_codec
from stimuli.errors import PictureError, StimuliError
from stimuli.files import sha256_of
from stimuli.manifest import CodecRecord, Deviation, SourceRecord, bitstream_path, picture_path
from stimuli.parallel import note
from stimuli.pictures import crop_pixels, load_picture, png_chunks, png_pixels
from stimuli.robustness import Checked, Difference, difference
from stimuli.study import Stimulus


@dataclass(frozen=True, slots=True)
class SourceJob:
    """An original and its pictures."""

    folder: Path
    source: SourceRecord


@dataclass(frozen=True, slots=True)
class StimulusJob:
    """A stimulus, and what its picture is made of."""

    folder: Path
    stimulus: Stimulus
    source: SourceRecord
    codec: CodecRecord
    rate_point: int
    ladder: tuple[tuple[float, int], ...]
    """The targets of the codec, as study.toml says them, with their rate points."""
    decode: bool = True
    """False where its codec cannot be run, so that its files alone are looked at."""


@dataclass(frozen=True, slots=True)
class Found:
    """What deviates of a job's files, and for a stimulus what is the same of it."""

    deviations: tuple[Deviation, ...]
    checked: Checked | None = None


class _DeviationError(Exception):
    def __init__(self, artefact: str, reason: str) -> None:
        self.deviation = Deviation(artefact, reason)
        super().__init__(artefact, reason)


def check_files(job: SourceJob | StimulusJob) -> Found:
    """Look at the files of a job; a codec that crashes or hangs takes this process along."""
    deviations: list[Deviation] = []
    if isinstance(job, SourceJob):
        note(f"reading {job.source.path}")
        return Found(tuple(_source_checks(job)))
    checks = _stimulus_checks(job)
    try:
        while True:
            deviations.append(next(checks))
    except StopIteration as end:
        checked: Checked = end.value
    return Found(tuple(deviations), checked)


def artefact_of(job: SourceJob | StimulusJob) -> str:
    """What to name when a job could not be done."""
    if isinstance(job, SourceJob):
        return _source_artefact(job.source)
    if job.stimulus.bitstream is None:
        return f"{job.stimulus.source} {job.stimulus.condition}"
    return bitstream_path(job.folder, job.stimulus.bitstream).relative_to(job.folder).as_posix()


def _source_artefact(source: SourceRecord) -> str:
    return f"{source.path} (source {source.name})"


def _source_checks(job: SourceJob) -> Generator[Deviation, None, None]:
    source = job.source
    file = job.folder / source.path
    artefact = _source_artefact(source)
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


def _stimulus_checks(job: StimulusJob) -> Generator[Deviation, None, Checked]:
    stimulus, source, folder = job.stimulus, job.source, job.folder
    width, height = source.width, source.height
    is_given = stimulus.bitstream is None
    decoded: Pixels | None = None
    data: bytes | None = None
    if is_given and job.decode:
        try:
            decoded = _given_again(job)
        except _DeviationError as error:
            yield error.deviation
            return Checked(job.codec.name, None, None)
        if stimulus.note is not None:
            # A given picture that was cropped may lack a border of its source.
            height, width = decoded.shape[:2]
    whole = yield from _picture_checks(folder, stimulus.picture_sha256, width, height)
    if stimulus.shown_sha256 != stimulus.picture_sha256:
        yield from _crop_checks(folder, stimulus.shown_sha256, source, whole)
    try:
        if not is_given:
            data = _read_bitstream(job)
            decoded = _decoded_again(job, data) if job.decode else None
    except _DeviationError as error:
        yield error.deviation
    found: Difference | None = None
    if whole is not None and decoded is not None:
        found = difference(decoded, whole) if decoded.shape == whole.shape else None
        if found is None or found.pixels:
            yield Deviation(
                f"stimuli/pictures/{stimulus.picture_sha256}.png",
                f"is not what {stimulus.source} {stimulus.condition} decodes to now "
                f"({found or 'it has another size'})",
            )
    return Checked(job.codec.name, None if is_given else data is not None, found)


def _read_bitstream(job: StimulusJob) -> bytes:
    """The bitstream of a stimulus, as it was hashed."""
    stimulus = job.stimulus
    artefact = artefact_of(job)
    data = _read_hashed(job.folder / artefact, artefact, stimulus.bitstream_sha256 or "")
    if len(data) != stimulus.bytes:
        raise _DeviationError(artefact, f"has {len(data)} bytes, the manifest says {stimulus.bytes}")
    return data


def _decoded_again(job: StimulusJob, data: bytes) -> Pixels:
    stimulus, artefact = job.stimulus, artefact_of(job)
    try:
        codec = make_codec(job.codec.family, job.codec.settings, job.folder)
        note(f"decoding {stimulus.source} {stimulus.condition}", patience_with(codec))
        payload = payload_of(codec, data)
    except StimuliError as error:
        raise _DeviationError(artefact, f"cannot be decoded again: {error}") from None
    if payload != stimulus.payload_bytes:
        told = f"the manifest says {stimulus.payload_bytes}"
        raise _DeviationError(artefact, f"has {payload} bytes of payload, {told}")
    try:
        return decode_bitstream(codec, job.codec.name, job.source, data)
    except StimuliError as error:
        raise _DeviationError(artefact, str(error)) from None


def _given_again(job: StimulusJob) -> Pixels:
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
