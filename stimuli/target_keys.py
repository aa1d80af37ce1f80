"""The keys of study.toml that say which rates are compared."""

from __future__ import annotations

from itertools import pairwise

from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.codecs.registry import make_codec
from stimuli.errors import CodecNotInstalledError
from stimuli.records import is_number
from stimuli.study import Study
from stimuli.toml_table import Table

#: No picture that is accepted makes a file of so few bits per pixel, and no study asks for so many rates.
LEAST_TARGET = 1e-6
MOST_TARGETS = 100
#: Rates nearer than this would be answered with the same file, and raters asked to tell it from itself.
NEAREST_TARGETS = 1.01
#: Bits per pixel of a bare 8-bit RGB picture.
BARE = 24.0


def read_targets(table: Table) -> tuple[float, ...]:
    """The key `targets` of a study or a codec, rising."""
    if not table.has("targets"):
        table.take("targets")
        table.problem("targets", "is missing; write the rate points in bpp, as [0.25, 0.5, 1.0]")
        return ()
    targets: list[float] = []
    items = table.items("targets") or []
    if len(items) > MOST_TARGETS:
        table.problem("targets", f"has {len(items)} rate points; the most is {MOST_TARGETS}")
        return ()
    for i, item in enumerate(items):
        target = read_target(table, f"targets[{i}]", item)
        if target is not None and target in targets:
            table.problem(f"targets[{i}]", f"repeats {item!r}")
        elif target is not None:
            targets.append(target)
    return tuple(sorted(targets))


def read_target(table: Table, key: str, item: object) -> float | None:
    """One rate, or None after noting what is wrong with it."""
    if not is_number(item) or float(item) <= 0:  # type: ignore[arg-type]
        table.problem(key, f"must be a positive number of bits per pixel, got {item!r}")
        return None
    target = float(item)  # type: ignore[arg-type]
    if target < LEAST_TARGET:
        table.problem(key, f"is below {LEAST_TARGET:g} bpp, got {item!r}")
    elif target > BARE:
        table.problem(key, f"is above the {BARE:g} bpp of the bare picture, got {item!r}")
    else:
        return target
    return None


def read_source_targets(
    group: Table, names: list[str], targets: tuple[float, ...]
) -> dict[str, dict[float, float]]:
    """`[sources.targets]`: for some sources the rates that they have at the targets of the study."""
    own = group.table("targets")
    found: dict[str, dict[float, float]] = {}
    for name in list(own.rest()):
        items = own.items(name) or []
        if name not in names:
            own.problem(name, f"names no source of this table; it has {', '.join(names) or 'none'}")
            continue
        rates = [read_target(own, f"{name}[{i}]", item) for i, item in enumerate(items)]
        if len(rates) != len(targets):
            count = f"{len(rates)} {'rate' if len(rates) == 1 else 'rates'}"
            own.problem(name, f"has {count}, but the study has {len(targets)} targets; give one each")
        elif None not in rates and sorted(set(rates)) != rates:  # type: ignore[type-var]
            own.problem(name, "must rise from rate to rate, as the targets of the study do")
        else:
            found[name] = {target: rate for target, rate in zip(targets, rates, strict=True) if rate}
    return found


def check_targets(table: Table, study: Study) -> None:
    """Note what rates of sources, ladders of codecs and `match` cannot say together."""
    for low, high in pairwise(study.rate_points):
        if high < NEAREST_TARGETS * low:
            table.problem(
                "targets", f"{low!r} and {high!r} are less than 1 % apart; write the same number or take one"
            )
    own = [source.name for source in study.sources if source.targets is not None]
    if own and study.match.kind != "each":
        table.problem(
            "match", f"is {study.match}, but source {own[0]!r} has targets of its own; take one away"
        )
    for i, codec in enumerate(study.codecs):
        strange = [target for target in codec.targets or () if target not in study.targets]
        if own and strange:
            table.problem(
                f"codecs[{i}].targets",
                f"has {strange[0]:g}, for which source {own[0]!r} has no rate; use targets of the study",
            )
    rule = study.match
    if rule.codec is None:
        return
    spec = next((codec for codec in study.codecs if codec.name == rule.codec), None)
    if spec is None:
        names = ", ".join(codec.name for codec in study.codecs)
        table.problem(
            "match", f"names no codec of the study: {rule.codec!r}; it has {names}, or write each or set-mean"
        )
        return
    if spec.family == RECONSTRUCTIONS:
        if rule.quality:
            table.problem(
                "match", f"gives {rule.codec!r} a quality, but reconstructions have their rates given"
            )
        return
    try:
        scales = make_codec(spec.family, spec.settings, study.folder).scales
    except CodecNotInstalledError:
        return
    names_of = [scale.name for scale in scales]
    if not rule.quality or list(rule.quality) != names_of[: len(rule.quality)]:
        example = f"{rule.codec} {scales[0].name} {scales[0].first:g}"
        table.problem("match", f"must say the quality of {rule.codec!r}, as {example!r}")
        return
    for scale in scales[: len(rule.quality)]:
        value = rule.quality[scale.name]
        if not scale.low <= value <= scale.high:
            table.problem(
                "match", f"has {scale.name} {value:g}; it lies between {scale.low:g} and {scale.high:g}"
            )
        elif scale.snap(value) != value:
            table.problem(
                "match",
                f"has {scale.name} {value:.10g}, between two steps; the nearest is {scale.snap(value):.10g}",
            )
