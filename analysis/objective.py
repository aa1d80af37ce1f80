"""Rate-distortion curves and BD-rates over objective metrics: the stimuli table in, no judgments needed.

The rate of a condition is the mean of ln bpp over the sources that its rate point shares, or the ln of their
mean bpp where asked for, its quality the mean of the metric over the same sources. Curves, overlap and
savings follow the rules of `analysis.bdrate`, and those of a codec with a single rate the rules of
`analysis.one_quality`.
Every stimulus counts at its real rate, whether its target was met or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.bdrate import BDRate, LogRatios, compare_curves
from analysis.bootstrap import Bootstrap, Interval, Resampled
from analysis.contract import METRIC_PREFIX
from analysis.curves import Curve
from analysis.errors import AnalysisError, NothingToAnalyseError, UnknownCodecError, listed
from analysis.objective_grid import Grid, has_payload, metric_grid
from analysis.objective_metrics import OBJECTIVE_METRICS, ObjectiveMetric
from analysis.one_quality import codec_ratios, compare_codecs
from analysis.rates import RateBasis, RateMean


@dataclass(frozen=True, slots=True)
class ObjectiveOptions:
    """What the researcher chose; without `anchor` the table's first codec is one."""

    anchor: str | None = None
    metrics: tuple[str, ...] = ()
    rate: RateBasis = "file"
    rate_mean: RateMean = "geometric"
    replicates: int = 1000
    seed: int = 0
    confidence: float = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class RatePoint:
    """A condition on its codec's curve; `value` is the mean in the metric's own unit."""

    codec: str
    condition: str
    bpp: float
    quality: float
    value: float
    sources: int


@dataclass(frozen=True, slots=True, eq=False)
class ObjectiveComparison:
    """A codec against the anchor in one metric; `source_ratios` are ln rate ratios of single sources, at one
    quality where `rate` is."""

    anchor: str
    test: str
    rate: BDRate
    interval: Interval
    source_ratios: tuple[float, ...]
    other_rate: BDRate | None
    """The same over the other kind of rate, payload for file; None where the table lacks it."""


@dataclass(frozen=True, slots=True, eq=False)
class MetricResult:
    """One metric: its grid, points and curves by codec, and every codec against the anchor."""

    metric: ObjectiveMetric
    grid: Grid
    points: tuple[RatePoint, ...]
    curves: Mapping[str, Curve]
    comparisons: tuple[ObjectiveComparison, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectiveResult:
    """All metrics of a study beside each other, in the order of `OBJECTIVE_METRICS`."""

    study: str
    anchor: str
    codecs: tuple[str, ...]
    sources: tuple[str, ...]
    options: ObjectiveOptions
    results: tuple[MetricResult, ...]


def analyse_objective(study: str, stimuli: pd.DataFrame, options: ObjectiveOptions) -> ObjectiveResult:
    """Curves and BD-rates over every metric of a stimuli table, or over those that `options` name.

    A table needs `source condition codec bpp` and a column `metric_<name>` for each metric; `payload_bytes
    width height` serve rates of the payload, and `rate_point` (else `target_bpp`) says which conditions
    belong together. Raises an AnalysisError of one line for what cannot be analysed as asked.
    """
    if "role" in stimuli.columns:
        stimuli = stimuli[stimuli["role"] == "scored"]
    metrics = _asked(stimuli, options.metrics)
    codecs = tuple(dict.fromkeys(str(name) for name in stimuli["codec"]))
    if options.anchor is not None and options.anchor not in codecs:
        raise UnknownCodecError(options.anchor, codecs)
    anchor = options.anchor or codecs[0]
    other: RateBasis = "payload" if options.rate == "file" else "file"
    results = []
    for metric in metrics:
        grid = metric_grid(stimuli, metric, options.rate, options.rate_mean)
        if anchor not in grid.codecs:
            raise NothingToAnalyseError(
                f"the anchor {anchor!r} has no {metric.label} at rates of the {options.rate}: name another "
                "with --anchor, or leave the metric out with --metric"
            )
        others = _other_grid(stimuli, metric, other, options.rate_mean)
        results.append(_metric_result(grid, others, anchor, options))
    sources = tuple(dict.fromkeys(str(name) for name in stimuli["source"]))
    return ObjectiveResult(study, anchor, codecs, sources, options, tuple(results))


def measured_metrics(stimuli: pd.DataFrame) -> tuple[ObjectiveMetric, ...]:
    """The known metrics that a table has a value of."""
    return tuple(
        metric
        for metric in OBJECTIVE_METRICS
        if (column := METRIC_PREFIX + metric.name) in stimuli.columns and stimuli[column].notna().any()
    )


def _asked(stimuli: pd.DataFrame, names: Sequence[str]) -> tuple[ObjectiveMetric, ...]:
    if stimuli.empty:
        raise NothingToAnalyseError("the stimuli table has no rows")
    measured = measured_metrics(stimuli)
    there = listed([metric.name for metric in measured]) or "none"
    known = {metric.name for metric in OBJECTIVE_METRICS}
    for name in names:
        if name not in known:
            raise AnalysisError(f"no metric {name!r}; the metrics are {listed(sorted(known), 9)}")
        if name not in {metric.name for metric in measured}:
            raise NothingToAnalyseError(
                f"the stimuli have no {name} (they have {there}): add it to `metrics` in study.toml and run "
                "`matchrate encode`"
            )
    if not measured:
        raise NothingToAnalyseError(
            "the stimuli have no metrics: name some under `metrics` in study.toml and run `matchrate encode`"
        )
    return tuple(metric for metric in measured if not names or metric.name in names)


def _other_grid(
    stimuli: pd.DataFrame, metric: ObjectiveMetric, basis: RateBasis, rate_mean: RateMean
) -> Grid | None:
    """The cells over the other kind of rate, which is printed beside the one asked for where it can be."""
    if not has_payload(stimuli):
        return None
    try:
        return metric_grid(stimuli, metric, basis, rate_mean)
    except NothingToAnalyseError:
        return None


def _metric_result(grid: Grid, others: Grid | None, anchor: str, options: ObjectiveOptions) -> MetricResult:
    curves = {codec: rows.curve(0) for codec, rows in grid.codec_knots().items()}
    other_curves = {} if others is None else {c: rows.curve(0) for c, rows in others.codec_knots().items()}
    tests = [codec for codec in curves if codec != anchor]
    resampled = _resampled(grid, [(anchor, test) for test in tests], options)
    comparisons = []
    for test in tests:
        rate = compare_codecs(curves[anchor], curves[test])
        both = anchor in other_curves and test in other_curves
        comparisons.append(
            ObjectiveComparison(
                anchor=anchor,
                test=test,
                rate=rate,
                interval=resampled.log_ratio_interval((anchor, test), rate.log_ratio, options.confidence),
                source_ratios=_source_ratios(grid, rate, anchor, test),
                other_rate=compare_codecs(other_curves[anchor], other_curves[test]) if both else None,
            )
        )
    return MetricResult(grid.metric, grid, _points(grid), curves, tuple(comparisons))


def _points(grid: Grid) -> tuple[RatePoint, ...]:
    log_rate, quality = (rows[0] for rows in grid.means())
    found = []
    for i, condition in enumerate(grid.conditions):
        kept = np.isfinite(grid.quality[i])
        value = quality[i]
        if grid.metric.in_decibels:
            value = float((1.0 - 10.0 ** (-grid.quality[i, kept] / 10.0)).mean())
        found.append(
            RatePoint(
                grid.codecs[i],
                condition,
                float(np.exp(log_rate[i])),
                float(quality[i]),
                float(value),
                int(kept.sum()),
            )
        )
    order = {codec: i for i, codec in enumerate(dict.fromkeys(grid.codecs))}
    return tuple(sorted(found, key=lambda point: (order[point.codec], point.bpp)))


def _resampled(grid: Grid, pairs: Sequence[tuple[str, str]], options: ObjectiveOptions) -> Bootstrap:
    """Sources drawn with replacement, as `analysis.bootstrap` does; none is drawn of a single source."""
    number = int(np.isfinite(grid.quality).any(axis=0).sum())
    if number < 2 or not pairs:
        return Bootstrap(options.replicates, options.seed, {})
    rng = np.random.default_rng(np.random.SeedSequence(options.seed))
    weights = np.zeros((options.replicates, len(grid.sources)))
    drawn = rng.multinomial(number, np.full(number, 1.0 / number), size=options.replicates)
    weights[:, np.isfinite(grid.quality).any(axis=0)] = drawn
    curves = grid.codec_knots(weights)
    ratios: dict[tuple[str, str], LogRatios] = {
        (anchor, test): codec_ratios(curves[anchor], curves[test]) for anchor, test in pairs
    }
    scores = np.zeros((options.replicates, 0))
    return Bootstrap(
        options.replicates, options.seed, {"sources": Resampled("sources", number, scores, ratios, 0)}
    )


def _source_ratios(grid: Grid, rate: BDRate, anchor: str, test: str) -> tuple[float, ...]:
    # Beside a BD-rate stands no source on which one of the two has but one point left.
    compare = compare_codecs if rate.status == "one_quality" else compare_curves
    found = []
    for source in range(len(grid.sources)):
        curves = [grid.source_curve(codec, source) for codec in (anchor, test)]
        if curves[0] is not None and curves[1] is not None:
            ratio = compare(curves[0], curves[1]).log_ratio
            if np.isfinite(ratio):
                found.append(float(ratio))
    return tuple(found)
