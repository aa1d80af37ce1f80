"""What the commands share: their arguments, the study's settings and database, and notes on a study."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stimuli.errors import StimuliError
from study_app.errors import UsageError
from study_app.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stimuli.manifest import Manifest
    from stimuli.study import Study

STUDY_HELP = "STUDY is the study's folder, by default the current one."
#: Exit status of a command that refuses its input, or found something wrong with it.
EXIT_BAD_INPUT = 2

study_argument = click.argument(
    "study", type=click.Path(file_okay=False, path_type=Path), default=Path(), required=False
)


def heed_interrupts() -> None:
    """Let SIGINT stop a server that a script started in the background, where shells have it ignored."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def settings_of(study: Path) -> Settings:
    """The settings of a study's folder; raises UsageError where there is no such folder."""
    settings = Settings.from_environment(study)
    if not settings.folder.is_dir():
        raise UsageError(f"{study}: there is no such folder; make a study with `matchrate init {study}`")
    return settings


@contextmanager
def open_engine(settings: Settings) -> Iterator[Engine]:
    """The study's database, open as long as the context lasts."""
    from study_app.database import open_database

    with open_database(settings) as engine:
        yield engine


def say_if_oversized(study: Study) -> None:
    """Pictures that most windows cannot hold beside the original are rated badly: say so before encoding."""
    from stimuli.study import oversized_sources

    for line in oversized_sources(study):
        click.echo(f"note: {line}", err=True)


def say_if_short(study: Study) -> None:
    """Targets that are too close together give curves that share little quality: say so before encoding."""
    from stimuli.ladders import ladder_advice

    for line in ladder_advice(study):
        click.echo(f"note: {line}", err=True)


def say_if_outdated(folder: Path, manifest: Manifest) -> None:
    """A study.toml that was changed after encoding is not what raters get: say so."""
    from stimuli.outdated import outdated_keys
    from stimuli.study import read_study

    try:
        keys = outdated_keys(read_study(folder), manifest)
    except StimuliError:
        # The manifest alone is loaded and served; `matchrate check` says what is wrong with the file.
        return
    if keys:
        click.echo(
            f"note: study.toml was changed after the last encode ({', '.join(keys)}): "
            "run `matchrate encode` and `matchrate load` for it to count",
            err=True,
        )
