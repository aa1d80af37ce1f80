"""From judgments to tables and plots: export, analyze."""

from __future__ import annotations

from pathlib import Path

import click

from study_app.commands.shared import STUDY_HELP, open_engine, settings_of, study_argument
from study_app.errors import UsageError
from study_app.settings import Settings


@click.command(epilog=STUDY_HELP)
@study_argument
def export(study: Path) -> None:
    """Write judgments and stimuli as CSV and Parquet into exports/."""
    click.echo(_export(settings_of(study))[1])


def _export(settings: Settings, *, judged: bool = False) -> tuple[str, Path]:
    """The study's name and its new export; with `judged`, a study without judgments makes none."""
    from stimuli.manifest import read_manifest
    from study_app.counts import count_study
    from study_app.database import check_schema, session_factory
    from study_app.export import export_study

    name = read_manifest(settings.folder).study.name
    with open_engine(settings) as engine:
        if judged:
            check_schema(engine)
            with session_factory(engine)() as db:
                if count_study(db, name).judgments == 0:
                    raise UsageError(
                        f"nobody has rated study {name!r} yet: run `matchrate serve` and open the address"
                    )
        return name, export_study(engine, name, settings.folder)


@click.command(
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

    study, options = study_and_options(list(arguments))
    settings = settings_of(study)
    name, folder = _export(settings, judged=True)
    out = ["-o", str(settings.folder / "report")]
    return analyze_study([str(folder), "--study", name, *out, *options])


def study_and_options(arguments: list[str]) -> tuple[Path, list[str]]:
    """The study's folder, wherever it stands among the options; bad options end here, before the export."""
    from analysis.arguments import parser

    name = "matchrate analyze"
    usage = f"{name} [STUDY] (--anchor CODEC | --test CODEC) [OPTIONS OF analyze-study]..."
    rest = parser(name, usage).parse_known_args([".", *arguments])[1]
    if len(rest) == 1 and not rest[0].startswith("-"):
        # First or last; between options it could not be told from an option's value.
        place = 0 if arguments[0] == rest[0] else len(arguments) - 1
        if arguments[place] == rest[0]:
            return Path(arguments[place]), arguments[:place] + arguments[place + 1 :]
    parser(name, usage).parse_args([".", *arguments])
    return Path(), arguments
