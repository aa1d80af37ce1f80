"""`GET /pictures/<token>`: a picture under an address that was drawn for one trial of one session."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, abort, request

from stimuli.manifest import picture_path
from study_app import participation
from study_app.context import SESSION_COOKIE, app_context
from study_app.errors import PictureMissing
from study_app.judgment_input import is_token

blueprint = Blueprint("pictures", __name__)


@blueprint.get("/pictures/<token>")
def picture(token: str) -> Response:
    """The file, byte for byte, with nothing in the headers that belongs to the file and not to the address.

    No ETag, Last-Modified or file name: they would be the same for two raters and so name the picture.
    """
    if not is_token(token):
        abort(404)
    context = app_context()
    with context.sessions() as db:
        sha256 = participation.picture_sha256(db, context.study, request.cookies.get(SESSION_COOKIE), token)
    if sha256 is None:
        abort(404)
    response = Response(_read(context.settings.folder, sha256), mimetype="image/png")
    response.headers["Cache-Control"] = "private, no-transform, immutable, max-age=3600"
    return response


def _read(folder: Path, sha256: str) -> bytes:
    path = picture_path(folder, sha256)
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureMissing(path, "a trial") from error
