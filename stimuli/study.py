"""The nouns of a study, frozen, and the way from study.toml to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from stimuli.match_rule import EACH, MatchRule

#: Bits of the whole file, or of the payload without its container.
RateBasis = Literal["file", "payload"]

#: Objective metrics that every stimulus gets where study.toml names none.
DEFAULT_METRICS = ("psnr", "ssimulacra2")

#: Seconds that one encode or decode may take where study.toml does not say.
DEFAULT_TIMEOUT = 1800.0

#: left, top, width and height in pixels of the coded picture.
Crop = tuple[int, int, int, int]

#: How well the rate of a stimulus meets its target; docs/codecs.md says what each means.
STATUSES = ("matched", "near", "unreachable_low", "unreachable_high", "given")

#: A study.toml may not take this name for a codec: it is the hidden original's condition.
REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class Source:
    """An original picture: where it lies, its size after orientation, and the part that is shown."""

    name: str
    path: Path
    width: int
    height: int
    dataset: str | None = None
    crop: Crop | None = None
    """The part that raters see, or None for the whole picture; the whole picture is always coded."""
    targets: Mapping[float, float] | None = None
    """The rate of this source at each target of the study, where it has rates of its own."""


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """A codec as study.toml asks for it: its family and the settings that were written."""

    name: str
    family: str
    settings: Mapping[str, object] = field(default_factory=dict)
    targets: tuple[float, ...] | None = None
    """The codec's own ladder of targets; None for the study's."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which pairs of conditions are compared on one source."""

    same_rate: bool = True
    adjacent_within: bool = True
    adjacent_across: bool = True
    include_reference: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A codec at a rate point; `rate_point` numbers all targets of a study from 0 upwards by rate.

    `target` is the number that study.toml says: bits per pixel, or a share of the rate that `match` names.
    """

    name: str
    codec: str
    rate_point: int
    target: float


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One source under one condition, as the manifest tells it.

    The fields up to `picture_sha256` are the columns of the stimuli table. `bpp` is 8 x `bytes` over
    `width` x `height` of the whole coded picture; `target_bpp` is the target of this source in bits per pixel
    of what the study matches (file or payload), and `residual` the matched rate / `target_bpp` - 1. For
    ready-made reconstructions `bpp` is the given number and `bytes`, `bitstream`, `quality` and `reachable`
    are None.
    """

    source: str
    dataset: str | None
    condition: str
    codec: str
    codec_version: str
    role: str
    status: str
    target_bpp: float
    bpp: float
    bytes: int | None
    payload_bytes: int | None
    residual: float
    width: int
    height: int
    encode_s: float | None
    decode_s: float | None
    bitstream_sha256: str | None
    picture_sha256: str
    quality: Mapping[str, float] | None
    encodes: int
    """Tries that this stimulus caused; tries shared with an earlier rate point count there."""
    previews: int
    """Encodes with the codec's fast preview that came on top, to bracket the target."""
    reachable: bool | None
    """Whether the target lies within the codec's declared range on this source."""
    limit_bpp: float | None
    """Where the target is out of the codec's range: the floor or ceiling, as the study counts rates."""
    metrics: Mapping[str, float]
    """Objective metrics of the whole decoded picture against the source, by name."""
    shown_sha256: str
    bitstream: str | None
    note: str | None
    """What was done to a given picture before it was used, as a crop to the common size."""
    included: bool
    left_out: str | None

    def describe(self) -> str:
        """One line for a person: where it is, its status and its residual."""
        limit = ""
        if self.limit_bpp is not None:
            side = "floor" if self.status == "unreachable_low" else "ceiling"
            limit = f", {side} {self.limit_bpp:.4g} bpp"
        elif self.reachable and self.status.startswith("unreachable"):
            limit = ", though reachable: its sizes jump over the target"
        rate = self.target_bpp * (1 + self.residual)
        return (
            f"{self.source} {self.condition}: {self.status}, {rate:.4g} bpp for {self.target_bpp:.6g} "
            f"({100 * self.residual:+.2f} %){limit}"
        )


@dataclass(frozen=True, slots=True)
class Study:
    """A study as its researcher describes it."""

    folder: Path
    file: Path
    name: str
    title: str
    question: str
    instructions: str
    targets: tuple[float, ...]
    tolerance: float
    seed: int
    session_length: int
    allow_mismatch: bool
    workers: int | None
    pairing: Pairing
    sources: tuple[Source, ...]
    codecs: tuple[CodecSpec, ...]
    rate: RateBasis = "file"
    match: MatchRule = EACH
    metrics: tuple[str, ...] = DEFAULT_METRICS
    timeout: float = DEFAULT_TIMEOUT
    """Seconds that one encode or decode may take."""
    memory: int | None = None
    """MB that one worker may use, or None for no limit."""
    expected_savings: float = 2.0
    """How many times fewer bits the best codec may need than the worst; see `stimuli.ladders`."""

    @property
    def rate_points(self) -> tuple[float, ...]:
        """Every target that some codec has, rising."""
        return tuple(sorted({target for codec in self.codecs for target in self.ladder(codec)}))

    def ladder(self, codec: CodecSpec) -> tuple[float, ...]:
        """The targets of a codec, rising: its own, else the study's."""
        return self.targets if codec.targets is None else codec.targets

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Every codec at every target of its ladder, in the order of study.toml and by rising rate."""
        points = {target: i for i, target in enumerate(self.rate_points)}
        return tuple(
            Condition(condition_name(codec.name, target, self.match), codec.name, points[target], target)
            for codec in self.codecs
            for target in self.ladder(codec)
        )


def oversized_sources(study: Study, width: int = 700, height: int = 600) -> tuple[str, ...]:
    """A line for each source whose shown part is wider or taller than so many pixels.

    The original is shown beside the picture that is judged, so a window must hold twice the width.
    """
    lines: list[str] = []
    for source in study.sources:
        _, _, wide, high = source.crop or (0, 0, source.width, source.height)
        if wide > width:
            window = f"{2 * wide + 20} pixels wide"
        elif high > height:
            window = f"{high} pixels high"
        else:
            continue
        lines.append(
            f"{source.name} is shown at {wide}x{high}: beside the original that needs a window about "
            f"{window}; set `show` under [sources]"
        )
    return tuple(lines)


def condition_name(codec: str, target: float, match: MatchRule = EACH) -> str:
    """`avif@0.25`: the codec's name and Python's repr of the target in bpp; `avif@0.5x` for a share."""
    return f"{codec}@{target!r}" + ("x" if match.codec is not None else "")


def read_study(path: Path) -> Study:
    """Read and validate a study folder or a study.toml; raises StudyFileError with every problem found.

    Pictures are opened for their size and kind only; `check_study` reads them whole.
    """
    from stimuli.study_file import load_study

    return load_study(path)


def check_study(study: Study) -> None:
    """Read every picture whole and make every codec; raises StudyFileError with every problem found."""
    from stimuli.errors import StudyFileError
    from stimuli.study_file import find_problems

    if problems := find_problems(study):
        raise StudyFileError(problems)
