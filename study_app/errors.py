"""The errors of the application: each message names the thing and the next step."""

from __future__ import annotations


class StudyAppError(Exception):
    """Root of every error that `study_app` raises on purpose; its text is one line for a person."""
