"""What the targets of a study mean: bits per pixel of each picture or of the set, or shares of a rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

MatchKind = Literal["each", "set-mean", "codec"]


@dataclass(frozen=True, slots=True)
class MatchRule:
    """`each` picture meets its target, the set does (`set-mean`), or targets are shares of a `codec`'s rate.

    For `codec`, `quality` holds the values of its scales by name; it is empty for given reconstructions,
    whose rates are in their table.
    """

    kind: MatchKind = "each"
    codec: str | None = None
    quality: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.codec is None:
            return self.kind
        values = " ".join(f"{name} {value:.10g}" for name, value in self.quality.items())
        return f"{self.codec} {values}".rstrip()


EACH = MatchRule()


def read_match_rule(text: str) -> MatchRule:
    """`each`, `set-mean`, `vvc qp 32` or the name of a codec of reconstructions; raises ValueError."""
    words = text.split()
    if not words:
        raise ValueError("is empty")
    if words == ["each"]:
        return EACH
    if words == ["set-mean"]:
        return MatchRule("set-mean")
    codec, *rest = words
    if len(rest) % 2:
        raise ValueError("must be each, set-mean, or a codec with a value for its scale, as vvc qp 32")
    quality: dict[str, float] = {}
    for name, value in zip(rest[::2], rest[1::2], strict=True):
        try:
            quality[name] = float(value)
        except ValueError:
            raise ValueError(
                f"has {value!r} where the value of {name} should stand, as in vvc qp 32"
            ) from None
        if not math.isfinite(quality[name]):
            raise ValueError(f"has {value!r} where the value of {name} should stand, as in vvc qp 32")
    return MatchRule("codec", codec, quality)
