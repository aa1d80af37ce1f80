"""Facts of codecs that fail: each fault costs its own stimulus, with a line, and no other."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from stimuli.encoding import encode_study
from stimuli.errors import CodecError, StudyFileError
from stimuli.manifest import Manifest, read_manifest, verify_manifest
from stimuli.study import read_study

STUDY = """
name = "faults"
targets = [0.5, 1.0, 1.5]
tolerance = 0.005
metrics = []
timeout = 4
sources = { folder = "sources" }
[[codecs]]
name = "jpeg"

[[codecs]]
name = "brittle"
"""


@pytest.fixture(autouse=True)
def brittle(studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The third party's entry point, installed for this process and its workers."""
    monkeypatch.syspath_prepend(str(studies.install_brittle_codec(tmp_path / "site")))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("brittlecodec", None)


def write(studies: ModuleType, folder: Path, extra: str = "") -> Path:
    path: Path = studies.write_study(folder, STUDY.replace("timeout = 4", f"timeout = 4\n{extra}"))
    return path


def encoded(folder: Path) -> Manifest:
    manifest = encode_study(read_study(folder), workers=2, progress=False)
    assert read_manifest(folder) == manifest
    return manifest


def without_times(manifest: Manifest) -> Manifest:
    stimuli = tuple(replace(s, encode_s=None, decode_s=None) for s in manifest.stimuli)
    return replace(manifest, stimuli=stimuli)


@pytest.mark.parametrize(
    ("fault", "extra"), [("raise", ""), ("crash", ""), ("hang", ""), ("memory", "memory = 900")]
)
def test_a_quality_that_cannot_be_encoded_costs_nothing_but_itself(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, extra: str
) -> None:
    """The neighbours of the fatal quality serve its target as well as they can; all the rest is untouched."""
    monkeypatch.setenv("BRITTLE_FAULT", fault)
    folder = write(studies, tmp_path / "study", extra)
    manifest = encoded(folder)
    found = {(s.source, s.target_bpp): s for s in manifest.stimuli if s.codec == "brittle"}
    for source in ("astronaut", "chelsea"):
        assert {found[source, target].status for target in (0.5, 1.5)} == {"matched"}
        assert found[source, 1.0].quality in ({"quality": 49.0}, {"quality": 51.0})
        assert not found[source, 1.0].included
    assert {s.status for s in manifest.stimuli if s.codec == "jpeg"} == {"matched"}
    again = encode_study(read_study(folder), workers=1, progress=False)
    assert without_times(again) == without_times(manifest)


@pytest.mark.parametrize("fault", ["raise", "crash", "hang", "size"])
def test_a_bitstream_that_cannot_be_decoded_costs_its_stimulus_with_a_line(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("BRITTLE_FAULT" if fault == "size" else "BRITTLE_DECODE", fault)
    folder = write(studies, tmp_path / "study")
    manifest = encoded(folder)
    assert [(f.source, f.condition) for f in manifest.failures] == [
        ("astronaut", "brittle@1.0"),
        ("chelsea", "brittle@1.0"),
    ]
    words = {
        "raise": "decoding failed: ValueError: nothing comes of fifty",
        "crash": "SIGSEGV",
        "hang": "was ended after 4 s",
        "size": "decode gave uint8 (95, 128, 3), not uint8 (96, 128, 3)",
    }[fault]
    for failure in manifest.failures:
        assert words in str(failure)
        assert "\n" not in str(failure)
    assert len(manifest.stimuli) == 10
    left_out = {s.left_out for s in manifest.stimuli if not s.included}
    assert left_out == {"brittle: failed"}
    assert manifest.summary().failed == 2
    assert "2 stimuli failed" in str(manifest.summary())
    assert verify_manifest(folder, workers=1, progress=False) == ()


def test_a_codec_that_makes_nothing_ends_with_one_line_and_loses_nothing(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRITTLE_FAULT", "raise")
    monkeypatch.setenv("BRITTLE_ALWAYS", "1")
    folder = write(studies, tmp_path / "study")
    with pytest.raises(CodecError) as caught:
        encoded(folder)
    assert str(caught.value).startswith("codec 'brittle' on source 'astronaut': ")
    assert "nothing comes of fifty" in str(caught.value)
    kept = len(list((folder / "stimuli" / "tries").rglob("*.try")))
    assert kept > 0
    monkeypatch.delenv("BRITTLE_FAULT")
    manifest = encoded(folder)
    assert len(manifest.stimuli) == 12


def test_a_codec_that_always_hangs_is_given_up_after_a_few_waits(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRITTLE_FAULT", "hang")
    monkeypatch.setenv("BRITTLE_ALWAYS", "1")
    folder = write(studies, tmp_path / "study")
    file = folder / "study.toml"
    file.write_text(file.read_text().replace("timeout = 4", "timeout = 1"))
    (folder / "sources" / "chelsea.png").unlink()
    with pytest.raises(CodecError, match="was ended after 1 s"):
        encoded(folder)


@pytest.mark.parametrize("fault", ["raise", "crash"])
def test_a_rate_that_others_are_shares_of_and_that_cannot_be_had_is_told_by_source(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("BRITTLE_FAULT", fault)
    folder = write(studies, tmp_path / "study", 'match = "brittle quality 50"')
    with pytest.raises(StudyFileError) as caught:
        encoded(folder)
    reason = {"raise": "nothing comes of fifty", "crash": r"SIGSEGV"}[fault]
    for source, line in zip(("astronaut", "chelsea"), caught.value.problems, strict=True):
        assert f"study.toml: match: brittle quality 50 has no rate on source '{source}': " in line
        assert reason in line
        assert line.endswith("; take the source out, or name another quality")


def test_a_preview_that_always_hangs_leaves_the_codec_itself_at_work(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRITTLE_PREVIEW", "hang")
    folder = write(studies, tmp_path / "study")
    file = folder / "study.toml"
    file.write_text(file.read_text().replace("timeout = 4", "timeout = 1"))
    (folder / "sources" / "chelsea.png").unlink()
    manifest = encoded(folder)
    assert manifest.failures == ()
    assert {s.status for s in manifest.stimuli if s.codec == "brittle"} == {"matched"}
