"""Where the server says what went wrong: one line on the terminal, the whole story in a file."""

from __future__ import annotations

import logging
import tempfile
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path

NAME = "server.log"
LARGEST = 2 << 20


class OneLine(logging.Formatter):
    """A record without its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The message on one line."""
        return f"{record.levelname.lower()}: {record.getMessage()}".replace("\n", " ")


def log_to(folder: Path) -> None:
    """Send warnings and errors to the terminal, one line each, and whole to `folder/server.log`."""
    terminal = logging.StreamHandler()
    terminal.setFormatter(OneLine())
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, RotatingFileHandler) or isinstance(handler.formatter, OneLine):
            root.removeHandler(handler)
            handler.close()
    root.addHandler(terminal)
    file = RotatingFileHandler(folder / NAME, maxBytes=LARGEST, backupCount=1, encoding="utf-8", delay=True)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root.addHandler(file)


def keep_traceback(error: BaseException) -> Path | None:
    """Write an error's traceback into a file of its own, to be sent with a report; None when that fails."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="matchrate-error-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            traceback.print_exception(error, file=file)
            return Path(file.name)
    except OSError:
        return None
