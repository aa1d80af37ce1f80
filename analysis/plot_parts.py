"""What plots over rate share: colours, markers, fonts, ticks of a rate, names beside the ends of curves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.curves import isotonic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Okabe and Ito 2008: told apart with any colour vision; yellow is left out, as it vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
LINES = ("-", "--", "-.", ":")
GREY = "#555555"
#: Pixels from the end of a curve to its name, beyond which the line between them is dotted.
_LONG = 100.0
#: For names in scripts that DejaVu lacks, where one of them is installed.
_FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Droid Sans Fallback", "WenQuanYi Zen Hei",
    "PingFang SC", "Microsoft YaHei", "Arial Unicode MS", "Unifont",
)  # fmt: skip


@contextmanager
def plot_style() -> Iterator[None]:
    """Fonts and lines of every plot, and the same bytes of an SVG for the same data."""
    # Imported here: matplotlib takes half a second, which reading a table need not pay.
    from matplotlib import font_manager, rc_context

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
        yield


def line_of(i: int) -> tuple[str, str, str]:
    """Colour, marker and dashes of the i-th codec; no two of the first 28 have the same colour and dashes."""
    return (
        COLOURS[i % len(COLOURS)],
        MARKERS[i % len(MARKERS)],
        LINES[(i // len(COLOURS)) % len(LINES)],
    )


def log_rate_axis(axes: Axes, low: float, high: float) -> None:
    """A logarithmic axis of bpp around `low` to `high`, with ticks written as plain numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    room = 1.08 if high > low else 1.5
    axes.set_xscale("log")
    axes.set_xlim(low / room, high * room)
    axes.xaxis.set_major_locator(FixedLocator(rate_ticks(low / room, high * room)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def rate_ticks(low: float, high: float) -> list[float]:
    """Round rates between `low` and `high`, at most about nine of them."""
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [round(step * 10.0**decade, 10) for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 9:
            return ticks or [float(f"{math.sqrt(low * high):.2g}")]
    return ticks


def name_ends(axes: Axes, ends: list[tuple[str, str, float, float]]) -> None:
    """Each codec's name at the right end of its curve, pushed apart where two would touch."""
    if not ends:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None
    gap = 13 * figure.dpi / 72
    to_pixels, to_data = axes.transData.transform, axes.transData.inverted().transform
    ordered = sorted(ends, key=lambda end: end[3])
    wanted = [float(to_pixels((x, y))[1]) for _, _, x, y in ordered]
    bottom, top = (float(to_pixels((ordered[0][2], y))[1]) for y in axes.get_ylim())
    placed = _spread(wanted, gap, bottom, top)
    right = float(to_data((to_pixels((axes.get_xlim()[1], 0))[0] + 8, 0))[0])
    edge = float(to_pixels((right, 0))[0])
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
                # A long one across the plot would look like a curve.
                "linestyle": ":" if edge - float(to_pixels((x, y))[0]) > _LONG else "-",
                "alpha": 0.6,
                "shrinkA": 1,
                "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )


def _darker(colour: str) -> tuple[float, float, float]:
    """The colour at three quarters of its light: thin letters need more contrast than a line."""
    return tuple(0.75 * int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]


def _spread(wanted: list[float], gap: float, bottom: float, top: float) -> list[float]:
    """Places near the wanted ones, in order and at least `gap` apart, moved as little as can be (least
    squares); between `bottom` and `top` where they have room there."""
    steps = gap * np.arange(len(wanted))
    free = isotonic((np.array(wanted) - steps)[None], np.ones((1, len(wanted))))[0]
    return [float(value) for value in np.clip(free, bottom, max(bottom, top - steps[-1])) + steps]
