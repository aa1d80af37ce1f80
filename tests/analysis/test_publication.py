"""The tables for papers: escaping, and LaTeX that compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.analyze_study import main
from analysis.simulation import simulate_study

FolderMaker = Callable[..., Path]
FAST = ["--replicates", "100"]


def test_names_that_mean_something_to_a_format_are_escaped(tmp_path: Path, write_export: FolderMaker) -> None:
    """Codecs called by markup, LaTeX and dollars neither break nor inject."""
    study = simulate_study(
        8, savings={"a&b_<i>": 1.0, "$x^2$ | 50%": 1.3}, ladder=(0.1, 0.2, 0.4), sources=8, judgments=900
    )
    out = tmp_path / "out"
    export = write_export(study.judgments, study.stimuli)
    assert main([str(export), "--anchor", "a&b_<i>", "-o", str(out), *FAST]) == 0
    assert "<i>" not in (out / "report.html").read_text()
    assert "a\\&b\\_\\textless{}i\\textgreater{}" in (out / "bd_rates.tex").read_text()
    assert "\\$x\\textasciicircum{}2\\$ \\textbar{} 50\\%" in (out / "bd_rates.tex").read_text()
    assert "$x^2$ \\| 50%" in (out / "bd_rates.md").read_text()
    table = pd.read_csv(out / "bd_rates.csv")
    assert table["test"].tolist() == ["$x^2$ | 50%"]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_the_latex_table_compiles(standard: Path, tmp_path: Path) -> None:
    """With booktabs alone."""
    shutil.copy(standard / "bd_rates.tex", tmp_path)
    page = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{bd_rates}\\end{document}"
    (tmp_path / "page.tex").write_text(page)
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "page.tex"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode()[-2000:]


def test_the_latex_table_is_well_formed(standard: Path) -> None:
    """Booktabs rules in order, the same number of cells in each row, no unescaped per cent."""
    lines = [
        line for line in (standard / "bd_rates.tex").read_text().splitlines() if not line.startswith("%")
    ]
    columns = len(re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[0])[1])  # type: ignore[index]
    assert lines[1] == "\\toprule"
    assert "& anchor against codec" in lines[2]
    assert lines[3] == "\\midrule"
    assert lines[-1] == "\\end{tabular}"
    for line in (lines[2], *lines[4:6]):
        assert len(re.split(r"(?<!\\)&", line)) == columns
        assert line.endswith("\\\\")
    assert not re.search(r"(?<!\\)%", "\n".join(lines))
