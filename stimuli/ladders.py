"""Whether targets are spread enough for the savings that a study is expected to show."""

from __future__ import annotations

import math
from collections.abc import Sequence

from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.study import Study

#: A ladder should span so many times the savings. Curves of equal ladders over a span L share the part
#: 1 - ln S / ln L of their quality at savings S: .48 at L = 5 and S = 2.3, .32 at S = 3, and .61 at L = 6 and
#: S = 2.
SPANS = 3.0


def ladder_advice(study: Study) -> tuple[str, ...]:
    """A line for each ladder of targets that is too short for `expected_savings`, with the rates to add."""
    shares = study.match.codec is not None
    ladders: list[tuple[str, Sequence[float]]] = []
    searched = [codec for codec in study.codecs if codec.family != RECONSTRUCTIONS]
    if any(codec.targets is None for codec in searched):
        ladders.append(("targets span", study.targets))
    ladders += [(f"targets of {codec.name} span", codec.targets) for codec in searched if codec.targets]
    for source in study.sources:
        if source.targets:
            ladders.append((f"targets of source {source.name} span", tuple(source.targets.values())))
    lines = (_advice(what, ladder, study.expected_savings, shares) for what, ladder in ladders)
    return tuple(line for line in lines if line is not None)


def _advice(what: str, ladder: Sequence[float], savings: float, shares: bool) -> str | None:
    low, high = min(ladder), max(ladder)
    needed = SPANS * savings
    # A span that was written with rounded numbers may miss the needed one by a hair.
    if high / low >= needed * (1 - 1e-9):
        return None
    unit = "x" if shares else " bpp"
    below, above = _rounded(high / needed, up=False), _rounded(low * needed, up=True)
    return (
        f"{what} {high / low:.3g} x; for savings of {savings:g} x they should span at least {needed:.3g} x: "
        f"add {below:g}{unit}, or {above:g}{unit}"
    )


def _rounded(value: float, *, up: bool) -> float:
    """Two digits, rounded so that the span is not missed."""
    step = 10.0 ** (math.floor(math.log10(value)) - 1)
    steps = value / step
    whole = math.ceil(steps - 1e-9) if up else math.floor(steps + 1e-9)
    return float(f"{whole * step:.2g}")
