"""Jobs in workers: one that dies, hangs or eats memory costs itself alone, and nothing of any is left."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from stimuli import pool as pool_module
from stimuli.errors import EncodingError, StudyFileError
from stimuli.parallel import Crash, WorkerPool, note, run_jobs

HERE = Path(__file__).parent
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a guard adopt orphans")


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The jobs of `worker_jobs.py`, importable here and in workers."""
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("worker_jobs")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers of this test put their temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def wait_for(condition: Callable[[], bool]) -> None:
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


def held(folder: Path) -> list[int]:
    """The processes that `hold_on` told of."""
    return [int(text) for path in folder.iterdir() if (text := path.read_text().strip())]


def children() -> set[str]:
    """The processes that this one has started and not waited for: those of other tests too."""
    return {pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()}


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()} if sys.platform == "linux" else set()


@pytest.mark.parametrize("workers", [1, 2])
def test_what_ends_a_worker_costs_its_own_job(jobs: ModuleType, workers: int) -> None:
    names = ["a", "segfault", "b", "sleep", "busy", "exit", "leave", "c", "print", "d"]
    found = dict(run_jobs(jobs.work, names, workers, timeout=2, crashes=True))
    assert found == {
        0: "a",
        1: Crash("the worker process died (SIGSEGV)", "doing segfault"),
        2: "b",
        3: Crash("was ended after 2 s", "doing sleep"),
        4: Crash("was ended after 2 s", "doing busy"),
        5: Crash("the worker process ended itself (exit 3)", "doing exit"),
        6: Crash("the worker process ended itself (exit 4)", "doing leave"),
        7: "c",
        8: "print",
        9: "d",
    }


def test_what_is_no_message_costs_its_own_job(jobs: ModuleType) -> None:
    reason = "the worker process told what is no message, perhaps written by a library"
    assert list(run_jobs(jobs.work, ["garble", "a"], 1, crashes=True)) == [
        (0, Crash(reason, "doing garble")),
        (1, "a"),
    ]


@linux_only
def test_memory_has_a_limit(jobs: ModuleType) -> None:
    found = dict(run_jobs(jobs.work, ["fill", "a"], 1, memory=200, crashes=True))
    assert found == {0: Crash("needed more than 200 MB", "doing fill"), 1: "a"}


def test_a_job_that_tells_what_it_does_may_take_its_time(jobs: ModuleType) -> None:
    assert list(run_jobs(jobs.work, ["patient"], 1, timeout=2)) == [(0, "patient")]


def test_a_crash_is_an_error_for_who_did_not_ask(jobs: ModuleType) -> None:
    with pytest.raises(EncodingError) as caught:
        list(run_jobs(jobs.work, ["a", "segfault"], 2))
    line = "a job (doing segfault) ended: the worker process died (SIGSEGV); "
    assert str(caught.value) == line + "what is finished is kept, run again to resume"


def test_exceptions_come_as_they_were_raised(jobs: ModuleType) -> None:
    with pytest.raises(ValueError, match="three is odd") as mistake:
        list(run_jobs(jobs.work, ["a", "raise", "b"], 2))
    assert "in work" in mistake.value.__notes__[0]
    with pytest.raises(StudyFileError) as report:
        list(run_jobs(jobs.work, ["report"], 1, isolated=True))
    assert report.value.problems == ("line one", "line two")
    assert not hasattr(report.value, "__notes__")
    with pytest.raises(RuntimeError, match="UnsendableError: a b"):
        list(run_jobs(jobs.work, ["unsendable"], 1, isolated=True))
    with pytest.raises(TypeError, match="lock"):
        list(run_jobs(jobs.unsendable, ["a"], 1, isolated=True))


def test_one_worker_is_this_process_unless_asked(jobs: ModuleType) -> None:
    def pid(**how: object) -> int:
        ((_, (_, pid, _)),) = run_jobs(jobs.whereabouts, ["a"], 1, **how)  # type: ignore[call-overload]
        return int(pid)

    assert pid() == pid(isolated=False) == os.getpid()
    assert pid(timeout=60, isolated=False) == os.getpid()
    for how in ({"isolated": True}, {"timeout": 60}, {"memory": 4000}, {"crashes": True}):
        assert pid(**how) != os.getpid()
    note("nobody listens")


def test_a_pool_keeps_its_workers(jobs: ModuleType) -> None:
    """From batch to batch, also after one that was given up; only those with a job in hand are ended."""
    with WorkerPool(2) as pool:
        first = {pid for _, (_, pid, _) in pool.run(jobs.whereabouts, [str(i) for i in range(8)])}
        assert 1 <= len(first) <= 2
        again = {pid for _, (_, pid, _) in pool.run(jobs.whereabouts, ["a"])}
        assert again <= first
        given_up = pool.run(jobs.work, ["a", "sleep", "sleep"])
        assert next(given_up) == (0, "a")
        with pytest.raises(RuntimeError, match="one batch"):
            next(pool.run(jobs.work, ["a"]))
        given_up.close()
        assert sorted(pool.run(jobs.work, ["x", "y", "z"])) == [(0, "x"), (1, "y"), (2, "z")]
        last = {pid for _, (_, pid, _) in pool.run(jobs.whereabouts, ["a"])}
    assert not any(is_alive(pid) for pid in first | again | last)


@linux_only
@pytest.mark.parametrize("how", ["segfault", "busy", "exit", "program", "done"])
def test_nothing_of_a_worker_is_left(jobs: ModuleType, tmp_path: Path, temporary: Path, how: str) -> None:
    """Neither its programs, in whatever session and orphaned or not, nor its temporary files, nor a pipe."""
    pids = tmp_path / "pids"
    pids.mkdir()
    before = descriptors()
    children_before = children()
    found = [result for _, result in run_jobs(jobs.hold_on, [(how, pids)], 1, timeout=2, crashes=True)]
    told = {"done": None, "program": "holding"}.get(how, f"doing {how}")
    assert [getattr(result, "note", None) for result in found] == [told]
    assert len(held(pids)) >= 3
    assert not any(is_alive(pid) for pid in held(pids))
    assert list(temporary.iterdir()) == []
    assert descriptors() == before
    assert children() <= children_before


@linux_only
def test_closing_early_leaves_nothing(jobs: ModuleType, tmp_path: Path, temporary: Path) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    before = descriptors()
    results = run_jobs(jobs.hold_on, [("done", pids), ("program", pids), ("busy", pids)], 3)
    assert next(results) == (0, "done")
    wait_for(lambda: len(held(pids)) == 10)
    results.close()
    assert not any(is_alive(pid) for pid in held(pids))
    assert list(temporary.iterdir()) == []
    assert descriptors() == before


PARENT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
import worker_jobs
from stimuli.parallel import run_jobs
pids = Path({pids!r})
for _ in run_jobs(worker_jobs.hold_on, [("program", pids), ("busy", pids)], 2):
    pass
"""


@linux_only
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_however_the_parent_ends_nothing_is_left(
    tmp_path: Path, temporary: Path, sign: signal.Signals
) -> None:
    """Also of a worker that cannot listen, and for a script without a main guard."""
    pids = tmp_path / "pids"
    pids.mkdir()
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(here=str(HERE), pids=str(pids)))
    process = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.PIPE)
    wait_for(lambda: len(held(pids)) == 7)
    process.send_signal(sign)
    process.communicate(timeout=60)
    assert process.returncode == -sign
    wait_for(lambda: not any(is_alive(pid) for pid in held(pids)))
    wait_for(lambda: list(temporary.iterdir()) == [])


@linux_only
def test_a_worker_does_not_outlive_its_guard(jobs: ModuleType, temporary: Path) -> None:
    with WorkerPool(1) as pool:
        ((_, (_, worker, guard)),) = pool.run(jobs.whereabouts, ["a"])
        os.kill(guard, signal.SIGKILL)
        wait_for(lambda: not is_alive(worker))
        reason = "the worker process died (SIGKILL), perhaps for want of memory"
        assert list(pool.run(jobs.work, ["a", "b"])) in (
            [(0, "a"), (1, "b")],
            [(0, Crash(reason, None)), (1, "b")],
        )


def test_where_no_guard_adopts_a_worker_ends_its_own_programs(
    jobs: ModuleType, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ending takes a while here, so that a guard that does not wait for it is found out.
    elsewhere = (
        "import time, stimuli.guard as g, stimuli.worker as w; g._prctl = lambda *_: False; end = w.end_all; "
        "w.end_all = lambda: (time.sleep(0.2), end()); "
    )
    monkeypatch.setattr(pool_module, "_FIRST", elsewhere + pool_module._FIRST)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    pids = tmp_path / "pids"
    pids.mkdir()
    ((_, crash),) = run_jobs(jobs.hold_on, [("program", pids)], 1, timeout=2, crashes=True)
    assert crash == Crash("was ended after 2 s", "holding")
    for path in pids.iterdir():
        pid = int(path.read_text())
        if path.name.endswith(("self", "run")):
            wait_for(lambda pid=pid: not is_alive(pid))
        else:
            os.kill(pid, signal.SIGKILL)
    assert list(temporary.iterdir()) == []


def test_a_worker_imports_nothing_from_where_it_starts(jobs: ModuleType, tmp_path: Path) -> None:
    """A study folder may hold a file called `json.py`."""
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')\n")
    with WorkerPool(1, folder=tmp_path) as pool:
        assert list(pool.run(jobs.work, ["a"])) == [(0, "a")]


def test_a_crash_leaves_no_core_file(jobs: ModuleType) -> None:
    assert list(run_jobs(jobs.limits, ["a"], 1, isolated=True)) == [(0, (0, 0))]


def test_workers_that_cannot_start_are_one_line(jobs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pool_module, "_FIRST", "raise SystemExit(3)")
        with pytest.raises(EncodingError, match=r"^a worker process could not be started: .* \(exit 3\)$"):
            list(run_jobs(jobs.work, ["a"], 1, crashes=True))
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EncodingError, match=r"^a worker process could not be started \(No such file"):
        list(run_jobs(jobs.work, ["a"], 1, crashes=True))
