"""The errors of this floor: each message names the table, row or component and the next step."""

from __future__ import annotations


class AnalysisError(Exception):
    """Root of every error that `analysis` raises on purpose; its text is one line for a person."""
