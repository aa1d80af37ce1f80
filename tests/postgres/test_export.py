"""The export: the contract's tables of one moment, whole or not at all, without identities."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flask import Flask
from sqlalchemy import Engine, text

from analysis.contract import JUDGMENT_NAMES, STIMULUS_NAMES
from analysis.judgments import read_tables
from study_app import export
from study_app.errors import SchemaError, StudyNotLoaded, UsageError
from study_app.export import export_study

TOKEN = "researcher-token-of-the-tests"
WORKER = "worker-identity-0815"


def rate(app: Flask, **form: str) -> int:
    client = app.test_client()
    assert client.post("/enrol", data={"consent": "yes"} | form).status_code == 303
    answered = 0
    while not (page := client.get("/api/trials").get_json())["complete"]:
        body: dict[str, Any] = {"client_uuid": str(uuid.uuid4())}
        body |= {"trial": page["trials"][0]["trial"], "choice": 1 + answered % 2, "response_ms": 1500}
        body |= {"exposure_ms": 1400, "flips": 2, "magnification": 1, "device_pixel_ratio": 1.5}
        assert client.post("/api/judgments", json=body | {"viewport": "1440x900"}).status_code == 201
        answered += 1
    return answered


@pytest.fixture
def rated(app: Flask, engine: Engine) -> int:
    answered = rate(app) + rate(app, platform="simulated", worker=WORKER, token=TOKEN)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO exclusion (judgment_id, rule) SELECT min(id), 'too_fast' FROM judgment")
        )
    return answered


def test_tables_are_the_contracts_and_hold_every_judgment(
    rated: int, engine: Engine, study_folder: Path
) -> None:
    folder = export_study(engine, "tiny", study_folder)
    judgments = pd.read_csv(folder / "judgments.csv")
    stimuli = pd.read_csv(folder / "stimuli.csv")
    assert tuple(judgments.columns) == JUDGMENT_NAMES
    assert tuple(stimuli.columns) == STIMULUS_NAMES
    assert len(judgments) == rated == 10
    assert len(stimuli) == 12
    assert judgments["is_simulated"].sum() == 5
    assert judgments["is_excluded"].sum() == 1
    assert set(judgments["exclusion"].dropna()) == {"too_fast"}
    assert judgments["rater"].nunique() == 2


def test_csv_and_parquet_hold_the_same_cells(rated: int, engine: Engine, study_folder: Path) -> None:
    folder = export_study(engine, "tiny", study_folder)
    for name in ("judgments", "stimuli"):
        parquet = pd.read_parquet(folder / f"{name}.parquet")
        csv = pd.read_csv(folder / f"{name}.csv", dtype="string", keep_default_na=False, na_values=[""])
        assert list(csv.columns) == list(parquet.columns)
        assert len(csv) == len(parquet) > 0
        for column in parquet.columns:
            kind = parquet[column].dtype
            if isinstance(kind, pd.DatetimeTZDtype):
                typed = pd.to_datetime(csv[column], utc=True).astype(kind)
            elif str(kind) in ("boolean", "bool"):
                typed = csv[column].map({"true": True, "false": False}).astype(kind)
            else:
                typed = csv[column].astype(kind)
            pd.testing.assert_series_equal(typed, parquet[column], check_exact=True)


def test_the_analysis_reads_both_forms_alike(
    rated: int, engine: Engine, study_folder: Path, tmp_path: Path
) -> None:
    folder = export_study(engine, "tiny", study_folder)
    only_parquet = tmp_path / "parquet"
    only_parquet.mkdir()
    for name in ("judgments", "stimuli"):
        (only_parquet / f"{name}.parquet").write_bytes((folder / f"{name}.parquet").read_bytes())
    from_csv, from_parquet = read_tables(folder), read_tables(only_parquet)
    pd.testing.assert_frame_equal(from_csv.judgments, from_parquet.judgments)
    pd.testing.assert_frame_equal(from_csv.stimuli, from_parquet.stimuli)
    # A study folder stands for its newest export.
    assert read_tables(study_folder).sha256 == from_csv.sha256
    assert len(from_csv.judgments) == rated


def test_no_identity_and_no_cookie_leaves_the_database(
    rated: int, engine: Engine, study_folder: Path
) -> None:
    folder = export_study(engine, "tiny", study_folder)
    with engine.connect() as connection:
        secrets = list(connection.execute(text("SELECT worker FROM rater")).scalars())
        secrets += connection.execute(text("SELECT cookie_sha256 FROM session")).scalars().all()
        secrets += connection.execute(text("SELECT token_1 FROM trial")).scalars().all()
    assert WORKER in secrets
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in secrets), path.name


def test_export_json_tells_counts_and_hashes(rated: int, engine: Engine, study_folder: Path) -> None:
    folder = export_study(engine, "tiny", study_folder)
    about = json.loads((folder / "export.json").read_text())
    assert about["study"] == "tiny"
    assert about["counts"]["judgments"] == rated
    assert about["counts"]["judgments_by_kind"] == {"scored": rated}
    assert about["counts"]["judgments_simulated"] == 5
    assert about["counts"]["judgments_excluded"] == 1
    assert (about["counts"]["raters"], about["counts"]["raters_simulated"]) == (2, 1)
    for name, described in about["files"].items():
        content = (folder / name).read_bytes()
        assert described == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert set(about["files"]) == {path.name for path in folder.iterdir()} - {"export.json"}


def test_a_study_without_judgments_exports_empty_tables(
    app: Flask, engine: Engine, study_folder: Path
) -> None:
    folder = export_study(engine, "tiny", study_folder)
    assert (folder / "judgments.csv").read_text() == ",".join(JUDGMENT_NAMES) + "\n"
    assert len(pd.read_parquet(folder / "judgments.parquet")) == 0


def test_exports_are_kept_side_by_side_and_sort_by_time(
    rated: int, engine: Engine, study_folder: Path
) -> None:
    made = [export_study(engine, "tiny", study_folder) for _ in range(3)]
    assert sorted(made) == made
    assert all(re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z", folder.name) for folder in made)
    assert sorted((study_folder / "exports").iterdir()) == made


def test_a_failed_export_leaves_nothing(
    rated: int, engine: Engine, study_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "_describe", full)
    with pytest.raises(UsageError, match="No space left") as caught:
        export_study(engine, "tiny", study_folder)
    assert str(study_folder / "exports") in str(caught.value)
    assert list((study_folder / "exports").iterdir()) == []


def test_an_export_while_raters_answer_is_of_one_moment(
    app: Flask, engine: Engine, study_folder: Path
) -> None:
    def keep_rating() -> int:
        return sum(rate(app, platform="simulated", worker=f"robot {n}", token=TOKEN) for n in range(6))

    sizes = []
    with ThreadPoolExecutor(1) as pool:
        rating = pool.submit(keep_rating)
        while not rating.done():
            folder = export_study(engine, "tiny", study_folder)
            about = json.loads((folder / "export.json").read_text())
            rows = len(pd.read_csv(folder / "judgments.csv"))
            assert rows == about["counts"]["judgments"] == len(pd.read_parquet(folder / "judgments.parquet"))
            sizes.append(rows)
    assert rating.result() == 30
    assert sizes == sorted(sizes)


def test_what_is_written_between_the_two_tables_is_in_neither(
    rated: int, engine: Engine, study_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = export._table

    def read_then_change(*arguments: Any) -> pd.DataFrame:
        found = read(*arguments)
        with engine.begin() as connection:
            connection.execute(text("UPDATE stimulus SET bpp = 77"))
        return found

    monkeypatch.setattr(export, "_table", read_then_change)
    folder = export_study(engine, "tiny", study_folder)
    assert (pd.read_csv(folder / "stimuli.csv")["bpp"] < 77).all()


def test_an_unknown_study_and_an_old_schema_are_said(engine: Engine, study_folder: Path) -> None:
    with pytest.raises(StudyNotLoaded, match="matchrate load"):
        export_study(engine, "unknown", study_folder)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    with pytest.raises(SchemaError):
        export_study(engine, "unknown", study_folder)
    assert not (study_folder / "exports").exists()
