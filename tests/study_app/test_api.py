"""The calls of the rating page, through the whole application on a real Postgres."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from stimuli.manifest import Manifest, picture_path
from study_app.context import SESSION_COOKIE
from study_app.settings import Settings

TOKEN = "researcher-token-of-the-tests"


def rows(engine: Engine, query: str, **values: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(query), values).all())


def test_enrolment_needs_consent(rater: Any) -> None:
    response = rater.client.post("/enrol", data={})
    assert response.status_code == 403
    assert "Set-Cookie" not in response.headers


def test_enrolment_sets_an_opaque_cookie_that_scripts_and_other_sites_do_not_get(rater: Any) -> None:
    response = rater.enrol()
    assert response.status_code == 303
    assert response.headers["Location"] == "/instructions"
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith(f"{SESSION_COOKIE}=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie


def test_cookie_is_secure_where_raters_come_over_https(app: Flask, rater: Any, study_folder: Any) -> None:
    context = app.extensions["matchrate"]
    app.extensions["matchrate"] = type(context)(
        Settings(folder=study_folder, public_url="https://study.example"),
        context.engine,
        context.sessions,
        context.study,
        context.researcher_token,
    )
    response = rater.client.post(
        "/enrol", data={"consent": "yes"}, headers={"Origin": "https://study.example"}
    )
    assert "Secure" in response.headers["Set-Cookie"]


def test_database_keeps_no_cookie_that_opens_a_session(rater: Any, engine: Engine) -> None:
    cookie = rater.enrol().headers["Set-Cookie"].split("=")[1].split(";")[0]
    stored = rows(engine, "SELECT session::text AS everything FROM session")
    assert cookie not in stored[0].everything


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
def test_post_from_another_sites_page_is_refused(rater: Any, headers: dict[str, str]) -> None:
    response = rater.client.post("/enrol", data={"consent": "yes"}, headers=headers)
    assert response.status_code == 403
    rater.enrol()
    response = rater.client.post("/api/judgments", json={}, headers=headers)
    assert response.status_code == 403
    assert set(response.get_json()) == {"error"}


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://localhost"}],
)
def test_post_of_our_own_page_or_of_a_program_is_taken(rater: Any, headers: dict[str, str]) -> None:
    assert rater.client.post("/enrol", data={"consent": "yes"}, headers=headers).status_code == 303


def test_trials_come_two_at_a_time_and_the_same_again_after_a_reload(rater: Any) -> None:
    rater.enrol()
    first = rater.trials()
    assert first["progress"] == {"done": 0, "total": 5}
    assert first["complete"] is False
    assert len(first["trials"]) == 2
    assert rater.trials() == first
    assert rater.post(rater.body(first["trials"][0]["trial"])).status_code == 201
    second = rater.trials()
    assert second["progress"]["done"] == 1
    assert second["trials"][0] == first["trials"][1]
    assert rater.trials() == second


def test_a_trial_has_opaque_names_and_its_pictures_size(rater: Any) -> None:
    rater.enrol()
    for trial in rater.trials()["trials"]:
        assert set(trial) == {"trial", "pictures", "width", "height"}
        assert (trial["width"], trial["height"]) == (12, 8)
        assert list(trial["pictures"]) == ["1", "2", "reference"]
        for address in trial["pictures"].values():
            assert re.fullmatch(r"/pictures/[A-Za-z0-9_-]{32}", address)


def test_a_session_ends_at_its_length_and_the_rater_may_begin_another(rater: Any, engine: Engine) -> None:
    rater.enrol()
    answered = 0
    while rater.answer():
        answered += 1
    assert answered == 5
    page = rater.trials()
    assert page == {"progress": {"done": 5, "total": 5}, "complete": True, "trials": []}
    assert rows(engine, "SELECT count(*) FROM judgment")[0][0] == 5
    assert rater.client.get("/rate").headers["Location"] == "/thanks"
    rater.enrol()
    assert rater.trials()["progress"] == {"done": 0, "total": 5}
    assert rows(engine, "SELECT count(*) FROM rater")[0][0] == 1
    assert rows(engine, "SELECT count(*) FROM session")[0][0] == 2


def test_enrolling_again_in_an_unfinished_session_goes_on_with_it(rater: Any, engine: Engine) -> None:
    rater.enrol()
    rater.answer()
    before = rater.trials()
    rater.enrol()
    assert rater.trials() == before
    assert rows(engine, "SELECT count(*) FROM session")[0][0] == 1


def test_a_rater_is_never_asked_the_same_source_and_pair_twice_and_stops_when_all_was_asked(
    rater: Any, engine: Engine
) -> None:
    questions = rows(engine, "SELECT count(*) FROM pair_source")[0][0]
    answered = 0
    for _ in range(questions):
        rater.enrol()
        while rater.answer():
            answered += 1
    assert answered == questions == 18
    asked = rows(engine, "SELECT pair_id, source_id FROM trial")
    assert len(set(asked)) == len(asked) == questions
    rater.enrol()
    assert rater.trials() == {"progress": {"done": 0, "total": 0}, "complete": True, "trials": []}


def test_the_same_post_again_gets_the_same_answer_and_is_stored_once(rater: Any, engine: Engine) -> None:
    rater.enrol()
    body = rater.body(rater.trials()["trials"][0]["trial"], choice=2)
    first, second = rater.post(body), rater.post(body)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.data == second.data
    assert first.get_json() == {"client_uuid": body["client_uuid"], "trial": body["trial"], "revision": 0}
    assert rows(engine, "SELECT count(*) FROM judgment")[0][0] == 1
    assert rows(engine, "SELECT sum(judged) FROM pair_source")[0][0] == 1
    # It still does when the session has moved on and ended.
    while rater.answer():
        pass
    assert rater.post(body).data == first.data


def test_an_answered_trial_takes_no_other_answer(rater: Any, engine: Engine) -> None:
    rater.enrol()
    body = rater.body(rater.trials()["trials"][0]["trial"], choice=1)
    rater.post(body)
    other = rater.post(body | {"client_uuid": str(uuid.uuid4()), "choice": 2})
    assert other.status_code == 409
    changed = rater.post(body | {"choice": 2})
    assert changed.status_code == 409
    assert rows(engine, "SELECT chosen_slot FROM judgment") == [(1,)]


def test_a_client_uuid_serves_one_judgment(rater: Any, another_rater: Any) -> None:
    rater.enrol()
    another_rater.enrol()
    mine, theirs = rater.trials()["trials"], another_rater.trials()["trials"]
    body = rater.body(mine[0]["trial"])
    assert rater.post(body).status_code == 201
    assert rater.post(body | {"trial": mine[1]["trial"]}).status_code == 409
    assert another_rater.post(body | {"trial": theirs[0]["trial"]}).status_code == 409


def test_another_raters_trial_is_unknown(rater: Any, another_rater: Any, engine: Engine) -> None:
    rater.enrol()
    another_rater.enrol()
    foreign = rater.trials()["trials"][0]["trial"]
    for trial in (foreign, "no-such-trial"):
        response = another_rater.post(another_rater.body(trial))
        assert response.status_code == 404
        assert set(response.get_json()) == {"error"}
    assert rows(engine, "SELECT count(*) FROM judgment")[0][0] == 0


@pytest.mark.parametrize("path", ["/api/trials", "/api/judgments"])
def test_calls_without_a_session_are_refused(rater: Any, path: str) -> None:
    for cookie in (None, "", "wrong", "\xe9"):
        if cookie is not None:
            rater.client.set_cookie(SESSION_COOKIE, cookie)
        body = rater.body("x")
        response = rater.client.get(path) if path == "/api/trials" else rater.post(body)
        assert response.status_code == 401
        assert set(response.get_json()) == {"error"}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"{}", "text/plain"),
        (b"[1]", "application/json"),
        (b"[" * 60_000, "application/json"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(rater: Any, data: bytes, kind: str) -> None:
    rater.enrol()
    response = rater.client.post("/api/judgments", data=data, content_type=kind)
    assert response.status_code == 400
    assert response.get_json()["error"].startswith("body: ")


def test_a_huge_body_is_refused(rater: Any) -> None:
    rater.enrol()
    response = rater.client.post("/api/judgments", data=b" " * 100_000, content_type="application/json")
    assert response.status_code in (400, 413)


def test_bad_fields_store_nothing(rater: Any, engine: Engine) -> None:
    rater.enrol()
    trial = rater.trials()["trials"][0]["trial"]
    response = rater.post(rater.body(trial, flips=-1))
    assert (response.status_code, response.get_json()) == (
        400,
        {"error": "flips: is not between 0 and 100000"},
    )
    assert rows(engine, "SELECT count(*) FROM judgment")[0][0] == 0


def test_a_judgment_is_stored_as_it_was_given(rater: Any, engine: Engine) -> None:
    rater.enrol()
    body = rater.body(rater.trials()["trials"][0]["trial"], choice=2)
    rater.post(body)
    found = rows(engine, "SELECT * FROM judgments")[0]._mapping
    slots = rows(engine, "SELECT slot_of_a FROM trial WHERE answered_at IS NOT NULL")[0]
    assert found["choice"] == ("a" if slots.slot_of_a == 2 else "b")
    assert (found["kind"], found["policy"], found["revision"]) == ("scored", "balanced", 0)
    assert (found["response_ms"], found["exposure_ms"], found["flips"]) == (2345, 2300, 4)
    assert (found["magnification"], found["device_pixel_ratio"]) == (1.0, 1.25)
    assert found["viewport"] == "1440x900"
    assert (found["is_simulated"], found["is_excluded"], found["exclusion"]) == (False, False, None)


def test_the_slots_show_what_the_database_says(rater: Any, engine: Engine, study_folder: Any) -> None:
    rater.enrol()
    while True:
        page = rater.trials()
        if page["complete"]:
            break
        trial = page["trials"][0]
        shown = {
            slot: hashlib.sha256(rater.client.get(address).data).hexdigest()
            for slot, address in trial["pictures"].items()
        }
        truth = rows(
            engine,
            """
            SELECT trial.slot_of_a, a.shown_sha256 AS a, b.shown_sha256 AS b, source.shown_sha256 AS reference
            FROM trial JOIN pair_source USING (pair_id, source_id)
            JOIN stimulus AS a ON a.id = stimulus_a_id JOIN stimulus AS b ON b.id = stimulus_b_id
            JOIN source ON source.id = trial.source_id
            WHERE public_id = :trial
            """,
            trial=trial["trial"],
        )[0]
        other = "2" if truth.slot_of_a == 1 else "1"
        assert shown == {str(truth.slot_of_a): truth.a, other: truth.b, "reference": truth.reference}
        rater.answer()


def test_pictures_are_the_files_byte_for_byte_with_headers_that_say_nothing(
    rater: Any, study_folder: Any, manifest: Manifest
) -> None:
    rater.enrol()
    files = {
        picture_path(study_folder, sha256).read_bytes()
        for sha256 in [s.shown_sha256 for s in manifest.stimuli] + [s.shown_sha256 for s in manifest.sources]
    }
    for trial in rater.trials()["trials"]:
        for address in trial["pictures"].values():
            response = rater.client.get(address)
            assert response.status_code == 200
            assert response.data in files
            assert response.headers["Content-Type"] == "image/png"
            assert response.headers["Cache-Control"] == "private, no-transform, immutable, max-age=3600"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            for absent in ("ETag", "Last-Modified", "Content-Disposition", "Server-Timing"):
                assert absent not in response.headers


def test_a_picture_is_only_for_the_session_that_it_was_drawn_for(rater: Any, another_rater: Any) -> None:
    rater.enrol()
    another_rater.enrol()
    address = rater.trials()["trials"][0]["pictures"]["reference"]
    assert rater.client.get(address).status_code == 200
    assert another_rater.client.get(address).status_code == 404
    rater.client.delete_cookie(SESSION_COOKIE)
    assert rater.client.get(address).status_code == 404
    for path in (
        "/pictures/nothing",
        "/pictures/%00",
        "/pictures/..%2f..%2fstudy.toml",
        "/pictures/" + "a" * 500,
    ):
        assert another_rater.client.get(path).status_code == 404


def test_simulated_raters_need_the_researchers_token_and_are_labelled(rater: Any, engine: Engine) -> None:
    form = {"platform": "simulated", "worker": "robot 1"}
    assert rater.enrol(**form).status_code == 403
    assert rater.enrol(**form, token="wrong").status_code == 403
    assert rater.enrol(platform="simulated", token=TOKEN).status_code == 403
    assert rater.enrol(**form, token=TOKEN).status_code == 303
    rater.answer()
    assert rows(engine, "SELECT is_simulated FROM judgments") == [(True,)]
    assert "robot" not in str(rows(engine, "SELECT * FROM judgments"))


def test_a_platform_that_the_study_does_not_recruit_from_is_refused(rater: Any) -> None:
    for platform in ("prolific", "mturk", "anything"):
        assert rater.enrol(platform=platform, worker="w").status_code == 403


def test_a_named_rater_who_comes_back_elsewhere_goes_on_with_the_session(
    rater: Any, another_rater: Any, engine: Engine
) -> None:
    form = {"platform": "simulated", "worker": "robot", "token": TOKEN}
    rater.enrol(**form)
    before = rater.trials()
    another_rater.enrol(**form)
    assert another_rater.trials() == before
    assert rater.client.get("/api/trials").status_code == 401
    assert rows(engine, "SELECT count(*) FROM session")[0][0] == 1


def test_draws_repeat_for_the_studys_seed_and_a_named_rater(rater: Any, engine: Engine) -> None:
    asked = []
    for _ in range(2):
        rater.enrol(platform="simulated", worker="robot", token=TOKEN)
        while rater.answer():
            pass
        asked.append(rows(engine, "SELECT pair_id, source_id, slot_of_a FROM trial ORDER BY ordinal"))
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM rater"))
            connection.execute(text("UPDATE pair_source SET judged = 0"))
    assert asked[0] == asked[1]


def test_the_slots_of_a_second_session_do_not_follow_the_first(rater: Any, engine: Engine) -> None:
    for worker in range(8):
        for _ in range(2):
            rater.enrol(platform="simulated", worker=f"robot {worker}", token=TOKEN)
            while rater.answer():
                pass
    alike = rows(
        engine,
        "SELECT count(*) FILTER (WHERE first.slot_of_a = second.slot_of_a), count(*) "
        "FROM trial AS first JOIN trial AS second USING (rater_id, ordinal) "
        "WHERE first.session_id < second.session_id",
    )[0]
    # Named raters' draws repeat, so this is no matter of luck from run to run; 40 fair tosses give 20 +- 3.2.
    assert alike[1] == 40
    assert 10 <= alike[0] <= 30


def test_open_trials_count_until_their_lease_ends_and_an_answer_after_that_is_taken(
    rater: Any, engine: Engine
) -> None:
    from study_app.drawing import snapshot

    def counted() -> int:
        from sqlalchemy.orm import Session

        with Session(engine) as db:
            study = rows(engine, "SELECT id FROM study")[0].id
            return sum(pair.total for pair in snapshot(db, study, 0).pairs)

    rater.enrol()
    trials = rater.trials()["trials"]
    assert counted() == 2
    with engine.begin() as connection:
        connection.execute(text("UPDATE trial SET leased_until = now() - interval '1 second'"))
    assert counted() == 0
    assert rater.post(rater.body(trials[0]["trial"])).status_code == 201
    assert counted() == 1
    # The rater is back: what is served is leased again.
    assert rater.trials()["trials"][0] == trials[1]
    assert counted() == 3


def test_errors_are_one_line_without_a_traceback(rater: Any, app: Flask) -> None:
    for path, status in (("/nowhere", 404), ("/api/nowhere", 404), ("/enrol", 405), ("/api/judgments", 405)):
        response = rater.client.get(path)
        assert response.status_code == status
        assert "Traceback" not in response.text
        if path.startswith("/api/"):
            assert set(response.get_json()) == {"error"}
            assert "\n" not in response.get_json()["error"]


def test_an_unexpected_error_and_a_lost_database_say_nothing_of_the_inside(
    rater: Any, app: Flask, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    from sqlalchemy.exc import OperationalError

    from study_app import participation

    rater.enrol()
    for error, status in (
        (ValueError("the secret inside"), 500),
        (OperationalError("SELECT secret", {}, Exception("the secret inside")), 503),
    ):

        def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(participation, "next_trials", fail)
        response = rater.client.get("/api/trials")
        assert response.status_code == status
        assert set(response.get_json()) == {"error"}
        assert "secret" not in response.text


def test_every_response_carries_the_security_headers(rater: Any) -> None:
    rater.enrol()
    address = rater.trials()["trials"][0]["pictures"]["1"]
    for path in (
        "/",
        "/instructions",
        "/rate",
        "/nowhere",
        "/api/trials",
        "/api/nowhere",
        "/researcher",
        address,
    ):
        headers = rater.client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        if not path.startswith("/pictures/"):
            assert headers["Cache-Control"] == "no-store"
