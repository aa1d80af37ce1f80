"""A codec with a single rate: what it saves at that one quality, and never a BD-rate."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from analysis.analyze_study import main
from analysis.bdrate import log_ratios
from analysis.curves import Knots, knots
from analysis.judgments import tables_from_frames
from analysis.one_quality import codec_ratios, compare_codecs
from analysis.results import CodecComparison, Options, analyse_study
from analysis.simulation import SimulatedStudy, simulate_study

FolderMaker = Callable[..., Path]


def batch(rates: list[float], quality: list[float]) -> Knots:
    return knots(np.array([quality]), np.log([rates]), np.ones((1, len(rates))))


CURVE = batch([0.1, 0.2, 0.4], [1400.0, 1500.0, 1600.0])


@pytest.mark.parametrize(
    ("elo", "rate", "ratio"), [(1500.0, 0.1, 0.5), (1600.0, 0.8, 2.0), (1400.0, 0.1, 1.0)]
)
def test_the_distance_at_the_points_quality(elo: float, rate: float, ratio: float) -> None:
    """Within the curve and at its very ends, both ways, for one comparison and for a batch."""
    point = batch([rate], [elo])
    there, back = (
        compare_codecs(CURVE.curve(0), point.curve(0)),
        compare_codecs(point.curve(0), CURVE.curve(0)),
    )
    assert (there.status, back.status) == ("one_quality", "one_quality")
    assert there.log_ratio == pytest.approx(math.log(ratio))
    assert back.log_ratio == pytest.approx(-math.log(ratio))
    assert there.quality_low == there.quality_high == elo
    if elo == 1500.0:
        assert codec_ratios(CURVE, point).value[0] == pytest.approx(math.log(ratio))
        assert codec_ratios(point, CURVE).value[0] == pytest.approx(-math.log(ratio))


def test_beyond_the_curve_there_are_bounds_only() -> None:
    """As for curves that share nothing: the value of a replicate is its bound, and says so."""
    for elo, censored in ((1700.0, -1), (1300.0, 1)):
        point = batch([0.2], [elo])
        assert compare_codecs(CURVE.curve(0), point.curve(0)).status == "single_point"
        assert codec_ratios(CURVE, point).censored.tolist() == [censored]


def test_pooled_points_and_two_points_are_no_measurement_at_one_rate() -> None:
    """A codec whose quality falls with rate has one knot and nothing to compare at; so have two points."""
    pooled = batch([0.1, 0.2], [1500.0, 1450.0])
    assert compare_codecs(CURVE.curve(0), pooled.curve(0)).status == "single_point"
    assert np.isnan(codec_ratios(CURVE, pooled).value).all()
    one, other = batch([0.1], [1500.0]), batch([0.2], [1520.0])
    assert compare_codecs(one.curve(0), other.curve(0)).status == "single_point"
    assert codec_ratios(one, other).value.tolist() == log_ratios(one, other).value.tolist()


SAVINGS = {"old": 1.0, "mid": 1.25, "point": 1.8}


def one_rate(seed: int, savings: dict[str, float] = SAVINGS) -> SimulatedStudy:
    """The last codec has one rate, 0.2 bpp; Elo is linear in ln bpp, so the truth is its savings."""
    made = simulate_study(
        seed, savings=savings, ladder=(0.1, 0.2, 0.4, 0.8), sources=12, raters=40, judgments=4000, bend=0.0
    )
    last = list(savings)[-1]
    gone = {f"{last}@{target}" for target in (0.1, 0.4, 0.8)}
    rows = made.judgments
    return SimulatedStudy(
        rows[~(rows["condition_a"].isin(gone) | rows["condition_b"].isin(gone))],
        made.stimuli[~made.stimuli["condition"].isin(gone)],
        made.elo,
    )


def compared(study: SimulatedStudy, **options: str) -> dict[tuple[str, str], CodecComparison]:
    tables = tables_from_frames(study.judgments, study.stimuli)
    result = analyse_study(tables, Options(replicates=100, **options))  # type: ignore[arg-type]
    return {(c.anchor, c.test): c for c in result.codec_comparisons}


def test_simulated_studies_find_the_truth_within_their_intervals() -> None:
    """Twelve studies of true savings of 1.8: the mean is near, and at least ten intervals hold the truth."""
    truth = -math.log(1.8)
    found = [compared(one_rate(seed), anchor="old")["old", "point"] for seed in range(12)]
    assert {c.rate.status for c in found} == {"one_quality"}
    assert np.mean([c.rate.log_ratio for c in found]) == pytest.approx(truth, abs=0.05)
    assert sum(c.interval.low <= truth <= c.interval.high for c in found) >= 10
    errors = [c.interval.standard_error for c in found]
    assert np.std([c.rate.log_ratio for c in found]) == pytest.approx(np.mean(errors), rel=0.6)


def test_both_directions_mirror_each_other() -> None:
    """As the anchor, the point has the same numbers with the roles exchanged."""
    study = one_rate(3)
    there, back = (
        compared(study, anchor="old")["old", "point"],
        compared(study, anchor="point")["point", "old"],
    )
    assert back.rate.log_ratio == pytest.approx(-there.rate.log_ratio)
    assert back.interval.low == pytest.approx(-there.interval.high)
    assert back.interval.high == pytest.approx(-there.interval.low)


def test_a_point_near_the_end_of_the_curve_has_an_open_limit() -> None:
    """Where too many replicates put it beyond the curve, that limit is open, as with any BD-rate."""
    # At .2 bpp with savings of 4.0 its Elo is just that of the anchor's last rate, .8 bpp.
    comparison = compared(one_rate(1, {"old": 1.0, "mid": 1.25, "point": 3.9}), anchor="old")["old", "point"]
    assert comparison.rate.status in ("one_quality", "single_point")
    assert sum(comparison.censored.values()) > 0
    if comparison.rate.status == "one_quality":
        assert comparison.interval.low == -np.inf


def test_every_table_marks_it(
    write_export: FolderMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Terminal, Markdown, LaTeX, CSV, JSON and report: the row of the point says so, the others do not."""
    study = one_rate(2)
    stimuli = study.stimuli.assign(payload_bytes=study.stimuli["bytes"] - 40)
    export = write_export(study.judgments, stimuli)
    out = tmp_path / "out"
    assert main([str(export), "--anchor", "old", "-o", str(out), "--replicates", "100"]) == 0
    printed = capsys.readouterr().out
    mark = "at one quality"
    for text in (printed, (out / "bd_rates.md").read_text(), (out / "bd_rates.tex").read_text()):
        rows = [line for line in text.splitlines() if " old " in line]
        marked = [line.count(f"({mark})") for line in rows if "point" in line.split("old")[0]]
        # The headline and the column of the payload.
        assert marked == [2], text
        assert all(mark not in line for line in rows if "point" not in line.split("old")[0])
    table = {row["test"]: row for row in csv.DictReader((out / "bd_rates.csv").read_text().splitlines())}
    assert (table["point"]["measure"], table["mid"]["measure"]) == (mark, "BD-rate")
    document = json.loads((out / "results.json").read_text())
    row = next(row for row in document["bd_rates"] if row["test"] == "point")
    assert (row["measure"], row["status"]) == (mark, "one_quality")
    # A point shares no range, of which the spread would be a number.
    assert [row[name] for name in ("overlap", "overlap_low", "overlap_high")] == [None, None, None]
    elo = next(s["elo"] for s in document["scores"] if s["condition"] == "point@0.2")
    assert row["at_elo"] == pytest.approx(elo)
    page = (out / "report.html").read_text()
    assert page.count(f'<span class="flag">{mark}</span>') == 2
    assert "a single one of point: savings are given at that one quality" in printed
