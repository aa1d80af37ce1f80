"""Running other people's programs: no shell, limits of time, memory and disk, and none left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stimuli.process_memory import MEGABYTE, limit_program, resident_bytes
from stimuli.working_folders import remove_all

_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()
#: Bytes of standard error that are kept.
_TAIL = 4096
#: Seconds between two looks at the memory of a program: the first, and the longest.
_FIRST_LOOK, _LONGEST_LOOK = 0.005, 0.05
#: What a program says, in whatever language, that was refused memory or may not write a longer file.
_NO_MEMORY = re.compile(
    r"bad_?alloc|MemoryError|out of memory|not enough memory|cannot allocate|(alloc|memory).{0,40}fail"
    r"|fail.{0,40}(alloc|memory)|ENOMEM",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(r"file too large|EFBIG", re.IGNORECASE)


class ProgramError(Exception):
    """A program that could not be started, failed or took too long; the text is one line."""


@dataclass(slots=True)
class _Watch:
    """What a program may take, in seconds and bytes, and the most that it was seen to hold."""

    until: float
    memory: int | None
    peak: int = 0

    @property
    def over(self) -> bool:
        """Whether the program was seen to hold more than it may."""
        return self.memory is not None and self.peak > self.memory


def run_program(
    argv: Sequence[str], *, cwd: Path, timeout: float, memory: int | None = None, limit: str = "timeout"
) -> None:
    """Run a program to its end in `cwd`; raises ProgramError with the last line of its standard error.

    `timeout` is in seconds, and `limit` the key that says it. `memory` is in megabytes of 1,048,576 bytes,
    for the program and its children together; it is kept on Linux only.
    """
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
    watch = _Watch(time.monotonic() + timeout, None if memory is None else memory * MEGABYTE)
    last_words = bytearray()
    reader = threading.Thread(target=_listen, args=(process, last_words), daemon=True)
    try:
        limit_program(process.pid, watch.memory)
        reader.start()
        ended = _ended(process, reader, watch)
    finally:
        # A program that ended well may have left others of its group behind.
        _kill_group(process)
        process.wait()
        with _lock:
            _running.discard(process)
    reader.join(1)
    if watch.over:
        raise ProgramError(_too_much(name, memory))
    if not ended:
        raise ProgramError(f"{name} was ended after {timeout:g} s; raise `{limit}` if it needs longer")
    if process.returncode != 0:
        # The folder has another name in every run.
        told = bytes(last_words).replace(os.fsencode(cwd), b"{folder}")
        raise ProgramError(_failure(name, process.returncode, told, memory))


def _too_much(name: str, memory: int | None) -> str:
    return f"{name} was ended: needs more than {memory} MB; raise `memory`"


def _failure(name: str, status: int, stderr: bytes, memory: int | None) -> str:
    """The line about a program that ended with a status other than 0."""
    if memory is not None and _NO_MEMORY.search(stderr.decode(errors="replace")):
        return _too_much(name, memory) + last_line(stderr)
    how = f"exit {status}"
    if status < 0:
        with contextlib.suppress(ValueError):
            how = signal.Signals(-status).name
    if how == "SIGXFSZ" or _TOO_LARGE.search(stderr.decode(errors="replace")):
        return f"{name} was ended: wrote a file larger than a decoded picture can be"
    return f"{name} failed ({how}){last_line(stderr)}"


def _ended(process: subprocess.Popen[bytes], reader: threading.Thread, watch: _Watch) -> bool:
    """Wait for a program; its standard error ends with it, unless a child of its own keeps that open."""
    pause, listening = _FIRST_LOOK, True
    while process.poll() is None:
        left = watch.until - time.monotonic()
        if left <= 0:
            return False
        if watch.memory is not None:
            watch.peak = max(watch.peak, resident_bytes(process.pid))
            if watch.over:
                return False
        if listening and not reader.is_alive():
            # The end of its standard error is mostly its own.
            pause, listening = 0.001, False
        if listening:
            reader.join(min(pause, left))
        else:
            time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_LOOK)
    return True


def _listen(process: subprocess.Popen[bytes], last_words: bytearray) -> None:
    """Read standard error to its end and keep its tail: it may be endless."""
    assert process.stderr is not None
    with contextlib.suppress(OSError, ValueError), process.stderr as stderr:
        while piece := os.read(stderr.fileno(), 65536):
            last_words += piece
            del last_words[:-_TAIL]


def end_all() -> None:
    """End every program that this process is running, and remove the folders that they worked in.

    For the moment before the process ends itself.
    """
    with _lock:
        running = list(_running)
    for process in running:
        _kill_group(process)
    remove_all()


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
