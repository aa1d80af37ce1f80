"""The rater's pages: thin views over `participation`; the trials themselves come through the API."""

from __future__ import annotations

import math

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from study_app.context import SESSION_COOKIE, app_context
from study_app.participation import Sitting, StudyDescription, describe_study, find_sitting

#: Published studies of this kind took about 12 minutes for 40 trials.
SECONDS_PER_TRIAL = 18

blueprint = Blueprint("raters", __name__)


def _look_up() -> tuple[StudyDescription, Sitting | None]:
    context = app_context()
    with context.sessions.begin() as db:
        study = describe_study(db, context.study)
        return study, find_sitting(db, context.study, request.cookies.get(SESSION_COOKIE))


@blueprint.get("/")
def welcome() -> ResponseReturnValue:
    """What the study asks, and consent; a rater with an unfinished session goes on with it."""
    study, sitting = _look_up()
    if sitting is not None and not sitting.is_complete:
        return redirect(url_for("raters.rate" if sitting.done else "raters.instructions"), 303)
    minutes = math.ceil(study.session_length * SECONDS_PER_TRIAL / 60)
    return render_template("welcome.html", study=study, minutes=minutes)


@blueprint.get("/favicon.ico")
def favicon() -> ResponseReturnValue:
    """For documents that name no icon of their own, such as the report."""
    return current_app.send_static_file("icon.svg")


@blueprint.get("/instructions")
def instructions() -> ResponseReturnValue:
    """How to rate, with the study's own instructions."""
    study, sitting = _look_up()
    if sitting is None:
        return redirect(url_for("raters.welcome"), 303)
    if sitting.is_complete:
        return redirect(url_for("raters.thanks"), 303)
    paragraphs = [part.strip() for part in study.instructions.split("\n\n") if part.strip()]
    return render_template("instructions.html", study=study, paragraphs=paragraphs)


@blueprint.get("/rate")
def rate() -> ResponseReturnValue:
    """The page that shows one trial after another; its modules ask the API for them."""
    study, sitting = _look_up()
    if sitting is None:
        return redirect(url_for("raters.welcome"), 303)
    if sitting.is_complete:
        return redirect(url_for("raters.thanks"), 303)
    return render_template("rate.html", study=study)


@blueprint.get("/thanks")
def thanks() -> ResponseReturnValue:
    """Shown once the server has every answer of the session."""
    study, sitting = _look_up()
    if sitting is None:
        return redirect(url_for("raters.welcome"), 303)
    if not sitting.is_complete:
        return redirect(url_for("raters.rate"), 303)
    return render_template("thanks.html", study=study, answered=sitting.done)
