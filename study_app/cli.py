"""The command `matchrate`: one line on an error, and exit 2."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from analysis.errors import AnalysisError
from stimuli.errors import StimuliError
from study_app import __version__
from study_app.errors import StudyAppError, UsageError
from study_app.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from stimuli.manifest import Manifest
    from stimuli.study import Study

STUDY_HELP = "STUDY is the study's folder, by default the current one."
EXIT_UNEXPECTED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

study_argument = click.argument(
    "study", type=click.Path(file_okay=False, path_type=Path), default=Path(), required=False
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status and lets no traceback of an expected error through."""
    with _terminable():
        try:
            status = cli.main(args=arguments, prog_name="matchrate", standalone_mode=False)
        except click.exceptions.Exit as leave:
            return leave.exit_code
        except click.ClickException as error:
            error.show()
            return EXIT_BAD_INPUT
        except (StudyAppError, StimuliError, AnalysisError) as error:
            return _fail(str(error))
        except (KeyboardInterrupt, click.Abort):
            print("matchrate: interrupted", file=sys.stderr)
            return EXIT_INTERRUPTED
        except Exception as error:
            said = _database_reason(error)
            if said is not None:
                return _fail(said)
            return _unexpected(error)
    return status if isinstance(status, int) else 0


def _fail(message: str) -> int:
    print(f"matchrate: {message}", file=sys.stderr)
    return EXIT_BAD_INPUT


def _unexpected(error: Exception) -> int:
    from study_app.logs import keep_traceback

    kept = keep_traceback(error)
    where = f"; please report it with {kept}" if kept is not None else ""
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    print(f"matchrate: an error of Matchrate itself ({said}){where}", file=sys.stderr)
    return EXIT_UNEXPECTED


def _database_reason(error: Exception) -> str | None:
    # Imported late: `matchrate --help` needs no database.
    from psycopg.errors import InsufficientPrivilege, InvalidSchemaName
    from sqlalchemy.exc import DBAPIError, OperationalError

    from study_app.database import reason

    if isinstance(error, DBAPIError) and isinstance(error.orig, (InsufficientPrivilege, InvalidSchemaName)):
        # From Postgres 15 on, not everybody may make tables in the schema public.
        return (
            f"the database refuses it ({reason(error)}): in MATCHRATE_DATABASE_URL, name the owner of the "
            "database and a schema that exists"
        )
    if isinstance(error, OperationalError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        return f"the database does not answer: {reason(error)}"
    return None


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and SIGHUP unwind as Ctrl-C does, so that what a command started is stopped."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may set handlers; whoever runs us elsewhere has its own way to stop.
        yield
        return
    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heed_interrupts() -> None:
    """Let SIGINT stop a server that a script started in the background, where shells have it ignored."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _settings(study: Path) -> Settings:
    settings = Settings.from_environment(study)
    if not settings.folder.is_dir():
        raise UsageError(f"{study}: there is no such folder; make a study with `matchrate init {study}`")
    return settings


@contextmanager
def _database(settings: Settings) -> Iterator[Engine]:
    from study_app.database import open_database

    with open_database(settings) as engine:
        yield engine


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="matchrate")
def cli() -> None:
    """Blind pairwise picture-quality studies of image codecs at matched bitrates.

    A study's way: init, check, encode, load, serve, analyze.
    """


@cli.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Write a commented study.toml into FOLDER, to fill in by hand."""
    from stimuli.template import write_template

    path = write_template(folder)
    click.echo(f"wrote {path}")
    click.echo(
        f"put your pictures into {folder / 'sources'}, then: matchrate check {shlex.quote(str(folder))}"
    )


@cli.command(epilog=STUDY_HELP)
@study_argument
def check(study: Path) -> None:
    """Read study.toml and every picture, and say what is wrong with them."""
    from stimuli.study import check_study, read_study

    found = read_study(_settings(study).folder)
    check_study(found)
    _say_if_oversized(found)
    click.echo(
        f"study {found.name!r} is fine: {len(found.sources)} sources, {len(found.codecs)} codecs, "
        f"{len(found.targets)} rate points, {len(found.sources) * len(found.conditions)} stimuli"
    )


@cli.command(epilog=STUDY_HELP)
@study_argument
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that encode; by default one a processor."
)
def encode(study: Path, workers: int | None) -> None:
    """Encode every source with every codec at every target; an interrupted run goes on where it stopped."""
    from stimuli.encoding import encode_study
    from stimuli.study import read_study

    manifest = encode_study(read_study(_settings(study).folder), workers=workers)
    for stimulus in manifest.mismatched():
        click.echo(stimulus.describe())
    click.echo(str(manifest.summary()))


@cli.command(epilog=STUDY_HELP)
@study_argument
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that decode; by default one a processor."
)
def verify(study: Path, workers: int | None) -> int:
    """Hash and decode every file of the manifest again, and list each that differs."""
    from stimuli.verification import verify_study

    deviations = verify_study(_settings(study).folder, workers=workers)
    for deviation in deviations:
        click.echo(str(deviation), err=True)
    if deviations:
        again = "run `matchrate encode` to make again what can be made"
        click.echo(f"matchrate: {len(deviations)} deviations from the manifest; {again}", err=True)
        return EXIT_BAD_INPUT
    click.echo("every file is as the manifest says")
    return 0


@cli.command(epilog=STUDY_HELP)
@study_argument
def load(study: Path) -> None:
    """Put the encoded study and its design into the database; doing it again changes nothing."""
    from stimuli.manifest import read_manifest
    from study_app.database import prepare_schema
    from study_app.loading import load_manifest

    settings = _settings(study)
    manifest = read_manifest(settings.folder)
    _say_if_outdated(settings.folder, manifest)
    with _database(settings) as engine:
        prepare_schema(engine)
        click.echo(str(load_manifest(engine, manifest, settings.folder)))


def _say_if_oversized(study: Study) -> None:
    """Pictures that most windows cannot hold beside the original are rated badly: say so before encoding."""
    from stimuli.study import oversized_sources

    for line in oversized_sources(study):
        click.echo(f"note: {line}", err=True)


def _say_if_outdated(folder: Path, manifest: Manifest) -> None:
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


@cli.command(epilog=STUDY_HELP)
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

    _heed_interrupts()
    settings = _settings(study)
    manifest = read_manifest(settings.folder)
    _say_if_outdated(settings.folder, manifest)
    name = manifest.study.name
    with _database(settings) as engine:
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


@cli.command(epilog=STUDY_HELP)
@study_argument
def export(study: Path) -> None:
    """Write judgments and stimuli as CSV and Parquet into exports/."""
    click.echo(_export(_settings(study))[1])


def _export(settings: Settings, *, judged: bool = False) -> tuple[str, Path]:
    """The study's name and its new export; with `judged`, a study without judgments makes none."""
    from stimuli.manifest import read_manifest
    from study_app.counts import count_study
    from study_app.database import check_schema, session_factory
    from study_app.export import export_study

    name = read_manifest(settings.folder).study.name
    with _database(settings) as engine:
        if judged:
            check_schema(engine)
            with session_factory(engine)() as db:
                if count_study(db, name).judgments == 0:
                    raise UsageError(
                        f"nobody has rated study {name!r} yet: run `matchrate serve` and open the address"
                    )
        return name, export_study(engine, name, settings.folder)


@cli.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog=STUDY_HELP + " `analyze-study --help` lists the options.",
)
@click.argument(
    "arguments", metavar="[STUDY] [OPTIONS OF analyze-study]...", nargs=-1, type=click.UNPROCESSED
)
def analyze(arguments: tuple[str, ...]) -> int:
    """Export, then write BD-rates, scores, curves and report.html into report/.

    Name the codec to measure against with --anchor CODEC, or the one to measure with --test CODEC.
    """
    from analysis.analyze_study import main as analyze_study

    study, options = _study_and_options(list(arguments))
    settings = _settings(study)
    name, folder = _export(settings, judged=True)
    out = ["-o", str(settings.folder / "report")]
    return analyze_study([str(folder), "--study", name, *out, *options])


def _study_and_options(arguments: list[str]) -> tuple[Path, list[str]]:
    """The study's folder, wherever it stands among the options; bad options end here, before the export."""
    from analysis.arguments import parser

    rest = parser().parse_known_args([".", *arguments])[1]
    if len(rest) == 1 and not rest[0].startswith("-"):
        # First or last; between options it could not be told from an option's value.
        place = 0 if arguments[0] == rest[0] else len(arguments) - 1
        if arguments[place] == rest[0]:
            return Path(arguments[place]), arguments[:place] + arguments[place + 1 :]
    parser().parse_args([".", *arguments])
    return Path(), arguments


@cli.group()
def db() -> None:
    """Make, upgrade and check the tables."""


@db.command("upgrade", epilog=STUDY_HELP)
@study_argument
def db_upgrade(study: Path) -> None:
    """Bring the tables to this version; judgments stay."""
    from study_app.database import check_schema, upgrade

    with _database(_settings(study)) as engine:
        upgrade(engine)
        click.echo(f"the database schema is {check_schema(engine)}")


@db.command("check", epilog=STUDY_HELP)
@study_argument
def db_check(study: Path) -> None:
    """Say whether the tables are those of this version."""
    from study_app.database import check_schema

    with _database(_settings(study)) as engine:
        click.echo(f"the database schema is {check_schema(engine)}, as this version needs")


@cli.command()
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

    _heed_interrupts()
    status: Any = run_demo(folder, once=once, port=port)
    return int(status)
