"""What a running program holds in memory, and the limits that the system keeps for it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

MEGABYTE = 1 << 20
#: The most that a program may write into one file: thrice the largest picture as 16-bit samples.
LARGEST_FILE = 1536 * MEGABYTE


def limit_program(pid: int, memory: int | None) -> None:
    """Have the system refuse a started program twice its memory (bytes) at once, and files without end.

    Limits are set from outside, right after the start: code between fork and exec is unsafe beside
    threads, and a launcher would be counted in the codec's seconds. The limit is on writable private
    memory (RLIMIT_DATA), because address space (RLIMIT_AS) also counts what run-time systems only
    reserve. It is the second line, for what is asked for faster than `resident_bytes` is looked at.
    """
    if sys.platform != "linux":
        return
    import resource

    # A program that has ended already needs no limit, and a limit of the system may be lower than ours.
    with contextlib.suppress(OSError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    if memory is not None:
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (2 * memory, 2 * memory))


def resident_bytes(pid: int) -> int:
    """Bytes of memory that a process and its descendants hold; 0 for one that has ended.

    A descendant whose own parent has ended is not found. Memory that they share is counted for each.
    """
    if sys.platform != "linux":
        return 0
    total, waiting = 0, [pid]
    page = _page_bytes()
    while waiting:
        place = Path("/proc") / str(waiting.pop())
        try:
            total += int((place / "statm").read_text().split()[1]) * page
            for task in (place / "task").iterdir():
                waiting.extend(int(child) for child in (task / "children").read_text().split())
        except (OSError, IndexError, ValueError):
            continue
    return total


def _page_bytes() -> int:
    import resource

    return resource.getpagesize()
