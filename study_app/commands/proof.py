"""That a study can be believed: verify, and how long its codecs take: timings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from study_app.commands.shared import EXIT_BAD_INPUT, STUDY_HELP, settings_of, study_argument
from study_app.errors import UsageError


@click.command(epilog=STUDY_HELP)
@study_argument
@click.option("--encode", is_flag=True, help="Encode every stimulus again too, at its recorded quality.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the table to a .csv or .json file too.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Processes that decode; by default one a processor."
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="A Dask scheduler whose workers decode: tcp://HOST:8786, or local."
)
def verify(study: Path, encode: bool, output: Path | None, workers: int | None, scheduler: str | None) -> int:
    """Hash and decode every file of the manifest again, and list each that differs.

    The study may have been encoded on another machine: study.toml, the sources, and of stimuli/ the
    manifest, bitstreams and pictures are enough.
    """
    from stimuli.robustness import encode_lines, table_lines, write_table
    from stimuli.verification import verify_study

    if output is not None and output.suffix not in (".csv", ".json"):
        raise UsageError(f"{output}: must end in .csv or .json")
    found = verify_study(settings_of(study).folder, encode=encode, workers=workers, scheduler=scheduler)
    for note in found.notes:
        click.echo(f"note: {note}")
    if found.made_on is not None:
        click.echo(f"encoded on {found.made_on}")
        click.echo(f"verified on {found.here}")
        click.echo(f"\n{_aligned(*table_lines(found.rows))}\n")
        header, again = encode_lines(found.rows)
        if again:
            click.echo(f"encoded again:\n{_aligned(header, again)}\n")
    for deviation in found.deviations:
        click.echo(str(deviation), err=True)
    if output is not None:
        write_table(output, found)
    if found.deviations:
        number = len(found.deviations)
        said = f"{number} deviation{'' if number == 1 else 's'} from the manifest"
        # Elsewhere that would make another study of it.
        if found.made_on == found.here and not found.notes:
            said += "; run `matchrate encode` to make again what can be made"
        click.echo(f"matchrate: {said}", err=True)
        return EXIT_BAD_INPUT
    click.echo("every file is as the manifest says" + (", and so is every encode" if encode else ""))
    return 0


@click.command(epilog=STUDY_HELP)
@study_argument
@click.option(
    "--reference", metavar="CODEC", help="Give times as multiples of this one's; by default the first."
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Runs of each encode and decode.",
)
@click.option(
    "--sources",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="On how many sources, from the first on.",
)
def timings(study: Path, reference: str | None, repeats: int, sources: int) -> None:
    """Time every codec at its kept qualities, and write timings.csv into the study.

    CPU seconds a megapixel of one process that does nothing else, with the codecs taking turns. Codecs that
    were timed elsewhere can be written into timings.csv by hand, as rows of another device: they are kept.
    """
    from stimuli.timing import time_study
    from stimuli.timing_table import NAME, timing_lines

    folder = settings_of(study).folder
    found = time_study(folder, reference=reference, repeats=repeats, sources=sources)
    for note in found.notes:
        click.echo(f"note: {note}")
    click.echo(f"CPU seconds a megapixel on {found.device}; x is a multiple of {found.reference}\n")
    click.echo(_aligned(*timing_lines(found.timings)))
    if found.kept:
        kept = ", ".join(f"{row['codec']} on {row['device']}" for row in found.kept)
        click.echo(f"\nkept: {kept}")
    click.echo(f"wrote {folder / NAME}")


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
