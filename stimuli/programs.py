"""Running other people's programs: no shell, a time limit, and none left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()
#: Bytes of standard error that are kept.
_TAIL = 4096


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
    last_words = bytearray()
    reader = threading.Thread(target=_listen, args=(process, last_words), daemon=True)
    try:
        reader.start()
        if not _ended(process, reader, time.monotonic() + timeout):
            raise ProgramError(f"{name} was ended after {timeout:g} s; raise `timeout` if it needs longer")
    finally:
        # A program that ended well may have left others of its group behind.
        _kill_group(process)
        process.wait()
        with _lock:
            _running.discard(process)
    reader.join(1)
    stderr = bytes(last_words)
    if process.returncode != 0:
        how = f"exit {process.returncode}"
        if process.returncode < 0:
            with contextlib.suppress(ValueError):
                how = signal.Signals(-process.returncode).name
        raise ProgramError(f"{name} failed ({how}){last_line(stderr)}")


def _ended(process: subprocess.Popen[bytes], reader: threading.Thread, until: float) -> bool:
    """Wait for a program; its standard error ends with it, unless a child of its own keeps that open."""
    while process.poll() is None:
        if time.monotonic() >= until:
            return False
        if reader.is_alive():
            reader.join(min(0.1, max(0.0, until - time.monotonic())))
        else:
            time.sleep(0.001)
    return True


def _listen(process: subprocess.Popen[bytes], last_words: bytearray) -> None:
    """Read standard error to its end and keep its tail: it may be endless."""
    assert process.stderr is not None
    with contextlib.suppress(OSError, ValueError), process.stderr as stderr:
        while piece := os.read(stderr.fileno(), 65536):
            last_words += piece
            del last_words[:-_TAIL]


def end_all() -> None:
    """End every program that this process is running; for the moment before it ends itself."""
    with _lock:
        running = list(_running)
    for process in running:
        _kill_group(process)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def last_line(stderr: bytes) -> str:
    """The end of a message about a program that failed: `: ` and its last line of standard error."""
    text = "".join(c if c.isprintable() or c.isspace() else "?" for c in stderr.decode(errors="replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f": {lines[-1][-200:]}" if lines else " and said nothing"
