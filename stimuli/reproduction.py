"""Every stimulus encoded again at its recorded quality: the same bytes, or how far from them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from stimuli.attempts import decode_bitstream, one_line, patience_with
from stimuli.codecs.registry import make_codec
from stimuli.errors import StimuliError
from stimuli.files import sha256_of
from stimuli.manifest import CodecRecord, Manifest, SourceRecord, picture_path
from stimuli.parallel import Crash, note
from stimuli.pictures import Pixels, png_pixels
from stimuli.robustness import Encoded, difference
from stimuli.study import Stimulus
from stimuli.workforce import Workforce


@dataclass(frozen=True, slots=True)
class EncodeJob:
    """A stimulus that has a bitstream, and what it was made of."""

    folder: Path
    stimulus: Stimulus
    source: SourceRecord
    codec: CodecRecord


def encode_again(job: EncodeJob) -> Encoded:
    """One encode, past the cache of tries, and one decode where its bytes are others.

    A codec that crashes or hangs takes this process along.
    """
    stimulus, source = job.stimulus, job.source
    before = stimulus.bytes or 0
    try:
        codec = make_codec(job.codec.family, job.codec.settings, job.folder)
        pixels = read_picture(job.folder, source.picture_sha256)
    except (StimuliError, OSError, ValueError) as error:
        return Encoded(bytes_before=before, reason=one_line(error))
    note(f"encoding {stimulus.source} {stimulus.condition}", patience_with(codec))
    try:
        # Whatever a codec of somebody else gives in place of bytes fails here too.
        bitstream = memoryview(codec.encode(pixels, dict(stimulus.quality or {}))).tobytes()
    except (Exception, SystemExit) as error:
        return Encoded(bytes_before=before, reason=one_line(error))
    if sha256_of(bitstream) == stimulus.bitstream_sha256:
        return Encoded(len(bitstream), before, same=True)
    note(f"decoding the new {stimulus.source} {stimulus.condition}", patience_with(codec))
    try:
        picture = decode_bitstream(codec, job.codec.name, source, bitstream)
        wanted = read_picture(job.folder, stimulus.picture_sha256)
    except (StimuliError, OSError, ValueError):
        return Encoded(len(bitstream), before)
    moved = difference(picture, wanted) if picture.shape == wanted.shape else None
    return Encoded(len(bitstream), before, picture=moved)


def read_picture(folder: Path, sha256: str) -> Pixels:
    """The pixels of a PNG of the study; raises OSError or ValueError where it is not what its name says."""
    data = picture_path(folder, sha256).read_bytes()
    if sha256_of(data) != sha256:
        raise ValueError(f"stimuli/pictures/{sha256}.png is damaged")
    return png_pixels(data)


def encode_all_again(
    folder: Path, manifest: Manifest, runnable: Collection[str], force: Workforce, progress: bool
) -> dict[tuple[str, str], Encoded]:
    """The new encode of every stimulus of the runnable codecs, by source and condition.

    Stimuli that share a bitstream share the encode.
    """
    sources = {source.name: source for source in manifest.sources}
    codecs = {codec.name: codec for codec in manifest.codecs}
    shared: dict[tuple[object, ...], list[Stimulus]] = {}
    for s in manifest.stimuli:
        if s.bitstream is not None and s.codec in runnable:
            quality = tuple(sorted((s.quality or {}).items()))
            shared.setdefault((s.source, s.codec, s.bitstream_sha256, quality), []).append(s)
    groups = list(shared.values())
    jobs = [EncodeJob(folder, g[0], sources[g[0].source], codecs[g[0].codec]) for g in groups]
    found: dict[tuple[str, str], Encoded] = {}
    with tqdm(total=len(jobs), desc="encode again", unit="encode", disable=not progress) as bar:
        for i, result in force.run(encode_again, jobs):
            if isinstance(result, Crash):
                result = Encoded(bytes_before=groups[i][0].bytes or 0, reason=result.reason)
            found |= {(stimulus.source, stimulus.condition): result for stimulus in groups[i]}
            bar.update()
    return found
