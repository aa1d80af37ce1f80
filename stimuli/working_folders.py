"""Temporary folders for programs to work in, removed also after runs that could not do so themselves."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import IO

_PREFIX = "matchrate-codec-"
_LOCK = ".lock"
#: Seconds for which a folder without a held lock is left alone: its owner may be about to take it.
_YOUNG = 60.0

_open: set[Path] = set()
_guard = threading.Lock()


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """A new, private folder of this process, removed at the end; its lock tells others that it is in use."""
    _sweep_once()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with _guard:
        _open.add(folder)
    try:
        with (folder / _LOCK).open("w") as lock:
            _held(lock)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with _guard:
            _open.discard(folder)


def remove_all() -> None:
    """Remove every folder of this process; for the moment before it ends itself."""
    # Without the guard: the thread that holds it may be the one that is being ended.
    for folder in list(_open):
        shutil.rmtree(folder, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of processes that were killed: the lock on a file goes with its process."""
    with contextlib.suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            if _is_left(folder):
                shutil.rmtree(folder, ignore_errors=True)


@cache
def _sweep_once() -> None:
    sweep()


def _is_left(folder: Path) -> bool:
    try:
        if time.time() - folder.stat().st_mtime < _YOUNG:
            return False
        with (folder / _LOCK).open("r+") as lock:
            return _held(lock)
    except FileNotFoundError:
        return True
    except OSError:
        # Another user's.
        return False


def _held(lock: IO[str]) -> bool:
    """Whether the lock could be taken; without locks in the system, never."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
