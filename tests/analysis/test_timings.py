"""Encode and decode times: of the study, of a timings.csv, and the picture of quality against speed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.analyze_study import main
from analysis.errors import AnalysisError
from analysis.report import OUTPUTS, SPEED_OUTPUTS
from analysis.simulation import SimulatedStudy
from analysis.timings import find_timings, read_timings

FolderMaker = Callable[..., Path]
#: Seconds an encode takes on pictures of 512 x 512; `mid` was given as pictures and was not timed.
SECONDS = {"old": 0.5, "new": 20.0}
MEGAPIXELS = 512 * 512 / 1e6
GIVEN = "codec,device,encode,decode,remark\nmid,big server,6.5,0.25,as published\nother,phone,1,1,\n"


def timed(study: SimulatedStudy) -> pd.DataFrame:
    encode = study.stimuli["codec"].map(SECONDS)
    return study.stimuli.assign(encode_s=encode, decode_s=encode / 100)


@pytest.fixture
def analyse(write_export: FolderMaker, tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Path]]:
    def run(study: SimulatedStudy, stimuli: pd.DataFrame, *options: str) -> tuple[dict[str, Any], Path]:
        export = write_export(study.judgments, stimuli)
        named = options if {"--anchor", "--test"} & set(options) else ("--anchor", "old", *options)
        assert main([str(export), *named, "-o", str(tmp_path / "out"), "--replicates", "100"]) == 0
        return json.loads((tmp_path / "out" / "results.json").read_text()), tmp_path / "out"

    return run


Analyse = Callable[..., tuple[dict[str, Any], Path]]


def test_times_of_the_study_and_of_a_file(
    small_study: SimulatedStudy, analyse: Analyse, tmp_path: Path
) -> None:
    """Seconds a megapixel, relative to the anchor; the codec of the file is marked with its device."""
    (tmp_path / "given.csv").write_text(GIVEN)
    document, out = analyse(small_study, timed(small_study), "--timings", str(tmp_path / "given.csv"))
    assert document["timings"]["reference"] == "old"
    rows = {row["codec"]: row for row in document["timings"]["codecs"]}
    assert sorted(rows) == ["mid", "new", "old"]
    assert rows["old"]["encode"] == pytest.approx(0.5 / MEGAPIXELS)
    assert (rows["new"]["relative_encode"], rows["new"]["relative_decode"]) == pytest.approx((40.0, 40.0))
    assert rows["mid"]["relative_encode"] == pytest.approx(6.5 * MEGAPIXELS / 0.5)
    assert [(rows[c]["elsewhere"], rows[c]["device"]) for c in ("old", "new", "mid")] == [
        (False, None),
        (False, None),
        (True, "big server"),
    ]
    assert sorted(path.name for path in out.iterdir()) == sorted([*OUTPUTS, *SPEED_OUTPUTS])
    table = list(csv.DictReader((out / "timings.csv").read_text().splitlines()))
    assert [row["codec"] for row in table] == ["mid", "new", "old"]
    assert table[0]["evidence"] == "simulated"
    page = (out / "report.html").read_text()
    assert page.index("Quality against speed") < page.index('id="timings"')
    assert 'on big server <span class="flag">elsewhere</span>' in page
    assert page.count("data:image/svg+xml") == 2
    drawn = (out / "quality_speed.svg").read_text()
    for words in (
        "timed elsewhere: big server",
        "as a multiple of old",
        "SIMULATED",
        "savings factor against old",
    ):
        assert words in drawn
    # Names of codecs far from the edge hang on dotted lines, and those at the ends of curves do not.
    assert "stroke-dasharray: 0.6," in drawn
    assert "stroke-dasharray: 0.6," not in (out / "elo_curves.svg").read_text()
    assert str(tmp_path / "given.csv") in document["provenance"]["command"]


def test_rows_of_a_file_win_over_the_studys_own(
    small_study: SimulatedStudy, analyse: Analyse, tmp_path: Path
) -> None:
    """The device that times most codecs is taken, and then nobody is elsewhere."""
    lines = [
        "codec,device,encode,decode", "old,far,9,9", "old,here,1,0.5", "mid,here,2,", "new,here,8,2",
        "new,far,9,9",
    ]  # fmt: skip
    (tmp_path / "given.csv").write_text("\n".join(lines))
    document, _ = analyse(small_study, timed(small_study), "--timings", str(tmp_path / "given.csv"))
    rows = {row["codec"]: row for row in document["timings"]["codecs"]}
    assert {row["device"] for row in rows.values()} == {"here"}
    assert not any(row["elsewhere"] for row in rows.values())
    assert (rows["mid"]["relative_encode"], rows["mid"]["relative_decode"]) == (2.0, None)
    assert rows["new"]["relative_decode"] == 4.0


def test_of_several_rows_the_one_on_the_device_of_the_reference_is_taken(
    small_study: SimulatedStudy, analyse: Analyse, tmp_path: Path
) -> None:
    """The phone times more codecs, and `new` twice, yet only times on one machine can be set in relation."""
    lines = [
        "codec,device,encode,decode", "old,here,1,1", "new,phone,90,9", "new,here,8,2", "new,phone,91,9",
        "mid,phone,70,7",
    ]  # fmt: skip
    (tmp_path / "given.csv").write_text("\n".join(lines))
    document, _ = analyse(small_study, timed(small_study), "--timings", str(tmp_path / "given.csv"))
    rows = {row["codec"]: row for row in document["timings"]["codecs"]}
    assert {name: (row["device"], row["elsewhere"]) for name, row in rows.items()} == {
        "old": ("here", False),
        "new": ("here", False),
        "mid": ("phone", True),
    }
    assert rows["new"]["relative_encode"] == 8.0


def test_another_reference_and_the_other_mode(small_study: SimulatedStudy, analyse: Analyse) -> None:
    """Times are relative to the codec that is named, whatever is compared."""
    document, out = analyse(small_study, timed(small_study), "--test", "new", "--reference", "old")
    rows = {row["codec"]: row for row in document["timings"]["codecs"]}
    assert sorted(rows) == ["new", "old"]
    assert rows["new"]["relative_encode"] == pytest.approx(40.0)
    drawn = (out / "quality_speed.svg").read_text()
    assert "savings factor against new" in drawn


def test_without_times_an_earlier_picture_goes(small_study: SimulatedStudy, analyse: Analyse) -> None:
    """No section, no files: those of the report before would speak of another one."""
    analyse(small_study, timed(small_study))
    document, out = analyse(small_study, small_study.stimuli)
    assert document["timings"] is None
    assert sorted(path.name for path in out.iterdir()) == sorted(OUTPUTS)
    assert "against speed" not in (out / "report.html").read_text()


def test_the_file_of_the_study_is_found_beside_and_above_its_export(tmp_path: Path) -> None:
    """The study's folder is asked after the export's."""
    export = tmp_path / "study" / "exports" / "20260131T120000Z"
    export.mkdir(parents=True)
    assert find_timings(export) is find_timings(tmp_path / "study") is None
    (tmp_path / "study" / "timings.csv").write_text(GIVEN)
    assert find_timings(tmp_path / "study") == tmp_path / "study" / "timings.csv"
    assert find_timings(export) == tmp_path / "study" / "timings.csv"
    (export / "timings.csv").write_text(GIVEN)
    assert find_timings(export) == export / "timings.csv"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("device", "machine", "has no column device; it needs codec, device, encode, decode"),
        ("6.5", "fast", "line 2, column encode: 'fast' is no time"),
        ("6.5", "0", "line 2, column encode: '0' is no time"),
        ("0.25", "inf", "line 2, column decode: 'inf' is no time"),
        ("big server", "", "line 2, column device: is empty"),
    ],
)
def test_a_bad_file_is_named_by_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "timings.csv"
    path.write_text(GIVEN.replace(old, new))
    with pytest.raises(AnalysisError) as caught:
        read_timings(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_and_an_unknown_reference_are_one_line(
    small_study: SimulatedStudy, write_export: FolderMaker, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    export = write_export(small_study.judgments, timed(small_study))
    common = [str(export), "--anchor", "old", "-o", str(tmp_path / "out"), "--replicates", "100"]
    assert main([*common, "--timings", str(tmp_path / "none.csv")]) == 2
    assert "none.csv: cannot be read: No such file" in capsys.readouterr().err
    assert main([*common, "--reference", "odl"]) == 2
    assert "no codec 'odl' in this study" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
