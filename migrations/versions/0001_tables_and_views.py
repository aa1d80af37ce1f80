"""The tables, the two views of the contract, and the trigger that keeps judgments as they were given.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


JUDGMENTS = """
CREATE VIEW judgments AS
SELECT
  judgment.id::text AS judgment_id,
  trial.public_id AS trial,
  judgment.revision AS revision,
  study.name AS study,
  session.pseudonym AS session,
  rater.pseudonym AS rater,
  source.name AS source,
  condition_a.name AS condition_a,
  condition_b.name AS condition_b,
  CASE WHEN judgment.chosen_slot = 0 THEN 'tie'
       WHEN judgment.chosen_slot = trial.slot_of_a THEN 'a'
       ELSE 'b' END AS choice,
  trial.slot_of_a AS slot_of_a,
  judgment.response_ms AS response_ms,
  judgment.flips AS flips,
  judgment.exposure_ms AS exposure_ms,
  trial.kind AS kind,
  trial.expected_choice AS expected_choice,
  rater.is_simulated AS is_simulated,
  exclusion.judgment_id IS NOT NULL AS is_excluded,
  exclusion.rule AS exclusion,
  trial.policy AS policy,
  trial.batch AS batch,
  judgment.magnification AS magnification,
  judgment.device_pixel_ratio AS device_pixel_ratio,
  judgment.viewport AS viewport,
  judgment.answered_at AS answered_at
FROM judgment
JOIN trial ON trial.id = judgment.trial_id
JOIN session ON session.id = trial.session_id
JOIN rater ON rater.id = trial.rater_id
JOIN study ON study.id = trial.study_id
JOIN source ON source.id = trial.source_id
JOIN pair ON pair.id = trial.pair_id
JOIN condition AS condition_a ON condition_a.id = pair.condition_a_id
JOIN condition AS condition_b ON condition_b.id = pair.condition_b_id
LEFT JOIN exclusion ON exclusion.judgment_id = judgment.id
WHERE NOT EXISTS (
  SELECT 1 FROM judgment AS later
  WHERE later.trial_id = judgment.trial_id AND later.revision > judgment.revision
)
"""

# A stimulus that is left out of the trials is no part of the study's results.
STIMULI = """
CREATE VIEW stimuli AS
SELECT
  source.name AS source,
  source.dataset AS dataset,
  condition.name AS condition,
  condition.codec AS codec,
  stimulus.codec_version AS codec_version,
  stimulus.role AS role,
  stimulus.status AS status,
  stimulus.target_bpp AS target_bpp,
  stimulus.bpp AS bpp,
  stimulus.bytes AS bytes,
  stimulus.payload_bytes AS payload_bytes,
  stimulus.residual AS residual,
  stimulus.width AS width,
  stimulus.height AS height,
  stimulus.encode_s AS encode_s,
  stimulus.decode_s AS decode_s,
  stimulus.bitstream_sha256 AS bitstream_sha256,
  stimulus.picture_sha256 AS picture_sha256,
  study.name AS study
FROM stimulus
JOIN source ON source.id = stimulus.source_id
JOIN condition ON condition.id = stimulus.condition_id
JOIN study ON study.id = stimulus.study_id
WHERE stimulus.included
"""

REFUSE_CHANGE = """
CREATE FUNCTION refuse_judgment_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'judgments are append-only: insert the next revision of the trial instead';
END
$$
"""
APPEND_ONLY = """
CREATE TRIGGER judgment_append_only BEFORE UPDATE ON judgment
FOR EACH ROW EXECUTE FUNCTION refuse_judgment_change()
"""


def upgrade() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("instructions", sa.Text(), nullable=False),
        sa.Column("session_length", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("tolerance", sa.Double(), nullable=False),
        sa.Column("allow_mismatch", sa.Boolean(), nullable=False),
        sa.Column("pairing", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("session_length > 0", name=op.f("ck_study_session_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study")),
        sa.UniqueConstraint("name", name=op.f("uq_study_name")),
    )
    op.create_table(
        "condition",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("codec", sa.Text(), nullable=False),
        sa.Column("rate_point", sa.Integer(), nullable=True),
        sa.Column("target_bpp", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_condition_study_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_condition")),
        sa.UniqueConstraint("study_id", "name", name=op.f("uq_condition_study_id_name")),
    )
    op.create_table(
        "rater",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("pseudonym", sa.Text(), nullable=False),
        sa.Column("is_simulated", sa.Boolean(), nullable=False),
        sa.Column(
            "consented_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint("is_simulated = (platform = 'simulated')", name=op.f("ck_rater_is_simulated")),
        sa.CheckConstraint(
            "platform IN ('open', 'simulated', 'prolific', 'mturk')", name=op.f("ck_rater_platform")
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_rater_study_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rater")),
        sa.UniqueConstraint("pseudonym", name=op.f("uq_rater_pseudonym")),
        sa.UniqueConstraint("study_id", "platform", "worker", name=op.f("uq_rater_study_id_platform_worker")),
    )
    op.create_table(
        "source",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("crop", postgresql.ARRAY(sa.BigInteger()), nullable=True),
        sa.Column("shown_width", sa.Integer(), nullable=False),
        sa.Column("shown_height", sa.Integer(), nullable=False),
        sa.Column("picture_sha256", sa.Text(), nullable=False),
        sa.Column("shown_sha256", sa.Text(), nullable=False),
        sa.CheckConstraint("crop IS NULL OR array_length(crop, 1) = 4", name=op.f("ck_source_crop")),
        sa.CheckConstraint(
            "width > 0 AND height > 0 AND shown_width > 0 AND shown_height > 0", name=op.f("ck_source_sizes")
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_source_study_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source")),
        sa.UniqueConstraint("study_id", "name", name=op.f("uq_source_study_id_name")),
    )
    op.create_table(
        "pair",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("condition_a_id", sa.BigInteger(), nullable=False),
        sa.Column("condition_b_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('same_rate', 'adjacent_within', 'adjacent_across', 'reference')",
            name=op.f("ck_pair_kind"),
        ),
        sa.CheckConstraint("condition_a_id <> condition_b_id", name=op.f("ck_pair_two_conditions")),
        sa.ForeignKeyConstraint(
            ["condition_a_id"], ["condition.id"], name=op.f("fk_pair_condition_a_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["condition_b_id"], ["condition.id"], name=op.f("fk_pair_condition_b_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_pair_study_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pair")),
        sa.UniqueConstraint(
            "study_id",
            "condition_a_id",
            "condition_b_id",
            name=op.f("uq_pair_study_id_condition_a_id_condition_b_id"),
        ),
    )
    op.create_index("ix_pair_condition_a_id", "pair", ["condition_a_id"], unique=False)
    op.create_index("ix_pair_condition_b_id", "pair", ["condition_b_id"], unique=False)
    op.create_table(
        "session",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("rater_id", sa.BigInteger(), nullable=False),
        sa.Column("pseudonym", sa.Text(), nullable=False),
        sa.Column("cookie_sha256", sa.Text(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length >= 0", name=op.f("ck_session_length")),
        sa.ForeignKeyConstraint(
            ["rater_id"], ["rater.id"], name=op.f("fk_session_rater_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_session_study_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session")),
        sa.UniqueConstraint("cookie_sha256", name=op.f("uq_session_cookie_sha256")),
        sa.UniqueConstraint("id", "rater_id", name=op.f("uq_session_id_rater_id")),
        sa.UniqueConstraint("pseudonym", name=op.f("uq_session_pseudonym")),
    )
    op.create_index(op.f("ix_session_rater_id"), "session", ["rater_id"], unique=False)
    op.create_index("ix_session_study_id", "session", ["study_id"], unique=False)
    op.create_index(
        "uq_session_unfinished",
        "session",
        ["rater_id"],
        unique=True,
        postgresql_where=sa.text("completed_at IS NULL"),
    )
    op.create_table(
        "stimulus",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("condition_id", sa.BigInteger(), nullable=False),
        sa.Column("codec_version", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("target_bpp", sa.Double(), nullable=True),
        sa.Column("bpp", sa.Double(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("payload_bytes", sa.BigInteger(), nullable=True),
        sa.Column("residual", sa.Double(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("encode_s", sa.Double(), nullable=True),
        sa.Column("decode_s", sa.Double(), nullable=True),
        sa.Column("bitstream_sha256", sa.Text(), nullable=True),
        sa.Column("picture_sha256", sa.Text(), nullable=True),
        sa.Column("shown_sha256", sa.Text(), nullable=True),
        sa.Column("quality", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("included", sa.Boolean(), nullable=False),
        sa.Column("left_out", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "role IN ('scored', 'golden', 'training', 'reference')", name=op.f("ck_stimulus_role")
        ),
        sa.CheckConstraint(
            "status IN ('matched', 'near', 'unreachable_low', 'unreachable_high', 'given')",
            name=op.f("ck_stimulus_status"),
        ),
        sa.CheckConstraint("bpp IS NULL OR bpp > 0", name=op.f("ck_stimulus_bpp")),
        sa.ForeignKeyConstraint(
            ["condition_id"], ["condition.id"], name=op.f("fk_stimulus_condition_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_stimulus_source_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_stimulus_study_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stimulus")),
        sa.UniqueConstraint("source_id", "condition_id", name=op.f("uq_stimulus_source_id_condition_id")),
    )
    op.create_index("ix_stimulus_condition_id", "stimulus", ["condition_id"], unique=False)
    op.create_index("ix_stimulus_study_id", "stimulus", ["study_id"], unique=False)
    op.create_table(
        "pair_source",
        sa.Column("pair_id", sa.BigInteger(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("stimulus_a_id", sa.BigInteger(), nullable=False),
        sa.Column("stimulus_b_id", sa.BigInteger(), nullable=False),
        sa.Column("judged", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("judged >= 0", name=op.f("ck_pair_source_judged")),
        sa.ForeignKeyConstraint(
            ["pair_id"], ["pair.id"], name=op.f("fk_pair_source_pair_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_pair_source_source_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["stimulus_a_id"], ["stimulus.id"], name=op.f("fk_pair_source_stimulus_a_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["stimulus_b_id"], ["stimulus.id"], name=op.f("fk_pair_source_stimulus_b_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_pair_source_study_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("pair_id", "source_id", name=op.f("pk_pair_source")),
    )
    op.create_index("ix_pair_source_source_id", "pair_source", ["source_id"], unique=False)
    op.create_index("ix_pair_source_stimulus_a_id", "pair_source", ["stimulus_a_id"], unique=False)
    op.create_index("ix_pair_source_stimulus_b_id", "pair_source", ["stimulus_b_id"], unique=False)
    op.create_index("ix_pair_source_study_id", "pair_source", ["study_id"], unique=False)
    op.create_table(
        "trial",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("study_id", sa.BigInteger(), nullable=False),
        sa.Column("rater_id", sa.BigInteger(), nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("pair_id", sa.BigInteger(), nullable=False),
        sa.Column("source_id", sa.BigInteger(), nullable=False),
        sa.Column("slot_of_a", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("expected_choice", sa.Text(), nullable=True),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=True),
        sa.Column("token_1", sa.Text(), nullable=False),
        sa.Column("token_2", sa.Text(), nullable=False),
        sa.Column("token_reference", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "expected_choice IS NULL OR expected_choice IN ('a', 'b', 'tie')",
            name=op.f("ck_trial_expected_choice"),
        ),
        sa.CheckConstraint(
            "kind IN ('scored', 'golden', 'training', 'warmup', 'repeat', 'bias_probe')",
            name=op.f("ck_trial_kind"),
        ),
        sa.CheckConstraint("ordinal >= 0", name=op.f("ck_trial_ordinal")),
        sa.CheckConstraint("slot_of_a IN (1, 2)", name=op.f("ck_trial_slot_of_a")),
        sa.ForeignKeyConstraint(
            ["pair_id", "source_id"],
            ["pair_source.pair_id", "pair_source.source_id"],
            name=op.f("fk_trial_pair_id_source_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["session_id", "rater_id"],
            ["session.id", "session.rater_id"],
            name=op.f("fk_trial_session_id_rater_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["study.id"], name=op.f("fk_trial_study_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trial")),
        sa.UniqueConstraint("public_id", name=op.f("uq_trial_public_id")),
        sa.UniqueConstraint("session_id", "ordinal", name=op.f("uq_trial_session_id_ordinal")),
        sa.UniqueConstraint("token_1", name=op.f("uq_trial_token_1")),
        sa.UniqueConstraint("token_2", name=op.f("uq_trial_token_2")),
        sa.UniqueConstraint("token_reference", name=op.f("uq_trial_token_reference")),
    )
    op.create_index(
        "ix_trial_open",
        "trial",
        ["study_id", "leased_until"],
        unique=False,
        postgresql_include=["pair_id", "source_id"],
        postgresql_where=sa.text("answered_at IS NULL"),
    )
    op.create_index("ix_trial_pair_id_source_id", "trial", ["pair_id", "source_id"], unique=False)
    op.create_index("ix_trial_study_id", "trial", ["study_id"], unique=False)
    op.create_index(
        "uq_trial_scored_once",
        "trial",
        ["rater_id", "pair_id", "source_id"],
        unique=True,
        postgresql_where=sa.text("kind = 'scored'"),
    )
    op.create_table(
        "judgment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("trial_id", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("client_uuid", sa.Uuid(), nullable=False),
        sa.Column("chosen_slot", sa.SmallInteger(), nullable=False),
        sa.Column("response_ms", sa.Integer(), nullable=True),
        sa.Column("exposure_ms", sa.Integer(), nullable=True),
        sa.Column("flips", sa.Integer(), nullable=True),
        sa.Column("magnification", sa.Double(), nullable=True),
        sa.Column("device_pixel_ratio", sa.Double(), nullable=True),
        sa.Column("viewport", sa.Text(), nullable=True),
        sa.Column(
            "answered_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("chosen_slot IN (0, 1, 2)", name=op.f("ck_judgment_chosen_slot")),
        sa.CheckConstraint("device_pixel_ratio > 0", name=op.f("ck_judgment_device_pixel_ratio")),
        sa.CheckConstraint("exposure_ms >= 0", name=op.f("ck_judgment_exposure_ms")),
        sa.CheckConstraint("flips >= 0", name=op.f("ck_judgment_flips")),
        sa.CheckConstraint("magnification > 0", name=op.f("ck_judgment_magnification")),
        sa.CheckConstraint("response_ms >= 0", name=op.f("ck_judgment_response_ms")),
        sa.CheckConstraint("revision >= 0", name=op.f("ck_judgment_revision")),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trial.id"], name=op.f("fk_judgment_trial_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgment")),
        sa.UniqueConstraint("client_uuid", name=op.f("uq_judgment_client_uuid")),
        sa.UniqueConstraint("trial_id", "revision", name=op.f("uq_judgment_trial_id_revision")),
    )
    op.create_table(
        "exclusion",
        sa.Column("judgment_id", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("excluded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["judgment_id"], ["judgment.id"], name=op.f("fk_exclusion_judgment_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("judgment_id", name=op.f("pk_exclusion")),
    )
    op.execute(REFUSE_CHANGE)
    op.execute(APPEND_ONLY)
    op.execute(JUDGMENTS)
    op.execute(STIMULI)


def downgrade() -> None:
    op.execute("DROP VIEW stimuli")
    op.execute("DROP VIEW judgments")
    op.execute("DROP TRIGGER judgment_append_only ON judgment")
    op.execute("DROP FUNCTION refuse_judgment_change()")
    # The tables' indexes go with them.
    op.drop_table("exclusion")
    op.drop_table("judgment")
    op.drop_table("trial")
    op.drop_table("pair_source")
    op.drop_table("stimulus")
    op.drop_table("session")
    op.drop_table("pair")
    op.drop_table("source")
    op.drop_table("rater")
    op.drop_table("condition")
    op.drop_table("study")
