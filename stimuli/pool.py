"""Worker processes that take jobs one at a time: one that dies costs its own job and is replaced."""

from __future__ import annotations

import contextlib
import json
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from stimuli.errors import EncodingError
from stimuli.guard import ENDED, TOO_MUCH_MEMORY
from stimuli.worker import BEGAN, DONE, NOTE, RAISED, READY, read_frame, write_frame

Job = TypeVar("Job")
Result = TypeVar("Result")

#: What a worker runs first: imports are looked for where its parent does, never in the folder it starts in.
_FIRST = (
    "import json, sys; sys.path[:], memory = json.loads(sys.argv[1]); "
    "from stimuli.worker import main; main(memory)"
)
#: Seconds that a worker may take to start and to import the function of its job.
_START = 120.0
#: Seconds after which a guard that did not end its worker is ended itself.
_PATIENCE = 10.0
#: Seconds between two looks at `unwanted`, and between the moments at which an interrupt is heard everywhere.
_LOOK = 0.5


TOO_LONG = "was ended after"


@dataclass(frozen=True, slots=True)
class Crash:
    """A job that ended its worker, or that was ended: why, and the last thing that it told with `note`."""

    reason: str
    note: str | None

    @property
    def is_hang(self) -> bool:
        """Whether the job was ended because it took too long."""
        return self.reason.startswith(TOO_LONG)


class UnwantedError(Exception):
    """Nobody waits for the jobs any more."""


class WorkerPool:
    """At most `workers` processes, started as jobs need them and kept from one `run` to the next.

    `timeout` is how many seconds a job may go without a `note`, which may ask for more; `memory` how many
    MB of memory its process may hold (Linux). A job that does not keep to them is ended together with every
    program it started, and so are all jobs when this process ends, in whatever way. `folder` is the working
    directory of the workers. To be used by one thread at a time.
    """

    def __init__(
        self,
        workers: int,
        *,
        timeout: float | None = None,
        memory: int | None = None,
        folder: Path | None = None,
    ) -> None:
        self._most = max(1, workers)
        self._timeout = timeout
        self._memory = memory
        self._folder = folder
        self._told: queue.SimpleQueue[tuple[_Worker, bytes | None]] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._running = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every worker, whatever it is doing, and wait until it and its programs have gone."""
        self._end(self._workers)

    def run(
        self,
        function: Callable[[Job], Result],
        jobs: Sequence[Job],
        *,
        unwanted: Callable[[], bool] | None = None,
    ) -> Generator[tuple[int, Result | Crash], None, None]:
        """Yield (index, result) as jobs end, in any order; function and jobs must be importable and pickle.

        The first exception of a job ends all the others and is raised; so do an interrupt, closing the
        generator early, and `unwanted` (UnwantedError), which is asked now and then. Raises EncodingError
        when no worker can be started.
        """
        if self._running:
            raise RuntimeError("a pool runs one batch of jobs at a time")
        self._running = True
        waiting = deque(enumerate(jobs))
        try:
            while waiting or any(worker.index is not None for worker in self._workers):
                self._hand_out(function, waiting)
                worker, frame = self._next(unwanted)
                index = worker.index
                if frame is None:
                    self._end([worker])
                    if index is not None:
                        if not worker.ready:
                            raise EncodingError(
                                f"a worker process could not be started: {_reason(worker, self._memory)}"
                            )
                        yield index, Crash(_reason(worker, self._memory), worker.note)
                    continue
                kind, value = pickle.loads(frame)
                if kind == RAISED:
                    worker.index = None
                    raise value
                if kind == DONE and index is not None:
                    worker.index = None
                    yield index, value
                elif kind == NOTE:
                    worker.note, worker.patience = value
                elif kind == READY:
                    worker.ready = True
                elif kind == BEGAN:
                    worker.began = True
        finally:
            self._running = False
            self._end([worker for worker in self._workers if worker.index is not None])

    def _hand_out(self, function: Callable[[Job], Any], waiting: deque[tuple[int, Job]]) -> None:
        idle = [worker for worker in self._workers if worker.index is None and worker.ended_for is None]
        while waiting and (idle or len(self._workers) < self._most):
            if not idle:
                idle.append(_Worker(self._told, self._memory, self._folder))
                self._workers.append(idle[-1])
            idle.pop().give(*waiting.popleft(), function)

    def _next(self, unwanted: Callable[[], bool] | None) -> tuple[_Worker, bytes | None]:
        """The next frame of a worker, or its end; meanwhile those are ended that took too long."""
        while True:
            left = min([_LOOK, *(worker.seconds_left(self._timeout) for worker in self._workers)])
            asked = time.monotonic()
            with contextlib.suppress(queue.Empty):
                worker, frame = self._told.get(timeout=max(0.0, left))
                if worker in self._workers:
                    return worker, frame
                continue
            if time.monotonic() - asked > _LOOK + 1:
                # This process itself was stopped for a while, and has yet to hear what it missed.
                continue
            for worker in self._workers:
                if worker.seconds_left(self._timeout) <= 0:
                    worker.end(f"{TOO_LONG} {worker.allowed(self._timeout):g} s")
            if unwanted is not None and unwanted():
                raise UnwantedError

    def _end(self, workers: Sequence[_Worker]) -> None:
        workers = list(workers)
        for worker in workers:
            worker.end()
        for worker in workers:
            worker.leave()
            self._workers.remove(worker)


class _Worker:
    """One worker process as its parent sees it; what it tells goes to a queue, None for its end."""

    def __init__(
        self, told: queue.SimpleQueue[tuple[_Worker, bytes | None]], memory: int | None, folder: Path | None
    ) -> None:
        self.index: int | None = None
        self.note: str | None = None
        #: Seconds that what the note tells of may take, however short the time limit is.
        self.patience = 0.0
        self.ready = self.began = False
        #: Why the worker was asked to end, "" for no reason of its own; None before.
        self.ended_for: str | None = None
        self._heard = time.monotonic()
        first = [sys.executable, "-P", "-c", _FIRST, json.dumps([sys.path, memory])]
        try:
            self._process = subprocess.Popen(
                first,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=folder,
                # Ctrl-C is for the parent, which ends its workers in its own way.
                start_new_session=True,
            )
        except OSError as error:
            reason = f"a worker process could not be started ({error.strerror or error})"
            raise EncodingError(reason) from None
        self._listener = threading.Thread(target=self._listen, args=(told,), daemon=True)
        self._listener.start()

    def _listen(self, told: queue.SimpleQueue[tuple[_Worker, bytes | None]]) -> None:
        assert self._process.stdout is not None
        try:
            with contextlib.suppress(OSError, ValueError), self._process.stdout as stdout:
                while (frame := read_frame(stdout)) is not None:
                    self._heard = time.monotonic()
                    told.put((self, frame))
        finally:
            told.put((self, None))

    def give(self, index: int, job: object, function: Callable[[Any], object]) -> None:
        """Have the worker do a job; that it has died is told by the queue."""
        frame = pickle.dumps((function, job))
        self.index, self.note, self.patience, self.began = index, None, 0.0, False
        self._heard = time.monotonic()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            write_frame(self._process.stdin, frame)

    def allowed(self, timeout: float | None) -> float:
        """Seconds that the worker may be silent."""
        if self.index is None or timeout is None or self.ended_for is not None:
            return float("inf")
        return max(timeout, self.patience if self.began else _START)

    def seconds_left(self, timeout: float | None) -> float:
        """Seconds until the worker has been silent for too long."""
        return self._heard + self.allowed(timeout) - time.monotonic()

    def end(self, reason: str = "") -> None:
        """Have the guard end the worker."""
        if self.ended_for is not None:
            return
        self.ended_for = reason
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def leave(self) -> None:
        """Wait for the end of a worker that was told to end."""
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(_PATIENCE)

    @property
    def status(self) -> int:
        """The exit status of a worker that has left."""
        return self._process.returncode


def _reason(worker: _Worker, memory: int | None) -> str:
    """Why a worker that has left did so, in one line."""
    if worker.ended_for:
        return worker.ended_for
    status = worker.status
    if status == TOO_MUCH_MEMORY:
        return f"needed more than {memory} MB"
    if status == ENDED:
        return "the worker process told what is no message, perhaps written by a library"
    number = status - 128 if 128 < status < TOO_MUCH_MEMORY else -status
    if number > 0:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"the worker process died ({name}){hint}"
    return f"the worker process ended itself (exit {status})"
