"""Objective curves, BD-rates and what in them shows a broken codec, on tables with a known truth."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.bdrate import bd_rate
from analysis.errors import AnalysisError
from analysis.objective import ObjectiveOptions, ObjectiveResult, analyse_objective, measured_metrics
from analysis.objective_outputs import (
    aligned,
    bd_rows,
    bd_table,
    disagreement,
    flag_note,
    point_table,
    write_objective,
)
from analysis.objective_warnings import objective_warnings

LADDER = (0.1, 0.2, 0.4, 0.8)
SAVINGS = {"old": 1.0, "mid": 1.25, "new": 1.6}


def table_of(
    savings: Mapping[str, float] = SAVINGS,
    sources: int = 5,
    spread: float = 0.0,
    ladder: Sequence[float] = LADDER,
) -> pd.DataFrame:
    """Codecs that reach each quality at 1 / savings of the bits of the first; `spread` is that of sources."""
    rng = np.random.default_rng(7)
    rows = []
    for s in range(sources):
        for codec, factor in savings.items():
            shift = math.log(factor) + spread * rng.normal()
            for target in ladder:
                x = math.log(target) + shift
                rows.append(
                    {
                        "source": f"s{s}",
                        "condition": f"{codec}@{target}",
                        "codec": codec,
                        "role": "scored",
                        "status": "matched",
                        "target_bpp": target,
                        "bpp": target,
                        "payload_bytes": round(target * 4000) - 30,
                        "width": 200,
                        "height": 160,
                        "picture_sha256": f"{codec} {target} {s}",
                        "metric_psnr": 36.0 + s + 4.0 * x,
                        "metric_ms_ssim": 1.0 - 10.0 ** (-(18.0 + 3.0 * x) / 10.0),
                    }
                )
    return pd.DataFrame(rows)


def analysed(table: pd.DataFrame, **options: object) -> ObjectiveResult:
    return analyse_objective("study", table, ObjectiveOptions(**options))  # type: ignore[arg-type]


def warned(table: pd.DataFrame, **options: object) -> tuple[str, ...]:
    return objective_warnings(analysed(table, **options), table)


def test_savings_are_those_that_the_table_was_made_with() -> None:
    """In both metrics, MS-SSIM over decibels, and on every source alone."""
    result = analysed(table_of(), anchor="old")
    assert [found.metric.name for found in result.results] == ["psnr", "ms_ssim"]
    for found in result.results:
        assert [c.test for c in found.comparisons] == ["mid", "new"]
        for comparison in found.comparisons:
            factor = SAVINGS[comparison.test]
            assert comparison.rate.savings == pytest.approx(factor, rel=1e-9)
            assert comparison.source_ratios == pytest.approx([-math.log(factor)] * 5)
            # Thirty bytes less of every file are more for those that need fewer.
            assert comparison.other_rate is not None
            assert comparison.other_rate.savings > factor + 0.005
    points = {point.condition: point for point in result.results[1].points}
    assert points["old@0.1"].quality == pytest.approx(18 + 3 * math.log(0.1))
    assert points["old@0.1"].value == pytest.approx(1 - 10 ** -(1.8 + 0.3 * math.log(0.1)))


def test_the_curve_is_the_mean_over_sources_and_the_number_that_of_bd_rate() -> None:
    table = table_of(spread=0.1)
    table["bpp"] *= 1.0 + 0.02 * np.sin(np.arange(len(table)))
    result = analysed(table, anchor="mid").results[0]
    means = {}
    for codec in ("mid", "new"):
        rows = table[table["codec"] == codec].assign(log=np.log(table["bpp"])).groupby("target_bpp")
        means[codec] = (np.exp(rows["log"].mean()).to_numpy(), rows["metric_psnr"].mean().to_numpy())
    (comparison,) = [c for c in result.comparisons if c.test == "new"]
    assert comparison.rate.log_ratio == pytest.approx(bd_rate(*means["mid"], *means["new"]).log_ratio)


def test_the_arithmetic_mean_of_rates() -> None:
    """Of rates 1 and 3 times the target it is 2 times, of every resampling too; geometrically sqrt 3."""
    table = table_of({"old": 1.0, "new": 1.0}, sources=2)
    table.loc[table["codec"] == "new", "bpp"] *= table["source"].map({"s0": 1.0, "s1": 3.0})
    for mean, factor in (("geometric", math.sqrt(3.0)), ("arithmetic", 2.0)):
        result = analysed(table, anchor="old", rate_mean=mean).results[0]
        points = {point.condition: point.bpp for point in result.points}
        assert points["new@0.4"] == pytest.approx(0.4 * factor)
        assert result.comparisons[0].rate.log_ratio == pytest.approx(math.log(factor))
        drawn = result.grid.means(np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]]))[0]
        at = result.grid.conditions.index("new@0.4")
        assert np.exp(drawn[:, at]) == pytest.approx([0.4, 1.2, 0.4 * factor])


def test_intervals_come_from_the_sources() -> None:
    """As wide as t intervals of the sources' own ratios, which they are close to here; none for one
    source."""
    table = table_of(sources=8, spread=0.1)
    (comparison,) = [c for c in analysed(table, anchor="old").results[0].comparisons if c.test == "new"]
    single = np.array(comparison.source_ratios)
    error = single.std(ddof=1) / math.sqrt(8)
    assert comparison.interval.standard_error == pytest.approx(error, rel=0.15)
    half = (comparison.interval.high - comparison.interval.low) / 2
    assert half == pytest.approx(2.365 * error, rel=0.15)
    assert comparison.interval.low < -math.log(1.6) < comparison.interval.high
    again = analysed(table, anchor="old").results[0].comparisons
    assert [c.interval for c in again if c.test == "new"] == [comparison.interval]
    alone = analysed(table[table["source"] == "s0"], anchor="old").results[0].comparisons[0]
    assert math.isnan(alone.interval.low)
    assert len(alone.source_ratios) == 1


def test_overlap_is_refused_as_for_judgments() -> None:
    (comparison,) = analysed(table_of({"old": 1.0, "far": 7.5})).results[0].comparisons
    assert comparison.rate.status == "refused"
    row = bd_rows(analysed(table_of({"old": 1.0, "far": 7.5})))[0]
    assert row["bd_rate_percent"] is None
    assert "fewer bits" in row["bound"]


def test_a_missing_stimulus_leaves_its_source_out_for_all_codecs_at_that_point() -> None:
    table = table_of()
    lacking = (table["source"] == "s4") & (table["condition"] == "mid@0.4")
    found = analysed(table[~lacking], anchor="old").results[0]
    counts = {point.condition: point.sources for point in found.points}
    assert counts == {f"{c}@{t}": 4 if t == 0.4 else 5 for c in SAVINGS for t in LADDER}
    assert found.grid.left_out == 1
    # The same where the metric alone is missing, and there for this metric alone.
    table.loc[lacking, "metric_psnr"] = np.nan
    psnr, ms_ssim = analysed(table, anchor="old").results
    assert [p.sources for p in psnr.points if p.condition == "new@0.4"] == [4]
    assert [p.sources for p in ms_ssim.points if p.condition == "new@0.4"] == [5]


def test_a_source_that_one_codec_lacks_altogether_is_left_out_and_said() -> None:
    table = table_of()
    table = table[~((table["source"] == "s4") & (table["codec"] == "mid"))]
    assert {point.sources for point in analysed(table).results[0].points} == {4}
    assert "PSNR rests on 4 of 5 sources: s4 lacks it under a codec" in warned(table)
    # Also where that codec has a ladder of its own.
    own = table_of({"own": 1.3}, sources=4, ladder=(0.15, 0.3))
    both = pd.concat([table_of({"old": 1.0, "new": 1.6}), own], ignore_index=True)
    assert {point.sources for point in analysed(both).results[0].points} == {4}


def test_a_condition_of_which_no_source_was_drawn_keeps_its_mean() -> None:
    table = table_of()
    table = table[(table["condition"] != "new@0.8") | (table["source"] == "s2")]
    grid = analysed(table).results[0].grid
    at = grid.conditions.index("new@0.8")
    log_rate, quality = grid.means(np.array([[5.0, 0, 0, 0, 0], [0, 0, 5.0, 0, 0], [1.0, 1, 1, 1, 1]]))
    assert quality[:, at] == pytest.approx([36 + 2 + 4 * math.log(0.8 * 1.6)] * 3)
    assert log_rate[:, at] == pytest.approx([math.log(0.8)] * 3)
    other = grid.conditions.index("old@0.1")
    assert quality[:, other] - quality[0, other] == pytest.approx([0.0, 2.0, 2.0])


def test_a_codec_without_the_metric_or_the_payload_has_no_curve_and_takes_none_from_others() -> None:
    table = table_of()
    table.loc[table["codec"] == "mid", "metric_psnr"] = np.nan
    result = analysed(table)
    assert set(result.results[0].curves) == {"old", "new"}
    assert set(result.results[1].curves) == set(SAVINGS)
    assert "mid has no PSNR at these rates and no curve" in objective_warnings(result, table)
    table = table_of()
    table.loc[table["codec"] == "new", "payload_bytes"] = np.nan
    result = analysed(table, rate="payload")
    assert set(result.results[0].curves) == {"old", "mid"}
    bpp = {point.condition: point.bpp for point in result.results[0].points}
    assert bpp["old@0.1"] == pytest.approx(8 * (400 - 30) / 32000)


def test_conditions_belong_together_by_their_rate_point() -> None:
    """Where every source has a target of its own, the target in bits says nothing."""
    table = table_of()
    table["rate_point"] = table["target_bpp"].map({target: i for i, target in enumerate(LADDER)})
    table["target_bpp"] *= 1.0 + 0.1 * table["source"].str[1:].astype(int)
    table["bpp"] = table["target_bpp"]
    table = table[~((table["source"] == "s4") & (table["condition"] == "mid@0.4"))].sample(
        frac=1, random_state=2
    )
    counts = {point.condition: point.sources for point in analysed(table).results[0].points}
    assert counts["new@0.4"] == 4
    assert counts["new@0.8"] == 5


def test_without_rate_points_the_targets_of_all_sources_join_conditions() -> None:
    """An export has targets alone: the first row of a condition is of whichever source the codec has."""
    table = table_of()
    factor = 1.0 + 0.1 * table["source"].str[1:].astype(int)
    table["target_bpp"] *= factor
    table["bpp"] = table["target_bpp"]
    first = table["source"].iloc[0]
    table = table[~((table["source"] == first) & (table["condition"] == "mid@0.4"))]
    points = {point.condition: point.sources for point in analysed(table).results[0].points}
    assert (points["new@0.4"], points["mid@0.4"], points["new@0.8"]) == (4, 4, 5)


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        (table_of(), {"anchor": "nev"}, "no codec 'nev' in this study; .*did you mean new"),
        (table_of(), {"metrics": ("ssim",)}, "no metric 'ssim'; the metrics are ms_ssim, psnr"),
        (
            table_of(),
            {"metrics": ("xpsnr",)},
            r"have no xpsnr \(they have psnr, ms_ssim\): add it to `metrics`",
        ),
        (table_of().drop(columns=["metric_psnr", "metric_ms_ssim"]), {}, "have no metrics: name some"),
        (table_of().drop(columns="payload_bytes"), {"rate": "payload"}, "no payload_bytes: .*--rate file"),
        (table_of().head(0), {}, "no rows"),
        (
            pd.concat([table_of({"a": 1.0}, 1), table_of({"b": 1.0}, 2).query("source == 's1'")]),
            {},
            r"no source has PSNR under every codec \(a, b\)",
        ),
        (
            table_of().assign(metric_psnr=lambda t: t["metric_psnr"].where(t["codec"] != "old")),
            {"anchor": "old"},
            "the anchor 'old' has no PSNR",
        ),
    ],
)
def test_what_cannot_be_analysed_is_one_line(
    table: pd.DataFrame, options: dict[str, object], said: str
) -> None:
    with pytest.raises(AnalysisError, match=said) as caught:
        analysed(table, **options)
    assert "\n" not in str(caught.value)


def test_a_sound_study_is_warned_of_nothing() -> None:
    assert warned(table_of(spread=0.05)) == ()
    assert [metric.name for metric in measured_metrics(table_of())] == ["psnr", "ms_ssim"]


def test_a_codec_far_below_the_others_is_said() -> None:
    table = table_of()
    table.loc[table["codec"] == "mid", "metric_psnr"] -= 9.0
    (line,) = warned(table)
    assert line.startswith("mid lies far below the middle of the other codecs: PSNR by ")
    table.loc[table["codec"] == "mid", "metric_psnr"] += 4.0
    assert warned(table) == ()


def test_quality_that_falls_or_stands_while_the_rate_rises_is_said() -> None:
    table = table_of()
    table.loc[table["condition"] == "new@0.8", "metric_psnr"] -= 4.0
    (line,) = warned(table)
    assert line.startswith(
        "new gets worse as its rate rises: PSNR from 36.21 to 34.99 between 0.4 and 0.8 bpp"
    )
    table = table_of()
    at = (table["condition"] == "new@0.8") & (table["source"] == "s2")
    table.loc[at, "metric_psnr"] -= 4.0
    assert warned(table) == ("new gets worse as its rate rises on single sources: PSNR on 1 of 5",)
    table = table_of()
    table.loc[table["codec"] == "new", "metric_psnr"] = 33.0
    (line,) = warned(table)
    assert line.startswith("new has the same quality at every rate: PSNR (33.00)")


def test_pictures_that_repeat_or_are_the_original_are_said() -> None:
    table = table_of()
    for one, other in (("mid@0.2", "mid@0.4"), ("old@0.1", "new@0.1")):
        of_one = table.loc[table["condition"] == one, "picture_sha256"].to_numpy()[:3]
        rows = table.index[table["condition"] == other][:3]
        table.loc[rows, "picture_sha256"] = of_one
    table.loc[table["condition"] == "new@0.8", "metric_psnr"] = [100.0] * 5
    found = warned(table, metrics=("psnr",))
    assert [
        line for line in found if line.startswith("mid@0.2 and mid@0.4 have the same picture on 3 sources")
    ]
    (line,) = [line for line in found if line.startswith("old@0.1 and new@0.1 have the same picture")]
    assert line.endswith("see whether they are one codec under two names")
    assert [line for line in found if "new gives back the original itself in 5 stimuli" in line]


def test_rates_off_their_target_or_apart_are_said() -> None:
    table = table_of()
    table.loc[(table["condition"] == "mid@0.4") & (table["source"] == "s3"), "bpp"] = 0.44
    (line,) = warned(table)
    assert line.startswith(
        "mid misses 1 of 20 targets by more than 2 %, the worst by +10.0 % (s3 under mid@0.4)"
    )
    assert warned(table.assign(residual=0.0)) == ()
    table.loc[table["codec"] == "mid", "status"] = "given"
    (line,) = warned(table)
    assert "differ by more than 2 % in 1 of 20 cases with given pictures, at most by 10.0 %" in line


def test_two_metrics_that_disagree_are_named() -> None:
    table = table_of({"old": 1.0, "a": 1.2, "b": 1.5})
    assert disagreement(analysed(table)) is None
    swapped = table["codec"].map({"old": 0.0, "a": 1.5, "b": -1.5})
    table["metric_psnr"] += swapped
    assert disagreement(analysed(table)) == "PSNR puts a before b, and MS-SSIM b before a"


def test_outputs_hold_the_same_numbers(tmp_path: Path) -> None:
    table = table_of({"old": 1.0, "<b>&new": 1.3})
    result = analysed(table, metrics=("psnr", "ms_ssim"))
    folder = tmp_path / "rd"
    page = write_objective(result, ("a & b",), folder).read_text(encoding="utf-8")
    names = ["rd.csv", "rd.html", "rd_bd_rates.csv"]
    plots = [f"rd_{metric}.{suffix}" for metric in ("ms_ssim", "psnr") for suffix in ("png", "svg")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names + plots)
    assert "<b>&new" not in page
    assert "a &amp; b" in page
    assert "opposite orders" in page
    points = list(csv.DictReader(io.StringIO((folder / "rd.csv").read_text())))
    assert len(points) == 2 * 8
    assert float(points[0]["quality"]) == result.results[0].points[0].quality
    (psnr, _) = csv.DictReader(io.StringIO((folder / "rd_bd_rates.csv").read_text()))
    assert float(psnr["savings_factor"]) == pytest.approx(1.3)
    assert (psnr["metric"], psnr["anchor"], psnr["study"], psnr["rate"]) == ("psnr", "old", "study", "file")
    header, rows = bd_table(result)
    assert rows[0][:3] == ["<b>&new", "PSNR", "-23.1 %"]
    assert len(aligned(header, rows).splitlines()) == 3
    assert all(cell in page for cell in ("−23.1 %", "PSNR (dB)", "MS-SSIM (dB)"))
    assert len(point_table(result)[1]) == 8
    before = (folder / "rd_psnr.svg").read_bytes()
    write_objective(analysed(table, metrics=("psnr",)), (), folder)
    assert (folder / "rd_psnr.svg").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "rd_psnr.png", "rd_psnr.svg"])


def test_a_codec_has_the_colour_that_it_has_in_curves_of_elo(tmp_path: Path) -> None:
    """There codecs are sorted by name; here they come as the study has them."""
    for folder, savings in (("there", {"a": 1.0, "b": 1.3}), ("back", {"b": 1.3, "a": 1.0})):
        write_objective(analysed(table_of(savings), metrics=("psnr",)), (), tmp_path / folder)
    drawn = [(tmp_path / folder / "rd_psnr.svg").read_bytes() for folder in ("there", "back")]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("savings", "said"), [(1.3, None), (3.0, "flagged: the two"), (9.0, "none: they share")]
)
def test_what_is_flagged_is_explained(tmp_path: Path, savings: float, said: str | None) -> None:
    result = analysed(table_of({"old": 1.0, "new": savings}), metrics=("psnr",))
    note = flag_note(result)
    assert (note or "").startswith(said) if said else note is None
    page = write_objective(result, (), tmp_path).read_text(encoding="utf-8")
    assert ("range of quality" in page or "only a bound" in page) is (said is not None)


def test_fifteen_codecs_and_one_rate_point_are_drawn(tmp_path: Path) -> None:
    many = table_of({f"codec-{i}": 1.0 + 0.1 * i for i in range(15)}, sources=1)
    write_objective(analysed(many, metrics=("psnr",)), (), tmp_path / "many")
    drawn = (tmp_path / "many" / "rd_psnr.svg").read_text()
    assert all(f"<!-- codec-{i} -->" in drawn for i in range(15))
    single = analysed(table_of(ladder=(0.25,)))
    write_objective(single, (), tmp_path / "single")
    assert [c.rate.status for c in single.results[0].comparisons] == ["single_point"] * 2
    alone = analysed(table_of({"only": 1.0}))
    assert alone.results[0].comparisons == ()
    assert bd_table(alone)[1] == []
    write_objective(alone, (), tmp_path / "alone")


def one_rate(spread: float = 0.0, at: float = 0.2, **options: object) -> ObjectiveResult:
    """`point` was made at one rate alone, at 1.6 times the savings of the anchor."""
    table = table_of({"old": 1.0, "mid": 1.25, "point": 1.6}, sources=8, spread=spread)
    kept = (table["codec"] != "point") | (table["target_bpp"] == at)
    return analysed(table[kept], **options)


def test_a_single_rate_is_compared_at_its_one_quality() -> None:
    """The distance in ln rate to the other's curve, both ways, in both metrics and on every source."""
    for anchor, sign in (("old", -1.0), ("point", 1.0)):
        for found in one_rate(anchor=anchor).results:
            (comparison,) = [c for c in found.comparisons if {c.anchor, c.test} == {"old", "point"}]
            assert comparison.rate.status == "one_quality"
            assert comparison.rate.log_ratio == pytest.approx(sign * math.log(1.6))
            assert comparison.source_ratios == pytest.approx([sign * math.log(1.6)] * 8)
            (at,) = [point.quality for point in found.points if point.codec == "point"]
            assert comparison.rate.quality_low == comparison.rate.quality_high == at
            assert comparison.other_rate is not None
            # Thirty bytes off 800 here, and off a smaller share of the anchor's larger file.
            assert sign * comparison.other_rate.log_ratio > math.log(1.6) + 0.005
    mid = one_rate().results[0].comparisons[0]
    assert (mid.test, mid.rate.status) == ("mid", "ok")


def test_the_interval_at_one_quality_comes_from_the_sources() -> None:
    comparison = one_rate(spread=0.1, anchor="old").results[0].comparisons[1]
    single = np.array(comparison.source_ratios)
    error = single.std(ddof=1) / math.sqrt(8)
    assert comparison.rate.log_ratio == pytest.approx(single.mean(), abs=0.01)
    assert comparison.interval.standard_error == pytest.approx(error, rel=0.15)
    assert comparison.interval.high - comparison.rate.log_ratio == pytest.approx(2.365 * error, rel=0.15)


def test_a_single_rate_outside_the_curve_has_bounds_only() -> None:
    result = one_rate(at=0.8, anchor="old")
    row = bd_rows(result)[2]
    assert (row["test"], row["status"], row["measure"]) == ("point", "single_point", "BD-rate")
    assert (row["bd_rate_percent"], row["source_mean_percent"], row["at_quality"]) == (None, None, None)
    # At no more bits it is better than the anchor's last rate.
    assert row["bound"] == "no more bits than the anchor"
    note = flag_note(result) or ""
    assert note.startswith("none: a single rate lies outside")
    assert "at one quality" not in note


def test_every_output_marks_what_is_at_one_quality(tmp_path: Path) -> None:
    """Terminal, page and CSV; and such a number takes no part in the order of codecs."""
    result = one_rate(anchor="old")
    header, rows = bd_table(result)
    lines = aligned(header, rows).splitlines()[1:]
    # The headline and the payload.
    assert [line.count("(at one quality)") for line in lines] == [0, 0, 2, 2]
    assert rows[2][2] == "-37.5 % (at one quality)"
    page = write_objective(result, (), tmp_path).read_text(encoding="utf-8")
    assert page.count("(at one quality)") == 4
    assert "At one quality: a codec with a single rate has no curve" in page
    table = list(csv.DictReader(io.StringIO((tmp_path / "rd_bd_rates.csv").read_text())))
    assert [row["measure"] for row in table] == ["BD-rate"] * 2 + ["at one quality"] * 2
    assert [bool(row["at_quality"]) for row in table] == [False, False, True, True]
    assert float(table[2]["at_quality"]) == pytest.approx(36 + 3.5 + 4 * math.log(0.2 * 1.6))


def test_a_mean_over_fewer_sources_says_so() -> None:
    """The point lies beyond the curve on one source alone, and no ratio is made up there."""
    table = table_of({"old": 1.0, "point": 1.6}, sources=5)
    table = table[(table["codec"] != "point") | (table["target_bpp"] == 0.2)]
    table.loc[(table["codec"] == "point") & (table["source"] == "s1"), "metric_psnr"] += 5.0
    result = analysed(table, anchor="old", metrics=("psnr",))
    assert result.results[0].comparisons[0].source_ratios == pytest.approx([-math.log(1.6)] * 4)
    assert bd_table(result)[1][0][5] == "-37.5 % (-37.5 to -37.5) on 4 of 5"


def test_numbers_at_one_quality_are_in_no_order() -> None:
    table = table_of({"old": 1.0, "a": 1.2, "b": 1.5})
    table["metric_psnr"] += table["codec"].map({"old": 0.0, "a": 1.5, "b": -1.5})
    assert disagreement(analysed(table)) is not None
    alone = analysed(table[(table["codec"] != "b") | (table["target_bpp"] == 0.2)])
    assert {c.test: c.rate.status for c in alone.results[0].comparisons}["b"] == "one_quality"
    assert disagreement(alone) is None
