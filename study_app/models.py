"""The rows: one class a table, named as in docs/architecture.md.

Judgments are append-only: an undo inserts the next revision of its trial, an exclusion is a row beside the
judgment, and a trigger of the first migration refuses every UPDATE of a judgment. The contract's tables
`judgments` and `stimuli` are views that the migrations create.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from analysis.contract import CHOICES, JUDGMENT_KINDS, RATE_BASES, STIMULUS_ROLES, STIMULUS_STATUSES

PLATFORMS = ("open", "simulated", "prolific", "mturk")
PAIR_KINDS = ("same_rate", "adjacent_within", "adjacent_across", "reference")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Base(DeclarativeBase):
    """Names every constraint, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - read by SQLAlchemy from the class
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[int]: ARRAY(BigInteger),
    }


class Study(Base):
    """One study, as its manifest describes it."""

    __tablename__ = "study"
    __table_args__ = (
        CheckConstraint("session_length > 0", name="session_length"),
        CheckConstraint(_one_of("rate", RATE_BASES), name="rate"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    question: Mapped[str]
    instructions: Mapped[str]
    session_length: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    tolerance: Mapped[float]
    allow_mismatch: Mapped[bool]
    pairing: Mapped[dict[str, Any]]
    rate: Mapped[str] = mapped_column(server_default="file")
    match: Mapped[str] = mapped_column(server_default="each")
    loaded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Source(Base):
    """One original picture and the part of it that raters see."""

    __tablename__ = "source"
    __table_args__ = (
        UniqueConstraint("study_id", "name"),
        CheckConstraint("width > 0 AND height > 0 AND shown_width > 0 AND shown_height > 0", name="sizes"),
        CheckConstraint("crop IS NULL OR array_length(crop, 1) = 4", name="crop"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"))
    name: Mapped[str]
    dataset: Mapped[str | None]
    width: Mapped[int]
    height: Mapped[int]
    crop: Mapped[list[int] | None]
    shown_width: Mapped[int]
    shown_height: Mapped[int]
    picture_sha256: Mapped[str]
    shown_sha256: Mapped[str]


class Condition(Base):
    """A codec at a rate point; the hidden original has neither rate point nor target.

    `target` is the number of study.toml; a stimulus holds what it means for its source in bits per pixel.
    """

    __tablename__ = "condition"
    __table_args__ = (UniqueConstraint("study_id", "name"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"))
    name: Mapped[str]
    codec: Mapped[str]
    rate_point: Mapped[int | None]
    target: Mapped[float | None]


class Stimulus(Base):
    """One source under one condition."""

    __tablename__ = "stimulus"
    __table_args__ = (
        UniqueConstraint("source_id", "condition_id"),
        CheckConstraint(_one_of("role", STIMULUS_ROLES), name="role"),
        CheckConstraint(_one_of("status", STIMULUS_STATUSES), name="status"),
        CheckConstraint("bpp IS NULL OR bpp > 0", name="bpp"),
        Index("ix_stimulus_condition_id", "condition_id"),
        Index("ix_stimulus_study_id", "study_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"))
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"))
    condition_id: Mapped[int] = mapped_column(ForeignKey("condition.id", ondelete="CASCADE"))
    codec_version: Mapped[str | None]
    role: Mapped[str]
    status: Mapped[str]
    target_bpp: Mapped[float | None]
    bpp: Mapped[float | None]
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    payload_bytes: Mapped[int | None] = mapped_column(BigInteger)
    residual: Mapped[float | None]
    width: Mapped[int | None]
    height: Mapped[int | None]
    encode_s: Mapped[float | None]
    decode_s: Mapped[float | None]
    bitstream_sha256: Mapped[str | None]
    picture_sha256: Mapped[str | None]
    shown_sha256: Mapped[str | None]
    quality: Mapped[dict[str, Any] | None]
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    included: Mapped[bool]
    left_out: Mapped[str | None]


class Pair(Base):
    """Two conditions that the study compares; the source is still open."""

    __tablename__ = "pair"
    __table_args__ = (
        UniqueConstraint("study_id", "condition_a_id", "condition_b_id"),
        CheckConstraint("condition_a_id <> condition_b_id", name="two_conditions"),
        CheckConstraint(_one_of("kind", PAIR_KINDS), name="kind"),
        Index("ix_pair_condition_a_id", "condition_a_id"),
        Index("ix_pair_condition_b_id", "condition_b_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"))
    condition_a_id: Mapped[int] = mapped_column(ForeignKey("condition.id", ondelete="CASCADE"))
    condition_b_id: Mapped[int] = mapped_column(ForeignKey("condition.id", ondelete="CASCADE"))
    kind: Mapped[str]


class PairSource(Base):
    """A pair on a source that has both stimuli: what a trial can ask. `judged` counts answered trials."""

    __tablename__ = "pair_source"
    __table_args__ = (
        CheckConstraint("judged >= 0", name="judged"),
        Index("ix_pair_source_study_id", "study_id"),
        Index("ix_pair_source_source_id", "source_id"),
        Index("ix_pair_source_stimulus_a_id", "stimulus_a_id"),
        Index("ix_pair_source_stimulus_b_id", "stimulus_b_id"),
    )

    pair_id: Mapped[int] = mapped_column(ForeignKey("pair.id", ondelete="CASCADE"), primary_key=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("source.id", ondelete="CASCADE"), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"))
    stimulus_a_id: Mapped[int] = mapped_column(ForeignKey("stimulus.id", ondelete="CASCADE"))
    stimulus_b_id: Mapped[int] = mapped_column(ForeignKey("stimulus.id", ondelete="CASCADE"))
    judged: Mapped[int] = mapped_column(server_default=text("0"))


class Rater(Base):
    """A participant; `worker` never leaves the database, exports name the random `pseudonym`."""

    __tablename__ = "rater"
    __table_args__ = (
        UniqueConstraint("study_id", "platform", "worker"),
        CheckConstraint(_one_of("platform", PLATFORMS), name="platform"),
        CheckConstraint("is_simulated = (platform = 'simulated')", name="is_simulated"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"))
    platform: Mapped[str]
    worker: Mapped[str]
    pseudonym: Mapped[str] = mapped_column(unique=True)
    is_simulated: Mapped[bool]
    consented_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Session(Base):
    """One sitting of a rater. Only a hash of its cookie is kept: the table alone opens no session."""

    __tablename__ = "session"
    __table_args__ = (
        UniqueConstraint("id", "rater_id"),
        CheckConstraint("length >= 0", name="length"),
        Index("ix_session_study_id", "study_id"),
        # One unfinished sitting a rater: who returns resumes it.
        Index(
            "uq_session_unfinished", "rater_id", unique=True, postgresql_where=text("completed_at IS NULL")
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"))
    rater_id: Mapped[int] = mapped_column(ForeignKey("rater.id", ondelete="CASCADE"), index=True)
    pseudonym: Mapped[str] = mapped_column(unique=True)
    cookie_sha256: Mapped[str] = mapped_column(unique=True)
    length: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[datetime | None]


class Trial(Base):
    """One pair offered to one rater: what stood in which slot, and the addresses it was shown under."""

    __tablename__ = "trial"
    __table_args__ = (
        UniqueConstraint("session_id", "ordinal"),
        ForeignKeyConstraint(
            ["session_id", "rater_id"], ["session.id", "session.rater_id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["pair_id", "source_id"], ["pair_source.pair_id", "pair_source.source_id"], ondelete="CASCADE"
        ),
        CheckConstraint("slot_of_a IN (1, 2)", name="slot_of_a"),
        CheckConstraint("ordinal >= 0", name="ordinal"),
        CheckConstraint(_one_of("kind", JUDGMENT_KINDS), name="kind"),
        CheckConstraint(
            f"expected_choice IS NULL OR {_one_of('expected_choice', CHOICES)}", name="expected_choice"
        ),
        # Never the same source and pair twice as scored to one rater.
        Index(
            "uq_trial_scored_once",
            "rater_id",
            "pair_id",
            "source_id",
            unique=True,
            postgresql_where=text("kind = 'scored'"),
        ),
        # next_trial counts the open trials of a study at every call.
        Index(
            "ix_trial_open",
            "study_id",
            "leased_until",
            postgresql_include=["pair_id", "source_id"],
            postgresql_where=text("answered_at IS NULL"),
        ),
        Index("ix_trial_pair_id_source_id", "pair_id", "source_id"),
        Index("ix_trial_study_id", "study_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    public_id: Mapped[str] = mapped_column(unique=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id", ondelete="CASCADE"))
    rater_id: Mapped[int] = mapped_column(BigInteger)
    session_id: Mapped[int] = mapped_column(BigInteger)
    ordinal: Mapped[int]
    pair_id: Mapped[int] = mapped_column(BigInteger)
    source_id: Mapped[int] = mapped_column(BigInteger)
    slot_of_a: Mapped[int] = mapped_column(SmallInteger)
    kind: Mapped[str]
    expected_choice: Mapped[str | None]
    policy: Mapped[str]
    batch: Mapped[int | None]
    token_1: Mapped[str] = mapped_column(unique=True)
    token_2: Mapped[str] = mapped_column(unique=True)
    token_reference: Mapped[str] = mapped_column(unique=True)
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())
    leased_until: Mapped[datetime]
    answered_at: Mapped[datetime | None]


class Judgment(Base):
    """The answer to a trial: `chosen_slot` is 1 or 2, or 0 for a tie."""

    __tablename__ = "judgment"
    __table_args__ = (
        UniqueConstraint("trial_id", "revision"),
        UniqueConstraint("client_uuid"),
        CheckConstraint("revision >= 0", name="revision"),
        CheckConstraint("chosen_slot IN (0, 1, 2)", name="chosen_slot"),
        CheckConstraint("response_ms >= 0", name="response_ms"),
        CheckConstraint("exposure_ms >= 0", name="exposure_ms"),
        CheckConstraint("flips >= 0", name="flips"),
        CheckConstraint("magnification > 0", name="magnification"),
        CheckConstraint("device_pixel_ratio > 0", name="device_pixel_ratio"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    trial_id: Mapped[int] = mapped_column(ForeignKey("trial.id", ondelete="CASCADE"))
    revision: Mapped[int]
    client_uuid: Mapped[UUID]
    chosen_slot: Mapped[int] = mapped_column(SmallInteger)
    response_ms: Mapped[int | None]
    exposure_ms: Mapped[int | None]
    flips: Mapped[int | None]
    magnification: Mapped[float | None]
    device_pixel_ratio: Mapped[float | None]
    viewport: Mapped[str | None]
    answered_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Exclusion(Base):
    """A judgment that a rule leaves out of the scores; the judgment itself stays as it was given."""

    __tablename__ = "exclusion"

    judgment_id: Mapped[int] = mapped_column(ForeignKey("judgment.id", ondelete="CASCADE"), primary_key=True)
    rule: Mapped[str]
    excluded_at: Mapped[datetime] = mapped_column(server_default=func.now())
