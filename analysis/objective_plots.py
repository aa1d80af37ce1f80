"""Plots of an objective metric over rate: points, the curves between them, names beside their ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np

from analysis.objective import MetricResult
from analysis.plot_parts import GREY, line_of, log_rate_axis, name_ends, plot_style
from analysis.rates import RateBasis

#: Inches; taller where more than so many names stand beside the curves.
_WIDTH, _HEIGHT, _TALL = 8.4, 5.4, 6.6
_MANY = 10


def plot_rate_distortion(
    found: MetricResult, codecs: Sequence[str], study: str, rate: RateBasis, stamp: str, png: Path, svg: Path
) -> None:
    """Draws one metric as PNG and SVG; a codec's place among the sorted names is its colour in every plot.

    Curves of Elo take their colours so too, and a paper prints both.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with plot_style():
        figure = Figure(
            figsize=(_WIDTH, _TALL if len(found.curves) > _MANY else _HEIGHT), layout="constrained"
        )
        axes = figure.add_subplot()
        ends = []
        for i, codec in enumerate(sorted(codecs)):
            points = [point for point in found.points if point.codec == codec]
            if not points:
                continue
            colour, marker, dashes = line_of(i)
            curve = found.curves[codec]
            if len(curve.quality) > 1:
                quality = np.linspace(curve.low, curve.high, 200)
                axes.plot(np.exp(curve.log_rate_at(quality)), quality, dashes, color=colour, linewidth=1.6)
            axes.plot(
                [point.bpp for point in points], [point.quality for point in points], marker, color=colour,
                markersize=5.5, markeredgecolor="white", markeredgewidth=0.6,
            )  # fmt: skip
            ends.append((codec, colour, points[-1].bpp, points[-1].quality))
        rates = [point.bpp for point in found.points]
        log_rate_axis(axes, min(rates), max(rates))
        bits = "bits per pixel" if rate == "file" else "bits of payload per pixel"
        axes.set_xlabel(f"rate ({bits}, logarithmic)")
        axes.set_ylabel(found.metric.title)
        axes.set_title(
            f"{study}: {found.metric.label} over rate", loc="left", fontsize=11, fontweight="bold", pad=10
        )
        figure.supxlabel("\n".join(wrap(stamp, 150)), fontsize=6.5, color=GREY, x=0.01, ha="left")
        # Names are placed in pixels, so the layout is made once without them and again to give them room.
        figure.draw_without_rendering()
        name_ends(axes, ends)
        metadata = {"Title": f"{found.metric.label} over rate: {study}", "Description": stamp}
        FigureCanvasAgg(figure).print_figure(png, dpi=160, metadata=metadata)
        FigureCanvasSVG(figure).print_figure(svg, metadata={**metadata, "Date": None})
