"""The schema: migrations up and down, drift from the models, several upgrades at once, refusals."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from analysis.contract import JUDGMENT_NAMES, STIMULUS_NAMES
from stimuli.manifest import Manifest
from study_app import database
from study_app.cli import main
from study_app.errors import DatabaseError, SchemaError
from study_app.judgment_input import read_judgment
from study_app.loading import load_manifest
from study_app.participation import enrol, next_trials, record_judgment


@pytest.fixture
def empty(empty_database: URL) -> Iterator[Engine]:
    engine = database.connect(empty_database)
    yield engine
    engine.dispose()


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) | set(inspect(engine).get_view_names())


def test_migrations_and_models_agree(engine: Engine) -> None:
    assert database.schema_drift(engine) == []


def test_drift_is_seen(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE study ADD COLUMN strange int"))
    assert database.schema_drift(engine) != []


def test_up_down_and_up_again_leaves_the_same_schema(empty: Engine) -> None:
    assert tables(empty) == set()
    database.upgrade(empty)
    made = tables(empty)
    names = {"study", "source", "condition", "stimulus", "pair", "rater", "session", "trial", "judgment"}
    assert names | {"judgments", "stimuli"} <= made
    database.downgrade(empty, "base")
    assert tables(empty) == {"alembic_version"}
    with empty.connect() as connection:
        left = connection.execute(
            text("SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        ).scalar_one()
    assert left == 0
    database.upgrade(empty)
    assert tables(empty) == made
    assert database.schema_drift(empty) == []


CATALOGUE = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
    "WHERE table_schema = 'public' ORDER BY 1, 2",
    "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1",
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
)
CONTENT = (
    "SELECT * FROM judgments ORDER BY judgment_id",
    "SELECT * FROM stimuli ORDER BY source, condition",
    "SELECT * FROM condition ORDER BY id",
    "SELECT * FROM study ORDER BY id",
)


def seen(engine: Engine, queries: tuple[str, ...]) -> list[list[dict[str, Any]]]:
    with engine.connect() as connection:
        return [[dict(row) for row in connection.execute(text(query)).mappings()] for query in queries]


def test_a_study_with_judgments_goes_up_and_down_unchanged(
    empty: Engine, make_manifest: Callable[..., Manifest], study_folder: Path
) -> None:
    """From the first schema, with a judged study: nothing is lost, and its manifest is loaded already."""
    database.upgrade(empty, "0001")
    first = seen(empty, CATALOGUE)
    database.upgrade(empty)
    last = seen(empty, CATALOGUE)
    manifest = make_manifest()
    load_manifest(empty, manifest, study_folder)
    with Session(empty) as db, db.begin():
        cookie = enrol(db, "tiny").cookie
        trial = next_trials(db, "tiny", cookie, lease_s=60).trials[0].trial
        body = {"client_uuid": "2f1c7a52-7d0e-4a3a-9a80-0c2b5f8f9d11", "trial": trial, "choice": 1}
        body |= {"response_ms": 1, "exposure_ms": 1, "flips": 1, "magnification": 1}
        answer = read_judgment(body | {"device_pixel_ratio": 1, "viewport": "1x1"})
        record_judgment(db, "tiny", cookie, answer)
    content = seen(empty, CONTENT)
    assert [len(rows) for rows in content] == [1, 12, 4, 1]
    database.downgrade(empty, "0001")
    assert seen(empty, CATALOGUE) == first
    judgments, stimuli = seen(empty, CONTENT)[:2]
    assert judgments == content[0]
    later = {"rate", "metrics"}
    assert stimuli == [{k: v for k, v in row.items() if k not in later} for row in content[1]]
    database.upgrade(empty)
    assert seen(empty, CATALOGUE) == last
    assert seen(empty, CONTENT) == content
    assert not load_manifest(empty, manifest, study_folder).changed


def test_views_have_the_columns_of_the_contract_in_its_order(engine: Engine) -> None:
    with engine.connect() as connection:
        judgments = list(connection.execute(text("SELECT * FROM judgments")).keys())
        stimuli = list(connection.execute(text("SELECT * FROM stimuli")).keys())
    assert judgments == list(JUDGMENT_NAMES)
    assert stimuli == [*STIMULUS_NAMES, "study", "metrics"]


def test_several_upgrades_at_once_make_one_schema(empty: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(database.upgrade, empty) for _ in range(4)]:
            done.result()
    assert database.check_schema(empty) == database.head_revision()


def test_an_empty_database_is_refused_by_check_and_filled_by_prepare(empty: Engine) -> None:
    with pytest.raises(SchemaError, match="matchrate db upgrade"):
        database.check_schema(empty)
    assert database.prepare_schema(empty) == database.head_revision()


def test_an_old_schema_is_refused_with_the_command_to_run(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "head_revision", lambda: "9999")
    for refuse in (database.check_schema, database.prepare_schema):
        with pytest.raises(SchemaError, match="run `matchrate db upgrade`") as caught:
            refuse(engine)
        assert "\n" not in str(caught.value)


def test_a_schema_of_a_newer_version_is_refused_and_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'of_tomorrow'"))
    for refuse in (database.check_schema, database.upgrade):
        with pytest.raises(SchemaError, match="newer Matchrate"):
            refuse(engine)
    assert database.current_revision(engine) == "of_tomorrow"


def test_a_percent_sign_in_the_address_does_no_harm(empty_database: URL) -> None:
    url = empty_database.update_query_dict({"application_name": "100%(here)s"})
    engine = database.connect(url)
    try:
        database.upgrade(engine)
        assert database.check_schema(engine)
    finally:
        engine.dispose()


def test_what_the_address_asks_of_its_sessions_stays_in_force(empty_database: URL) -> None:
    url = empty_database.update_query_dict({"options": "-csearch_path=elsewhere", "application_name": "mine"})
    engine = database.connect(url)
    with engine.connect() as connection:
        shown = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("search_path", "application_name", "timezone")
        ]
    engine.dispose()
    assert shown == ["elsewhere", "mine", "UTC"]


def test_an_error_repeats_no_parameters(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DataError) as caught:
        connection.execute(text("SELECT CAST(:worker AS text), 1 / 0"), {"worker": "a rater's name"})
    assert "a rater's name" not in str(caught.value)


def test_a_user_who_may_not_make_tables_is_told_in_one_line(
    empty_database: URL,
    maintenance: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    owner = database.connect(empty_database)
    name = f"stranger_{secrets.token_hex(6)}"
    with maintenance.connect() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'of the test'"))
    try:
        with owner.begin() as connection:
            connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
        url = empty_database.set(username=name, password="of the test")
        monkeypatch.setenv("MATCHRATE_DATABASE_URL", url.render_as_string(hide_password=False))
        assert main(["db", "upgrade", str(tmp_path)]) == 2
    finally:
        owner.dispose()
        with maintenance.connect() as connection:
            connection.execute(text(f"DROP ROLE {name}"))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "permission denied" in said
    assert "owner of the database" in said


def test_migrations_are_found_inside_the_package_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "study_app"
    for folder in (package / "migrations", tmp_path / "site" / "migrations"):
        folder.mkdir(parents=True)
        (folder / "env.py").write_text("")
    monkeypatch.setattr(database, "__file__", str(package / "database.py"))
    assert database.migrations_folder() == package / "migrations"
    (package / "migrations" / "env.py").unlink()
    assert database.migrations_folder() == tmp_path / "site" / "migrations"
    (tmp_path / "site" / "migrations" / "env.py").unlink()
    with pytest.raises(DatabaseError, match="install matchrate again"):
        database.migrations_folder()


@pytest.mark.parametrize(
    "given", ["postgres://u:p@h:1/d", "postgresql://u:p@h:1/d", "postgresql+psycopg://u:p@h:1/d"]
)
def test_every_spelling_of_a_postgres_address_gets_the_driver(given: str) -> None:
    url = database.postgres_url(given)
    assert url.render_as_string(hide_password=False) == "postgresql+psycopg://u:p@h:1/d"


@pytest.mark.parametrize(
    "given",
    [
        "sqlite:///x.db",
        "mysql://u:secret@h/d",
        "no address",
        "postgresql://u:p@h:port/d",
        "postgresql://u:p@secret@h/d",
    ],
)
def test_another_address_is_refused_in_one_line_without_its_password(given: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        database.postgres_url(given)
    assert "MATCHRATE_DATABASE_URL" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "given", ["postgresql://u:secret@127.0.0.1:1/d", "postgresql://127.0.0.1:1/d?user=u&password=secret"]
)
def test_a_server_that_does_not_answer_is_one_line_without_its_password(given: str) -> None:
    with pytest.raises(DatabaseError, match="does not answer") as caught:
        database.connect(given)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_old_postgres_is_refused(postgres_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OLDEST_POSTGRES", 99)
    with pytest.raises(DatabaseError, match="needs 99 or later"):
        database.connect(postgres_url)
