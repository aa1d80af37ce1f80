"""How a study counts and matches rates, and the objective metrics of its stimuli.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# A stimulus that is left out of the trials is no part of the study's results.
VIEW = """
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
  {rate}study.name AS study{metrics}
FROM stimulus
JOIN source ON source.id = stimulus.source_id
JOIN condition ON condition.id = stimulus.condition_id
JOIN study ON study.id = stimulus.study_id
WHERE stimulus.included
"""


def upgrade() -> None:
    op.add_column("study", sa.Column("rate", sa.Text(), server_default="file", nullable=False))
    op.add_column("study", sa.Column("match", sa.Text(), server_default="each", nullable=False))
    op.create_check_constraint(op.f("ck_study_rate"), "study", "rate IN ('file', 'payload')")
    op.alter_column("condition", "target_bpp", new_column_name="target")
    op.add_column(
        "stimulus",
        sa.Column(
            "metrics",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
    )
    op.execute("DROP VIEW stimuli")
    op.execute(VIEW.format(rate="study.rate AS rate,\n  ", metrics=",\n  stimulus.metrics AS metrics"))


def downgrade() -> None:
    op.execute("DROP VIEW stimuli")
    op.execute(VIEW.format(rate="", metrics=""))
    op.drop_column("stimulus", "metrics")
    op.alter_column("condition", "target", new_column_name="target_bpp")
    op.drop_constraint(op.f("ck_study_rate"), "study")
    op.drop_column("study", "match")
    op.drop_column("study", "rate")
