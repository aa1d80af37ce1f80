"""What the views share: the settings, the database, and which study this server shows."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app
from sqlalchemy import Engine

from study_app.database import SessionFactory
from study_app.settings import Settings

SESSION_COOKIE = "matchrate_session"
RESEARCHER_COOKIE = "matchrate_researcher"
_KEY = "matchrate"


@dataclass(frozen=True, slots=True)
class AppContext:
    """One per application; `sessions.begin()` gives a database session in a transaction."""

    settings: Settings
    engine: Engine
    sessions: SessionFactory
    study: str
    researcher_token: str


def app_context() -> AppContext:
    """The context of the application that answers the current request."""
    context = current_app.extensions[_KEY]
    assert isinstance(context, AppContext)
    return context
