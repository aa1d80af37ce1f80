"""Units over processes: the first source of each codec, then the others with what it taught."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from stimuli.attempts import ANY_PREVIEW, ANYTHING, PREVIEW_OF
from stimuli.errors import CodecError
from stimuli.manifest import Failure
from stimuli.parallel import Crash
from stimuli.units import Unit, UnitResult, encode_unit
from stimuli.workforce import Workforce

#: How often a unit may end its worker, and how often be ended for its slowness, before it begins nothing new.
MOST_CRASHES = 24
MOST_HANGS = 3


def run_waves(
    units: Sequence[Unit], force: Workforce, done: Callable[[Unit], None]
) -> tuple[UnitResult, ...]:
    """The result of every unit, in their order.

    The first unit of each codec runs without a prior, and all its others with the prior that it made: what a
    search does depends on the study alone, and not on the number of processes. Raises CodecError and
    PictureError of a unit, and CodecError for a codec that could make nothing at all.
    """
    first: dict[str, int] = {}
    for i, unit in enumerate(units):
        first.setdefault(unit.spec.name, i)
    leading = sorted(first.values())
    results = _run({i: units[i] for i in leading}, force, done)
    cost = {name: _seconds(results[i]) for name, i in first.items()}
    priors = {name: results[i].prior for name, i in first.items()}
    others = [i for i in range(len(units)) if i not in set(leading)]
    # The longest first, so that no process is left with it at the end.
    others.sort(key=lambda i: -cost[units[i].spec.name] * units[i].area)
    results |= _run({i: replace(units[i], prior=priors[units[i].spec.name]) for i in others}, force, done)
    _require_some(units, results)
    return tuple(results[i] for i in range(len(units)))


def _run(units: Mapping[int, Unit], force: Workforce, done: Callable[[Unit], None]) -> dict[int, UnitResult]:
    results: dict[int, UnitResult] = {}
    waiting = dict(units)
    while waiting:
        numbers = list(waiting)
        again: dict[int, Unit] = {}
        for j, result in force.run(encode_unit, [waiting[i] for i in numbers]):
            i = numbers[j]
            if isinstance(result, Crash):
                retried = _without_the_fatal(waiting[i], result)
                if retried is not None:
                    again[i] = retried
                    continue
                result = _given_up(waiting[i], result)
            results[i] = result
            done(waiting[i])
        waiting = again
    return results


def _without_the_fatal(unit: Unit, crash: Crash) -> Unit | None:
    """The unit without the thing that ended its worker; None when that is not known, or was left out already.

    After too many crashes it only finishes what it has tries for.
    """
    if crash.note is None or crash.note in unit.fatal:
        return None
    of_preview = PREVIEW_OF in crash.note
    anything = ANY_PREVIEW if of_preview else ANYTHING
    if anything in unit.fatal:
        return None
    fatal = {**unit.fatal, crash.note: crash.reason}
    alike = [reason for note, reason in fatal.items() if (PREVIEW_OF in note) == of_preview]
    hangs = alike.count(crash.reason) if crash.is_hang else 0
    if len(alike) >= MOST_CRASHES or hangs >= MOST_HANGS:
        fatal[anything] = f"given up after it happened {len(alike)} times: {crash.note}: {crash.reason}"
    return replace(unit, fatal=fatal)


def _given_up(unit: Unit, crash: Crash) -> UnitResult:
    failures = [
        Failure(source.name, unit.cell(source, target).condition, unit.spec.name, crash.reason)
        for source in unit.sources
        for target in unit.targets
    ]
    return UnitResult((), tuple(failures), None)


def _seconds(result: UnitResult) -> float:
    return sum(stimulus.encode_s or 0.0 for stimulus in result.stimuli) + 1e-6


def _require_some(units: Sequence[Unit], results: Mapping[int, UnitResult]) -> None:
    """A codec without a single stimulus is no part of a study: say what it said."""
    made = {units[i].spec.name for i, result in results.items() if result.stimuli}
    for i, unit in enumerate(units):
        if unit.spec.name not in made and results[i].failures:
            failure = results[i].failures[0]
            raise CodecError(unit.spec.name, failure.reason, source=failure.source)
