"""From study.toml to encoded stimuli: init, check, encode."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from study_app.commands.shared import (
    STUDY_HELP,
    say_if_oversized,
    say_if_short,
    settings_of,
    study_argument,
)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Write a commented study.toml into FOLDER, to fill in by hand."""
    from stimuli.template import write_template

    path = write_template(folder)
    click.echo(f"wrote {path}")
    click.echo(
        f"put your pictures into {folder / 'sources'}, then: matchrate check {shlex.quote(str(folder))}"
    )


@click.command(epilog=STUDY_HELP)
@study_argument
def check(study: Path) -> None:
    """Read study.toml and every picture, and say what is wrong with them."""
    from analysis.errors import counted
    from stimuli.study import check_study, read_study

    found = read_study(settings_of(study).folder)
    check_study(found)
    say_if_oversized(found)
    say_if_short(found)
    click.echo(
        f"study {found.name!r} is fine: {counted(len(found.sources), 'source')}, "
        f"{counted(len(found.codecs), 'codec')}, {counted(len(found.targets), 'rate point')}, "
        f"{counted(len(found.sources) * len(found.conditions), 'stimulus', 'stimuli')}"
    )


@click.command(epilog=STUDY_HELP)
@study_argument
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that encode; by default one a processor."
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="A Dask scheduler whose workers encode: tcp://HOST:8786, or local."
)
def encode(study: Path, workers: int | None, scheduler: str | None) -> None:
    """Encode every source with every codec at every target; an interrupted run goes on where it stopped."""
    from stimuli.encoding import encode_study
    from stimuli.study import read_study

    found = read_study(settings_of(study).folder)
    say_if_short(found)
    manifest = encode_study(found, workers=workers, scheduler=scheduler)
    for stimulus in manifest.mismatched():
        click.echo(stimulus.describe())
    for failure in manifest.failures:
        click.echo(str(failure))
    click.echo(str(manifest.summary()))
