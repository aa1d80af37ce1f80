"""A small process between a parent and one worker: whichever of the two ends, nothing of the worker stays.

On Linux it adopts every process that the worker leaves behind, in whatever session, and so can end them all
even after the worker was killed. Elsewhere a worker ends its own programs when its parent closes the pipe,
and has a second for that.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

#: What the guard exits with, beside 0 to 127 for the worker's own status and 128 + n for its signal n.
TOO_MUCH_MEMORY, ENDED = 250, 251
#: Seconds that a worker has to end its own programs, where nobody else can.
_GRACE = 1.0
#: Seconds after which a process that even SIGKILL does not end is left to the system.
_PATIENCE = 5.0
#: Seconds between two looks at the worker's memory.
_LOOK = 0.05
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def stand_guard(memory: int | None) -> None:
    """Fork: returns in the worker, and never in the guard, which exits once the worker has left nothing.

    The parent holds the other end of standard input and asks for the end by closing it. `memory` is the
    limit of the worker's resident memory in MB (Linux).
    """
    import resource  # not on Windows, where no guard stands

    # A crash inside a codec must not leave a core file in a study folder.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    adopting = _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # Whatever kills the worker, its temporary files go with it.
    folder = tempfile.mkdtemp(prefix="matchrate-")
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    guard = os.getpid()
    worker = os.fork()
    if worker == 0:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)
        return
    try:
        status = _watch(worker, memory, 0 if adopting else _GRACE)
        _end_children()
        shutil.rmtree(folder, ignore_errors=True)
    except BaseException:
        os.kill(worker, signal.SIGKILL)
        raise
    os._exit(status)


def _watch(worker: int, memory: int | None, grace: float) -> int:
    """Wait for the worker's end, or bring it about; gives the status to exit with."""
    wakeups, waker = os.pipe()
    os.set_blocking(waker, False)
    os.set_blocking(wakeups, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    asked: list[int] = []
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, lambda number, _: asked.append(number))
    poll = select.poll()
    # The parent's messages are the worker's to read: only their end is watched for.
    poll.register(0, 0)
    poll.register(wakeups, select.POLLIN)
    while (status := _status(worker)) is None:
        events = dict(poll.poll(1000 * _LOOK if memory is not None else None))
        if wakeups in events:
            with contextlib.suppress(BlockingIOError):
                os.read(wakeups, 4096)
        if 0 in events or asked:
            _wait(worker, grace)
            return _kill(worker, ENDED)
        if memory is not None and _resident_mb(worker) > memory:
            return _kill(worker, TOO_MUCH_MEMORY)
    return status


def _status(worker: int) -> int | None:
    """Reap whoever ended; the status of the worker if it was among them."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == worker:
                code = os.waitstatus_to_exitcode(status)
                return 128 - code if code < 0 else min(code, 127)
            if pid == 0:
                break
    return None


def _wait(worker: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (
        time.monotonic() < until and os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    ):
        time.sleep(0.01)


def _kill(worker: int, status: int) -> int:
    with contextlib.suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)
    return status


def _end_children() -> None:
    """Kill and reap until no child is left: those of a child that ended become the guard's own."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            for child in _children():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.002)


def _children() -> list[int]:
    """The processes whose parent is this one (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name, in brackets, may hold anything.
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            if int(fields[1]) == os.getpid():
                found.append(int(folder.name))
    return found


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _prctl(option: int, value: int) -> bool:
    """Whether the system has this option and took the value (Linux)."""
    if sys.platform != "linux":
        return False
    try:
        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False
