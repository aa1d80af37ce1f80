"""What a browser may send as a judgment: every field is checked before anything is stored."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from uuid import UUID

from study_app.errors import JudgmentInvalid

DAY_MS = 24 * 60 * 60 * 1000
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
VIEWPORT = re.compile(r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}", re.ASCII)
FIELDS = (
    "client_uuid",
    "trial",
    "choice",
    "response_ms",
    "exposure_ms",
    "flips",
    "magnification",
    "device_pixel_ratio",
    "viewport",
)


@dataclass(frozen=True, slots=True)
class JudgmentInput:
    """A checked judgment; `choice` is the slot, times are in ms, `viewport` in CSS pixels."""

    client_uuid: UUID
    trial: str
    choice: int
    response_ms: int
    exposure_ms: int
    flips: int
    magnification: float
    device_pixel_ratio: float
    viewport: str


def read_judgment(body: object) -> JudgmentInput:
    """Check the JSON body of `POST /api/judgments`.

    Raises JudgmentInvalid, naming the first field that is missing, unknown or absurd.
    """
    if not isinstance(body, dict):
        raise JudgmentInvalid("body", "send one JSON object")
    for field in FIELDS:
        if field not in body:
            raise JudgmentInvalid(field, "is missing")
    for name in body:
        if name not in FIELDS:
            raise JudgmentInvalid(str(name)[:40], "is no field of a judgment")
    return JudgmentInput(
        client_uuid=_uuid(body["client_uuid"]),
        trial=_trial(body["trial"]),
        choice=_integer("choice", body["choice"], 1, 2),
        response_ms=_integer("response_ms", body["response_ms"], 0, DAY_MS),
        exposure_ms=_integer("exposure_ms", body["exposure_ms"], 0, DAY_MS),
        flips=_integer("flips", body["flips"], 0, 100_000),
        magnification=_number("magnification", body["magnification"], 1 / 16, 64),
        device_pixel_ratio=_number("device_pixel_ratio", body["device_pixel_ratio"], 1 / 16, 64),
        viewport=_viewport(body["viewport"]),
    )


def _uuid(value: object) -> UUID:
    try:
        found = UUID(_text("client_uuid", value, 36))
    except ValueError as error:
        raise JudgmentInvalid("client_uuid", "is no UUID") from error
    if str(found) != str(value).lower():
        raise JudgmentInvalid("client_uuid", "write it as 8-4-4-4-12 hexadecimal digits")
    return found


def _trial(value: object) -> str:
    found = _text("trial", value, 64)
    if not is_token(found):
        raise JudgmentInvalid("trial", "is no trial's name")
    return found


def is_token(value: str) -> bool:
    """Whether the text could be a name that the server drew; nothing else need reach the database."""
    return TOKEN.fullmatch(value) is not None


def _text(field: str, value: object, longest: int) -> str:
    if not isinstance(value, str):
        raise JudgmentInvalid(field, "is no text")
    if not 0 < len(value) <= longest:
        raise JudgmentInvalid(field, f"needs 1 to {longest} characters")
    return value


def _integer(field: str, value: object, least: int, most: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise JudgmentInvalid(field, "is no whole number")
    if not least <= value <= most:
        raise JudgmentInvalid(field, f"is not between {least} and {most}")
    return value


def _number(field: str, value: object, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise JudgmentInvalid(field, "is no number")
    if not (least <= value <= most and math.isfinite(value)):
        raise JudgmentInvalid(field, f"is not between {least:g} and {most:g}")
    return float(value)


def _viewport(value: object) -> str:
    found = _text("viewport", value, 11)
    if VIEWPORT.fullmatch(found) is None:
        raise JudgmentInvalid("viewport", "write it as 1440x900")
    return found
