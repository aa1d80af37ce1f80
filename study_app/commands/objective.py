"""From the manifest to objective rate-distortion curves, before anybody is asked: rd."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from study_app.commands.shared import STUDY_HELP, settings_of, study_argument

if TYPE_CHECKING:
    import pandas as pd

    from analysis.rates import RateMean
    from stimuli.manifest import Manifest


@click.command(epilog=STUDY_HELP)
@study_argument
@click.option("--anchor", metavar="CODEC", help="Compare every codec against this one; by default the first.")
@click.option(
    "--metric", "metrics", multiple=True, metavar="NAME", help="Only this metric; may be given several times."
)
@click.option(
    "--rate",
    type=click.Choice(["file", "payload"]),
    help="Bits of the file, or without its container; by default as the study counts.",
)
@click.option(
    "--rate-mean",
    type=click.Choice(["geometric", "arithmetic"]),
    default="geometric",
    show_default=True,
    help="Mean of bpp over sources.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where tables and plots go; by default rd/ in the study's folder.",
)
def rd(
    study: Path,
    anchor: str | None,
    metrics: tuple[str, ...],
    rate: str | None,
    rate_mean: RateMean,
    output: Path | None,
) -> None:
    """Print and plot objective quality over rate, with BD-rates and what looks broken.

    Reads the manifest alone: nobody has to rate for it. `matchrate encode` measures the metrics that
    study.toml names under `metrics`.
    """
    # Imported here: pandas and SciPy take a second, which --help need not pay.
    from analysis.objective import ObjectiveOptions, analyse_objective
    from analysis.objective_outputs import (
        ORDER_NOTE,
        aligned,
        bd_table,
        disagreement,
        flag_note,
        point_table,
        rates_text,
        write_objective,
    )
    from analysis.objective_warnings import objective_warnings
    from analysis.rates import RateBasis
    from stimuli.manifest import read_manifest

    folder = settings_of(study).folder
    manifest = read_manifest(folder)
    basis: RateBasis = next(name for name in get_args(RateBasis) if name == (rate or manifest.study.rate))
    table = stimuli_table(manifest)
    options = ObjectiveOptions(
        anchor=anchor, metrics=tuple(dict.fromkeys(metrics)), rate=basis, rate_mean=rate_mean
    )
    result = analyse_objective(manifest.study.name, table, options)
    warnings = [*objective_warnings(result, table), *_remarks(manifest)]
    click.echo(f"objective metrics of study {manifest.study.name!r}, {rates_text(result)}\n")
    click.echo(aligned(*point_table(result)))
    header, rows = bd_table(result)
    if rows:
        click.echo(f"\nBD-rate against {result.anchor}: below zero the codec needs fewer bits\n")
        click.echo(aligned(header, rows))
    click.echo(f"\nnote: {ORDER_NOTE}")
    if flagged := flag_note(result):
        click.echo(f"note: {flagged}")
    if opposite := disagreement(result):
        click.echo(f"note: here {opposite}")
    for warning in warnings:
        click.echo(f"warning: {warning}")
    click.echo(f"report: {write_objective(result, warnings, output or folder / 'rd')}")


def stimuli_table(manifest: Manifest) -> pd.DataFrame:
    """The stimuli of a manifest with a column a metric, and the rate point that each belongs to.

    Where a set has to meet its target, the residual of a stimulus is that of its set.
    """
    import pandas as pd

    from analysis.contract import METRIC_PREFIX
    from stimuli.study import Stimulus

    points = {condition.name: condition.rate_point for condition in manifest.conditions}
    order = {condition.name: i for i, condition in enumerate(manifest.conditions)}
    plain = [field.name for field in fields(Stimulus) if field.name not in ("metrics", "quality")]
    of_sets = manifest.set_residuals()
    rows: list[dict[str, Any]] = []
    for stimulus in sorted(manifest.stimuli, key=lambda stimulus: order[stimulus.condition]):
        row = {name: getattr(stimulus, name) for name in plain}
        row["rate_point"] = points[stimulus.condition]
        row["residual"] = of_sets.get(stimulus.condition, stimulus.residual)
        rows.append(row | {METRIC_PREFIX + name: value for name, value in stimulus.metrics.items()})
    return pd.DataFrame(rows)


def _remarks(manifest: Manifest) -> list[str]:
    """What the manifest knows and its stimuli do not show."""
    from analysis.errors import counted

    lines = []
    measured = {name for stimulus in manifest.stimuli for name in stimulus.metrics}
    if lacking := [name for name in manifest.study.metrics if name not in measured]:
        lines.append(f"{', '.join(lacking)}: measured on no stimulus, as the pictures are too small for it")
    if manifest.failures:
        number = len(manifest.failures)
        lines.append(
            f"{counted(number, 'stimulus', 'stimuli')} could not be made and "
            f"{'is' if number == 1 else 'are'} missing here: {manifest.failures[0]}"
        )
    return lines
