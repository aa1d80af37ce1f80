"""report.html, and all outputs of an analysis written into one folder."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from analysis.document import provenance_line
from analysis.errors import AnalysisError
from analysis.plots import plot_elo_curves
from analysis.publication import bd_rates_csv, bd_rates_md, bd_rates_tex, scores_csv, timings_csv
from analysis.speed_plot import can_be_drawn, plot_speed

OUTPUTS = (
    "bd_rates.csv", "bd_rates.md", "bd_rates.tex", "scores.csv", "results.json", "elo_curves.png",
    "elo_curves.svg", "report.html",
)  # fmt: skip
#: Written where encode times are known, and removed where an earlier report had them.
SPEED_OUTPUTS = ("timings.csv", "quality_speed.png", "quality_speed.svg")


def write_outputs(document: Mapping[str, Any], folder: Path) -> Path:
    """Writes `OUTPUTS` into `folder`, and of `SPEED_OUTPUTS` what there is; returns the path of the report.

    Raises AnalysisError when the folder cannot be written.
    """
    replace_files(folder, lambda made: _make(document, made))
    kept: tuple[str, ...] = ("timings.csv",) if document["timings"] is not None else ()
    if can_be_drawn(document):
        kept = SPEED_OUTPUTS
    for name in set(SPEED_OUTPUTS) - set(kept):
        (folder / name).unlink(missing_ok=True)
    return folder / "report.html"


def replace_files(folder: Path, make: Callable[[Path], object]) -> None:
    """Lets `make` write files into a folder beside the real one, and moves them in at the end.

    So a failure leaves an earlier report whole. Raises AnalysisError when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".analysis-", dir=folder) as made:
            make(Path(made))
            for path in sorted(Path(made).iterdir()):
                path.chmod(0o666 & ~_umask())
                path.replace(folder / path.name)
    except OSError as error:
        raise AnalysisError(
            f"{folder}: cannot be written: {error.strerror}; choose another folder with -o"
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _make(document: Mapping[str, Any], folder: Path) -> None:
    stamp = provenance_line(document)
    texts = {
        "bd_rates.csv": bd_rates_csv(document),
        "bd_rates.md": bd_rates_md(document),
        "bd_rates.tex": bd_rates_tex(document),
        "scores.csv": scores_csv(document),
        "results.json": json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    plot_elo_curves(document, stamp, folder / "elo_curves.png", folder / "elo_curves.svg")
    image = base64.b64encode((folder / "elo_curves.svg").read_bytes()).decode()
    speed = None
    if document["timings"] is not None:
        (folder / "timings.csv").write_text(timings_csv(document), encoding="utf-8")
    if can_be_drawn(document):
        plot_speed(document, stamp, folder / "quality_speed.png", folder / "quality_speed.svg")
        speed = base64.b64encode((folder / "quality_speed.svg").read_bytes()).decode()
    (folder / "report.html").write_text(report_html(document, image, speed), encoding="utf-8")


def report_html(document: Mapping[str, Any], svg_base64: str, speed_base64: str | None = None) -> str:
    """One file that a browser opens offline; the second picture is that of quality against speed.

    Every number of a table is an element with `data-key` (its path in results.json) and `data-format`.
    """
    environment = page_environment()
    environment.globals["num"] = lambda key, form="", unit="": number(document, key, form, unit)
    environment.globals["noun"] = lambda key, one, many="": (
        one if look_up(document, key) == 1 else many or one + "s"
    )
    return environment.get_template("report.html").render(
        r=document, image=svg_base64, speed=speed_base64, stamp=provenance_line(document)
    )


def page_environment() -> Environment:
    """Where the templates of pages come from; names in them are escaped, and an unknown one is an error."""
    return Environment(
        loader=PackageLoader("analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def look_up(document: Any, key: str) -> Any:
    """The value at a dotted path such as `bd_rates.0.bd_rate_percent`."""
    for part in key.split("."):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def number(document: Mapping[str, Any], key: str, form: str = "", unit: str = "") -> Markup:
    """The number at `key` in a format, as an element that says where it comes from; a dash where there is
    none."""
    value = look_up(document, key)
    text = "–" if value is None else format(value, form) + unit
    return Markup('<span class="n" data-key="{}" data-format="{}">{}</span>').format(
        key, form, escape(_minus(text))
    )


def _minus(text: str) -> str:
    return text.replace("-", "−")
