"""Facts of the work on one codec: whose size and whose failure is whose, one picture at a time or a set."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from stimuli import attempts
from stimuli.encoding import encode_study
from stimuli.errors import CodecError
from stimuli.manifest import Manifest, picture_path
from stimuli.study import read_study

STUDY = """
name = "blocks"
targets = [0.5, 1.0]
metrics = []
sources = { folder = "sources" }
[[codecs]]
name = "block"
"""


@pytest.fixture(autouse=True)
def block(studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The third party's entry point, installed for this process and its workers."""
    monkeypatch.syspath_prepend(str(studies.install_block_codec(tmp_path / "site")))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("blockcodec", None)


def encoded(
    studies: ModuleType, folder: Path, toml: str, *, isolated: bool = False, **sides: int
) -> Manifest:
    """A study of squares of one colour; those called dark are dark."""
    pictures = {
        name: np.full((side, side, 3), 20 if name.startswith("dark") else 200, np.uint8)
        for name, side in sides.items()
    }
    studies.write_study(folder, toml, pictures)
    return encode_study(read_study(folder), workers=1, progress=False, isolated=isolated)


def test_sources_with_one_bitstream_have_each_its_own_size(studies: ModuleType, tmp_path: Path) -> None:
    """Padded to the same picture they make the same file, and the picture of the one is not the other's."""
    toml = STUDY.replace("[0.5, 1.0]", "[0.001]") + '[[codecs]]\nname = "jpeg"\n'
    manifest = encoded(studies, tmp_path, toml, large=64, small=60)
    found = [s for s in manifest.stimuli if s.codec == "block"]
    assert len({s.bitstream_sha256 for s in found}) == 1
    for s in found:
        with Image.open(picture_path(tmp_path, s.picture_sha256)) as picture:
            assert picture.size == (s.width, s.height)


def test_the_limit_and_the_figures_of_a_set_are_those_of_the_set(studies: ModuleType, tmp_path: Path) -> None:
    toml = STUDY.replace("[0.5, 1.0]", '[0.001, 1.0, 20.0]\nmatch = "set-mean"')
    manifest = encoded(studies, tmp_path, toml, large=64, small=50)
    area = 64**2 + 50**2
    for target, quality in ((0.001, 10), (20.0, 100)):
        low, high = (s for s in manifest.stimuli if s.target_bpp == target)
        assert low.quality == high.quality == {"quality": quality}
        assert (
            low.limit_bpp
            == high.limit_bpp
            == pytest.approx(8 * sum(s.bytes or 0 for s in (low, high)) / area)
        )
    # Both pictures miss the target that the set meets.
    summary = manifest.summary()
    assert (summary.reachable, summary.within_tolerance, summary.within_two_percent) == (2, 2, 2)
    assert summary.largest_residual <= 0.01
    # A setting is tried on both pictures.
    assert summary.encodes == 2 * sum(s.encodes for s in manifest.stimuli)


def test_a_source_that_fails_is_named_and_the_encodes_of_its_set_are_counted(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = STUDY.replace("metrics", 'match = "set-mean"\nmetrics')
    whole = encoded(studies, tmp_path / "whole", toml, dark=64, light=64)
    monkeypatch.setenv("BLOCK_FAULT", "decode")
    manifest = encoded(studies, tmp_path / "decode", toml, dark=64, light=64)
    assert [failure.source for failure in manifest.failures] == ["dark", "dark"]
    assert manifest.summary().encodes == whole.summary().encodes > 0
    monkeypatch.setenv("BLOCK_FAULT", "dark")
    with pytest.raises(CodecError, match="source 'dark' of the set: encoding at quality"):
        encoded(studies, tmp_path / "encode", toml, dark=64, light=64)


def test_the_pictures_of_a_set_are_not_held_in_memory(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[attempts.Attempts] = []
    init = attempts.Attempts.__init__

    def watched(self: attempts.Attempts, *args: object, **options: object) -> None:
        init(self, *args, **options)  # type: ignore[arg-type]
        made.append(self)

    monkeypatch.setattr(attempts.Attempts, "__init__", watched)
    encoded(studies, tmp_path, STUDY.replace("metrics", 'match = "set-mean"\nmetrics'), a=64, b=64)
    assert len(made) == 2
    assert not [one for one in made for value in vars(one).values() if isinstance(value, np.ndarray)]


def test_words_of_a_failure_are_the_same_in_every_run(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOCK_FAULT", "dark")
    runs = [
        encoded(studies, tmp_path / str(isolated), STUDY, isolated=isolated, dark=64, light=64).failures
        for isolated in (True, False)
    ]
    assert runs[0] == runs[1]
    assert runs[0][0].reason.endswith("<object object at 0x...> found no light in TMP/input.png")


def test_a_preview_that_crashes_costs_the_codec_nothing(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = encoded(studies, tmp_path / "plain", STUDY, light=64)
    monkeypatch.setenv("BLOCK_FAULT", "preview")
    manifest = encoded(studies, tmp_path / "preview", STUDY, isolated=True, light=64)
    assert manifest.failures == ()
    assert sum(s.previews for s in manifest.stimuli) > 0

    def told(manifest: Manifest) -> object:
        return [replace(s, encode_s=None, decode_s=None, previews=0) for s in manifest.stimuli]

    assert told(manifest) == told(plain)


def test_a_payload_that_is_not_known_is_said_at_once(studies: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=r"the payload of a \.block file is not known; set rate to file"):
        encoded(studies, tmp_path, 'rate = "payload"\n' + STUDY, light=64, more=64)
    assert len(list((tmp_path / "stimuli" / "tries").rglob("*.try"))) == 1
