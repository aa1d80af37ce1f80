"""What an objective analysis prints and writes: rd.csv, rd_bd_rates.csv, rd.html and a plot a metric."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from analysis.document import ONE_QUALITY, bound_text
from analysis.errors import counted
from analysis.objective import MetricResult, ObjectiveComparison, ObjectiveResult
from analysis.objective_metrics import OBJECTIVE_METRICS
from analysis.objective_plots import plot_rate_distortion
from analysis.publication import interval_text
from analysis.report import page_environment, replace_files

Row = Mapping[str, Any]

#: What no number here can say, so it is said beside all of them.
ORDER_NOTE = (
    "PSNR and perceptual metrics can rank codecs in opposite orders, and none of them stands for raters: "
    "read all of them beside each other"
)
_POINT_COLUMNS = ("metric", "codec", "condition", "bpp", "quality", "value", "sources")
_BD_COLUMNS = (
    "metric", "anchor", "test", "measure", "status", "bd_rate_percent", "bd_rate_low", "bd_rate_high",
    "low_is_open", "high_is_open", "savings_factor", "savings_low", "savings_high", "log_ratio",
    "standard_error", "overlap", "ratio_at_least", "ratio_at_most", "sources_compared", "source_mean_percent",
    "source_least_percent", "source_most_percent", "other_rate", "other_rate_percent", "at_quality",
)  # fmt: skip


def write_objective(result: ObjectiveResult, warnings: Sequence[str], folder: Path) -> Path:
    """Writes everything into `folder` and returns the path of `rd.html`.

    Plots of metrics that an earlier run had and this one has not are removed. Raises AnalysisError when the
    folder cannot be written.
    """

    def make(made: Path) -> None:
        _write(made / "rd.csv", csv_text(_POINT_COLUMNS, point_rows(result), result))
        _write(made / "rd_bd_rates.csv", csv_text(_BD_COLUMNS, bd_rows(result), result))
        plots = []
        for found in result.results:
            png, svg = (made / f"rd_{found.metric.name}.{suffix}" for suffix in ("png", "svg"))
            plot_rate_distortion(
                found, result.codecs, result.study, result.options.rate, stamp(result), png, svg
            )
            plots.append((found.metric.title, base64.b64encode(svg.read_bytes()).decode()))
        _write(made / "rd.html", _html(result, warnings, plots))

    replace_files(folder, make)
    drawn = {found.metric.name for found in result.results}
    for metric in OBJECTIVE_METRICS:
        if metric.name not in drawn:
            for suffix in ("png", "svg"):
                (folder / f"rd_{metric.name}.{suffix}").unlink(missing_ok=True)
    return folder / "rd.html"


def stamp(result: ObjectiveResult) -> str:
    """One line that stands under every output."""
    options = result.options
    return (
        f"Study {result.study}: objective metrics, no rater was asked; {_many(result)}; "
        f"{rates_text(result)}; {options.replicates} resamplings of the sources, seed {options.seed}"
    )


def rates_text(result: ObjectiveResult) -> str:
    """Which rates these are; the geometric mean is not named."""
    mean = "arithmetic mean " if result.options.rate_mean == "arithmetic" else ""
    return f"{mean}rates of the {result.options.rate}"


def point_rows(result: ObjectiveResult) -> list[dict[str, Any]]:
    """One row a metric and condition."""
    return [
        {
            "metric": found.metric.name,
            "codec": point.codec,
            "condition": point.condition,
            "bpp": point.bpp,
            "quality": point.quality,
            "value": point.value,
            "sources": point.sources,
        }
        for found in result.results
        for point in found.points
    ]


def bd_rows(result: ObjectiveResult) -> list[dict[str, Any]]:
    """One row a codec and metric, the metrics of a codec beside each other; None where there is no number."""
    found = {(c.test, r.metric.name): c for r in result.results for c in r.comparisons}
    other = "payload" if result.options.rate == "file" else "file"
    return [
        _bd_row(comparison, metric.metric.name, metric.metric.label, other)
        | {"sources": max(point.sources for point in metric.points)}
        for codec in result.codecs
        for metric in result.results
        if (comparison := found.get((codec, metric.metric.name))) is not None
    ]


def _bd_row(comparison: ObjectiveComparison, metric: str, label: str, other: str) -> dict[str, Any]:
    rate, interval = comparison.rate, comparison.interval
    one = rate.status == "one_quality"
    beside = comparison.other_rate
    if beside is not None and (beside.status == "one_quality") != one:
        # `measure` speaks for every number of the row.
        beside = None
    single = np.array(comparison.source_ratios)
    return {
        "metric": metric,
        "label": label,
        "anchor": comparison.anchor,
        "test": comparison.test,
        "measure": ONE_QUALITY if one else "BD-rate",
        "status": rate.status,
        "bd_rate_percent": _percent(rate.log_ratio),
        "bd_rate_low": _percent(interval.low),
        "bd_rate_high": _percent(interval.high),
        "low_is_open": interval.low == -math.inf,
        "high_is_open": interval.high == math.inf,
        "savings_factor": _finite(math.exp(-rate.log_ratio)),
        "savings_low": _finite(math.exp(-interval.high)) if interval.high < math.inf else None,
        "savings_high": _finite(math.exp(-interval.low)) if interval.low > -math.inf else None,
        "log_ratio": _finite(rate.log_ratio),
        "standard_error": _finite(interval.standard_error),
        "overlap": _finite(rate.overlap),
        "ratio_at_least": _finite(rate.ratio_low) if rate.ratio_low > 0 else None,
        "ratio_at_most": _finite(rate.ratio_high),
        "bound": bound_text(rate),
        "sources_compared": len(single),
        "source_mean_percent": _percent(float(single.mean())) if len(single) else None,
        "source_least_percent": _percent(float(single.min())) if len(single) else None,
        "source_most_percent": _percent(float(single.max())) if len(single) else None,
        "other_rate": other,
        "other_rate_percent": None if beside is None else _percent(beside.log_ratio),
        "at_quality": _finite(rate.quality_low) if one else None,
    }


def csv_text(columns: Sequence[str], rows: Sequence[Row], result: ObjectiveResult) -> str:
    """Rows at full precision, stamped on every line; an empty cell where there is no number."""
    options = result.options
    stamped = {
        "study": result.study,
        "rate": options.rate,
        "rate_mean": options.rate_mean,
        "confidence": options.confidence,
        "replicates": options.replicates,
        "seed": options.seed,
    }
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*columns, *stamped])
    for row in rows:
        writer.writerow([_cell(row[name]) for name in columns] + [_cell(value) for value in stamped.values()])
    return stream.getvalue()


def point_table(result: ObjectiveResult) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the curves: a line a condition, the metrics beside each other."""
    widest = max(result.results, key=lambda found: sum(point.sources for point in found.points))
    by_metric = [{point.condition: point for point in found.points} for found in result.results]
    names = [point.condition for point in widest.points]
    names += [n for points in by_metric for n in points if n not in names]
    header = ["condition", "bpp", "sources", *(found.metric.title for found in result.results)]
    rows = []
    for name in dict.fromkeys(names):
        points = [points.get(name) for points in by_metric]
        first = max((p for p in points if p is not None), key=lambda point: point.sources)
        cells = ["–" if p is None else f"{p.quality:.2f}" for p in points]
        rows.append([name, f"{first.bpp:.4f}", str(first.sources), *cells])
    return header, rows


def bd_table(result: ObjectiveResult) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the BD-rates, the metrics of a codec below each other."""
    header = [
        "codec",
        "metric",
        "BD-rate",
        f"{100 * result.options.confidence:g} % interval",
        "savings",
        "mean of sources (range)",
    ]
    rows = bd_rows(result)
    both = any(row["other_rate_percent"] is not None for row in rows)
    if both:
        header.append(f"rates of the {rows[0]['other_rate']}")
    table = []
    for row in rows:
        fewer = row["sources_compared"] < row["sources"]
        of = f" on {row['sources_compared']} of {row['sources']}" if fewer else ""
        mark = f" ({ONE_QUALITY})" if row["status"] == "one_quality" else ""
        if row["bd_rate_percent"] is None:
            cells = ["none", str(row["bound"]), ""]
        else:
            flag = " (flagged)" if row["status"] == "flagged" else mark
            cells = [
                f"{row['bd_rate_percent']:+.1f} %{flag}",
                interval_text(row, "bd_rate", "+.1f", " %"),
                f"{row['savings_factor']:.3f}",
            ]
        cells.append(
            "none"
            if row["source_mean_percent"] is None
            else f"{row['source_mean_percent']:+.1f} % "
            f"({row['source_least_percent']:+.1f} to {row['source_most_percent']:+.1f}){of}"
        )
        if both:
            percent = row["other_rate_percent"]
            cells.append("none" if percent is None else f"{percent:+.1f} %{mark}")
        table.append([row["test"], row["label"], *cells])
    return header, table


def flag_note(result: ObjectiveResult) -> str | None:
    """What "flagged", "at one quality" and "none" in the table of BD-rates mean, where one of them stands
    there."""
    found = {row["status"] for row in bd_rows(result)}
    said = []
    if "flagged" in found:
        said.append("flagged: the two curves share less than half of the narrower one's range of quality")
    if found & {"refused", "no_overlap"}:
        said.append("none: they share less than a quarter of it, and only a bound is given")
    if "one_quality" in found:
        said.append(
            f"{ONE_QUALITY}: a codec with a single rate has no curve and no BD-rate, and the number is the "
            "ratio of rates at its value of the metric alone"
        )
    if "single_point" in found:
        said.append(
            "none: a single rate lies outside the other's curve, or one of the two is no curve, and only "
            "bounds are given"
        )
    return "; ".join(said) or None


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a terminal; a first cell that repeats the one above is left empty."""
    shown = [list(header)]
    for i, row in enumerate(rows):
        again = i > 0 and rows[i - 1][0] == row[0]
        shown.append(["", *row[1:]] if again else list(row))
    widths = [max(len(line[i]) for line in shown) for i in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in shown
    )


def disagreement(result: ObjectiveResult) -> str | None:
    """Two metrics that put the same two codecs in opposite orders by more than 5 points of BD-rate."""
    best: tuple[float, str] | None = None
    for one, two in combinations(result.results, 2):
        ratios = [_log_ratios(found) for found in (one, two)]
        for a, b in combinations([c for c in ratios[0] if c in ratios[1]], 2):
            first, second = (r[a] - r[b] for r in ratios)
            apart = min(abs(first), abs(second))
            if first * second < 0 and apart > 0.05 and (best is None or apart > best[0]):
                better, worse = (a, b) if first < 0 else (b, a)
                puts = f"{one.metric.label} puts {better} before {worse}"
                best = (apart, f"{puts}, and {two.metric.label} {worse} before {better}")
    return None if best is None else best[1]


def _log_ratios(found: MetricResult) -> dict[str, float]:
    """ln rate ratio to the anchor of every codec that has a BD-rate; the anchor's own is 0.

    Ratios at one quality each are in no order.
    """
    ratios = {c.test: c.rate.log_ratio for c in found.comparisons if c.rate.status in ("ok", "flagged")}
    return ratios | {c.anchor: 0.0 for c in found.comparisons}


def _html(result: ObjectiveResult, warnings: Sequence[str], plots: Sequence[tuple[str, str]]) -> str:
    return (
        page_environment()
        .get_template("rd.html")
        .render(
            result=result,
            counts=_many(result),
            rates=rates_text(result),
            warnings=warnings,
            plots=plots,
            bd=bd_table(result),
            points=point_table(result),
            order_note=ORDER_NOTE,
            flag_note=flag_note(result),
            disagreement=disagreement(result),
            stamp=stamp(result),
        )
    )


def _many(result: ObjectiveResult) -> str:
    return f"{counted(len(result.codecs), 'codec')} on {counted(len(result.sources), 'source')}"


def _percent(log_ratio: float) -> float | None:
    return 100.0 * math.expm1(log_ratio) if math.isfinite(log_ratio) else None


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
