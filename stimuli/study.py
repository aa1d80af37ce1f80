"""The nouns of a study, frozen, and the way from study.toml to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """A codec as study.toml asks for it: its family and the settings that were written."""

    name: str
    family: str
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which pairs of conditions are compared on one source."""

    same_rate: bool = True
    adjacent_within: bool = True
    adjacent_across: bool = True
    include_reference: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A codec at a rate point; `rate_point` numbers the targets from 0 upwards by rate."""

    name: str
    codec: str
    rate_point: int
    target_bpp: float


@dataclass(frozen=True, slots=True)
class Stimulus:
    """One source under one condition, as the manifest tells it.

    The fields up to `picture_sha256` are the columns of the stimuli table. `bpp` is 8 x `bytes` over
    `width` x `height` of the whole coded picture; `residual` is `bpp` / `target_bpp` - 1. For ready-made
    reconstructions `bpp` is the given number and `bytes`, `bitstream`, `quality` and `reachable` are None.
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
    reachable: bool | None
    """Whether the target lies within the codec's declared range on this source."""
    shown_sha256: str
    bitstream: str | None
    included: bool
    left_out: str | None

    def describe(self) -> str:
        """One line for a person: where it is, its status and its residual."""
        return (
            f"{self.source} {self.condition}: {self.status}, {self.bpp:.4g} bpp for {self.target_bpp!r} "
            f"({100 * self.residual:+.2f} %)"
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

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Every codec at every target, in the order of study.toml and by rising rate."""
        return tuple(
            Condition(condition_name(codec.name, target), codec.name, rate_point, target)
            for codec in self.codecs
            for rate_point, target in enumerate(self.targets)
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


def condition_name(codec: str, target: float) -> str:
    """`avif@0.25`: the codec's name and Python's repr of the target in bpp."""
    return f"{codec}@{target!r}"


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
