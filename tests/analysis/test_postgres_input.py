"""Reading the two views from Postgres: the same study as its export, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL

from analysis.analyze_study import main
from analysis.errors import (
    DatabaseRefusedError,
    MalformedTableError,
    SeveralStudiesError,
    UnknownStudyError,
)
from analysis.judgments import read_tables
from analysis.simulation import SimulatedStudy

FolderMaker = Callable[..., Path]


@pytest.fixture
def engine(empty_database: URL) -> Iterator[Engine]:
    engine = create_engine(empty_database)
    yield engine
    engine.dispose()


@pytest.fixture
def address(engine: Engine, small_study: SimulatedStudy) -> str:
    """Two studies in one database, in tables that stand for the views."""
    for study, rows in (("simulated", slice(None)), ("other", slice(0, 200))):
        judgments = small_study.judgments.iloc[rows].assign(study=study)
        judgments.to_sql("judgments", engine, index=False, if_exists="append")
        small_study.stimuli.assign(study=study).to_sql("stimuli", engine, index=False, if_exists="append")
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def test_postgres_and_csv_are_one_study(
    address: str, small_study: SimulatedStudy, write_export: FolderMaker
) -> None:
    """The same hash, so the same results."""
    export = write_export(small_study.judgments, small_study.stimuli)
    assert read_tables(address, "simulated").sha256 == read_tables(export).sha256


def test_the_study_is_named_or_asked_for(address: str) -> None:
    """Several studies without a name, and an unknown name, are refused by name."""
    with pytest.raises(SeveralStudiesError, match="other, simulated"):
        read_tables(address)
    with pytest.raises(UnknownStudyError, match="no study 'odd' here; there is other, simulated"):
        read_tables(address, "odd")
    assert len(read_tables(address, "other").judgments) == 200


def test_a_study_without_a_judgment_yet_is_told_from_an_unknown_one(address: str, engine: Engine) -> None:
    """Its stimuli are loaded, and raters have not begun."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM judgments WHERE study = 'other'"))
    with pytest.raises(MalformedTableError, match="view judgments: holds no judgments yet"):
        read_tables(address, "other")


def test_the_whole_command_on_an_address(address: str, tmp_path: Path) -> None:
    """An address in place of a folder, its password in no output."""
    arguments = [
        address,
        "--study",
        "simulated",
        "--anchor",
        "old",
        "-o",
        str(tmp_path),
        "--replicates",
        "100",
    ]
    assert main(arguments) == 0
    assert (tmp_path / "report.html").exists()
    secret = address.split("://")[1].split("@")[0].partition(":")[2]
    if secret:
        assert secret not in (tmp_path / "results.json").read_text()


def test_bad_cells_are_named_by_view_and_row(address: str, engine: Engine) -> None:
    """A wrong value in a view reads like one in a file, without the password."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE judgments SET choice = 'x' WHERE study = 'other'"))
    with pytest.raises(Exception, match=r"view judgments, row 1, column choice: 'x' is not one of a, b, tie"):
        read_tables(address, "other")


def test_only_reading_happens(engine: Engine, address: str) -> None:
    """The transaction is read-only: a view that writes is refused by Postgres."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE trace (n int)"))
        connection.execute(
            text(
                "CREATE FUNCTION leave_trace() RETURNS boolean LANGUAGE plpgsql AS "
                "$$ BEGIN INSERT INTO trace VALUES (1); RETURN true; END $$"
            )
        )
        connection.execute(text("ALTER TABLE judgments RENAME TO rows"))
        connection.execute(text("CREATE VIEW judgments AS SELECT * FROM rows WHERE leave_trace()"))
    with pytest.raises(DatabaseRefusedError, match="read-only transaction"):
        read_tables(address, "other")


def test_a_database_without_the_views_names_the_command(engine: Engine) -> None:
    """An empty database is not upgraded."""
    place = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with pytest.raises(DatabaseRefusedError, match="matchrate db upgrade"):
        read_tables(place, "any")


def test_no_server_is_one_line_without_the_password() -> None:
    """Nothing listens there."""
    with pytest.raises(DatabaseRefusedError, match="does not answer") as caught:
        read_tables("postgresql://me:hush@127.0.0.1:1/none")
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
