"""The plot of Elo over rate: points with intervals, the fitted curves, names beside their ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.curves import Curve
from analysis.plot_parts import GREY, line_of, log_rate_axis, name_ends, plot_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_elo_curves(document: Mapping[str, Any], stamp: str, png: Path, svg: Path) -> None:
    """Draws `elo_curves.png` and `.svg` from the results document; `stamp` is written under the plot."""
    # Imported here: matplotlib takes half a second, which reading a table need not pay. No pyplot, no global
    # state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with plot_style():
        figure = Figure(figsize=(8.4, 5.4), layout="constrained")
        axes = figure.add_subplot()
        ends = _draw_curves(figure, axes, document)
        _draw_reference(axes, document)
        _dress(axes, document)
        figure.supxlabel("\n".join(wrap(stamp, 150)), fontsize=6.5, color=GREY, x=0.01, ha="left")
        # Names are placed in pixels, so the layout is made once without them and again to give them room.
        figure.draw_without_rendering()
        name_ends(axes, ends)
        metadata = {"Title": f"Elo over rate: {document['study']}", "Description": stamp}
        FigureCanvasAgg(figure).print_figure(png, dpi=160, metadata=metadata)
        FigureCanvasSVG(figure).print_figure(svg, metadata={**metadata, "Date": None})


def _draw_curves(
    figure: Figure, axes: Axes, document: Mapping[str, Any]
) -> list[tuple[str, str, float, float]]:
    """Points, intervals and curves; returns name, colour and end of each."""
    from matplotlib.transforms import ScaledTranslation

    ends = []
    for i, curve in enumerate(document["curves"]):
        colour, marker, line = line_of(i)
        rows = [
            row for row in document["scores"] if row["codec"] == curve["codec"] and row["bpp"] is not None
        ]
        bpp, elo = (np.array([row[key] for row in rows]) for key in ("bpp", "elo"))
        # A few points aside, or intervals at one rate would hide each other.
        number = len(document["curves"])
        aside = min(3.0, 12.0 / max(number - 1, 1)) * (i - (number - 1) / 2)
        moved = axes.transData + ScaledTranslation(aside / 72, 0, figure.dpi_scale_trans)
        if all(row["elo_low"] is not None for row in rows):
            low, high = (np.array([row[key] for row in rows]) for key in ("elo_low", "elo_high"))
            axes.vlines(bpp, low, high, colors=colour, linewidth=1.3, alpha=0.7, transform=moved)
        axes.plot(
            bpp, elo, marker, color=colour, markersize=5.5, markeredgecolor="white", markeredgewidth=0.6,
            transform=moved,
        )  # fmt: skip
        knots = curve["knots"]
        if len(knots) > 1:
            fitted = Curve(np.array([k["elo"] for k in knots]), np.log([k["bpp"] for k in knots]))
            quality = np.linspace(fitted.low, fitted.high, 200)
            axes.plot(np.exp(fitted.log_rate_at(quality)), quality, line, color=colour, linewidth=1.6)
        ends.append((curve["codec"], colour, float(bpp[-1]), float(elo[-1])))
    return ends


def _draw_reference(axes: Axes, document: Mapping[str, Any]) -> None:
    reference = document["reference"]
    if reference is None:
        return
    axes.axhline(reference["elo"], color=GREY, linewidth=1.2, linestyle=(0, (6, 3)))
    axes.annotate(
        "original",
        (0.0, reference["elo"]),
        xycoords=("axes fraction", "data"),
        xytext=(4, 3),
        textcoords="offset points",
        fontsize=9,
        color=GREY,
    )


def _dress(axes: Axes, document: Mapping[str, Any]) -> None:
    rates = [row["bpp"] for row in document["scores"] if row["bpp"] is not None]
    ends = [
        row[key]
        for row in document["scores"]
        for key in ("elo_low", "elo_high", "elo")
        if row["bpp"] is not None
    ]
    if document["reference"] is not None:
        ends.append(document["reference"]["elo"])
    ends = [end for end in ends if end is not None]
    margin = 0.04 * (max(ends) - min(ends)) or 50.0
    axes.set_ylim(min(ends) - margin, max(ends) + margin)
    log_rate_axis(axes, min(rates), max(rates))
    bits = "bits per pixel" if document["rate"] == "file" else "bits of payload per pixel"
    axes.set_xlabel(f"rate ({bits}, logarithmic; points of one rate are set side by side)")
    percent = document["provenance"]["confidence_percent"]
    axes.set_ylabel("Elo")
    title = f"{document['study']}: Elo over rate, {percent:g} % intervals"
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=22 if document["label"] else 10)
    if document["label"]:
        axes.text(
            0,
            1.02,
            document["label"],
            transform=axes.transAxes,
            color="#B00020",
            fontsize=9,
            fontweight="bold",
        )
        axes.text(
            0.5,
            0.5,
            document["label"].split(":")[0],
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=40,
            color="#B00020",
            alpha=0.08,
            rotation=20,
            zorder=0,
        )
