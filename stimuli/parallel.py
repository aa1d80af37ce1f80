"""Work over processes that end with their parent, however that ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar, overload

from stimuli.errors import EncodingError
from stimuli.pool import Crash, WorkerPool
from stimuli.worker import note
from stimuli.workforce import open_workforce

__all__ = ["Crash", "WorkerPool", "note", "run_jobs", "worker_count"]

Job = TypeVar("Job")
Result = TypeVar("Result")


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
    folder: Path | None = None,
    probe: Callable[[], Mapping[str, str]] | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    isolated: bool | None = None,
    crashes: Literal[False] = False,
) -> Generator[tuple[int, Result], None, None]: ...
@overload
def run_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    *,
    scheduler: str | None = None,
    folder: Path | None = None,
    probe: Callable[[], Mapping[str, str]] | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    isolated: bool | None = None,
    crashes: Literal[True],
) -> Generator[tuple[int, Result | Crash], None, None]: ...
def run_jobs(
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    workers: int,
    *,
    scheduler: str | None = None,
    folder: Path | None = None,
    probe: Callable[[], Mapping[str, str]] | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    isolated: bool | None = None,
    crashes: bool = False,
) -> Generator[tuple[int, Result | Crash], None, None]:
    """Yield (index, result) as jobs end, in any order.

    Each job runs in a worker process, one at a time. `timeout` is how many seconds it may go without a
    `note`, `memory` how many MB its process may hold. With `isolated` false, one worker or one job means
    this process; the default is so too, unless `timeout`, `memory` or `crashes` ask for a process.

    With a `scheduler` they run on a Dask cluster: `folder` is what its workers must see, `probe` gives the
    versions in which they must agree (see `stimuli.cluster.ClusterPool`).

    A job whose worker dies, or is ended, gives a Crash if `crashes` asks for that, else raises
    EncodingError. The first exception of a job ends all the others and is raised; so does an interrupt.
    Nothing of a worker outlives this call or this process.
    """
    if isolated is None:
        isolated = crashes or timeout is not None or memory is not None
    with open_workforce(
        min(workers, len(jobs)),
        scheduler=scheduler,
        folder=folder,
        probe=probe,
        timeout=timeout,
        memory=memory,
        isolated=isolated,
    ) as force:
        yield from _checked(force.run(function, jobs), crashes)


def _checked(
    results: Iterator[tuple[int, Result | Crash]], crashes: bool
) -> Iterator[tuple[int, Result | Crash]]:
    for i, result in results:
        if isinstance(result, Crash) and not crashes:
            doing = f" ({result.note})" if result.note else ""
            raise EncodingError(
                f"a job{doing} ended: {result.reason}; what is finished is kept, run again to resume"
            )
        yield i, result
