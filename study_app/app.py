"""The web application: `create_app` puts the views of raters, researchers and the API together."""

from __future__ import annotations

import logging

from flask import Flask, Response, jsonify, make_response, render_template, request
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from study_app import api, participation, pictures, raters, researchers
from study_app.context import AppContext, app_context
from study_app.database import check_schema, reason, session_factory
from study_app.errors import RequestError, StudyAppError
from study_app.settings import Settings
from study_app.web_security import add_headers, is_foreign_post

#: A judgment has about 400 bytes.
LARGEST_BODY = 64 * 1024
HEADINGS = {
    401: "No session",
    403: "Not allowed",
    404: "Not found",
    500: "Something went wrong here",
    503: "Not available right now",
}
logger = logging.getLogger("matchrate")


def create_app(settings: Settings, *, engine: Engine, study: str, researcher_token: str) -> Flask:
    """The application for one study of a database.

    Raises
    ------
    SchemaError
        The tables are not those of this version; the message names `matchrate db upgrade`.
    StudyNotLoaded
        The database has no such study; the message names `matchrate load`.
    """
    check_schema(engine)
    sessions = session_factory(engine)
    with sessions() as db:
        participation.describe_study(db, study)
    app = Flask("study_app")
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.config["MAX_FORM_MEMORY_SIZE"] = LARGEST_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["matchrate"] = AppContext(settings, engine, sessions, study, researcher_token)
    for room in (raters, researchers, api, pictures):
        app.register_blueprint(room.blueprint)
    app.before_request(_refuse_foreign_post)
    app.after_request(add_headers)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(StudyAppError, _own_error)
    app.register_error_handler(OperationalError, _database_error)
    app.register_error_handler(PoolTimeout, _database_error)
    app.register_error_handler(Exception, _unexpected_error)
    return app


def _refuse_foreign_post() -> Response | None:
    if is_foreign_post(app_context().settings.public_url):
        return error_response(403, "this request came from another site's page")
    return None


def error_response(status: int, message: str) -> Response:
    """One line for a person: JSON under /api/, else a page."""
    if request.path.startswith("/api/"):
        response = jsonify(error=message)
    else:
        heading = HEADINGS.get(status, "This did not work")
        response = make_response(
            render_template(
                "error.html", heading=heading, message=f"{message[:1].upper()}{message[1:]}.", link="/"
            )
        )
    response.status_code = status
    return response


def _http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:
        return make_response(error.get_response())
    messages = {
        404: "there is nothing at this address",
        405: "this address does not take such a request",
        413: "the request is too large",
    }
    response = error_response(status, messages.get(status, error.description or error.name))
    if status == 405 and getattr(error, "valid_methods", None):
        response.headers["Allow"] = ", ".join(error.valid_methods)  # type: ignore[attr-defined]
    return response


def _own_error(error: StudyAppError) -> Response:
    if isinstance(error, RequestError):
        return error_response(error.status, str(error))
    # The message may name a file of the server, which is the researcher's business only.
    logger.error("%s", error)
    return error_response(500, "the study's server has a problem; its researcher finds the reason in the log")


def _database_error(error: Exception) -> Response:
    logger.error("the database does not answer: %s", reason(error))
    return error_response(503, "the study's database does not answer right now; try again in a minute")


def _unexpected_error(error: Exception) -> Response:
    logger.exception("unexpected error at %s %s", request.method, request.path)
    return error_response(500, "the study's server has a problem; its researcher finds the reason in the log")
