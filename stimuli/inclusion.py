"""Which stimuli raters are shown: a source and rate point that one codec misses is left out for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stimuli.manifest import Failure
from stimuli.study import Condition, Stimulus, Study


def with_inclusion(
    study: Study, stimuli: Sequence[Stimulus], failures: Sequence[Failure]
) -> tuple[Stimulus, ...]:
    """Leave a source and rate point out for all codecs where one of those that have it misses it."""
    if study.allow_mismatch:
        return tuple(stimuli)
    there = {(stimulus.source, stimulus.condition): stimulus for stimulus in stimuli}
    failed = {(failure.source, failure.condition) for failure in failures}
    optional = {spec.name for spec in study.codecs if spec.settings.get("optional") is True}
    points: dict[int, list[Condition]] = {}
    for condition in study.conditions:
        points.setdefault(condition.rate_point, []).append(condition)
    reasons: dict[tuple[str, str], str] = {}
    for source in study.sources:
        for conditions in points.values():
            misses = [
                f"{condition.codec}: {miss}"
                for condition in conditions
                if (miss := _miss((source.name, condition.name), there, failed))
                and not (condition.codec in optional and (source.name, condition.name) not in there)
            ]
            if misses:
                reasons |= {(source.name, condition.name): "; ".join(misses) for condition in conditions}
    return tuple(
        replace(stimulus, included=False, left_out=reason)
        if (reason := reasons.get((stimulus.source, stimulus.condition)))
        else stimulus
        for stimulus in stimuli
    )


def _miss(
    at: tuple[str, str], there: Mapping[tuple[str, str], Stimulus], failed: set[tuple[str, str]]
) -> str | None:
    stimulus = there.get(at)
    if stimulus is None:
        return "failed" if at in failed else "no reconstruction"
    if stimulus.status in ("matched", "given"):
        return None
    return f"{stimulus.status} ({100 * stimulus.residual:+.2f} %)"
