"""What runs inside a worker process: jobs one after another, each told of as it goes."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import struct
import threading
import traceback
from typing import IO

from stimuli.errors import StimuliError
from stimuli.programs import end_all

#: What a worker tells its parent, each with a value: it is there; a job begins; a note; the result
#: of the job; the exception that it raised.
READY, BEGAN, NOTE, DONE, RAISED = range(5)

_LENGTH = struct.Struct(">Q")
#: Bytes of a frame, at most: more are no frame but what a library wrote between.
_LONGEST = 2**32
_telling = threading.Lock()
_channel: IO[bytes] | None = None


def note(text: str, patience: float = 0.0) -> None:
    """Tell what the job that runs in this process is about to do.

    The last note is known even when the process dies, and a job's time limit counts from it. What ends
    itself after `patience` seconds may take that long, where the time limit is shorter. Outside a worker
    nobody listens.
    """
    if _channel is not None:
        _tell(NOTE, (text, patience))


def main(memory: int | None) -> None:
    """Serve the parent at the other end of standard input and output until it closes them."""
    global _channel
    if hasattr(os, "fork"):
        from stimuli.guard import stand_guard

        stand_guard(memory)
    # Programs and libraries get other descriptors: what they print must not mix with the messages.
    control = os.fdopen(os.dup(0), "rb")
    _channel = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(control, jobs), daemon=True).start()
    _tell(READY, None)
    while True:
        _run(jobs.get())


def _receive(control: IO[bytes], jobs: queue.SimpleQueue[bytes]) -> None:
    """Hand on jobs until the parent closes its end, or ends; then end at once."""
    try:
        while (frame := read_frame(control)) is not None:
            jobs.put(frame)
    finally:
        # Files are written whole or not at all, so that a worker may end at any moment.
        end_all()
        os._exit(1)


def _run(frame: bytes) -> None:
    try:
        function, job = pickle.loads(frame)
        _tell(BEGAN, None)
        result = function(job)
    except SystemExit as error:
        os._exit(error.code if isinstance(error.code, int) else 1)
    except BaseException as error:
        _tell_raised(error)
    else:
        try:
            _tell(DONE, result)
        except Exception as error:  # a result that cannot be sent
            _tell_raised(error)


def _tell_raised(error: BaseException) -> None:
    if not isinstance(error, StimuliError):
        # A mistake in a program: the traceback of its own process says where.
        error.add_note("".join(traceback.format_exception(error)).rstrip())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    _tell(RAISED, error)


def _tell(kind: int, value: object) -> None:
    assert _channel is not None
    data = pickle.dumps((kind, value))
    with _telling:
        write_frame(_channel, data)


def write_frame(file: IO[bytes], data: bytes) -> None:
    """Write bytes that `read_frame` reads; raises OSError when nobody is there to read them."""
    file.write(_LENGTH.pack(len(data)) + data)
    file.flush()


def read_frame(file: IO[bytes]) -> bytes | None:
    """The next bytes of `write_frame`; None at the end, also amid a frame, and for what can be no frame."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > _LONGEST:
        return None
    data = file.read(length)
    return data if len(data) == length else None
