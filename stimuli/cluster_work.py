"""What runs on a worker of a Dask cluster: whether it is fit for the jobs, and the jobs."""

from __future__ import annotations

import contextlib
import importlib.metadata
import pickle
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stimuli.pool import Crash, UnwantedError, WorkerPool

#: What comes back for a job, each with a value: its result and its exception (both pickled), a Crash, or
#: the reason why this worker may do none.
RESULT, RAISED, DIED, UNFIT = "result", "raised", "died", "unfit"

#: Seconds for which an idle process waits for another job, at the least.
_IDLE = 10.0
#: Seconds within which a new file shows on a shared file system.
_SHARED = 10.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker must have in common with who sends the jobs, and the limits of a job.

    `token` is a file that holds its own name, `start` the working directory of jobs where it exists,
    `probe` a pickled function that must give `versions`.
    """

    matchrate: str
    start: Path
    token: Path | None
    probe: bytes | None
    versions: Mapping[str, str]
    timeout: float | None
    memory: int | None

    @property
    def limits(self) -> tuple[Path | None, float | None, int | None]:
        """What processes must have been started with to do these jobs."""
        return self.start if self.start.is_dir() else None, self.timeout, self.memory


def work(terms: Terms, frame: bytes) -> tuple[str, Any]:
    """Run one pickled (function, job) in a process of its own, unless this worker is unfit for it."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def unwanted() -> bool:
        state = worker.state.tasks.get(key)
        return state is None or state.state == "cancelled"

    try:
        reason = _unfitness(terms)
        if reason is not None:
            return UNFIT, f"the cluster's worker {worker.address} {reason}"
        with _process(terms) as pool:
            ((_, result),) = pool.run(_call, [frame], unwanted=unwanted)
    except UnwantedError:
        return UNFIT, "was not wanted any more"
    except Exception as error:
        return RAISED, pickle.dumps(error)
    return (DIED, result) if isinstance(result, Crash) else (RESULT, result)


def _call(frame: bytes) -> bytes:
    function, job = pickle.loads(frame)
    return pickle.dumps(function(job))


def _probed(probe: bytes) -> dict[str, str]:
    return dict(pickle.loads(probe)())


_known: dict[bytes, str | None] = {}
_knowing = threading.Lock()


def _unfitness(terms: Terms) -> str | None:
    """Why this worker must not do the jobs; found out once for each pool that sends some."""
    with _knowing:
        key = pickle.dumps(terms)
        if key not in _known:
            _known[key] = _difference(terms)
        return _known[key]


def _difference(terms: Terms) -> str | None:
    version = importlib.metadata.version("matchrate")
    if version != terms.matchrate:
        return f"has Matchrate {version}, not {terms.matchrate}; install the same version everywhere"
    if terms.token is not None and not _sees(terms.token):
        return (
            f"does not see {terms.token.parent}; put the study on a file system that all workers have "
            "under the same path"
        )
    if terms.probe is None:
        return None
    with _process(terms) as pool:
        ((_, versions),) = pool.run(_probed, [terms.probe])
    if isinstance(versions, Crash):
        return f"cannot tell the versions of its codecs: {versions.reason}"
    for name in sorted({*versions, *terms.versions}):
        theirs, ours = versions.get(name), terms.versions.get(name)
        if theirs != ours:
            has = f"has {name} {theirs}" if theirs else f"lacks {name}"
            return f"{has}, not {ours or 'none'}; install the same version everywhere"
    return None


def _sees(token: Path) -> bool:
    until = time.monotonic() + _SHARED
    while True:
        with contextlib.suppress(OSError):
            if token.read_text() == token.name:
                return True
        # Directories on the network are cached for a while; one that is not there will not come.
        if time.monotonic() > until or not token.parent.is_dir():
            return False
        time.sleep(0.2)


@dataclass(slots=True)
class _Idle:
    pool: WorkerPool
    limits: tuple[Path | None, float | None, int | None]
    since: float = field(default_factory=time.monotonic)


_idle: list[_Idle] = []
_lending = threading.Lock()
_closing = threading.Event()


@contextlib.contextmanager
def _process(terms: Terms) -> Iterator[WorkerPool]:
    """A pool of one process, kept for the next job unless this one is given up."""
    with _lending:
        fitting = [idle for idle in _idle if idle.limits == terms.limits]
        if fitting:
            _idle.remove(fitting[-1])
    folder, timeout, memory = terms.limits
    pool = fitting[-1].pool if fitting else WorkerPool(1, folder=folder, timeout=timeout, memory=memory)
    try:
        yield pool
    except BaseException:
        pool.close()
        raise
    with _lending:
        _idle.append(_Idle(pool, terms.limits))
        if not _closing.is_set():
            _closing.set()
            threading.Thread(target=_close_idle, daemon=True).start()


def _close_idle() -> None:
    """End processes that nobody has needed for a while, until none is idle."""
    while True:
        time.sleep(_IDLE / 2)
        close_idle(_IDLE)
        with _lending:
            if not _idle:
                _closing.clear()
                return


def close_idle(seconds: float = 0.0) -> None:
    """End the processes that have been idle for so long."""
    with _lending:
        old = [idle for idle in _idle if time.monotonic() - idle.since >= seconds]
        for idle in old:
            _idle.remove(idle)
    for idle in old:
        idle.pool.close()
