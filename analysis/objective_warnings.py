"""What in objective curves shows a broken codec: said before anybody is paid to rate it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from analysis.contract import METRIC_PREFIX
from analysis.errors import counted, listed
from analysis.objective import MetricResult, ObjectiveResult, RatePoint
from analysis.rates import MISMATCH

#: A curve whose rates differ by less than this share says nothing about quality that does not rise.
_SAME_RATE = 0.02


def objective_warnings(result: ObjectiveResult, stimuli: pd.DataFrame) -> tuple[str, ...]:
    """One line a finding, the worst kinds first; `stimuli` is the table that `result` was made of."""
    lines: list[str] = []
    for codec in result.codecs:
        lines += _codec_lines(result, codec)
    lines += _same_pictures(stimuli)
    lines += _unchanged_pictures(result, stimuli)
    lines += _missed_targets(stimuli)
    lines += _unequal_rates(stimuli)
    lines += _absent(result)
    return tuple(lines)


def _codec_lines(result: ObjectiveResult, codec: str) -> Iterator[str]:
    below, falls, flats, on_sources = [], [], [], []
    for found in result.results:
        points = [point for point in found.points if point.codec == codec]
        label = found.metric.label
        if (worst := _far_below(found, codec)) is not None:
            distance, bpp = worst
            below.append(f"{label} by {found.metric.said(distance)} at {bpp:.3g} bpp")
        if _is_flat(found, points):
            flats.append(f"{label} ({points[0].quality:.2f})")
        elif (fall := _worst_fall(found, points)) is not None:
            lower, upper = fall
            falls.append(
                f"{label} from {lower.quality:.2f} to {upper.quality:.2f} between {lower.bpp:.3g} and "
                f"{upper.bpp:.3g} bpp"
            )
        elif number := _falling_sources(found, codec):
            on_sources.append(f"{label} on {number} of {max(point.sources for point in points)}")
    if below:
        yield (
            f"{codec} lies far below the middle of the other codecs: {'; '.join(below)}: look at its "
            "pictures, as a wrong decoder, colour range or source looks like this"
        )
    if flats:
        yield (
            f"{codec} has the same quality at every rate: {'; '.join(flats)}: see whether it heeds its "
            "quality setting and decodes what it wrote"
        )
    if falls:
        yield (
            f"{codec} gets worse as its rate rises: {'; '.join(falls)}: see whether its quality scale is "
            "reversed, or a setting changes between rate points"
        )
    if on_sources:
        yield f"{codec} gets worse as its rate rises on single sources: {'; '.join(on_sources)}"


def _far_below(found: MetricResult, codec: str) -> tuple[float, float] | None:
    """How far the codec lies below the median of the others where that is worst, and the rate there."""
    mine = [point for point in found.points if point.codec == codec]
    worst = None
    for point in mine:
        at_rate = [
            quality
            for other in found.curves
            if other != codec and (quality := _quality_at(found, other, point.bpp)) is not None
        ]
        if at_rate:
            distance = float(np.median(at_rate)) - point.quality
            if distance > found.metric.far and (worst is None or distance > worst[0]):
                worst = (distance, point.bpp)
    return worst


def _quality_at(found: MetricResult, codec: str, bpp: float) -> float | None:
    """Between two points of a codec, its quality by ln rate; within 2 % of an end, that of the end."""
    points = [point for point in found.points if point.codec == codec]
    rates = [point.bpp for point in points]
    if not min(rates) * (1 - _SAME_RATE) <= bpp <= max(rates) * (1 + _SAME_RATE):
        return None
    return float(np.interp(np.log(bpp), np.log(rates), [point.quality for point in points]))


def _is_flat(found: MetricResult, points: Sequence[RatePoint]) -> bool:
    if len(points) < 2 or points[-1].bpp < points[0].bpp * (1 + _SAME_RATE):
        return False
    qualities = [point.quality for point in points]
    return max(qualities) - min(qualities) <= found.metric.fall / 2


def _worst_fall(found: MetricResult, points: Sequence[RatePoint]) -> tuple[RatePoint, RatePoint] | None:
    """The two points between which quality falls most, by more than chance."""
    pairs = [
        (lower.quality - upper.quality, lower, upper)
        for i, lower in enumerate(points)
        for upper in points[i + 1 :]
        if upper.bpp > lower.bpp * (1 + _SAME_RATE)
    ]
    if not pairs:
        return None
    fall, lower, upper = max(pairs, key=lambda pair: pair[0])
    return (lower, upper) if fall > found.metric.fall else None


def _falling_sources(found: MetricResult, codec: str) -> int:
    """The sources on which quality falls by more than chance between two neighbouring rates."""
    grid = found.grid
    at = grid.rows(codec)
    number = 0
    for source in range(len(grid.sources)):
        kept = at[np.isfinite(grid.quality[at, source])]
        kept = kept[np.argsort(grid.log_bpp[kept, source], kind="stable")]
        apart = np.diff(grid.log_bpp[kept, source]) > np.log1p(_SAME_RATE)
        number += bool((apart & (np.diff(grid.quality[kept, source]) < -found.metric.fall)).any())
    return number


def _same_pictures(stimuli: pd.DataFrame) -> Iterator[str]:
    """Pairs of conditions that have the same decoded picture of a source."""
    if "picture_sha256" not in stimuli.columns:
        return
    pairs: dict[tuple[str, str], list[str]] = {}
    codec = dict(zip(stimuli["condition"], stimuli["codec"], strict=True))
    known = stimuli[stimuli["picture_sha256"].notna()]
    for (source, _), rows in known.groupby(["source", "picture_sha256"], sort=False):
        names = list(rows["condition"])
        for first, second in pairwise(names):
            pairs.setdefault((first, second), []).append(str(source))
    for (first, second), sources in pairs.items():
        where = f"on {counted(len(sources), 'source')} ({listed(sources, 3)})"
        if codec[first] == codec[second]:
            why = "both targets lie outside the codec's range there, or it does not heed its quality setting"
        else:
            why = "see whether they are one codec under two names"
        yield f"{first} and {second} have the same picture {where}: {why}"


def _unchanged_pictures(result: ObjectiveResult, stimuli: pd.DataFrame) -> Iterator[str]:
    """Codecs whose decoded picture is the original, as far as the first metric with a top can tell."""
    for found in result.results:
        metric = found.metric
        if not np.isfinite(metric.lossless):
            continue
        same = stimuli[stimuli[METRIC_PREFIX + metric.name] >= metric.lossless]
        for codec, rows in same.groupby("codec", sort=False):
            yield (
                f"{codec} gives back the original itself in {counted(len(rows), 'stimulus', 'stimuli')} "
                f"({metric.label} {metric.lossless:g}): it is lossless there, or its decoder gives its input"
            )
        return


def _missed_targets(stimuli: pd.DataFrame) -> Iterator[str]:
    """Codecs whose rates are more than 2 % from their targets."""
    if "residual" in stimuli.columns:
        residual = stimuli["residual"].to_numpy(dtype=float)
    elif "target_bpp" in stimuli.columns:
        residual = (stimuli["bpp"] / stimuli["target_bpp"] - 1.0).to_numpy(dtype=float)
    else:
        return
    table = stimuli.assign(residual=residual)
    if "status" in table.columns:
        # Given pictures were made for no target; they are held against each other.
        table = table[table["status"] != "given"]
    for codec, rows in table.groupby("codec", sort=False):
        missed = rows[rows["residual"].abs() > MISMATCH]
        if len(missed):
            worst = missed.iloc[int(missed["residual"].abs().to_numpy().argmax())]
            yield (
                f"{codec} misses {len(missed)} of {counted(len(rows), 'target')} by more than "
                f"{100 * MISMATCH:g} %, the worst by {100 * worst['residual']:+.1f} % "
                f"({worst['source']} under {worst['condition']}): its curve has the real rates"
            )


def _unequal_rates(stimuli: pd.DataFrame) -> Iterator[str]:
    """Rate points at which given pictures of one source differ in rate from what they are compared with."""
    label = next((name for name in ("rate_point", "target_bpp") if name in stimuli.columns), None)
    if label is None or "status" not in stimuli.columns:
        return
    apart = []
    groups = [rows for _, rows in stimuli.groupby(["source", label]) if (rows["status"] == "given").any()]
    for rows in groups:
        least, most = rows.iloc[rows["bpp"].to_numpy().argmin()], rows.iloc[rows["bpp"].to_numpy().argmax()]
        if most["bpp"] > least["bpp"] * (1 + MISMATCH):
            apart.append((float(most["bpp"] / least["bpp"] - 1), least, most))
    if apart:
        share, least, most = max(apart, key=lambda found: found[0])
        yield (
            f"rates at one rate point differ by more than {100 * MISMATCH:g} % in {len(apart)} of "
            f"{counted(len(groups), 'case')} with given pictures, at most by {100 * share:.1f} % "
            f"({most['source']}: {least['condition']} {least['bpp']:.3g} bpp, {most['condition']} "
            f"{most['bpp']:.3g} bpp): what is judged there is not quality at equal rates"
        )


def _absent(result: ObjectiveResult) -> Iterator[str]:
    for found in result.results:
        label = found.metric.label
        if lacking := [codec for codec in result.codecs if codec not in found.grid.codecs]:
            yield (
                f"{listed(lacking, 20)} {'has' if len(lacking) == 1 else 'have'} no {label} at these rates "
                "and no curve"
            )
        kept = np.isfinite(found.grid.quality).any(axis=0)
        if out := [name for name in result.sources if name not in np.array(found.grid.sources)[kept]]:
            yield (
                f"{label} rests on {int(kept.sum())} of {counted(len(result.sources), 'source')}: "
                f"{listed(out, 3)} {'lacks' if len(out) == 1 else 'lack'} it under a codec"
            )
