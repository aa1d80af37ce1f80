"""The family `learned` where CompressAI is absent, and all of it that needs no network."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimuli.codecs.base import payload_bytes
from stimuli.codecs.learned_stream import LearnedStream, stored_step, unpack
from stimuli.codecs.registry import family_names, make_codec
from stimuli.encoding import encode_study
from stimuli.errors import CodecNotInstalledError, CodecProgramError, CodecSettingsError, StudyFileError
from stimuli.study import read_study

STUDY = """
name = "with-a-network"
targets = [1.0]
sources = { folder = "sources" }
[[codecs]]
name = "jpeg"
[[codecs]]
name = "mine"
family = "learned"
checkpoint = "mine.pth"
architecture = "mbt2018-mean"
"""


def _installed(monkeypatch: pytest.MonkeyPatch, *, there: bool) -> None:
    find = importlib.util.find_spec

    def pretend(name: str, package: str | None = None) -> object:
        if name in ("torch", "compressai"):
            return object() if there else None
        return find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", pretend)


def test_what_to_install_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _installed(monkeypatch, there=False)
    assert "learned" in family_names()
    with pytest.raises(CodecNotInstalledError) as caught:
        make_codec("learned", {}, tmp_path)
    line = str(caught.value)
    assert "\n" not in line
    assert "torch and compressai cannot be found" in line
    assert "`make learned`" in line
    assert 'pip install "matchrate[learned]"' in line


def test_a_study_can_be_read_without_the_packages_and_not_encoded(
    monkeypatch: pytest.MonkeyPatch, studies: ModuleType, tmp_path: Path
) -> None:
    _installed(monkeypatch, there=False)
    study = read_study(studies.write_study(tmp_path / "study", STUDY))
    with pytest.raises(StudyFileError) as caught:
        encode_study(study, workers=1, progress=False)
    (line,) = caught.value.problems
    assert "codecs[1].family (mine): codec family 'learned' is not installed" in line


BAD = {
    "nothing": ({}, "checkpoint is missing; write checkpoint ="),
    "no architecture": (
        {"checkpoint": "a.pth"},
        "architecture is missing; write one of bmshj2018-factorized",
    ),
    "unknown architecture": (
        {"checkpoint": "a.pth", "architecture": "vvc"},
        "architecture must be one of bmshj2018-factorized, ",
    ),
    "both keys": ({"checkpoint": "a.pth", "checkpoints": ["b.pth"]}, "write one of them"),
    "a number": ({"checkpoint": 3}, "checkpoint must be a file name, got 3"),
    "no list": ({"checkpoints": "a.pth"}, "checkpoints must be a list of file names, got 'a.pth'"),
    "empty list": ({"checkpoints": []}, "checkpoints must name 1 to 64 files, got 0"),
    "unknown key": ({"weights": "a.pth"}, "weights is not a setting of this family; it takes checkpoint,"),
    "one rate": (
        {"checkpoint": "a.pth", "architecture": "mbt2018"},
        "checkpoint names one file, and mbt2018 has one rate a file",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_settings_that_are_wrong_are_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str
) -> None:
    _installed(monkeypatch, there=True)
    settings, words = BAD[case]
    with pytest.raises(CodecSettingsError) as caught:
        make_codec("learned", settings, tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_checkpoint_is_named_with_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _installed(monkeypatch, there=True)
    with pytest.raises(CodecProgramError) as caught:
        make_codec("learned", {"checkpoint": "mine.pth", "architecture": "mbt2018-mean"}, tmp_path)
    assert f"names the checkpoint {tmp_path / 'mine.pth'}, which does not exist" in str(caught.value)
    assert caught.value.family == "learned"


@given(
    st.builds(
        LearnedStream,
        checkpoint=st.integers(0, 255),
        step=st.floats(0.25, 4, width=32),
        width=st.integers(1, 65_535),
        height=st.integers(1, 65_535),
        strings=st.lists(st.binary(max_size=300), max_size=3).map(tuple),
    )
)
def test_the_container_keeps_all_and_counts_all(stream: LearnedStream) -> None:
    data = stream.pack()
    assert unpack(data) == stream
    strings = sum(len(string) for string in stream.strings)
    assert payload_bytes(data, "mrl") == strings
    assert len(data) - strings <= 9 + 2 * 3 + 1 + 2 * len(stream.strings)


def test_every_cut_or_longer_file_is_refused() -> None:
    data = LearnedStream(1, stored_step(0.7), 200, 150, (b"abc" * 60, b"de")).pack()
    for cut in range(len(data)):
        with pytest.raises(ValueError):
            unpack(data[:cut])
    with pytest.raises(ValueError, match="183 bytes of strings, its header says 182"):
        unpack(data + b"x")
    with pytest.raises(ValueError, match="is not a bitstream of a learned codec"):
        unpack(b"JFIF" + data[4:])


@pytest.mark.parametrize("step", [0.0, -1.0, float("inf"), float("nan")])
def test_a_step_that_divides_nothing_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match="the step"):
        unpack(LearnedStream(0, step, 8, 8, (b"a",)).pack())


def test_the_step_is_the_number_that_the_file_holds() -> None:
    step = stored_step(1 / 3)
    assert step != 1 / 3
    assert unpack(LearnedStream(0, step, 8, 8, ()).pack()).step == step
