"""Finds a Chromium for the browser tests, or installs one: Debian's, else the one that Playwright downloads.

Run as a program it ends with status 0 once there is a browser, else with one line that says how to get one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = (
    "No Chromium was found and none could be installed. Install one and run this again: "
    "`sudo apt-get install chromium`, or `.venv/bin/python -m playwright install --with-deps chromium`."
)


def browser_arguments() -> list[str]:
    """Flags for a Chromium that talks to nobody but the server under test, as root and in containers too."""
    return [
        "--no-sandbox",  # root has none, containers often forbid it; only our own pages are opened
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]


def _starts(executable: str) -> bool:
    """Some distributions have a script of that name which only tells how to install the browser."""
    try:
        answer = subprocess.run([executable, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0 and b"hrom" in answer.stdout


def _downloaded() -> str | None:
    """The Chromium that Playwright downloaded earlier, if it did."""
    from playwright.sync_api import Error, sync_playwright

    try:
        with sync_playwright() as playwright:
            path = playwright.chromium.executable_path
    except Error:
        return None
    return path if Path(path).is_file() else None


def find_chromium() -> str | None:
    """Path of a Chromium that starts, or None."""
    for name in NAMES:
        path = shutil.which(name)
        if path and _starts(path):
            return path
    path = _downloaded()
    return path if path and _starts(path) else None


def _run_quietly(command: list[str], **environment: str) -> None:
    # Whether it worked shows in whether there is a browser; its output would bury the one line that helps.
    with contextlib.suppress(OSError):
        subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False)


def _install_with_apt() -> None:
    print("no Chromium found: installing Debian's with apt-get", flush=True)
    _run_quietly(["apt-get", "update", "-qq"])
    _run_quietly(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"],
        DEBIAN_FRONTEND="noninteractive",
    )


def _install_with_playwright() -> None:
    print("no Chromium found: letting Playwright download one", flush=True)
    _run_quietly([sys.executable, "-m", "playwright", "install", "chromium"])


def main() -> int:
    """Make sure that there is a Chromium; the exit status says whether there is."""
    path = find_chromium()
    if path is None and os.name == "posix" and os.geteuid() == 0 and shutil.which("apt-get"):
        _install_with_apt()
        path = find_chromium()
    if path is None:
        _install_with_playwright()
        path = find_chromium()
    if path is None:
        print(HOW, file=sys.stderr)
        return 1
    print(f"browser tests use {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
