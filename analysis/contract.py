"""The contract between a study and its analysis: the columns of two tables, in one place.

A study exports `judgments` and `stimuli` with these columns; anybody else's data joins the analysis by
being written the same way. The application takes its column names, order and allowed values from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "integer", "number", "boolean", "time"]

CHOICES = ("a", "b", "tie")
SLOTS = (1, 2)
JUDGMENT_KINDS = ("scored", "golden", "training", "warmup", "repeat", "bias_probe")
STIMULUS_ROLES = ("scored", "golden", "training", "reference")
STIMULUS_STATUSES = ("matched", "near", "unreachable_low", "unreachable_high", "given")
#: Bits of the whole file, or of the payload without its container.
RATE_BASES = ("file", "payload")

#: The hidden original, when a study shows it as a condition.
REFERENCE_CONDITION = "reference"
#: Any column of the stimuli table with this prefix is an objective metric.
METRIC_PREFIX = "metric_"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type, whether a cell may be empty, its unit and its allowed values."""

    name: str
    kind: Kind
    nullable: bool = False
    needed: bool = False
    """A table without this column is refused; any other missing column is taken as all empty."""
    allowed: tuple[str | int, ...] = ()
    unit: str = ""
    meaning: str = ""
    minimum: float | None = None
    """The least allowed number."""
    positive: bool = False
    """Numbers must be above zero."""


JUDGMENT_COLUMNS: tuple[Column, ...] = (
    Column("judgment_id", "text", needed=True, meaning="unique name of the row"),
    Column("trial", "text", meaning="the trial that was answered"),
    Column("revision", "integer", meaning="0 for the first answer, one more for each undo", minimum=0),
    Column("study", "text", meaning="name of the study"),
    Column("session", "text", nullable=True, meaning="pseudonym of the sitting"),
    Column("rater", "text", needed=True, meaning="pseudonym of the rater"),
    Column("source", "text", needed=True, meaning="the original picture"),
    Column("condition_a", "text", needed=True, meaning="codec x rate point of the first stimulus"),
    Column("condition_b", "text", needed=True, meaning="codec x rate point of the second stimulus"),
    Column("choice", "text", needed=True, allowed=CHOICES, meaning="which one was preferred"),
    Column(
        "slot_of_a", "integer", nullable=True, allowed=SLOTS, meaning="1 left or first, 2 right or second"
    ),
    Column(
        "response_ms",
        "integer",
        nullable=True,
        unit="ms",
        meaning="from first paint to the answer",
        minimum=0,
    ),
    Column("flips", "integer", nullable=True, meaning="changes between the two pictures", minimum=0),
    Column(
        "exposure_ms",
        "integer",
        nullable=True,
        unit="ms",
        meaning="time the pictures were visible",
        minimum=0,
    ),
    Column("kind", "text", allowed=JUDGMENT_KINDS, meaning="only `scored` enters the scores"),
    Column("expected_choice", "text", nullable=True, allowed=CHOICES, meaning="the right answer of a golden"),
    Column("is_simulated", "boolean", meaning="made by a program and not by a person"),
    Column("is_excluded", "boolean", meaning="left out of the scores"),
    Column("exclusion", "text", nullable=True, meaning="the rule that set is_excluded"),
    Column("policy", "text", nullable=True, meaning="how the pair was chosen"),
    Column("batch", "integer", nullable=True, meaning="the batch of an adaptive policy", minimum=0),
    Column("magnification", "number", nullable=True, meaning="device pixels a picture pixel", positive=True),
    Column("device_pixel_ratio", "number", nullable=True, meaning="as the browser gave it", positive=True),
    Column("viewport", "text", nullable=True, unit="CSS px", meaning="width x height, as 1440x900"),
    Column("answered_at", "time", nullable=True, meaning="UTC, ISO 8601"),
)

STIMULUS_COLUMNS: tuple[Column, ...] = (
    Column("source", "text", needed=True, meaning="the original picture"),
    Column("dataset", "text", nullable=True, meaning="the collection that the source comes from"),
    Column("condition", "text", needed=True, meaning="codec x rate point, as judgments name it"),
    Column("codec", "text", needed=True, meaning="name of the codec in the study"),
    Column("codec_version", "text", nullable=True, meaning="as the codec gives it"),
    Column("role", "text", allowed=STIMULUS_ROLES, meaning="what it is shown for"),
    Column("status", "text", allowed=STIMULUS_STATUSES, meaning="how well its rate meets the target"),
    Column("target_bpp", "number", nullable=True, unit="bpp", meaning="the rate point", positive=True),
    Column(
        "bpp",
        "number",
        nullable=True,
        needed=True,
        unit="bpp",
        meaning="8 x bytes / (width x height)",
        positive=True,
    ),
    Column(
        "bytes", "integer", nullable=True, unit="bytes", meaning="the whole bitstream file", positive=True
    ),
    Column(
        "payload_bytes", "integer", nullable=True, unit="bytes", meaning="without the container", minimum=0
    ),
    Column("residual", "number", nullable=True, meaning="bpp / target_bpp - 1"),
    Column("width", "integer", nullable=True, unit="px", meaning="of the coded picture", positive=True),
    Column("height", "integer", nullable=True, unit="px", meaning="of the coded picture", positive=True),
    Column("encode_s", "number", nullable=True, unit="s", meaning="CPU time of the kept encode", minimum=0),
    Column("decode_s", "number", nullable=True, unit="s", meaning="CPU time of its decode", minimum=0),
    Column("bitstream_sha256", "text", nullable=True, meaning="of the bitstream file"),
    Column("picture_sha256", "text", nullable=True, meaning="of the decoded PNG"),
    Column(
        "rate", "text", nullable=True, allowed=RATE_BASES, meaning="which bits the study matched and counts"
    ),
)

JUDGMENT_NAMES: tuple[str, ...] = tuple(column.name for column in JUDGMENT_COLUMNS)
STIMULUS_NAMES: tuple[str, ...] = tuple(column.name for column in STIMULUS_COLUMNS)
