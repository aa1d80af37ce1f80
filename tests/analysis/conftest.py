"""Small studies with a known truth, as tables and as folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from analysis.analyze_study import main
from analysis.simulation import SimulatedStudy, simulate_study

FolderMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def small_study() -> SimulatedStudy:
    """Three codecs at four rates with the original: 1,500 judgments, 8 sources, 20 raters."""
    return simulate_study(
        5,
        savings={"old": 1.0, "mid": 1.25, "new": 1.6},
        ladder=(0.1, 0.2, 0.4, 0.8),
        sources=8,
        raters=20,
        judgments=1500,
        ties=0.05,
        reference=True,
    )


@pytest.fixture
def write_export(tmp_path: Path) -> FolderMaker:
    """Writes two tables as an export folder, CSV unless told otherwise."""

    def write(
        judgments: pd.DataFrame, stimuli: pd.DataFrame, name: str = "export", form: str = "csv"
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        for table, stem in ((judgments, "judgments"), (stimuli, "stimuli")):
            if form == "csv":
                table.to_csv(folder / f"{stem}.csv", index=False)
            else:
                table.to_parquet(folder / f"{stem}.parquet")
        return folder

    return write


@pytest.fixture(scope="session")
def standard(small_study: SimulatedStudy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of the small study against `old` with seed 17; to be read and not changed."""
    folder = tmp_path_factory.mktemp("standard")
    small_study.judgments.to_csv(folder / "judgments.csv", index=False)
    small_study.stimuli.to_csv(folder / "stimuli.csv", index=False)
    out = folder / "out"
    assert main([str(folder), "--anchor", "old", "-o", str(out), "--seed", "17", "--replicates", "100"]) == 0
    return out
