"""Engine, sessions, and the schema: migrations up and check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from study_app.embedded_postgres import EmbeddedPostgres
from study_app.errors import DatabaseError, SchemaError
from study_app.models import Base
from study_app.settings import Settings

OLDEST_POSTGRES = 14
#: Any number that no other program on the same database is likely to lock.
UPGRADE_LOCK = 0x6D61746368
SessionFactory = sessionmaker[Session]


def postgres_url(given: str | URL) -> URL:
    """The address for SQLAlchemy with the driver psycopg 3.

    Raises DatabaseError when the address is malformed or not one of Postgres; the password is never repeated.
    """
    try:
        url = make_url(given)
    except (ArgumentError, ValueError) as error:
        raise DatabaseError(
            "MATCHRATE_DATABASE_URL is no address: write postgresql://user:password@host:5432/database"
        ) from error
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise DatabaseError(
            f"MATCHRATE_DATABASE_URL names {url.drivername}, and Matchrate keeps judgments in Postgres "
            f"{OLDEST_POSTGRES} or later: write postgresql://user:password@host:5432/database"
        )
    if "@" in (url.host or ""):
        raise DatabaseError("MATCHRATE_DATABASE_URL has an @ in its password: write %40 for it")
    return url.set(drivername="postgresql+psycopg")


def connect(given: str | URL, *, pool_size: int = 16) -> Engine:
    """An engine on a Postgres that answered and is new enough.

    Raises DatabaseError when it does not answer or is older than Postgres 14.
    """
    url = postgres_url(given)
    # What the address says of itself, such as a search_path among the options, stays in force.
    wanted: dict[str, object] = {"application_name": "matchrate", "connect_timeout": "10", **url.query}
    wanted["options"] = f"{wanted.get('options', '')} -c timezone=UTC".strip()
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_pre_ping=True,
        connect_args={name: wanted[name] for name in ("options", "application_name", "connect_timeout")},
        # A log of an error needs no rater's name and no picture's address.
        hide_parameters=True,
    )
    try:
        with engine.connect() as connection:
            version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    except OperationalError as error:
        engine.dispose()
        raise DatabaseError(f"the database {_shown(url)} does not answer: {reason(error)}") from error
    if version < OLDEST_POSTGRES * 10_000:
        engine.dispose()
        raise DatabaseError(
            f"the database runs PostgreSQL {version // 10_000} and Matchrate needs {OLDEST_POSTGRES} or later"
        )
    return engine


def _shown(url: URL) -> str:
    return url.difference_update_query(("password", "sslpassword")).render_as_string(hide_password=True)


def reason(error: Exception) -> str:
    """The first line of what the driver said, on one line."""
    original: object = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(original).splitlines() if line.strip()]
    return lines[0] if lines else type(original).__name__


@contextmanager
def open_database(settings: Settings) -> Iterator[Engine]:
    """The study's database while the block runs: the environment's, else the embedded Postgres.

    Raises DatabaseError or EmbeddedPostgresError.
    """
    if settings.database_url is not None:
        engine = connect(settings.database_url)
        try:
            yield engine
        finally:
            engine.dispose()
        return
    if not settings.folder.is_dir():
        raise DatabaseError(f"{settings.folder} is no folder: run `matchrate init {settings.folder}` first")
    with EmbeddedPostgres(settings.folder / "postgres") as server:
        engine = connect(server.url)
        try:
            yield engine
        finally:
            engine.dispose()


def session_factory(engine: Engine) -> SessionFactory:
    """Sessions whose objects stay readable after commit."""
    return sessionmaker(engine, expire_on_commit=False)


def migrations_folder() -> Path:
    """Alembic's folder: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise DatabaseError("the migrations are not installed beside study_app: install matchrate again")


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    # Not as sqlalchemy.url: a % in a password would be read as interpolation.
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """The revision that this version of the code needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise DatabaseError("the migrations folder has no revision: install matchrate again")
    return head


def current_revision(engine: Engine) -> str | None:
    """The revision of the database, or None when it has no schema of ours."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up; several processes may call it at once, and all of it happens or nothing."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        current = MigrationContext.configure(connection).get_current_revision()
        _refuse_unknown(current)
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to a revision, or to nothing with `base`."""
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
        command.downgrade(_config(connection), revision)


def check_schema(engine: Engine) -> str:
    """The revision of the database when it is the one that this version needs.

    Raises SchemaError, which names the command to run, when it is another.
    """
    found, expected = current_revision(engine), head_revision()
    if found != expected:
        _refuse_unknown(found)
        raise SchemaError(found, expected)
    return found


def prepare_schema(engine: Engine) -> str:
    """Make the schema in an empty database; refuse one of another version as `check_schema` does."""
    if current_revision(engine) is None:
        upgrade(engine)
    return check_schema(engine)


def schema_drift(engine: Engine) -> list[Any]:
    """What the models have and the tables lack, or the other way: empty when migrations and models agree."""
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, Base.metadata))


def _refuse_unknown(found: str | None) -> None:
    script = ScriptDirectory.from_config(_config())
    known = {revision.revision for revision in script.walk_revisions()}
    if found is not None and found not in known:
        raise SchemaError(found, head_revision(), known=False)
