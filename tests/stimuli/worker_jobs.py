"""Jobs that die, hang, eat and raise: a module of its own, because workers must be able to import them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from stimuli import worker
from stimuli.errors import StudyFileError
from stimuli.parallel import note
from stimuli.programs import run_program


class UnsendableError(Exception):
    """An exception that pickle cannot make again."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def work(job: str) -> str:
    """Do what a job is called after; the good ones give their name back."""
    kind = job.partition(" ")[0]
    note(f"doing {job}")
    if kind == "segfault":
        ctypes.string_at(0)
    elif kind == "sleep":
        time.sleep(600)
    elif kind == "busy":
        # Holds the lock of the interpreter: no thread of this process can do anything meanwhile.
        ctypes.PyDLL(None).usleep(600_000_000) if sys.platform == "linux" else time.sleep(600)
    elif kind == "fill":
        held = []
        while True:
            held.append(bytearray(b"x" * 2**23))
            note(f"doing {job}")
    elif kind == "exit":
        os._exit(3)
    elif kind == "leave":
        sys.exit(4)
    elif kind == "print":
        print("printed")
        os.write(1, b"written")
        subprocess.run([sys.executable, "-c", "print('of a child', input())"], check=False)
    elif kind == "garble":
        # What no library should do: write where the messages go.
        os.write(worker._channel.fileno(), b"hello, world")
        time.sleep(600)
    elif kind == "raise":
        raise ValueError("three is odd")
    elif kind == "report":
        raise StudyFileError(("line one", "line two"))
    elif kind == "unsendable":
        raise UnsendableError("a", "b")
    elif kind == "patient":
        for step in range(6):
            time.sleep(0.4)
            note(f"step {step}")
    return job


def unsendable(job: str) -> object:
    """Give a result that no pipe takes."""
    return threading.Lock()


def whereabouts(job: str) -> tuple[str, int, int]:
    """The job, its process and the parent of that."""
    return job, os.getpid(), os.getppid()


def versions() -> dict[str, str]:
    """A probe that differs between a worker and who asked it."""
    return {"even": "1.0", "odd": "1.0" if worker._channel is None else "1.1"}


def same_versions() -> dict[str, str]:
    """A probe that is the same everywhere."""
    return {"even": "1.0"}


def end_the_cluster_worker(job: str) -> str:
    """Kill the process that asked for this one: the parent of the guard (Linux)."""
    stat = Path(f"/proc/{os.getppid()}/stat").read_bytes().rpartition(b")")[2].split()
    os.kill(int(stat[1]), signal.SIGKILL)
    time.sleep(600)
    return job


def limits(job: str) -> tuple[int, int]:
    """The limits of core files here."""
    import resource

    return resource.getrlimit(resource.RLIMIT_CORE)


def hold_on(job: tuple[str, Path]) -> str:
    """Write the numbers of this process and of what it starts into a folder, then end as the job says."""
    how, folder = job
    if how == "nothing":
        return how
    for name in ("quick", "detached"):
        # In a session of its own, and left behind by a shell that ends at once.
        script = f"sleep 600 & echo $! > '{folder / (str(os.getpid()) + name)}'"
        subprocess.run(["sh", "-c", script], start_new_session=name == "detached", check=True)
    (folder / f"{os.getpid()}self").write_text(str(os.getpid()))
    (Path(os.environ["TMPDIR"]) / "half-done").write_text("x")
    note("holding")
    if how == "program":
        run_program(
            ["sh", "-c", f"echo $$ > '{folder}/{os.getpid()}run'; exec sleep 600"], cwd=folder, timeout=600
        )
    elif how != "done":
        work(how)
    return how
