"""Alembic's entry: `study_app.database` hands it the connection, so no address is in a config file."""

from __future__ import annotations

from alembic import context

from study_app.models import Base

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run migrations with `matchrate db upgrade`")

context.configure(connection=connection, target_metadata=Base.metadata, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
