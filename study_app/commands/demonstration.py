"""A whole study at once: demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from study_app.commands.shared import heed_interrupts


@click.command()
@click.option("--once", is_flag=True, help="Make everything and stop, instead of serving until Ctrl-C.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-study"),
    show_default=True,
    help="Where the demo study is made, and found again.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; the next free one is taken when it is in use.",
)
def demo(once: bool, folder: Path, port: int) -> int:
    """Run a whole study on real photographs with simulated raters, and keep serving it."""
    from study_app.demo import run_demo

    heed_interrupts()
    status: Any = run_demo(folder, once=once, port=port)
    return int(status)
