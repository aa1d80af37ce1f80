"""Where the two tables come from: an export folder, a study folder or a Postgres address."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.contract import METRIC_PREFIX
from analysis.errors import DatabaseRefusedError, InputNotFoundError, MalformedRowError, MalformedTableError

DATABASE_SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg://")
SUFFIXES = (".csv", ".parquet")
#: `exports/<UTC stamp>`: the stamps sort as text in the order of time.
_STAMP = re.compile(r"\d{4}-?\d{2}-?\d{2}T[0-9:.\-]+Z?")


@dataclass(frozen=True, slots=True, eq=False)
class RawTable:
    """Cells as they were found, and how to name a row to a person.

    `frame` is indexed by the number of the row as the file counts: CSV lines from the header's 1, rows of a
    Parquet file or of a view from 1.
    """

    frame: pd.DataFrame
    name: str
    row_word: str

    def row(self, index: object) -> str:
        """A row's name in an error message."""
        return f"{self.row_word} {index}"


def is_database_address(place: str) -> bool:
    """Whether `place` is read through SQL and not from disk."""
    return place.startswith(DATABASE_SCHEMES)


def without_password(address: str) -> str:
    """A database address as it may be shown: no password, neither before the host nor among the options."""
    # To the last @: a password with an @ that is not written %40 must not be shown in part.
    shown = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", address)
    return re.sub(r"([?&](?:ssl)?password=)[^&]*", r"\1***", shown, flags=re.IGNORECASE)


def read_raw_tables(place: str | Path, study: str | None) -> tuple[RawTable, RawTable]:
    """The judgments and the stimuli of `place`, unchecked.

    Raises InputNotFoundError, MalformedTableError, MalformedRowError (a ragged CSV line) or
    DatabaseRefusedError.
    """
    if is_database_address(str(place)):
        return _read_views(str(place), study)
    try:
        folder = export_folder(Path(place))
        return _read_file(folder, "judgments"), _read_file(folder, "stimuli")
    except OSError as error:
        raise InputNotFoundError(place, f"cannot be read: {error.strerror}") from error


def export_folder(folder: Path) -> Path:
    """`folder` itself when it holds tables, else the newest export under its `exports/`."""
    if not folder.exists():
        raise InputNotFoundError(
            folder, "no such folder; give an export folder, a study folder or postgresql://..."
        )
    if not folder.is_dir():
        raise InputNotFoundError(
            folder, "is a file; give the folder that holds judgments.csv and stimuli.csv"
        )
    if _table_path(folder, "judgments"):
        return folder
    exports = folder / "exports"
    if exports.is_dir():
        stamped = [child for child in exports.iterdir() if child.is_dir() and _STAMP.fullmatch(child.name)]
        if stamped:
            return max(stamped, key=lambda child: child.name)
    raise InputNotFoundError(
        folder, "holds neither judgments.csv nor an export under exports/; run `matchrate export` first"
    )


def _table_path(folder: Path, stem: str) -> Path | None:
    return next((folder / f"{stem}{s}" for s in SUFFIXES if (folder / f"{stem}{s}").is_file()), None)


def _read_file(folder: Path, stem: str) -> RawTable:
    path = _table_path(folder, stem)
    if path is None:
        raise InputNotFoundError(folder, f"holds no {stem}.csv or {stem}.parquet")
    return read_csv(path) if path.suffix == ".csv" else read_parquet(path)


def read_csv(path: Path) -> RawTable:
    """A CSV file with every cell as text; a line with too few or too many cells is refused by its number."""
    # The csv module and not pandas: pandas fills a short line with empty cells without a word.
    numbers: list[int] = []
    rows: list[list[str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(stream, strict=True)
            header = next(lines, None)
            if not header:
                raise MalformedTableError(str(path), "is empty; the first line names the columns")
            for cells in _nonempty(lines):
                if len(cells) != len(header):
                    why = f"{len(cells)} cells where the header names {len(header)}"
                    raise MalformedRowError(
                        str(path), f"line {lines.line_num}", header[min(len(cells), len(header)) - 1], why
                    )
                numbers.append(lines.line_num)
                rows.append(cells)
    except UnicodeDecodeError as error:
        raise MalformedTableError(str(path), f"is not UTF-8 text (byte {error.start})") from error
    except csv.Error as error:
        raise MalformedTableError(str(path), f"line {len(rows) + 2} is not CSV: {error}") from error
    except OSError as error:
        raise MalformedTableError(str(path), f"cannot be read: {error.strerror}") from error
    _refuse_repeated(str(path), header)
    frame = pd.DataFrame(rows, columns=pd.Index(header), index=pd.Index(numbers), dtype=object)
    return RawTable(frame, str(path), "line")


def _nonempty(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    return (cells for cells in lines if cells)


def read_parquet(path: Path) -> RawTable:
    """A Parquet file; rows are counted from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise MalformedTableError(
            str(path), f"is no readable Parquet file: {str(error).splitlines()[0]}"
        ) from error
    _refuse_repeated(str(path), table.column_names)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    return RawTable(_numbered(columns, table.num_rows), str(path), "row")


def _refuse_repeated(name: str, header: list[str]) -> None:
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        raise MalformedTableError(name, f"names the column {repeated[0]} twice")


def _numbered(columns: dict[str, list[Any]], rows: int) -> pd.DataFrame:
    index = pd.RangeIndex(1, rows + 1)
    return pd.DataFrame({k: pd.Series(v, index=index, dtype=object) for k, v in columns.items()}, index=index)


def _read_views(address: str, study: str | None) -> tuple[RawTable, RawTable]:
    from sqlalchemy import create_engine, make_url
    from sqlalchemy.exc import ArgumentError, OperationalError, ProgrammingError, SQLAlchemyError

    shown = without_password(address)
    try:
        url = make_url(address).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError) as error:
        raise DatabaseRefusedError(shown, "is no database address") from error
    if url.host and "@" in url.host:
        raise DatabaseRefusedError(shown, "has an @ too many; one within a password is written %40")
    # One read-only snapshot, so that the two views belong to the same moment.
    engine = create_engine(url, isolation_level="REPEATABLE READ", connect_args={"connect_timeout": 10})
    try:
        with engine.connect() as connection:
            connection = connection.execution_options(postgresql_readonly=True)
            return tuple(_read_view(connection, view, study, shown) for view in ("judgments", "stimuli"))  # type: ignore[return-value]
    except ProgrammingError as error:
        why = f"{_first_line(error)}; the views judgments and stimuli come with `matchrate db upgrade`"
        raise DatabaseRefusedError(shown, why) from error
    except OperationalError as error:
        raise DatabaseRefusedError(shown, f"Postgres does not answer: {_first_line(error)}") from error
    except SQLAlchemyError as error:
        raise DatabaseRefusedError(shown, _first_line(error)) from error
    finally:
        engine.dispose()


def _read_view(connection: Any, view: str, study: str | None, shown: str) -> RawTable:
    from sqlalchemy import text

    chosen = "" if study is None else " WHERE study = :study"
    result = connection.execute(
        text(f"SELECT * FROM {view}{chosen}"), {} if study is None else {"study": study}
    )
    names = list(result.keys())
    rows = result.all()
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    metrics = columns.pop("metrics", [])
    for name in sorted({name for row in metrics for name in row}):
        columns[METRIC_PREFIX + name] = [row.get(name) for row in metrics]
    if not rows and study is not None and view == "judgments":
        known = "SELECT study FROM judgments UNION SELECT study FROM stimuli ORDER BY 1"
        present = connection.execute(text(known)).scalars().all()
        if study not in present:
            from analysis.errors import UnknownStudyError

            raise UnknownStudyError(study, [str(name) for name in present])
    return RawTable(_numbered(columns, len(rows)), f"{shown} view {view}", "row")


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]
