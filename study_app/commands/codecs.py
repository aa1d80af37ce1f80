"""What a study can encode with on this machine: codecs."""

from __future__ import annotations

import contextlib
import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from stimuli.codecs.base import Scale
    from stimuli.codecs.listing import Family

_WIDTH = 120
_INDENT = " " * 4


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array with all that is known instead.")
def codecs(as_json: bool) -> None:
    """List every codec: version, place, rate scale, and what is missing."""
    from stimuli.codecs.listing import KINDS, list_families

    with contextlib.redirect_stdout(sys.stderr):
        # Packages of other people may print as they are imported.
        families = list_families()
    if as_json:
        click.echo(json.dumps([family.record() for family in families], indent=2, default=str))
        return
    for kind in KINDS:
        listed = [family for family in families if family.kind == kind]
        for line in (f"{kind}:", *(line for family in listed for line in _block(family))) if listed else ():
            click.echo(line)
    click.echo(_summary(families))


def _block(family: Family) -> Iterator[str]:
    head = f"  {family.name}: {family.status}"
    yield from _wrapped(head + (f", {family.version}" if family.version else ""), "")
    if family.title:
        yield from _wrapped(family.title, _INDENT)
    if family.scales:
        yield from _wrapped("; fine: ".join(map(_scale, family.scales)), _INDENT)
    if values := _defaults(family):
        yield from _wrapped(f"defaults: {values}", _INDENT)
    if family.location:
        yield f"{_INDENT}in {family.location}"
    if family.note:
        yield from _wrapped(family.note, _INDENT)
    if family.not_run:
        yield from _wrapped(f"not run by the project: {family.not_run}", _INDENT)


def _defaults(family: Family) -> str:
    """The settings that study.toml may change; of a recipe its own, without what all recipes have."""
    from stimuli.codecs.recipe import shipped_recipes

    settings = dict(family.settings) if family.kind == "built in" else {}
    if family.kind == "recipe" and (recipe := shipped_recipes().get(family.name)) is not None:
        settings = {key: setting.default for key, setting in recipe.settings.items()}
    return ", ".join(
        f"{key} (to be given)" if value is None else f"{key} = {json.dumps(value)}"
        for key, value in settings.items()
    )


def _scale(scale: Scale) -> str:
    from stimuli.codecs.listing import direction

    if scale.step == 0:
        step = "any number"
    else:
        step = f"geometric step {scale.step:g}" if scale.log else f"step {scale.step:g}"
    return f"{scale.name} {scale.low:g} to {scale.high:g}, {step}, {direction(scale)}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent or _INDENT,
        # A path or a command must stay whole, to be copied.
        break_long_words=False,
        break_on_hyphens=False,
    )


def _summary(families: Sequence[Family]) -> str:
    words = {
        "ready": "ready",
        "needs settings": "with settings to write",
        "missing": "missing",
        "broken": "broken",
    }
    counts = {status: sum(family.status == status for family in families) for status in words}
    said = ", ".join(f"{count} {words[status]}" for status, count in counts.items() if count)
    return f"{len(families)} families: {said}. Of scales, up means that larger numbers make larger files."
