"""Jobs on a real Dask scheduler and worker: the same as without, and one line when that cannot be."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stimuli import cluster
from stimuli.cluster import ClusterPool
from stimuli.encoding import encode_study
from stimuli.errors import EncodingError, StudyFileError
from stimuli.manifest import Manifest
from stimuli.parallel import Crash, run_jobs
from stimuli.study import read_study

HERE = Path(__file__).parent
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a guard adopt orphans")


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The jobs of `worker_jobs.py`, importable here and in workers."""
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("worker_jobs")


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.contextmanager
def dask(program: str, folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler or worker as a researcher starts it; gives it and its address."""
    log = folder / f"{program}.log"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(Path.cwd())]),
        # One lost worker is enough; by default a job is given to three more.
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
        "DASK_TEMPORARY_DIRECTORY": str(folder),
    }
    command = [
        sys.executable,
        "-m",
        f"distributed.cli.dask_{program}",
        *arguments,
        "--dashboard-address",
        "127.0.0.1:0",
    ]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file, stdout=file, env=environment)
    try:
        found: list[str] = []
        while not found:
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
            found = re.findall(r"(?:Scheduler|worker) at: +(tcp://\S+)", log.read_text())
        yield process, found[0]
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()


LOOPBACK = ("--host", "127.0.0.1", "--port", "0")


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler that has one worker with two threads."""
    folder = tmp_path_factory.mktemp("dask")
    with (
        dask("scheduler", folder, *LOOPBACK) as (_, address),
        dask("worker", folder, address, "--nthreads", "2", "--host", "127.0.0.1"),
    ):
        yield address


def test_a_cluster_gives_what_this_machine_gives(jobs: ModuleType, scheduler: str, tmp_path: Path) -> None:
    names = ["a", "segfault", "b", "sleep", "exit", "print", "c"]
    here = dict(run_jobs(jobs.work, names, 2, timeout=2, crashes=True))
    there = run_jobs(
        jobs.work,
        names,
        1,
        scheduler=scheduler,
        folder=tmp_path,
        probe=jobs.same_versions,
        timeout=2,
        crashes=True,
    )
    assert dict(there) == here
    assert here[3] == Crash("was ended after 2 s", "doing sleep")
    assert list(tmp_path.iterdir()) == []


def test_exceptions_come_from_the_cluster_as_they_were_raised(jobs: ModuleType, scheduler: str) -> None:
    with ClusterPool(scheduler, 1) as pool:
        with pytest.raises(StudyFileError) as report:
            list(pool.run(jobs.work, ["a", "report", "sleep"]))
        assert report.value.problems == ("line one", "line two")
        with pytest.raises(ValueError, match="three is odd"):
            list(pool.run(jobs.work, ["raise"]))
        assert list(pool.run(jobs.work, ["a"])) == [(0, "a")]
    with pytest.raises(EncodingError, match=r"^a job \(doing exit\) ended: .* run again to resume$"):
        list(run_jobs(jobs.work, ["exit"], 1, scheduler=scheduler))


@linux_only
def test_what_nobody_waits_for_ends_on_the_cluster(jobs: ModuleType, scheduler: str, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    with ClusterPool(scheduler, 1) as pool:
        results = pool.run(jobs.hold_on, [("nothing", pids), ("program", pids), ("busy", pids)])
        assert next(results) == (0, "nothing")
        wait_for(lambda: len([path for path in pids.iterdir() if path.read_text().strip()]) == 7)
        results.close()
        wait_for(lambda: not any(is_alive(int(path.read_text())) for path in pids.iterdir()))
        assert list(pool.run(jobs.work, ["a"])) == [(0, "a")]


CLIENT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import worker_jobs
from stimuli.parallel import run_jobs
pids = Path({pids!r})
list(run_jobs(worker_jobs.hold_on, [("program", pids), ("busy", pids)], 1, scheduler={scheduler!r}))
"""


@linux_only
def test_a_client_that_is_killed_leaves_nothing_on_the_cluster(scheduler: str, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    script = tmp_path / "client.py"
    script.write_text(CLIENT.format(here=str(HERE), pids=str(pids), scheduler=scheduler))
    client = subprocess.Popen([sys.executable, str(script)])
    wait_for(lambda: len([path for path in pids.iterdir() if path.read_text().strip()]) == 7)
    client.kill()
    client.wait()
    wait_for(lambda: not any(is_alive(int(path.read_text())) for path in pids.iterdir()))


def test_a_study_is_the_same_by_a_cluster(scheduler: str, studies: ModuleType, tmp_path: Path) -> None:
    def manifest(name: str, scheduler: str | None) -> Manifest:
        toml = (
            'name = "small"\ntargets = [1, 2]\nsources = { folder = "sources" }\n[[codecs]]\nname = "jpeg"\n'
        )
        folder = studies.write_study(tmp_path / name, toml, studies.photographs(64, 48))
        made = encode_study(
            read_study(folder), workers=1, scheduler=scheduler, progress=False, isolated=False
        )
        untimed = [replace(stimulus, encode_s=None, decode_s=0.0) for stimulus in made.stimuli]
        return replace(made, stimuli=tuple(untimed))

    assert manifest("there", scheduler) == manifest("here", None)


def test_workers_that_differ_are_named(
    jobs: ModuleType, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(**how: Any) -> str:
        with pytest.raises(EncodingError) as caught:
            list(run_jobs(jobs.work, ["a", "b"], 1, scheduler=scheduler, **how))
        return re.sub(r"tcp://\S+", "ADDRESS", str(caught.value))

    ours = importlib.metadata.version("matchrate")
    everywhere = "install the same version everywhere"
    assert line(probe=jobs.versions) == f"the cluster's worker ADDRESS has odd 1.1, not 1.0; {everywhere}"
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "version", lambda name: "9.9")
        assert line() == f"the cluster's worker ADDRESS has Matchrate {ours}, not 9.9; {everywhere}"
    monkeypatch.setattr(cluster, "_token", lambda folder: contextlib.nullcontext(folder / "a" / "token"))
    assert line(folder=tmp_path) == (
        f"the cluster's worker ADDRESS does not see {tmp_path / 'a'}; put the study on a file system that "
        "all workers have under the same path"
    )


def test_a_scheduler_that_cannot_be_used_is_one_line(
    jobs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(scheduler: str) -> str:
        with pytest.raises(EncodingError) as caught:
            list(run_jobs(jobs.work, ["a"], 1, scheduler=scheduler))
        return str(caught.value)

    monkeypatch.setattr(cluster, "_CONNECT", 0.5)
    for address in ("nonsense", "foo://here:1", "tcp://127.0.0.1:9"):
        told = line(address)
        assert told.startswith(f"no Dask scheduler answers at {address} (")
        assert told.endswith("); start one with: dask scheduler, and give its address as tcp://HOST:8786")
    monkeypatch.undo()
    with dask("scheduler", tmp_path, *LOOPBACK) as (process, address):
        monkeypatch.setattr(cluster, "_WORKERS", 0.0)
        assert line(address) == (
            f"the scheduler {address} has no workers; start some with: dask worker {address}"
        )
        monkeypatch.undo()
        threading.Timer(1, process.kill).start()
        assert line(address) == (
            f"the scheduler {address} was lost; what is finished is kept, run again to resume"
        )
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "pip install 'matchrate[dask]'" in line("local")


def test_a_cluster_can_be_this_machine(jobs: ModuleType, tmp_path: Path) -> None:
    def pids() -> list[int]:
        return [int(path.read_text()) for path in tmp_path.iterdir() if path.read_text().strip()]

    found = list(run_jobs(jobs.work, ["a", "exit", "b"], 2, scheduler="local", crashes=True))
    crash = Crash("the worker process ended itself (exit 3)", "doing exit")
    assert sorted(found, key=str) == [(0, "a"), (1, crash), (2, "b")]
    ((_, (_, idle, _)),) = run_jobs(jobs.whereabouts, ["a"], 1, scheduler="local")
    assert not is_alive(idle)
    with ClusterPool("local", 2) as pool:
        results = pool.run(jobs.hold_on, [("nothing", tmp_path), ("sleep", tmp_path), ("busy", tmp_path)])
        assert next(results) == (0, "nothing")
        wait_for(lambda: len(pids()) == 6)
    assert not any(is_alive(pid) for pid in pids())


@linux_only
def test_a_job_that_costs_the_cluster_its_worker_is_a_crash(jobs: ModuleType, scheduler: str) -> None:
    """The last of the module: the worker comes again after a while."""
    with ClusterPool(scheduler, 1) as pool:
        found = list(pool.run(jobs.end_the_cluster_worker, ["a"]))
    assert found == [(0, Crash("the cluster lost the worker that did it", None))]
