"""Which process is the server of a study's data, told from what /proc says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def serves(pid: int, data: Path) -> bool:
    """Whether a Postgres runs on this data and not on another's, whose pid a left-over file may name."""
    process = Path(f"/proc/{pid}")
    if not Path("/proc/self").exists():
        return True
    try:
        words = [os.fsdecode(word) for word in (process / "cmdline").read_bytes().split(b"\0")]
        # A server works in its data's folder, wherever that was moved to.
        return (process / "cwd").samefile(data)
    except PermissionError:
        # Root in a container sees no working folder of another account.
        if words[0].startswith("postgres:"):
            return False
        given = words[words.index("-D") + 1] if "-D" in words[:-1] else str(data)
        return given == str(data) or not os.path.isdir(given)  # noqa: PTH112 - False where it may not look
    except OSError:
        return False


def is_postgres(pid: int) -> bool:
    """Whether the process is a Postgres server; a reused pid of another program is not."""
    if pid <= 0:
        return False
    status = Path(f"/proc/{pid}")
    if Path("/proc/self").exists():
        try:
            words = (status / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return Path(os.fsdecode(words[0])).name.startswith("postgres")
    done = subprocess.run(
        ["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False
    )
    return "postgres" in done.stdout


def is_alive(pid: int, process: subprocess.Popen[bytes] | None) -> bool:
    """Whether the server still runs; `process` is it when we started it."""
    if process is not None:
        return process.poll() is None
    return is_postgres(pid)
