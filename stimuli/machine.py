"""What the times in a manifest were measured on."""

from __future__ import annotations

import platform
from pathlib import Path

from stimuli.manifest import Machine


def this_machine() -> Machine:
    """The name, processor and system of this machine."""
    return Machine(
        name=platform.node() or "unknown",
        processor=_processor(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    except OSError:
        # Only Linux has the file.
        pass
    return platform.processor() or platform.machine() or "unknown"
