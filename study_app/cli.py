"""The command `matchrate`: one line on an error, and exit 2."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import click

from analysis.errors import AnalysisError
from stimuli.errors import StimuliError
from study_app import __version__
from study_app.commands import codecs, collection, demonstration, objective, preparation, proof, results
from study_app.commands.shared import EXIT_BAD_INPUT
from study_app.errors import StudyAppError

EXIT_UNEXPECTED = 1
EXIT_INTERRUPTED = 130


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


class _InOrder(click.Group):
    """Lists commands in the order of a study's way instead of the alphabet's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="matchrate")
def cli() -> None:
    """Blind pairwise picture-quality studies of image codecs at matched bitrates.

    A study's way: init, check, encode, load, serve, analyze; simulate rehearses it.
    """


for command in (
    demonstration.demo,
    preparation.init,
    codecs.codecs,
    preparation.check,
    preparation.encode,
    proof.verify,
    proof.timings,
    objective.rd,
    collection.load,
    collection.simulate,
    collection.serve,
    results.export,
    results.analyze,
    collection.db,
):
    cli.add_command(command)
