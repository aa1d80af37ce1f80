"""Judgments are append-only, and the view shows the last revision and the exclusions."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from study_app.models import Exclusion, Judgment, Trial
from study_app.participation import enrol, next_trials


@pytest.fixture
def trial(app: Flask, engine: Engine) -> Trial:
    with Session(engine, expire_on_commit=False) as db, db.begin():
        cookie = enrol(db, "tiny").cookie
        offered = next_trials(db, "tiny", cookie, lease_s=60).trials[0]
        return db.query(Trial).filter_by(public_id=offered.trial).one()


def judgment(trial: Trial, revision: int, slot: int, **changes: Any) -> Judgment:
    values = {"client_uuid": uuid.uuid4(), "response_ms": 1} | changes
    return Judgment(trial_id=trial.id, revision=revision, chosen_slot=slot, **values)


def choices(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(
            connection.execute(text("SELECT revision, choice, is_excluded, exclusion FROM judgments"))
        )


def test_view_shows_the_last_revision_of_a_trial_once(trial: Trial, engine: Engine) -> None:
    name = {trial.slot_of_a: "a", 3 - trial.slot_of_a: "b", 0: "tie"}
    for revision, slot in enumerate((1, 2, 0)):
        with Session(engine) as db, db.begin():
            db.add(judgment(trial, revision, slot))
        assert choices(engine) == [(revision, name[slot], False, None)]


def test_no_statement_changes_a_judgment(trial: Trial, engine: Engine) -> None:
    with Session(engine) as db, db.begin():
        db.add(judgment(trial, 0, 1))
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(text("UPDATE judgment SET chosen_slot = 2"))
    assert choices(engine)[0].choice == ("a" if trial.slot_of_a == 1 else "b")


def test_exclusion_is_a_row_beside_the_judgment(trial: Trial, engine: Engine) -> None:
    with Session(engine) as db, db.begin():
        row = judgment(trial, 0, 1)
        db.add(row)
        db.flush()
        db.add(Exclusion(judgment_id=row.id, rule="too_fast"))
    assert choices(engine)[0][2:] == (True, "too_fast")


def test_a_trial_takes_one_judgment_a_revision_and_a_client_uuid_one_judgment(
    trial: Trial, engine: Engine
) -> None:
    first = uuid.uuid4()
    with Session(engine) as db, db.begin():
        db.add(judgment(trial, 0, 1, client_uuid=first))
    for again in (judgment(trial, 0, 1), judgment(trial, 1, 1, client_uuid=first)):
        with pytest.raises(IntegrityError), Session(engine) as db, db.begin():
            db.add(again)


@pytest.mark.parametrize(
    "changes",
    [{"slot": 3}, {"response_ms": -1}, {"flips": -1}, {"magnification": 0}, {"device_pixel_ratio": -1}],
)
def test_tables_refuse_absurd_values_by_themselves(
    trial: Trial, engine: Engine, changes: dict[str, Any]
) -> None:
    slot = changes.pop("slot", 1)
    with pytest.raises(IntegrityError), Session(engine) as db, db.begin():
        db.add(judgment(trial, 0, slot, **changes))


def test_only_erasing_a_rater_takes_judgments_away(trial: Trial, engine: Engine) -> None:
    with Session(engine) as db, db.begin():
        db.add(judgment(trial, 0, 1))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM rater"))
    assert choices(engine) == []
