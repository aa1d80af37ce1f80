"""Rows into tidy tables: the two tables of the contract as CSV and Parquet, raters under pseudonyms."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from sqlalchemy import Connection, Engine, text

from analysis.contract import JUDGMENT_COLUMNS, METRIC_PREFIX, STIMULUS_COLUMNS, Column
from study_app import __version__
from study_app.database import check_schema
from study_app.errors import StudyNotLoaded, UsageError

FORMAT = 1
STIMULI_ORDER = "source, codec, target_bpp, condition"
#: pandas types that keep an empty cell apart from 0, false and "".
DTYPES = {
    "text": "string",
    "integer": "Int64",
    "number": "Float64",
    "boolean": "boolean",
    "time": "datetime64[us, UTC]",
}


def export_study(engine: Engine, study: str, folder: Path) -> Path:
    """Write the study's tables into `folder/exports/<UTC time>/` and return that folder.

    All rows are of one moment, and the export appears whole or not at all. `worker` identities stay in the
    database: `rater` and `session` are random pseudonyms.

    Raises StudyNotLoaded, SchemaError, and UsageError when the folder cannot be written.
    """
    revision = check_schema(engine)
    # Before the rows are read: what was answered after this moment may be missing, nothing before it.
    now = datetime.now(UTC)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        found = connection.execute(
            text("SELECT name FROM study WHERE name = :study"), {"study": study}
        ).first()
        if found is None:
            raise StudyNotLoaded(study)
        server = str(connection.execute(text("SHOW server_version")).scalar_one())
        judgments = _table(connection, "judgments", JUDGMENT_COLUMNS, study, "judgment_id::bigint")
        stimuli = _table(connection, "stimuli", STIMULUS_COLUMNS, study, STIMULI_ORDER)
        stimuli = stimuli.assign(**_metrics(connection, study))
    exports = folder / "exports"
    # The stamp sorts by time as text; microseconds keep two exports of one second apart.
    final = exports / now.strftime("%Y%m%dT%H%M%S.%fZ")
    partial = exports / f".partial-{final.name}-{os.getpid()}"
    try:
        partial.mkdir(parents=True)
        for name, table in (("judgments", judgments), ("stimuli", stimuli)):
            _csv_form(table).to_csv(
                partial / f"{name}.csv", index=False, lineterminator="\n", encoding="utf-8"
            )
            table.to_parquet(partial / f"{name}.parquet", index=False)
        about = {
            "format": FORMAT,
            "study": study,
            "exported_at": now.isoformat(),
            "matchrate": __version__,
            "schema": revision,
            "postgres": server,
            "counts": _counts(judgments, stimuli),
            "files": {path.name: _describe(path) for path in sorted(partial.iterdir())},
        }
        (partial / "export.json").write_text(
            json.dumps(about, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        partial.rename(final)
    except OSError as error:
        raise UsageError(f"{exports}: the export cannot be written ({error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return final


def _table(
    connection: Connection, view: str, columns: Sequence[Column], study: str, order: str
) -> pd.DataFrame:
    names = ", ".join(column.name for column in columns)
    rows = connection.execute(
        text(f"SELECT {names} FROM {view} WHERE study = :study ORDER BY {order}"), {"study": study}
    ).all()
    return pd.DataFrame(
        {
            column.name: pd.Series([row[index] for row in rows], dtype=DTYPES[column.kind])
            for index, column in enumerate(columns)
        }
    )


def _metrics(connection: Connection, study: str) -> dict[str, pd.Series]:
    """A column for every metric of the study's stimuli, in the order of their rows."""
    query = text(f"SELECT metrics FROM stimuli WHERE study = :study ORDER BY {STIMULI_ORDER}")
    rows = list(connection.execute(query, {"study": study}).scalars())
    names = sorted({name for row in rows for name in row})
    return {
        METRIC_PREFIX + name: pd.Series([row.get(name) for row in rows], dtype=DTYPES["number"])
        for name in names
    }


def _csv_form(table: pd.DataFrame) -> pd.DataFrame:
    """Times as ISO 8601 with the Z of UTC, booleans as true and false; empty cells stay empty."""
    form = table.copy()
    for name in form.columns:
        if isinstance(form[name].dtype, pd.DatetimeTZDtype):
            form[name] = form[name].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ").astype("string")
        elif form[name].dtype == "boolean":
            form[name] = form[name].map({True: "true", False: "false"}).astype("string")
    return form


def _counts(judgments: pd.DataFrame, stimuli: pd.DataFrame) -> dict[str, object]:
    simulated = judgments["is_simulated"].fillna(False)
    return {
        "judgments": len(judgments),
        "judgments_by_kind": {
            str(kind): int(rows) for kind, rows in judgments["kind"].value_counts().items()
        },
        "judgments_simulated": int(simulated.sum()),
        "judgments_excluded": int(judgments["is_excluded"].fillna(False).sum()),
        "raters": int(judgments["rater"].nunique()),
        "raters_simulated": int(judgments["rater"][simulated].nunique()),
        "sources": int(stimuli["source"].nunique()),
        "conditions": int(stimuli["condition"].nunique()),
        "stimuli": len(stimuli),
    }


def _describe(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
