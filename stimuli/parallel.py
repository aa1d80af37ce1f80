"""Work over processes that end with their parent, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Literal, TypeVar, overload

from stimuli.errors import EncodingError
from stimuli.programs import end_all

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Crash:
    """A job that ended its worker, or that was ended: why, and the last thing that it told with `note`."""

    reason: str
    note: str | None


def note(text: str) -> None:
    """Tell, within a job, what it is about to do."""


def worker_count(workers: int | None) -> int:
    """The number of processes asked for, else one for each processor that this process may use."""
    if workers is not None:
        return workers
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


@overload
def run_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    *,
    scheduler: str | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    crashes: Literal[False] = False,
) -> Iterator[tuple[int, Result]]: ...
@overload
def run_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    *,
    scheduler: str | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    crashes: Literal[True],
) -> Iterator[tuple[int, Result | Crash]]: ...
def run_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    *,
    scheduler: str | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    crashes: bool = False,
) -> Iterator[tuple[int, Result | Crash]]:
    """Yield (index, result) as jobs end, in any order.

    With one worker or one job everything runs in this process. The first exception of a job ends all the
    others and is raised; so does an interrupt. Nothing of a worker outlives this call or this process.
    """
    if workers <= 1 or len(jobs) <= 1:
        for i, job in enumerate(jobs):
            yield i, function(job)
        return
    # Forked children would inherit the threads and locks of a server or a test run.
    context = multiprocessing.get_context("spawn")
    # Not an Event: setting one waits for every process that waits for it, and so for ever for a killed one.
    stop, running = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_start, initargs=(stop,))
    done = False
    try:
        futures = {pool.submit(function, job): i for i, job in enumerate(jobs)}
        for future in as_completed(futures):
            yield futures[future], future.result()
        done = True
    except BrokenProcessPool:
        raise EncodingError(
            "a worker process died, perhaps for want of memory or of a crash inside a codec; "
            "run again to resume, with fewer workers"
        ) from None
    finally:
        if not done:
            running.close()
        pool.shutdown(wait=True, cancel_futures=True)
        running.close()
        stop.close()


def _start(stop: Connection) -> None:
    """In a new worker: leave Ctrl-C to the parent, and watch for the moment to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()


def _watch(stop: Connection) -> None:
    """Wait until the other end is closed, by the parent or with it."""
    parent = multiprocessing.parent_process()
    wait([stop] if parent is None else [stop, parent.sentinel])
    # Files are written whole or not at all, so that a worker may end at any moment.
    end_all()
    os._exit(1)
