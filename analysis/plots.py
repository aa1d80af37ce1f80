"""The plot of Elo over rate: points with intervals, the fitted curves, names beside their ends."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.curves import Curve, isotonic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito 2008: told apart with any colour vision; yellow is left out, as it vanishes on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
_LINES = ("-", "--", "-.", ":")
_GREY = "#555555"
#: For names in scripts that DejaVu lacks, where one of them is installed.
_FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Droid Sans Fallback", "WenQuanYi Zen Hei",
    "PingFang SC", "Microsoft YaHei", "Arial Unicode MS", "Unifont",
)  # fmt: skip


def plot_elo_curves(document: Mapping[str, Any], stamp: str, png: Path, svg: Path) -> None:
    """Draws `elo_curves.png` and `.svg` from the results document; `stamp` is written under the plot."""
    # Imported here: matplotlib takes half a second, which reading a table need not pay. No pyplot, no global
    # state.
    from matplotlib import font_manager, rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    installed = set(font_manager.get_font_names())
    style: dict[Any, Any] = {
        "font.family": ["DejaVu Sans", *(name for name in _FALLBACKS if name in installed)],
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        # Names of elements in the SVG are drawn from the salt, so that the same data give the same bytes.
        "svg.hashsalt": "matchrate",
        "text.parse_math": False,
    }
    with rc_context(style), warnings.catch_warnings():
        # A name in a script without a font is drawn as boxes; the tables have it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure = Figure(figsize=(8.4, 5.4), layout="constrained")
        axes = figure.add_subplot()
        ends = _draw_curves(figure, axes, document)
        _draw_reference(axes, document)
        _dress(axes, document)
        figure.supxlabel("\n".join(wrap(stamp, 150)), fontsize=6.5, color=_GREY, x=0.01, ha="left")
        # Names are placed in pixels, so the layout is made once without them and again to give them room.
        figure.draw_without_rendering()
        _name_ends(axes, ends)
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
        colour, marker = _COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]
        line = _LINES[(i // len(_COLOURS)) % len(_LINES)]
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
    axes.axhline(reference["elo"], color=_GREY, linewidth=1.2, linestyle=(0, (6, 3)))
    axes.annotate(
        "original",
        (0.0, reference["elo"]),
        xycoords=("axes fraction", "data"),
        xytext=(4, 3),
        textcoords="offset points",
        fontsize=9,
        color=_GREY,
    )


def _dress(axes: Axes, document: Mapping[str, Any]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    rates = [row["bpp"] for row in document["scores"] if row["bpp"] is not None]
    low, high = min(rates), max(rates)
    axes.set_xscale("log")
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
    room = 1.08 if high > low else 1.5
    axes.set_xlim(low / room, high * room)
    axes.xaxis.set_major_locator(FixedLocator(_rate_ticks(low / room, high * room)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
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


def _rate_ticks(low: float, high: float) -> list[float]:
    """Round rates between `low` and `high`, at most about nine of them."""
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [round(step * 10.0**decade, 10) for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 9:
            return ticks or [float(f"{math.sqrt(low * high):.2g}")]
    return ticks


def _name_ends(axes: Axes, ends: list[tuple[str, str, float, float]]) -> None:
    """Each codec's name at the right end of its curve, pushed apart where two would touch."""
    if not ends:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    gap = 13 * figure.dpi / 72
    to_pixels, to_data = axes.transData.transform, axes.transData.inverted().transform
    ordered = sorted(ends, key=lambda end: end[3])
    wanted = [float(to_pixels((x, y))[1]) for _, _, x, y in ordered]
    placed = _spread(wanted, gap)
    right = float(to_data((to_pixels((axes.get_xlim()[1], 0))[0] + 8, 0))[0])
    for (name, colour, x, y), pixel in zip(ordered, placed, strict=True):
        height = float(to_data((0, pixel))[1])
        axes.annotate(
            name,
            (x, y),
            xytext=(right, height),
            textcoords="data",
            color=_darker(colour),
            fontsize=10,
            fontweight="bold",
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "alpha": 0.6,
                "shrinkA": 1,
                "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )


def _darker(colour: str) -> tuple[float, float, float]:
    """The colour at three quarters of its light: thin letters need more contrast than a line."""
    return tuple(0.75 * int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def _spread(wanted: list[float], gap: float) -> list[float]:
    """Places near the wanted ones, in order and at least `gap` apart, moved as little as can be (least
    squares)."""
    steps = gap * np.arange(len(wanted))
    free = isotonic((np.array(wanted) - steps)[None], np.ones((1, len(wanted))))[0]
    return [float(value) for value in free + steps]
