"""Sixteen raters at once on a real Postgres."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from stimuli.manifest import Manifest
from study_app.app import create_app
from study_app.drawing import snapshot
from study_app.loading import load_manifest
from study_app.settings import Settings

THREADS = 16
LENGTH = 12
SOURCES = 14


@pytest.fixture
def busy_app(
    engine: Engine, make_manifest: Callable[..., Manifest], study_folder: Path, settings: Settings
) -> Flask:
    load_manifest(engine, make_manifest(sources=SOURCES, session_length=LENGTH), study_folder)
    return create_app(settings, engine=engine, study="tiny", researcher_token="a token of the tests")


def body(trial: str) -> dict[str, Any]:
    return {
        "client_uuid": str(uuid.uuid4()),
        "trial": trial,
        "choice": 1,
        "response_ms": 1000,
        "exposure_ms": 1000,
        "flips": 2,
        "magnification": 1,
        "device_pixel_ratio": 1,
        "viewport": "1440x900",
    }


def pair_totals(engine: Engine) -> list[int]:
    with Session(engine) as db:
        study = db.execute(text("SELECT id FROM study")).scalar_one()
        return [pair.total for pair in snapshot(db, study, 0).pairs]


def test_sixteen_raters_at_once_get_level_pairs_and_every_answer_is_stored_once(
    busy_app: Flask, engine: Engine
) -> None:
    start = threading.Barrier(THREADS)

    def rate(_: int) -> list[str]:
        client = busy_app.test_client()
        assert client.post("/enrol", data={"consent": "yes"}).status_code == 303
        start.wait()
        answered: list[str] = []
        while True:
            page = client.get("/api/trials").get_json()
            if page["complete"]:
                return answered
            sent = body(page["trials"][0]["trial"])
            first = client.post("/api/judgments", json=sent)
            again = client.post("/api/judgments", json=sent)
            assert (first.status_code, again.status_code) == (201, 201), (first.text, again.text)
            assert first.data == again.data
            answered.append(sent["trial"])

    spread: list[int] = []
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(0.02):
            totals = pair_totals(engine)
            spread.append(max(totals) - min(totals))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            answered = [trial for trials in pool.map(rate, range(THREADS)) for trial in trials]
    finally:
        finished.set()
        watcher.join()
    assert len(answered) == len(set(answered)) == THREADS * LENGTH
    with engine.connect() as connection:
        trials = connection.execute(
            text("SELECT session_id, ordinal, rater_id, pair_id, source_id FROM trial")
        ).all()
        stored = connection.execute(text("SELECT trial FROM judgments")).scalars().all()
        counted = connection.execute(text("SELECT sum(judged) FROM pair_source")).scalar_one()
        sides = connection.execute(text("SELECT count(*) FROM trial WHERE slot_of_a = 1")).scalar_one()
        open_sessions = connection.execute(
            text("SELECT count(*) FROM session WHERE completed_at IS NULL")
        ).scalar_one()
    assert sorted(stored) == sorted(answered)
    assert len(trials) == counted == THREADS * LENGTH
    assert open_sessions == 0
    for session in {trial.session_id for trial in trials}:
        assert sorted(t.ordinal for t in trials if t.session_id == session) == list(range(LENGTH))
    assert len({(t.rater_id, t.pair_id, t.source_id) for t in trials}) == len(trials)
    # At every moment, not only at the end.
    assert max(spread) <= 1
    assert max(pair_totals(engine)) - min(pair_totals(engine)) <= 1
    # 192 fair tosses: 5 standard deviations are 35.
    assert abs(sides - THREADS * LENGTH / 2) < 35


def test_one_raters_many_tabs_see_the_same_two_trials(busy_app: Flask, engine: Engine) -> None:
    response = busy_app.test_client().post("/enrol", data={"consent": "yes"})
    cookie = response.headers["Set-Cookie"].split(";")[0].split("=", 1)[1]
    start = threading.Barrier(THREADS)

    def look(_: int) -> Any:
        client = busy_app.test_client()
        client.set_cookie("matchrate_session", cookie)
        start.wait()
        return client.get("/api/trials").get_json()

    with ThreadPoolExecutor(THREADS) as pool:
        pages = list(pool.map(look, range(THREADS)))
    assert all(page == pages[0] for page in pages)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM trial")).scalar_one() == 2


def test_the_same_judgment_sent_many_times_at_once_is_stored_once_and_answered_alike(
    busy_app: Flask, engine: Engine
) -> None:
    first = busy_app.test_client()
    response = first.post("/enrol", data={"consent": "yes"})
    cookie = response.headers["Set-Cookie"].split(";")[0].split("=", 1)[1]
    sent = body(first.get("/api/trials").get_json()["trials"][0]["trial"])
    start = threading.Barrier(THREADS)

    def send(number: int) -> tuple[int, bytes]:
        client = busy_app.test_client()
        client.set_cookie("matchrate_session", cookie)
        # Half repeat the judgment, half are another tab's answer to the same trial.
        mine = sent if number % 2 else sent | {"client_uuid": str(uuid.uuid4()), "choice": 2}
        start.wait()
        answer = client.post("/api/judgments", json=mine)
        return answer.status_code, answer.data if number % 2 else b""

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(send, range(THREADS)))
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT chosen_slot FROM judgment")).scalars().all()
        counted = connection.execute(text("SELECT sum(judged) FROM pair_source")).scalar_one()
    assert len(stored) == counted == 1
    repeated, others = answers[1::2], answers[0::2]
    assert len(set(repeated)) == 1
    if stored == [1]:
        assert repeated[0][0] == 201
        assert {status for status, _ in others} == {409}
    else:
        assert repeated[0][0] == 409
        assert sorted(status for status, _ in others) == [201] + [409] * (len(others) - 1)


def test_a_named_rater_who_enrols_many_times_at_once_has_one_session(busy_app: Flask, engine: Engine) -> None:
    start = threading.Barrier(THREADS)
    form = {"consent": "yes", "platform": "simulated", "worker": "robot", "token": "a token of the tests"}

    def come(_: int) -> int:
        client = busy_app.test_client()
        start.wait()
        return client.post("/enrol", data=form).status_code

    with ThreadPoolExecutor(THREADS) as pool:
        assert set(pool.map(come, range(THREADS))) == {303}
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM rater")).scalar_one() == 1
        assert connection.execute(text("SELECT count(*) FROM session")).scalar_one() == 1
