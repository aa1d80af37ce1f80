"""What an objective curve is made of: rates and qualities of conditions x sources, and which cells count."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.contract import METRIC_PREFIX
from analysis.curves import Curve, Floats, Knots, knots
from analysis.errors import NothingToAnalyseError, listed
from analysis.objective_metrics import ObjectiveMetric
from analysis.rate_points import rate_points
from analysis.rates import RateBasis, RateMean


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """ln bpp and quality on the scale of the curve, conditions x sources; NaN where a cell is left out."""

    metric: ObjectiveMetric
    conditions: tuple[str, ...]
    codecs: tuple[str, ...]
    sources: tuple[str, ...]
    log_bpp: Floats
    quality: Floats
    left_out: int
    """Pairs of a source and a rate point that one codec lacks, and that count for none."""
    rate_mean: RateMean = "geometric"

    def rows(self, codec: str) -> NDArray[np.intp]:
        """The rows of a codec's conditions."""
        return np.flatnonzero(np.array([name == codec for name in self.codecs]))

    def means(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """The ln of mean bpp (`rate_mean`) and mean quality over sources, replicates x conditions.

        `weights` is replicates x sources; a condition none of whose sources has weight keeps its plain mean.
        """
        kept = np.isfinite(self.quality)
        w = np.ones((1, len(self.sources))) if weights is None else weights
        total = w @ kept.T
        found = []
        arithmetic = self.rate_mean == "arithmetic"
        for values in (np.exp(self.log_bpp) if arithmetic else self.log_bpp, self.quality):
            filled = np.where(kept, values, 0.0)
            plain = filled.sum(axis=1) / kept.sum(axis=1)
            found.append(np.where(total > 0, w @ filled.T / np.where(total > 0, total, 1.0), plain))
        return np.log(found[0]) if arithmetic else found[0], found[1]

    def codec_knots(self, weights: Floats | None = None) -> dict[str, Knots]:
        """Each codec's knots for every row of weights; all points weigh alike."""
        log_rate, quality = self.means(weights)
        return {
            codec: knots(quality[:, at], log_rate[:, at], np.ones((len(quality), len(at))))
            for codec in dict.fromkeys(self.codecs)
            if len(at := self.rows(codec))
        }

    def source_curve(self, codec: str, source: int) -> Curve | None:
        """The curve of a codec on one source alone, or None where it has no point there."""
        at = self.rows(codec)
        at = at[np.isfinite(self.quality[at, source])]
        if not len(at):
            return None
        points = (self.quality[at, source][None], self.log_bpp[at, source][None])
        return knots(*points, np.ones((1, len(at)))).curve(0)


def has_payload(stimuli: pd.DataFrame) -> bool:
    return "payload_bytes" in stimuli.columns and bool(stimuli["payload_bytes"].notna().any())


def _rates(stimuli: pd.DataFrame, basis: RateBasis) -> Floats:
    if basis == "file":
        return stimuli["bpp"].to_numpy(dtype=float)
    if not has_payload(stimuli):
        raise NothingToAnalyseError("the stimuli have no payload_bytes: take rates of the file, --rate file")
    columns = [stimuli[name].to_numpy(dtype=float) for name in ("payload_bytes", "width", "height")]
    return np.asarray(8 * columns[0] / (columns[1] * columns[2]))


def metric_grid(
    stimuli: pd.DataFrame, metric: ObjectiveMetric, basis: RateBasis, rate_mean: RateMean = "geometric"
) -> Grid:
    """The cells that count; a source counts at a rate point only where every codec of that point has it.

    And only if every codec has it at all. A codec without any value of the metric, and a rate point that a
    codec has on no source, are asked of nobody.
    """
    rates = _rates(stimuli, basis)
    values = stimuli[METRIC_PREFIX + metric.name].to_numpy(dtype=float)
    used = stimuli[np.isfinite(values) & (rates > 0)]
    rate = pd.Series(rates, stimuli.index)[used.index]
    by_condition = used.drop_duplicates("condition")
    conditions = tuple(by_condition["condition"])
    codecs = tuple(by_condition["codec"])
    sources = tuple(sorted(set(used["source"])))
    log_bpp, quality = (np.full((len(conditions), len(sources)), np.nan) for _ in range(2))
    at = (
        used["condition"].map({name: i for i, name in enumerate(conditions)}).to_numpy(dtype=int),
        used["source"].map({name: i for i, name in enumerate(sources)}).to_numpy(dtype=int),
    )
    log_bpp[at] = np.log(rate.to_numpy(dtype=float))
    quality[at] = metric.on_curve(values[np.isfinite(values) & (rates > 0)])
    if "rate_point" in used.columns or "target_bpp" not in used.columns:
        label = by_condition["rate_point" if "rate_point" in used.columns else "condition"]
        points = label.where(label.notna(), by_condition["condition"]).tolist()
    else:
        # Each source may have a target of its own, so one row says nothing of a condition.
        targets = np.full_like(quality, np.nan)
        targets[at] = used["target_bpp"].to_numpy(dtype=float)
        points = list(rate_points(conditions, codecs, targets))
    made = np.isfinite(quality)
    everywhere = np.array([made[[c == codec for c in codecs]].any(axis=0) for codec in set(codecs)]).all(
        axis=0
    )
    left_out = 0
    for point in dict.fromkeys(points):
        members = [i for i, other in enumerate(points) if other == point]
        lacking = ~(made[members].all(axis=0) & everywhere)
        left_out += int((lacking & made[members].any(axis=0)).sum())
        for values_of in (log_bpp, quality):
            values_of[np.ix_(members, lacking)] = np.nan
    keep = np.flatnonzero(np.isfinite(quality).any(axis=1))
    if not len(keep):
        raise NothingToAnalyseError(
            f"no source has {metric.label} under every codec ({listed(sorted(set(codecs)), 20)}): see what "
            "`matchrate encode` says of those that are missing"
        )
    return Grid(
        metric,
        tuple(conditions[i] for i in keep),
        tuple(codecs[i] for i in keep),
        sources,
        log_bpp[keep],
        quality[keep],
        left_out,
        rate_mean,
    )
