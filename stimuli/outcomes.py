"""From what a search or a table gave to the stimulus of the manifest."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stimuli.attempts import Decoded
from stimuli.codecs.base import Codec, payload_of
from stimuli.codecs.reconstructions import Reconstruction
from stimuli.manifest import SourceRecord
from stimuli.match_rule import MatchRule
from stimuli.matching import Match
from stimuli.study import CodecSpec, RateBasis, Stimulus, condition_name
from stimuli.tries import KeptPicture


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a stimulus belongs: its source, codec and target, and how the study counts rates.

    `target` is the number of study.toml, `target_bpp` what it means for this source in bits per pixel.
    `area` is in pixels, of all sources that meet the target together.
    """

    source: SourceRecord
    spec: CodecSpec
    version: str
    target: float
    target_bpp: float
    match: MatchRule
    rate: RateBasis
    area: int

    @property
    def condition(self) -> str:
        """The name of the condition."""
        return condition_name(self.spec.name, self.target, self.match)


def searched_stimulus(cell: Cell, codec: Codec, match: Match, decoded: Decoded) -> Stimulus:
    """The stimulus of a search."""
    area = cell.source.width * cell.source.height
    size = len(decoded.kept.bitstream)
    payload = payload_of(codec, decoded.kept.bitstream)
    counted = size if cell.rate == "file" else payload or 0
    limit = match.limit if match.status.startswith("unreachable") and not match.reachable else None
    return replace(
        _blank_stimulus(cell, decoded.picture),
        status=match.status,
        bpp=8 * size / area,
        bytes=size,
        payload_bytes=payload,
        residual=8 * counted / area / cell.target_bpp - 1,
        encode_s=round(decoded.kept.encode_s, 6),
        decode_s=round(decoded.picture.seconds, 6),
        bitstream_sha256=decoded.bitstream_sha256,
        quality=dict(zip((scale.name for scale in codec.scales), match.point, strict=True)),
        encodes=match.encodes,
        previews=match.previews,
        reachable=match.reachable,
        limit_bpp=None if limit is None else 8 * limit / cell.area,
        bitstream=f"{decoded.bitstream_sha256}.{codec.extension}",
    )


def given_stimulus(cell: Cell, given: Reconstruction, picture: KeptPicture, note: str | None) -> Stimulus:
    """The stimulus of a ready-made reconstruction."""
    stimulus = _blank_stimulus(cell, picture)
    return replace(stimulus, bpp=given.bpp, residual=given.bpp / cell.target_bpp - 1, note=note)


def _blank_stimulus(cell: Cell, picture: KeptPicture) -> Stimulus:
    return Stimulus(
        source=cell.source.name,
        dataset=cell.source.dataset,
        condition=cell.condition,
        codec=cell.spec.name,
        codec_version=cell.version,
        role="scored",
        status="given",
        target_bpp=cell.target_bpp,
        bpp=0.0,
        bytes=None,
        payload_bytes=None,
        residual=0.0,
        width=cell.source.width,
        height=cell.source.height,
        encode_s=None,
        decode_s=None,
        bitstream_sha256=None,
        picture_sha256=picture.picture_sha256,
        quality=None,
        encodes=0,
        previews=0,
        reachable=None,
        limit_bpp=None,
        metrics={},
        shown_sha256=picture.shown_sha256,
        bitstream=None,
        note=None,
        included=True,
        left_out=None,
    )
