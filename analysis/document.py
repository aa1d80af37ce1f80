"""results.json: the one place that every table and the report take their numbers from."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from typing import Any

from analysis.bdrate import BDRate
from analysis.bootstrap import FEW_CLUSTERS, Interval
from analysis.elo import ELO_ORIGIN, elo
from analysis.errors import counted
from analysis.remarks import remarks, too_few
from analysis.results import CodecComparison, ConditionScore, StudyResult
from analysis.timings import StudyTimings

FORMAT = 1
#: Bounds closer to equal rates than this many per cent are said in words alone.
_PARITY = 1.0
#: A limit beyond e to this is open, and has no number: of two clusters at a confidence of 99.9 %, t is 637.
_MOST = 700.0
#: What is written wherever a number would otherwise be taken for a BD-rate.
ONE_QUALITY = "at one quality"
_PACKAGES = ("matchrate", "numpy", "scipy", "pandas", "choix", "matplotlib")
_LABELS = {
    "real": "",
    "simulated": "SIMULATED: every judgment was made by a program",
    "mixed": "PARTLY SIMULATED: judgments made by programs stand among those of people",
}


def results_document(
    result: StudyResult, command: Sequence[str] = (), timings: StudyTimings | None = None
) -> dict[str, Any]:
    """The result as JSON: no NaN and no infinity, null where there is no number."""
    options, comparisons = result.options, result.comparisons
    return {
        "format": FORMAT,
        "study": result.tables.study,
        "evidence": comparisons.evidence,
        "label": _LABELS[comparisons.evidence],
        "provenance": {
            "data_sha256": result.tables.sha256,
            "seed": options.seed,
            "replicates": options.replicates,
            "confidence": options.confidence,
            "confidence_percent": 100 * options.confidence,
            "versions": _versions(),
            "command": " ".join(command),
        },
        "counts": {
            "judgments": len(comparisons),
            "judgments_read": len(result.tables.judgments),
            "judgments_excluded": sum(comparisons.exclusions.values()),
            "simulated": int(result.tables.judgments["is_simulated"].sum()),
            "ties": int((comparisons.score == 0.5).sum()),
            "raters": len(comparisons.raters),
            "sources": len(comparisons.sources),
            "conditions": len(comparisons.conditions),
            "codecs": len(result.curves),
            "stimuli_beyond_2_percent": result.rates.mismatched,
            "cells_left_out": len(result.rates.left_out),
        },
        "exclusions": [{"rule": rule, "judgments": n} for rule, n in sorted(comparisons.exclusions.items())],
        "left_out": [
            {"source": cell.source, "rate_point": cell.rate_point, "lacking": list(cell.lacking)}
            for cell in result.rates.left_out
        ],
        "scaling": {
            "model": result.model,
            "prior": result.scores.prior,
            "prior_where_needed": result.prior_where_needed,
            "separated": [list(group) for group in result.scores.separated],
            "zero": result.zero,
            "zero_elo": ELO_ORIGIN,
        },
        "resampling": {
            "degrees_of_freedom": result.resampled.degrees_of_freedom if result.resampled.resampled else None,
            "t": _number(result.resampled.quantile(options.confidence)),
            "few_clusters_under": FEW_CLUSTERS,
            "kinds": [
                {
                    "kind": kind,
                    "clusters": r.clusters,
                    "replicates": options.replicates,
                    "prior_used": r.prior_used,
                }
                for kind, r in result.resampled.resampled.items()
            ],
        },
        "rate": options.rate,
        "other_basis": None if _unknown_basis(result) else result.other_basis,
        "rate_mean": options.rate_mean,
        "rate_means_differ": result.means_differ,
        "mode": "anchor" if options.anchor is not None else "test",
        "codec": options.anchor if options.anchor is not None else options.test,
        "bd_rates": [_bd_rate(comparison, _shift(result)) for comparison in result.codec_comparisons],
        "scores": [_score(score, options.rate_mean) for score in result.conditions],
        "curves": [
            {
                "codec": codec,
                "rate_points": len(curve.quality) + curve.violations,
                "pooled": curve.violations,
                "knots": [
                    {"elo": float(q) + _shift(result), "bpp": math.exp(float(r))}
                    for q, r in zip(curve.quality, curve.log_rate, strict=True)
                ],
            }
            for codec, curve in result.curves.items()
        ],
        "reference": _reference(result),
        "timings": None if timings is None else timings.document(),
        "too_few": too_few(result),
        "warnings": remarks(result),
    }


def _shift(result: StudyResult) -> float:
    """From Elo about the mean, in which curves are kept, to the scale of the scores."""
    first = result.conditions[0]
    place = result.scores.conditions.index(first.condition)
    return first.elo - float(elo(result.scores.theta)[place])


def _unknown_basis(result: StudyResult) -> bool:
    return all(comparison.other_basis is None for comparison in result.codec_comparisons)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _percent(log_ratio: float) -> float | None:
    return 100.0 * math.expm1(log_ratio) if math.isfinite(log_ratio) else None


def _factor(log_ratio: float) -> float | None:
    return math.exp(-log_ratio) if math.isfinite(log_ratio) else None


def _bd_rate(comparison: CodecComparison, shift: float) -> dict[str, Any]:
    rate, interval = comparison.rate, _limited(comparison.interval)
    one = rate.status == "one_quality"
    value = rate.log_ratio
    # A single point has no range of Elo, and so no share of one: replicates would give zeros.
    spread = comparison.overlap_spread if math.isfinite(rate.overlap) else None
    return {
        "anchor": comparison.anchor,
        "test": comparison.test,
        "status": rate.status,
        "measure": ONE_QUALITY if one else "BD-rate",
        "at_elo": _number(rate.quality_low + shift) if one else None,
        "bd_rate_percent": _percent(value),
        "bd_rate_low": _percent(interval.low),
        "bd_rate_high": _percent(interval.high),
        "low_is_open": interval.low == -math.inf,
        "high_is_open": interval.high == math.inf,
        "savings_factor": _factor(value),
        "savings_low": _factor(interval.high),
        "savings_high": _factor(interval.low),
        "reverse_percent": _percent(-value),
        "reverse_low": _percent(-interval.high),
        "reverse_high": _percent(-interval.low),
        "log_ratio": _number(value),
        "standard_error": _number(interval.standard_error),
        "overlap": _number(rate.overlap),
        "overlap_percent": _number(100 * rate.overlap),
        "overlap_low": None if spread is None else _number(spread[0]),
        "overlap_high": None if spread is None else _number(spread[1]),
        "ratio_at_least": _number(rate.ratio_low) if rate.ratio_low > 0 else None,
        "ratio_at_most": _number(rate.ratio_high),
        "bound": bound_text(rate, comparison.apart_share),
        "apart_share": comparison.apart_share,
        "censored": dict(comparison.censored),
        "censored_replicates": sum(comparison.censored.values()),
        "other_mean_percent": _percent(comparison.other_mean.log_ratio),
        "other_basis_percent": None
        if comparison.other_basis is None
        else _percent(comparison.other_basis.log_ratio),
    }


def _limited(interval: Interval) -> Interval:
    low = -math.inf if interval.low < -_MOST else interval.low
    high = math.inf if interval.high > _MOST else interval.high
    return replace(interval, low=low, high=high)


def bound_text(rate: BDRate, share: float | None = None) -> str | None:
    """What monotony alone says, in words, where there is no BD-rate.

    `share` is that of the replicates in which the curves lie apart on the same side.
    """
    if rate.status in ("ok", "flagged", "one_quality"):
        return None
    parts = []
    if math.isfinite(rate.ratio_high):
        change = 100 * (rate.ratio_high - 1)
        if abs(change) < _PARITY:
            parts.append("no more bits than the anchor")
        else:
            parts.append(
                f"at least {-change:.1f} % fewer bits" if change < 0 else f"at most {change:.1f} % more bits"
            )
    if rate.ratio_low > 0:
        change = 100 * (rate.ratio_low - 1)
        if abs(change) < _PARITY:
            parts.append("no fewer bits than the anchor")
        else:
            parts.append(
                f"at least {change:.1f} % more bits" if change > 0 else f"at most {-change:.1f} % fewer bits"
            )
    support = "" if share is None else f" (so in {100 * share:.1f} % of replicates)"
    return (" and ".join(parts) or "no bound") + support


def _score(score: ConditionScore, rate_mean: str) -> dict[str, Any]:
    bpp = score.bpp_geometric if rate_mean == "geometric" else score.bpp_arithmetic
    return {
        "condition": score.condition,
        "codec": score.codec,
        "rate_point": score.rate_point,
        "target_bpp": _number(score.target_bpp),
        "bpp": _number(bpp),
        "bpp_geometric": _number(score.bpp_geometric),
        "bpp_arithmetic": _number(score.bpp_arithmetic),
        "judgments": score.judgments,
        "sources": score.sources,
        "elo": score.elo,
        "elo_low": _number(score.low),
        "elo_high": _number(score.high),
        "elo_low_99": _number(score.low_99),
        "elo_high_99": _number(score.high_99),
        "standard_error": _number(score.standard_error),
        "model_standard_error": _number(score.model_standard_error),
    }


def _reference(result: StudyResult) -> dict[str, Any] | None:
    score = next((s for s in result.conditions if s.condition == result.rates.reference), None)
    if score is None:
        return None
    return {
        "condition": score.condition,
        "elo": score.elo,
        "elo_low": _number(score.low),
        "elo_high": _number(score.high),
        "meets": [
            {"codec": m.codec, "bpp": _number(m.bpp), "at_lowest_rate": m.at_lowest_rate}
            for m in result.meetings
        ],
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in _PACKAGES}


def provenance_line(document: Mapping[str, Any]) -> str:
    """One line that stamps every output."""
    stamp, counts = document["provenance"], document["counts"]
    label = f"{document['label']}. " if document["label"] else ""
    payload = "rates of the payload; " if document["rate"] == "payload" else ""
    versions = ", ".join(f"{name} {version}" for name, version in stamp["versions"].items())
    return (
        f"{label}Study {document['study']}; {counted(counts['judgments'], 'judgment')}, "
        f"{counted(counts['raters'], 'rater')}, "
        f"{counts['judgments_excluded']} excluded; {payload}data sha256 {stamp['data_sha256']}; "
        f"seed {stamp['seed']}; {versions}"
    )
