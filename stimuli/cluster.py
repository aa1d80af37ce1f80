"""Jobs on the workers of a Dask cluster, each in a guarded process of its own there as here."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.metadata
import logging
import pickle
import queue
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from stimuli.cluster_work import DIED, RAISED, RESULT, UNFIT, Terms, close_idle, work
from stimuli.errors import EncodingError
from stimuli.pool import Crash

Job = TypeVar("Job")
Result = TypeVar("Result")

#: The scheduler that stands for a cluster on this machine.
LOCAL = "local"
#: Seconds to find the scheduler, to wait for the first worker, and to wait for a scheduler that fell silent.
_CONNECT, _WORKERS, _SILENCE = 10.0, 60.0, 5.0
#: Seconds between two looks at the cluster.
_LOOK = 0.5


class ClusterPool:
    """The workers of a Dask scheduler, as `WorkerPool` has those of this machine.

    `folder` must be seen by every worker under the same path; `probe` gives the versions of what the jobs
    use and must give the same on every worker, as must the version of Matchrate. `timeout` and `memory`
    are those of `WorkerPool`. With `LOCAL` as the scheduler a cluster for `workers` jobs at a time is made on
    this machine and ended with the pool. Raises EncodingError when there is no such scheduler.
    """

    def __init__(
        self,
        scheduler: str,
        workers: int,
        *,
        folder: Path | None = None,
        probe: Callable[[], Mapping[str, str]] | None = None,
        timeout: float | None = None,
        memory: int | None = None,
    ) -> None:
        self._scheduler = scheduler
        self._ends = contextlib.ExitStack()
        with contextlib.ExitStack() as ends:
            distributed = _distributed()
            ends.enter_context(_quiet())
            self._client = _connected(distributed, scheduler, workers, ends)
            self._terms = Terms(
                matchrate=importlib.metadata.version("matchrate"),
                start=Path.cwd(),
                token=None if folder is None else ends.enter_context(_token(folder.resolve())),
                probe=None if probe is None else pickle.dumps(probe),
                versions={} if probe is None else dict(probe()),
                timeout=timeout,
                memory=memory,
            )
            self._ends = ends.pop_all()

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
        """Leave the cluster; its workers end what they still do for this pool."""
        self._ends.close()

    def run(
        self, function: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> Generator[tuple[int, Result | Crash], None, None]:
        """Yield (index, result) as jobs end, in any order, as `WorkerPool.run` does.

        A job that the cluster lost together with several of its workers is a Crash. Raises EncodingError
        for workers that cannot do the jobs and when the scheduler is lost.
        """
        ended: queue.SimpleQueue[int] = queue.SimpleQueue()
        name = f"matchrate-{uuid.uuid4().hex}"
        futures: dict[int, Any] = {}
        try:
            for i, job in enumerate(jobs):
                frame = pickle.dumps((function, job))
                futures[i] = self._client.submit(work, self._terms, frame, key=f"{name}-{i}", pure=False)
                futures[i].add_done_callback(partial(_tell, ended, i))
            while futures:
                i = self._next(ended)
                result = self._result(futures[i])
                yield i, result
                del futures[i]
        finally:
            if futures:
                with contextlib.suppress(Exception):
                    self._client.cancel(list(futures.values()), force=True)

    def _next(self, ended: queue.SimpleQueue[int]) -> int:
        """The index of a job that ended; watches meanwhile whether the cluster is still there."""
        silent_since = empty_since = time.monotonic()
        while True:
            with contextlib.suppress(queue.Empty):
                return ended.get(timeout=_LOOK)
            now = time.monotonic()
            if self._client.status == "running":
                silent_since = now
            elif now - silent_since > _SILENCE:
                raise self._lost()
            if self._client.scheduler_info()["workers"]:
                empty_since = now
            elif now - empty_since > _WORKERS:
                raise EncodingError(
                    f"the scheduler {self._scheduler} has no workers; start some with: "
                    f"dask worker {self._scheduler}"
                )

    def _result(self, future: Any) -> Any:
        """What a future that ended says; raises the exception of its job."""
        from distributed import KilledWorker

        try:
            kind, value = future.result()
        except KilledWorker as error:
            lost = error.allowed_failures + 1
            often = "" if lost == 1 else f", {lost} times over"
            return Crash(f"the cluster lost the worker that did it{often}", None)
        except ImportError as error:
            reason = f"a worker of {self._scheduler} cannot import Matchrate ({error}); install it there"
            raise EncodingError(reason) from None
        except Exception as error:
            if self._client.status != "running" or future.cancelled():
                raise self._lost() from None
            reason = f"the cluster {self._scheduler} could not run a job ({' '.join(str(error).split())})"
            raise EncodingError(reason) from None
        if kind == RESULT:
            return pickle.loads(value)
        if kind == DIED:
            return value
        if kind == UNFIT:
            raise EncodingError(value)
        assert kind == RAISED
        raise pickle.loads(value)

    def _lost(self) -> EncodingError:
        return EncodingError(
            f"the scheduler {self._scheduler} was lost; what is finished is kept, run again to resume"
        )


def _tell(ended: queue.SimpleQueue[int], i: int, future: object) -> None:
    ended.put(i)


def _distributed() -> Any:
    """The library, which is only partly typed; raises EncodingError with what to install."""
    try:
        return importlib.import_module("distributed")
    except ImportError:
        raise EncodingError(
            "a scheduler needs the library distributed; install it with: pip install 'matchrate[dask]'"
        ) from None


def _connected(distributed: Any, scheduler: str, workers: int, ends: contextlib.ExitStack) -> Any:
    """A client of the scheduler, closed with `ends`, as is a cluster that it stands for."""
    address: Any = scheduler
    if scheduler == LOCAL:
        ends.callback(close_idle)
        # Jobs have processes of their own anyway, so that the cluster itself needs none.
        address = distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=workers,
            processes=False,
            dashboard_address="127.0.0.1:0",
            memory_limit=None,
            silence_logs=logging.CRITICAL,
        )
        ends.callback(address.close, timeout=10)
    else:
        _require_scheduler(distributed, scheduler)
    client = distributed.Client(address, timeout=_CONNECT, set_as_default=False)
    ends.callback(client.close, timeout=2)
    return client


def _require_scheduler(distributed: Any, address: str) -> None:
    """Raise EncodingError when no scheduler answers: a client that cannot connect does not end well."""

    async def answer() -> None:
        how = distributed.Security().get_connection_args("client")
        comm = await distributed.core.connect(address, timeout=_CONNECT, **how)
        await comm.close()

    try:
        # A thread of its own: a notebook, or whatever else called us, may have a running loop in this one.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(answer())).result()
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise EncodingError(
            f"no Dask scheduler answers at {address} ({reason}); start one with: dask scheduler, "
            "and give its address as tcp://HOST:8786"
        ) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep tracebacks of connections that end out of a researcher's terminal."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]
    before = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in before:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)


@contextlib.contextmanager
def _token(folder: Path) -> Iterator[Path]:
    """A file by which a worker knows that it sees this very folder; its name is its content."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".matchrate-{uuid.uuid4().hex}"
    path.write_text(path.name)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
