"""A study on another machine: what its codecs give there, counted a codec, beside what they gave before."""

from __future__ import annotations

import csv
import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from stimuli.encoding import encode_study
from stimuli.manifest import Failure, Manifest, read_manifest, write_manifest
from stimuli.robustness import CodecRow, Verification, table_lines
from stimuli.study import read_study
from stimuli.verification import verify_study
from study_app.cli import main

STUDY = """
name = "moved"
targets = [0.5, 1.0]
tolerance = 0.005
metrics = []
sources = { folder = "sources" }
[[codecs]]
name = "jpeg"
subsampling = "4:4:4"

[[codecs]]
name = "fickle"
"""
AREA = 64 * 48


@pytest.fixture(scope="module")
def site(studies: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = studies.install_fickle_codec(tmp_path_factory.mktemp("fickle") / "site")
    return path


@pytest.fixture(scope="module")
def encoded(studies: ModuleType, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small pictures through JPEG and the fickle codec, at its qualities 25 and 50."""
    folder = tmp_path_factory.mktemp("encoded") / "study"
    studies.write_study(folder, STUDY, studies.photographs(64, 48))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        importlib.invalidate_caches()
        encode_study(read_study(folder), workers=1, progress=False, isolated=False)
    return folder


@pytest.fixture
def moved(encoded: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The study as it comes to another machine: study.toml, sources, manifest, bitstreams, pictures."""
    folder = tmp_path / "elsewhere" / "study"
    for name in ("sources", "stimuli/bitstreams", "stimuli/pictures"):
        shutil.copytree(encoded / name, folder / name)
    for name in ("study.toml", "stimuli/manifest.json", "stimuli/manifest.sha256"):
        shutil.copy(encoded / name, folder / name)
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield folder
    sys.modules.pop("ficklecodec", None)


def verified(folder: Path, *, encode: bool = False) -> Verification:
    return verify_study(folder, encode=encode, workers=1, progress=False, isolated=False)


def row_of(found: Verification, codec: str) -> CodecRow:
    return next(row for row in found.rows if row.codec == codec)


def test_a_moved_study_is_the_same_in_all(moved: Path) -> None:
    found = verified(moved, encode=True)
    assert (found.deviations, found.notes) == ((), ())
    for row in found.rows:
        assert (row.stimuli, row.bitstreams_same, row.pictures_same, row.encodes_same) == (4, 4, 4, 4)
        assert (row.pixels, row.pixels_differ, row.largest_levels) == (4 * AREA, 0, 0)
        assert (row.encodes_differ, row.bytes_differ, row.not_encoded, row.not_compared) == (0, 0, 0, 0)


def test_a_decoder_that_is_off_by_one_is_counted_in_pixels_and_levels(
    moved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FICKLE_PIXELS", "7")
    found = verified(moved)
    row = row_of(found, "fickle")
    assert (row.bitstreams_same, row.pictures_same, row.pictures_differ) == (4, 0, 4)
    assert (row.pixels_differ, row.largest_levels) == (4 * 7, 1)
    assert row.pixels_differ_share == pytest.approx(7 / AREA)
    assert len(found.deviations) == 4
    assert all("(7 of 3072 pixels differ by up to 1 level)" in str(line) for line in found.deviations)
    assert row_of(found, "jpeg").pixels_differ == 0
    header, lines = table_lines(found.rows)
    assert dict(zip(header, lines[1], strict=True)) == {
        "codec": "fickle", "stimuli": "4", "bitstreams same": "4 of 4", "pictures same": "0 of 4",
        "differ": "4", "pixels": "28", "share": "0.228 %", "levels": "1", "not compared": "0",
    }  # fmt: skip


def test_an_encoder_that_changed_differs_in_bytes_and_not_in_decoding(
    moved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bytes more, of another version, which nobody would see without encoding again."""
    monkeypatch.setenv("FICKLE_BYTES", "2")
    monkeypatch.setenv("FICKLE_VERSION", "1.1")
    assert verified(moved).deviations == ()
    found = verified(moved, encode=True)
    assert found.notes == ("codec fickle: is 1.1 here, and was 1.0",)
    row = row_of(found, "fickle")
    assert (row.bitstreams_same, row.pictures_same) == (4, 4)
    assert (row.encodes, row.encodes_same, row.encodes_differ) == (4, 0, 4)
    assert (row.bytes_differ, row.largest_bytes, row.encoded_pixels_differ) == (8, 2, 0)
    assert row_of(found, "jpeg").encodes_same == 4
    assert len(found.deviations) == 4
    assert str(found.deviations[0]) == (
        "astronaut fickle@0.5: encodes to other bytes now (194, and 192 before; the same picture)"
    )


def test_other_bytes_of_the_same_number_are_told(moved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FICKLE_TAIL", "1")
    row = row_of(verified(moved, encode=True), "fickle")
    assert (row.encodes_same, row.encodes_differ, row.bytes_differ) == (0, 4, 0)


def test_the_cache_of_tries_is_passed_over(
    encoded: Path, moved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kept encode is made again just once, though a try of the same key lies in the folder."""
    shutil.copytree(encoded / "stimuli" / "tries", moved / "stimuli" / "tries")
    log = moved / "log"
    monkeypatch.setenv("FICKLE_LOG", str(log))
    verified(moved, encode=True)
    lines = [line.split()[0] for line in log.read_text().splitlines()]
    assert (lines.count("encode"), lines.count("decode")) == (4, 4)


@pytest.mark.parametrize("scheduler", [None, "local"])
def test_a_crash_in_decoding_is_one_line(
    moved: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str | None
) -> None:
    monkeypatch.setenv("FICKLE_CRASH", "50")
    found = verify_study(moved, workers=1, scheduler=scheduler, progress=False)
    # Two sources share this bitstream, and so the line.
    (line,) = found.deviations
    assert str(line).endswith(".fickle: decoding it failed: the worker process died (SIGSEGV)")
    row = row_of(found, "fickle")
    assert (row.bitstreams_same, row.pictures, row.pictures_same, row.not_compared) == (4, 2, 2, 2)


def test_a_codec_that_is_missing_is_one_line(moved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are still hashed, and the other codec is verified."""
    monkeypatch.setenv("FICKLE_ABSENT", "1")
    found = verified(moved, encode=True)
    (line,) = found.deviations
    assert str(line).startswith("codec fickle: cannot be run here: ")
    row = row_of(found, "fickle")
    assert (row.version_here, row.bitstreams_same, row.pictures, row.not_compared) == (None, 4, 0, 4)
    assert (row.encodes, row.not_encoded) == (0, 4)
    assert row_of(found, "jpeg").encodes_same == 4


def test_the_command_prints_and_writes_the_table(
    moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FICKLE_PIXELS", "1")
    manifest = read_manifest(moved)
    elsewhere = replace(manifest, machine=replace(manifest.machine, name="lab-7"))
    write_manifest(moved, elsewhere)
    for name in ("table.csv", "table.json"):
        assert main(["verify", "--workers", "1", "-o", str(tmp_path / name), str(moved)]) == 2
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("encoded on lab-7 (")
    assert out[1].startswith("verified on ")
    assert out[3].split()[:3] == ["codec", "stimuli", "bitstreams"]
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = {row["codec"]: row for row in csv.DictReader(file)}
    assert rows["fickle"]["pixels_differ"] == "4"
    assert rows["fickle"]["made_on"].startswith("lab-7 (")
    assert (rows["jpeg"]["pictures_same"], rows["jpeg"]["encodes"]) == ("4", "")
    whole = json.loads((tmp_path / "table.json").read_text())
    assert [row["largest_levels"] for row in whole["rows"]] == [0, 1]
    assert len(whole["deviations"]) == 4
    assert main(["verify", "-o", str(tmp_path / "table.txt"), str(moved)]) == 2
    assert "must end in .csv or .json" in capsys.readouterr().err


CONTRADICTIONS = {
    "has the metric 'beauty', which is none of the study's": lambda m: with_first(m, metrics={"beauty": 1.0}),
    "has a limit of 0.1 bpp and is matched": lambda m: with_first(m, limit_bpp=0.1),
    "has a ceiling of 0.9 bpp at a target of 0.5": lambda m: with_first(
        m, status="unreachable_high", reachable=False, limit_bpp=0.9
    ),
    "astronaut jpeg@0.5 failed and is a stimulus at once": lambda m: with_failure(m, "jpeg@0.5", "jpeg"),
    "failed with 'fickle', which is not the codec": lambda m: with_failure(m, "jpeg@0.5", "fickle"),
}


def with_first(manifest: Manifest, **changes: object) -> Manifest:
    """The first stimulus of the fickle codec, which is matched, says something else of itself."""
    i = next(i for i, stimulus in enumerate(manifest.stimuli) if stimulus.codec == "fickle")
    changed = replace(manifest.stimuli[i], **changes)  # type: ignore[arg-type]
    return replace(manifest, stimuli=(*manifest.stimuli[:i], changed, *manifest.stimuli[i + 1 :]))


def with_failure(manifest: Manifest, condition: str, codec: str) -> Manifest:
    return replace(manifest, failures=(Failure("astronaut", condition, codec, "fell over"),))


@pytest.mark.parametrize("words", CONTRADICTIONS)
def test_a_manifest_that_contradicts_itself_is_told(moved: Path, words: str) -> None:
    write_manifest(moved, CONTRADICTIONS[words](read_manifest(moved)))
    assert any(words in str(deviation) for deviation in verified(moved).deviations)
