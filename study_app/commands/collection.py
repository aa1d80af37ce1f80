"""From encoded stimuli to judgments: load, serve, and the tables of the database."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from study_app.commands.shared import (
    STUDY_HELP,
    heed_interrupts,
    open_engine,
    say_if_outdated,
    settings_of,
    study_argument,
)


@click.command(epilog=STUDY_HELP)
@study_argument
def load(study: Path) -> None:
    """Put the encoded study and its design into the database; doing it again changes nothing."""
    from stimuli.manifest import read_manifest
    from study_app.database import prepare_schema
    from study_app.loading import load_manifest

    settings = settings_of(study)
    manifest = read_manifest(settings.folder)
    say_if_outdated(settings.folder, manifest)
    with open_engine(settings) as engine:
        prepare_schema(engine)
        click.echo(str(load_manifest(engine, manifest, settings.folder)))


@click.command(epilog=STUDY_HELP)
@study_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; the next free one is taken when it is in use.",
)
def serve(study: Path, host: str, port: int) -> None:
    """Serve the study to raters and to its researcher until Ctrl-C."""
    from stimuli.manifest import read_manifest
    from study_app.app import create_app
    from study_app.logs import log_to
    from study_app.server import researcher_token, start_server

    heed_interrupts()
    settings = settings_of(study)
    manifest = read_manifest(settings.folder)
    say_if_outdated(settings.folder, manifest)
    name = manifest.study.name
    with open_engine(settings) as engine:
        token = researcher_token(settings.folder)
        log_to(settings.folder)
        app = create_app(settings, engine=engine, study=name, researcher_token=token)
        with start_server(app, port, host) as server:
            if port not in (0, server.port):
                click.echo(f"port {port} is taken, using {server.port}")
            address = settings.public_url or server.url
            click.echo(f"raters:     {address}/")
            click.echo(f"researcher: {address}/researcher?token={token}")
            click.echo("Ctrl-C stops the server.")
            try:
                server.wait()
            except (KeyboardInterrupt, SystemExit):
                click.echo("stopping")


@click.command(epilog=STUDY_HELP)
@study_argument
@click.option(
    "--raters", type=click.IntRange(1, 100_000), default=40, show_default=True, help="How many sit."
)
@click.option(
    "--answers",
    type=click.IntRange(min=1),
    help="Answers of each; by default a whole session (session_length).",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of what they see and answer."
)
@click.option(
    "--among-real", is_flag=True, help="Also where people have judged: the analysis tells them apart."
)
def simulate(study: Path, raters: int, answers: int | None, seed: int, among_real: bool) -> None:
    """Load the study and let labelled simulated raters answer it, as a rehearsal of its analysis.

    They see SSIMULACRA2 as the manifest has it, or bits per pixel where it has none, and answer over the same
    calls as a browser. What they saw is written to report/simulated_truth.csv.
    """
    from stimuli.manifest import read_manifest
    from study_app.database import prepare_schema
    from study_app.loading import load_manifest
    from study_app.simulation import simulate_study

    heed_interrupts()
    settings = settings_of(study)
    manifest = read_manifest(settings.folder)
    say_if_outdated(settings.folder, manifest)
    with open_engine(settings) as engine:
        prepare_schema(engine)
        click.echo(str(load_manifest(engine, manifest, settings.folder)))
        truth = simulate_study(
            engine, settings, manifest, raters=raters, answers=answers, seed=seed, among_real=among_real
        )
    click.echo(f"what they saw: {truth}")
    codec = shlex.quote(manifest.codecs[0].name)
    folder = shlex.quote(str(study))
    click.echo(f"next: matchrate analyze {folder} --anchor {codec} --include-simulated")


@click.group()
def db() -> None:
    """Make, upgrade and check the tables."""


@db.command("upgrade", epilog=STUDY_HELP)
@study_argument
def db_upgrade(study: Path) -> None:
    """Bring the tables to this version; judgments stay."""
    from study_app.database import check_schema, upgrade

    with open_engine(settings_of(study)) as engine:
        upgrade(engine)
        click.echo(f"the database schema is {check_schema(engine)}")


@db.command("check", epilog=STUDY_HELP)
@study_argument
def db_check(study: Path) -> None:
    """Say whether the tables are those of this version."""
    from study_app.database import check_schema

    with open_engine(settings_of(study)) as engine:
        click.echo(f"the database schema is {check_schema(engine)}, as this version needs")
