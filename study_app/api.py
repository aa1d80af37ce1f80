"""The calls of the rating page: enrol, open trials, judgments. docs/architecture.md lists them."""

from __future__ import annotations

import hmac

from flask import Blueprint, Response, jsonify, make_response, redirect, request, url_for

from study_app import participation
from study_app.context import SESSION_COOKIE, AppContext, app_context
from study_app.errors import EnrolmentRefused, JudgmentInvalid
from study_app.judgment_input import read_judgment
from study_app.participation import OfferedTrial, Sitting

blueprint = Blueprint("api", __name__)

#: A session's cookie outlives a long break, and no longer.
COOKIE_AGE_S = 30 * 24 * 60 * 60


@blueprint.post("/enrol")
def enrol() -> Response:
    """Consent was given: set the session's cookie and go on to the instructions."""
    context = app_context()
    if request.form.get("consent") != "yes":
        raise EnrolmentRefused("consent: tick it to take part")
    platform = request.form.get("platform", "open")
    if platform == "simulated":
        token = request.form.get("token", "")
        if not hmac.compare_digest(token.encode(), context.researcher_token.encode()):
            raise EnrolmentRefused("token: only the researcher may enrol simulated raters")
    elif platform != "open":
        raise EnrolmentRefused("platform: this study is open to anyone with its address only")
    with context.sessions.begin() as db:
        enrolment = participation.enrol(
            db,
            context.study,
            platform=platform,
            worker=request.form.get("worker"),
            cookie=request.cookies.get(SESSION_COOKIE),
        )
    response = make_response(redirect("/instructions", code=303))
    set_session_cookie(context, response, enrolment.cookie)
    return response


def set_session_cookie(context: AppContext, response: Response, cookie: str) -> None:
    """Give the browser its session: no script reads the cookie, and no other site's page sends it."""
    response.set_cookie(
        SESSION_COOKIE,
        cookie,
        max_age=COOKIE_AGE_S,
        httponly=True,
        samesite="Lax",
        secure=context.settings.is_https or request.is_secure,
        path="/",
    )


@blueprint.get("/api/trials")
def trials() -> Response:
    """The open trial and the one after it; the same ones until they are answered."""
    context = app_context()
    with context.sessions.begin() as db:
        answer = participation.next_trials(
            db,
            context.study,
            request.cookies.get(SESSION_COOKIE),
            lease_s=context.settings.lease_s,
        )
    return jsonify(_progress(answer.sitting) | {"trials": [_trial(trial) for trial in answer.trials]})


@blueprint.post("/api/judgments")
def judgments() -> tuple[Response, int]:
    """Store a judgment; the same body again gets the same answer."""
    context = app_context()
    try:
        body = request.get_json(silent=True)
    except RecursionError:
        body = None
    if body is None:
        raise JudgmentInvalid("body", "send one JSON object with Content-Type application/json")
    judgment = read_judgment(body)
    with context.sessions.begin() as db:
        receipt = participation.record_judgment(
            db, context.study, request.cookies.get(SESSION_COOKIE), judgment
        )
    return (
        jsonify(client_uuid=receipt.client_uuid, trial=receipt.trial, revision=receipt.revision),
        201,
    )


def _progress(sitting: Sitting) -> dict[str, object]:
    return {
        "progress": {"done": sitting.done, "total": sitting.total},
        "complete": sitting.is_complete,
    }


def _trial(trial: OfferedTrial) -> dict[str, object]:
    return {
        "trial": trial.trial,
        "pictures": {
            "1": url_for("pictures.picture", token=trial.token_1),
            "2": url_for("pictures.picture", token=trial.token_2),
            "reference": url_for("pictures.picture", token=trial.token_reference),
        },
        "width": trial.width,
        "height": trial.height,
    }
