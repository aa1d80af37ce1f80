"""The plot of quality against speed: savings over the time that a codec takes to encode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from analysis.plot_parts import GREY, line_of, log_rate_axis, name_ends, plot_style


def savings_of(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """For each codec its savings against the one that was named, with limits (None where open or unknown) and
    whether they are at one quality only; that codec itself saves nothing."""
    found: dict[str, dict[str, Any]] = {
        document["codec"]: {"value": 1.0, "low": None, "high": None, "one_quality": False}
    }
    for row in document["bd_rates"]:
        if row["log_ratio"] is None:
            continue
        named, codec = row["anchor"], row["test"]
        value, low, high = row["savings_factor"], row["savings_low"], row["savings_high"]
        if document["mode"] == "test":
            # The row tells of the named codec against this one: turned round.
            codec = named
            value, low, high = (None if v is None else 1.0 / v for v in (value, high, low))
        found[codec] = {
            "value": value,
            "low": low,
            "high": high,
            "one_quality": row["status"] == "one_quality",
        }
    return found


def can_be_drawn(document: Mapping[str, Any]) -> bool:
    """Whether two codecs or more have both their savings and an encode time beside the reference's."""
    return len(_points(document)) > 1


def _points(document: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], dict[str, Any]]]:
    savings = savings_of(document)
    rows = [] if document["timings"] is None else document["timings"]["codecs"]
    return [
        (row, savings[row["codec"]])
        for row in rows
        if row["relative_encode"] is not None and row["codec"] in savings
    ]


def plot_speed(document: Mapping[str, Any], stamp: str, png: Path, svg: Path) -> None:
    """Draws `quality_speed.png` and `.svg`; a codec that was timed elsewhere has an open mark."""
    # Imported here: matplotlib takes half a second, which reading a table need not pay.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    points = _points(document)
    order = {curve["codec"]: i for i, curve in enumerate(document["curves"])}
    with plot_style():
        figure = Figure(figsize=(8.4, 5.4), layout="constrained")
        axes = figure.add_subplot()
        ends = []
        for row, saved in points:
            colour, marker, _ = line_of(order[row["codec"]])
            x, y = row["relative_encode"], saved["value"]
            if saved["low"] is not None and saved["high"] is not None:
                axes.vlines(x, saved["low"], saved["high"], colors=colour, linewidth=1.3, alpha=0.7)
            face = "white" if row["elsewhere"] else colour
            axes.plot(x, y, marker, color=colour, markerfacecolor=face, markersize=8, markeredgewidth=1.6)
            ends.append((row["codec"] + (" (at one quality)" if saved["one_quality"] else ""), colour, x, y))
        axes.axhline(1.0, color=GREY, linewidth=0.8, linestyle=(0, (6, 3)))
        times = [row["relative_encode"] for row, _ in points]
        log_rate_axis(axes, min(times) / 1.15, max(times) * 1.15)
        axes.set_xlabel(
            f"encode time of one thread, as a multiple of {document['timings']['reference']} (logarithmic)"
        )
        axes.set_ylabel(f"savings factor against {document['codec']}")
        axes.set_title(
            f"{document['study']}: quality against speed", loc="left", fontsize=11, fontweight="bold",
            pad=22 if document["label"] else 10,
        )  # fmt: skip
        if document["label"]:
            axes.text(
                0, 1.02, document["label"], transform=axes.transAxes, color="#B00020", fontsize=9,
                fontweight="bold",
            )  # fmt: skip
        marks = [Line2D([], [], marker="o", linestyle="", color=GREY, label="timed with the reference")]
        for device in sorted(
            {str(row["device"] or "with the study") for row, _ in points if row["elsewhere"]}
        ):
            label = f"timed elsewhere: {device}"
            marks.append(
                Line2D([], [], marker="o", linestyle="", color=GREY, markerfacecolor="white", label=label)
            )
        if len(marks) > 1:
            axes.legend(handles=marks, loc="best", fontsize=8, frameon=False)
        figure.supxlabel("\n".join(wrap(stamp, 150)), fontsize=6.5, color=GREY, x=0.01, ha="left")
        figure.draw_without_rendering()
        name_ends(axes, ends)
        metadata = {"Title": f"Quality against speed: {document['study']}", "Description": stamp}
        FigureCanvasAgg(figure).print_figure(png, dpi=160, metadata=metadata)
        FigureCanvasSVG(figure).print_figure(svg, metadata={**metadata, "Date": None})
