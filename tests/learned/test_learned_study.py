"""A whole study with a network: matched rates, the same bytes on any number of processes, verified."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

if importlib.util.find_spec("compressai") is None:
    pytest.skip("CompressAI is not installed here: `make learned` runs these tests", allow_module_level=True)

from stimuli.encoding import encode_study
from stimuli.manifest import Manifest, bitstream_path, read_manifest, verify_manifest
from stimuli.study import Stimulus, read_study

LADDER = """
[[codecs]]
name = "tiny-ladder"
family = "learned"
checkpoints = ["low.pth", "high.pth"]
architecture = "mbt2018-mean"
"""


@pytest.fixture(scope="module")
def study(bench: ModuleType, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one checkpoint, a ladder of two and JPEG, encoded by one process."""
    folder: Path = tmp_path_factory.mktemp("network") / "study"
    folder.mkdir()
    for name in ("low.pth", "high.pth"):
        shutil.copy(trained / name, folder)
    shutil.copy(trained / "high.pth", folder / "tiny.pth")
    bench.write_study(folder, bench.pictures_to_show())
    file = folder / "study.toml"
    file.write_text(file.read_text() + LADDER)
    encode_study(read_study(folder), workers=1, progress=False)
    return folder


def _without_times(manifest: Manifest) -> tuple[Stimulus, ...]:
    return tuple(replace(stimulus, encode_s=0, decode_s=0) for stimulus in manifest.stimuli)


def test_rates_are_met_by_real_bytes(study: Path) -> None:
    manifest = read_manifest(study)
    learned = [stimulus for stimulus in manifest.stimuli if stimulus.codec.startswith("tiny")]
    assert len(learned) == 12
    for stimulus in learned:
        assert stimulus.status == "matched"
        data = bitstream_path(study, stimulus.bitstream or "").read_bytes()
        assert stimulus.bytes == len(data)
        assert stimulus.payload_bytes is not None
        assert 0 < len(data) - stimulus.payload_bytes <= 20
        assert "not a published codec" in stimulus.codec_version
    steps = {s.quality["step"] for s in learned if s.quality is not None}
    assert len(steps - {1}) > 6


def test_two_processes_make_the_same_study(study: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(study, again, ignore=shutil.ignore_patterns("stimuli"))
    manifest = encode_study(read_study(again), workers=2, progress=False)
    assert _without_times(manifest) == _without_times(read_manifest(study))


def test_verify_decodes_everything_again_elsewhere(study: Path) -> None:
    assert verify_manifest(study, workers=2, progress=False) == ()


def test_verify_names_a_checkpoint_that_was_replaced(study: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(study, moved)
    shutil.copy(moved / "low.pth", moved / "tiny.pth")
    (line,) = [str(deviation) for deviation in verify_manifest(moved, workers=1, progress=False)]
    assert "for tiny.pth, which is" in line
    assert "it is another checkpoint" in line
