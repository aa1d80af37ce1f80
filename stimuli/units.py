"""The work of one process: one picture file, or all targets of one source and one codec."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stimuli.codecs.base import Codec, Pixels, Scale, payload_bytes
from stimuli.codecs.reconstructions import Reconstruction
from stimuli.codecs.registry import make_codec
from stimuli.errors import CodecError, PictureError, StimuliError
from stimuli.files import is_whole, sha256_of_file, write_content
from stimuli.manifest import SourceRecord, picture_path
from stimuli.matching import Match, Point, ReversedScaleError, match_targets
from stimuli.pictures import crop_pixels, load_picture, png_bytes, png_pixels
from stimuli.programs import ProgramError
from stimuli.study import CodecSpec, Crop, Stimulus, condition_name
from stimuli.tries import KeptPicture, Try, TryCache, decode_key, file_key, pixels_key, try_key


@dataclass(frozen=True, slots=True)
class FileJob:
    """One picture file and the part of it that is shown."""

    folder: Path
    path: Path
    crop: Crop | None


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A picture file that was read: its hash, and what lies under `pictures/` for it."""

    file_sha256: str
    picture: KeptPicture


def read_file(job: FileJob) -> ReadFile | str:
    """Read one picture file into `pictures/`; a picture that cannot be used gives the reason as text."""
    cache = TryCache(job.folder / "stimuli" / "tries")
    try:
        file_sha256 = sha256_of_file(job.path)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    key = file_key(file_sha256, job.crop)
    kept = cache.load_picture(key)
    if kept is None or not _is_kept(job.folder, kept):
        start = _cpu_seconds()
        try:
            pixels = load_picture(job.path)
        except PictureError as error:
            return error.reason
        kept = _keep_pixels(job.folder, pixels, job.crop, _cpu_seconds() - start)
        cache.keep_picture(key, kept)
    return ReadFile(file_sha256, kept)


@dataclass(frozen=True, slots=True)
class Unit:
    """All targets of one source and one codec: they share their tries."""

    folder: Path
    source: SourceRecord
    spec: CodecSpec
    version: str
    targets: tuple[float, ...]
    tolerance: float
    given: Mapping[float, Reconstruction] | None


def encode_unit(unit: Unit) -> tuple[Stimulus, ...]:
    """Search, keep and decode every target of a unit; raises CodecError and PictureError.

    A CodecError also tells of a scale whose direction is the wrong way round.
    """
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
    try:
        matches = match_targets(
            codec.scales,
            [target * area / 8 for target in unit.targets],
            unit.tolerance,
            lambda point: len(attempt(point).bitstream),
        )
    except ReversedScaleError as error:
        reason = f"{error}; set {_turned(unit.spec.family, error.scale)}"
        raise CodecError(unit.spec.name, reason, source=unit.source.name) from None
    return tuple(
        _searched_stimulus(unit, codec, cache, target, match, attempt(match.point))
        for target, match in zip(unit.targets, matches, strict=True)
    )


def _turned(family: str, scale: Scale) -> str:
    """What a researcher writes to turn the direction of a scale round."""
    if family == "command":
        return f'direction = "{"down" if scale.increasing else "up"}" in `{scale.name}`'
    return f"increasing={not scale.increasing} in its Scale"


def _searched_stimulus(
    unit: Unit, codec: Codec, cache: TryCache, target: float, match: Match, kept: Try
) -> Stimulus:
    source = unit.source
    if len(kept.bitstream) != match.size:
        reason = f"gave {match.size} bytes and then {len(kept.bitstream)} for the same input; run again"
        raise CodecError(unit.spec.name, reason, source=source.name)
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


def _given_stimulus(unit: Unit, target: float, given: Reconstruction) -> Stimulus:
    read = read_file(FileJob(unit.folder, given.path, unit.source.crop))
    if isinstance(read, str):
        raise PictureError(given.path, read)
    picture, source = read.picture, unit.source
    if (picture.width, picture.height) != (source.width, source.height):
        raise PictureError(
            given.path,
            f"is {picture.width}x{picture.height}, but source {source.name!r} is "
            f"{source.width}x{source.height}",
        )
    stimulus = _blank_stimulus(unit, target, picture)
    return replace(stimulus, status="given", bpp=given.bpp, residual=given.bpp / target - 1)


def _blank_stimulus(unit: Unit, target: float, picture: KeptPicture) -> Stimulus:
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


def _encode(codec: Codec, unit: Unit, pixels: Pixels, quality: Mapping[str, float]) -> Try:
    start = _cpu_seconds()
    try:
        # A copy of its own: a codec that works in place would spoil the source of every later try.
        bitstream = codec.encode(pixels.copy(), quality)
    except (Exception, SystemExit) as error:
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
    except (Exception, SystemExit) as error:
        raise CodecError(name, f"decoding failed: {_reason(error)}", source=source.name) from None
    wanted = (source.height, source.width, 3)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != wanted:
        got = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise CodecError(name, f"decode gave {got}, not uint8 {wanted}", source=source.name)
    return pixels


def _reason(error: Exception | SystemExit) -> str:
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
