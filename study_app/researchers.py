"""The researcher's pages: a token opens them, a cookie keeps them open."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flask import Blueprint, redirect, render_template, request, send_from_directory, url_for
from flask.typing import ResponseReturnValue

from study_app.context import RESEARCHER_COOKIE, app_context
from study_app.counts import count_study
from study_app.participation import describe_study

REPORT = "report.html"
RESULTS = "results.json"
COOKIE_S = 30 * 24 * 60 * 60
#: The report is one self-contained file with its style and pictures inside; it needs no script.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

blueprint = Blueprint("researchers", __name__, url_prefix="/researcher")


@dataclass(frozen=True, slots=True)
class ReportAge:
    """How current the report is."""

    made_at: datetime
    """When its figures were written, in UTC."""
    judgments: int | None
    """How many judgments it was made from; None when its figures do not tell."""


def _judgments_of(results: Path) -> int | None:
    # Whatever stands in the file, the page of the counts must open: an analysis may be writing it just now.
    try:
        counts = json.loads(results.read_bytes())["counts"]
        number = counts["judgments_read"] if "judgments_read" in counts else counts["judgments"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return number if type(number) is int and number >= 0 else None


def _report_age(folder: Path) -> ReportAge | None:
    """Age of the report in this folder; None when there is none."""
    if not (folder / REPORT).is_file():
        return None
    for name in (RESULTS, REPORT):
        try:
            written = (folder / name).stat().st_mtime
        except OSError:
            continue
        return ReportAge(datetime.fromtimestamp(written, UTC), _judgments_of(folder / RESULTS))
    return None


def _is_token(given: str | None) -> bool:
    # In constant time, so that answers do not tell how much of a guess was right.
    return given is not None and hmac.compare_digest(
        given.encode(errors="replace"), app_context().researcher_token.encode()
    )


def _forbidden() -> ResponseReturnValue:
    message = "This page is for the study's researcher. Open the whole address that the server printed."
    return render_template("error.html", heading="Not allowed", message=message), 403


@blueprint.get("")
def overview() -> ResponseReturnValue:
    """Counts and the way to the report; a token in the address becomes a cookie and leaves the address."""
    context = app_context()
    given = request.args.get("token")
    if given is not None:
        if not _is_token(given):
            return _forbidden()
        response = redirect(url_for("researchers.overview"), 303)
        response.set_cookie(
            RESEARCHER_COOKIE,
            given,
            max_age=COOKIE_S,
            path=url_for("researchers.overview"),
            secure=context.settings.is_https,
            httponly=True,
            samesite="Lax",
        )
        return response
    if not _is_token(request.cookies.get(RESEARCHER_COOKIE)):
        return _forbidden()
    with context.sessions.begin() as db:
        study = describe_study(db, context.study)
        counts = count_study(db, context.study)
    report_age = _report_age(context.settings.folder / "report")
    return render_template(
        "researcher.html",
        study=study,
        counts=counts,
        report_age=report_age,
        rating_url=context.settings.public_url or request.url_root,
    )


@blueprint.get("/report/", defaults={"name": REPORT})
@blueprint.get("/report/<path:name>")
def report(name: str) -> ResponseReturnValue:
    """A file of the report folder."""
    if not _is_token(request.cookies.get(RESEARCHER_COOKIE)):
        return _forbidden()
    folder = app_context().settings.folder / "report"
    if name == REPORT and not (folder / REPORT).is_file():
        message = "There is no report yet: run `matchrate analyze` in the study's folder."
        return render_template("error.html", heading="No report yet", message=message), 404
    # Refuses, with 404, every path that leads out of the folder.
    response = send_from_directory(folder, name, max_age=0)
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    return response
