"""bd_rates.csv, .md and .tex and scores.csv, all made of the results document."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.document import provenance_line

Row = Mapping[str, Any]

_BD_COLUMNS = (
    "anchor", "test", "measure", "status", "bd_rate_percent", "bd_rate_low", "bd_rate_high", "low_is_open",
    "high_is_open", "savings_factor", "savings_low", "savings_high", "reverse_percent", "reverse_low",
    "reverse_high", "log_ratio", "standard_error", "overlap", "ratio_at_least", "ratio_at_most", "bound",
    "censored_replicates", "other_mean_percent", "other_basis_percent", "at_elo",
)  # fmt: skip
_SCORE_COLUMNS = (
    "condition", "codec", "rate_point", "target_bpp", "bpp", "bpp_geometric", "bpp_arithmetic", "sources",
    "judgments", "elo", "elo_low", "elo_high", "elo_low_99", "elo_high_99", "standard_error",
    "model_standard_error",
)  # fmt: skip
_TIMING_COLUMNS = (
    "codec", "device", "elsewhere", "encode", "decode", "relative_encode", "relative_decode",
)  # fmt: skip


def bd_rates_csv(document: Row) -> str:
    """One line a comparison at full precision, stamped on every line."""
    return _csv(_BD_COLUMNS, document["bd_rates"], document)


def scores_csv(document: Row) -> str:
    """One line a condition at full precision, stamped on every line."""
    return _csv(_SCORE_COLUMNS, document["scores"], document)


def timings_csv(document: Row) -> str:
    """One line a codec in CPU seconds a megapixel, stamped on every line."""
    return _csv(_TIMING_COLUMNS, document["timings"]["codecs"], document)


def _csv(columns: Sequence[str], rows: Sequence[Row], document: Row) -> str:
    # The stamp is in columns: a comment line would break every reader that does not know of it.
    counts, stamp = document["counts"], document["provenance"]
    stamped = {
        "study": document["study"],
        "evidence": document["evidence"],
        "confidence": stamp["confidence"],
        "rate": document["rate"],
        "rate_mean": document["rate_mean"],
        "other_basis": document["other_basis"],
        "study_judgments": counts["judgments"],
        "study_raters": counts["raters"],
        "study_excluded": counts["judgments_excluded"],
        "data_sha256": stamp["data_sha256"],
        "seed": stamp["seed"],
        "replicates": stamp["replicates"],
    } | {f"{name}_version": version for name, version in stamp["versions"].items()}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*columns, *stamped])
    for row in rows:
        writer.writerow([_cell(row[name]) for name in columns] + [_cell(value) for value in stamped.values()])
    return stream.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def table_rows(document: Row) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the table of BD-rates, as text for a person."""
    percent = f"{document['provenance']['confidence_percent']:g} %"
    header = [
        "codec",
        "anchor",
        "BD-rate",
        f"{percent} interval",
        "savings",
        f"{percent} interval",
        "anchor against codec",
    ]
    if document["rate_means_differ"]:
        header.append(f"BD-rate, {_other(document)} mean rate")
    if document["other_basis"]:
        # Beside the headline: which bits are counted changes it before anything else does.
        header.insert(4, f"BD-rate, {document['other_basis']} rates")
    rows = []
    for row in document["bd_rates"]:
        if row["bd_rate_percent"] is None:
            cells = ["none", row["bound"], "", "", ""]
        else:
            cells = [
                f"{row['bd_rate_percent']:+.1f} %",
                interval_text(row, "bd_rate", "+.1f", " %"),
                f"{row['savings_factor']:.3f}",
                interval_text(row, "savings", ".3f", ""),
                f"{row['reverse_percent']:+.1f} %",
            ]
        if document["rate_means_differ"]:
            other = row["other_mean_percent"]
            cells.append("none" if other is None else f"{other:+.1f} %{_mark(row)}")
        if document["other_basis"]:
            other = row["other_basis_percent"]
            cells.insert(2, "none" if other is None else f"{other:+.1f} %{_mark(row)}")
        flag = " (flagged)" if row["status"] == "flagged" else _mark(row)
        rows.append([row["test"], row["anchor"], cells[0] + flag, *cells[1:]])
    return header, rows


def _mark(row: Row) -> str:
    return "" if row["measure"] == "BD-rate" else f" ({row['measure']})"


def _other(document: Row) -> str:
    return "arithmetic" if document["rate_mean"] == "geometric" else "geometric"


def interval_text(row: Row, name: str, form: str, unit: str) -> str:
    """Both limits, an open one in words."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if low is None and high is None and not (row["low_is_open"] or row["high_is_open"]):
        return "no interval"
    shown = ["open" if limit is None else format(limit, form) for limit in (low, high)]
    if high is None:
        return f"{shown[0]}{'' if low is None else unit} to open"
    return f"{shown[0]} to {shown[1]}{unit}"


def bd_rates_md(document: Row) -> str:
    """The table in Markdown, with its stamp below."""
    header, rows = table_rows(document)
    lines = [_md_line(header), _md_line(["---"] * len(header)), *(_md_line(row) for row in rows)]
    label = f"**{document['label']}**\n\n" if document["label"] else ""
    return label + "\n".join(lines) + f"\n\n{_md(provenance_line(document))}\n"


def _md_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_md(cell) for cell in cells) + " |"


def _md(text: str) -> str:
    # Markup in a name would be rendered, HTML included.
    return re.sub(r"([\\|<>&*`\[\]])", r"\\\1", text)


def bd_rates_tex(document: Row) -> str:
    """The table for a paper: needs \\usepackage{booktabs}; the stamp stands in comments."""
    header, rows = table_rows(document)
    lines = [
        f"% {provenance_line(document)}",
        "% needs \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{ll{'r' * (len(header) - 2)}}}",
        "\\toprule",
        " & ".join(_tex(cell) for cell in header) + " \\\\",
        "\\midrule",
        *(" & ".join(_tex(cell) for cell in row) + " \\\\" for row in rows),
        "\\bottomrule",
    ]
    if document["label"]:
        lines.append(f"\\multicolumn{{{len(header)}}}{{l}}{{\\textbf{{{_tex(document['label'])}}}}} \\\\")
    return "\n".join([*lines, "\\end{tabular}", ""])


_TEX = {
    "\\": "\\textbackslash{}", "&": "\\&", "%": "\\%", "$": "\\$", "#": "\\#", "_": "\\_",
    "{": "\\{", "}": "\\}", "<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}",
    # After \\ or \midrule a bracket would be read as an option, and a star as the starred form.
    "[": "{[}", "]": "{]}", "*": "{*}",
    "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
}  # fmt: skip


def _tex(text: str) -> str:
    # A minus before a digit is set as a minus and not as a hyphen.
    escaped = "".join(_TEX.get(character, character) for character in text)
    words = [
        f"$-${word[1:]}" if word[:1] == "-" and word[1:2].isdigit() else word for word in escaped.split(" ")
    ]
    return " ".join(f"$+${word[1:]}" if word[:1] == "+" and word[1:2].isdigit() else word for word in words)


def table_text(document: Row) -> str:
    """The table for a terminal."""
    header, rows = table_rows(document)
    widths = [max(len(line[i]) for line in [header, *rows]) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
             for line in [header, *rows]]  # fmt: skip
    return "\n".join(lines)
