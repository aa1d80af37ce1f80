"""Running other people's programs: no shell, a time limit, and none left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()


class ProgramError(Exception):
    """A program that could not be started, failed or took too long; the text is one line."""


def run_program(argv: Sequence[str], *, cwd: Path, timeout: float) -> None:
    """Run a program to its end in `cwd`; raises ProgramError with the last line of its standard error."""
    name = Path(argv[0]).name
    try:
        # Its own session, so that a time-out ends the children of a script too.
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ProgramError(f"{name} could not be started ({error.strerror or error})") from None
    with _lock:
        _running.add(process)
    try:
        _, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise ProgramError(
            f"{name} was ended after {timeout:g} s; raise `timeout` if it needs longer"
        ) from None
    finally:
        _end(process)
        with _lock:
            _running.discard(process)
    if process.returncode != 0:
        how = f"exit {process.returncode}"
        if process.returncode < 0:
            with contextlib.suppress(ValueError):
                how = signal.Signals(-process.returncode).name
        raise ProgramError(f"{name} failed ({how}){_tail(stderr)}")


def end_all() -> None:
    """End every program that this process is running; for the moment before it ends itself."""
    with _lock:
        running = list(_running)
    for process in running:
        _kill_group(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        _kill_group(process)
        process.communicate()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _tail(stderr: bytes) -> str:
    lines = [line.strip() for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1][-200:]}" if lines else " and said nothing"
