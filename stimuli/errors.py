"""The errors of this floor: each message names the file or key and the next step."""

from __future__ import annotations


class StimuliError(Exception):
    """Root of every error that `stimuli` raises on purpose; its text is one line for a person."""
