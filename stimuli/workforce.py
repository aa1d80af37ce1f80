"""Where the jobs of an encode run: in this process, in guarded processes beside it, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from stimuli.pool import Crash, WorkerPool

Job = TypeVar("Job")
Result = TypeVar("Result")


class Workforce(Protocol):
    """Runs jobs in any order; one that ends its worker gives a Crash and costs no other."""

    def run(
        self, function: Callable[[Job], Result], jobs: Sequence[Job], /
    ) -> Iterator[tuple[int, Result | Crash]]:
        """Yield the index and the result of every job as it ends."""


@contextmanager
def open_workforce(
    workers: int,
    *,
    scheduler: str | None = None,
    folder: Path | None = None,
    probe: Callable[[], Mapping[str, str]] | None = None,
    timeout: float | None = None,
    memory: int | None = None,
    isolated: bool = True,
) -> Iterator[Workforce]:
    """Workers for several batches of jobs, ended with the block.

    `timeout` is in seconds for one encode or decode, `memory` in MB for one worker. Without `isolated` and
    with one worker everything runs in this process, unguarded. The workers of a `scheduler` must see
    `folder` and agree in what `probe` gives; raises EncodingError where there is no such scheduler.
    """
    if scheduler is not None:
        # Asking and answering at once over a network is much to import for who does not.
        from stimuli.cluster import ClusterPool

        with ClusterPool(
            scheduler, workers, folder=folder, probe=probe, timeout=timeout, memory=memory
        ) as cluster:
            yield cluster
    elif workers <= 1 and not isolated:
        yield _ThisProcess()
    else:
        with WorkerPool(workers, timeout=timeout, memory=memory) as pool:
            yield pool


class _ThisProcess:
    def run(
        self, function: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> Iterator[tuple[int, Result | Crash]]:
        for i, job in enumerate(jobs):
            yield i, function(job)
