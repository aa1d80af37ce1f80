"""What went wrong is one line on the terminal and the whole story in the study's folder."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from study_app.logs import NAME, log_to


@pytest.fixture
def handlers() -> Iterator[list[logging.Handler]]:
    root = logging.getLogger()
    before = root.handlers[:]
    yield before
    for handler in root.handlers[:]:
        if handler not in before:
            root.removeHandler(handler)
            handler.close()


def test_a_traceback_goes_to_the_file_and_one_line_to_the_terminal(
    handlers: list[logging.Handler], tmp_path: Path
) -> None:
    for _ in range(2):
        log_to(tmp_path)
    added = [handler for handler in logging.getLogger().handlers if handler not in handlers]
    assert len(added) == 2
    terminal = next(handler for handler in added if type(handler) is logging.StreamHandler)
    said = io.StringIO()
    terminal.setStream(said)
    try:
        raise ValueError("inside")
    except ValueError:
        logging.getLogger("matchrate").exception("it failed\nhere")
    assert said.getvalue() == "error: it failed here\n"
    assert "Traceback" in (tmp_path / NAME).read_text()
