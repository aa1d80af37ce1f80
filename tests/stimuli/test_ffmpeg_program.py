"""The ffmpeg of a wheel as a program: which one runs, what is told of failures, and nothing left behind."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from stimuli import ffmpeg as ffmpeg_module
from stimuli.codecs.base import Codec
from stimuli.codecs.ffmpeg_still import encoder_version
from stimuli.codecs.registry import make_codec
from stimuli.errors import CodecNotInstalledError
from stimuli.ffmpeg import find_ffmpeg, run_ffmpeg
from stimuli.programs import ProgramError

Pixels = npt.NDArray[np.uint8]

FAMILIES = ("av1", "svtav1", "vvc")
NOWHERE = Path("/nonexistent")


@pytest.fixture(params=FAMILIES)
def codec(request: pytest.FixtureRequest) -> Codec:
    """One codec of each family, at its fast settings."""
    return make_codec(request.param, {"fast": True}, NOWHERE)


def at(codec: Codec, coarse: float | None = None) -> dict[str, float]:
    """The first value of every scale, or another of the first."""
    quality = {scale.name: scale.first for scale in codec.scales}
    return quality if coarse is None else quality | {codec.scales[0].name: coarse}


def test_only_the_binary_of_the_wheel_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files depend on it, so neither the environment nor PATH may put another in its place."""
    other = tmp_path / "ffmpeg"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(other))
    monkeypatch.setenv("PATH", str(tmp_path))
    package = importlib.util.find_spec("imageio_ffmpeg")
    assert package is not None
    assert package.origin is not None
    assert find_ffmpeg().path.parent == Path(package.origin).parent / "binaries"
    assert find_ffmpeg().version.startswith("ffmpeg ")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_missing_wheel_is_one_line(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CodecNotInstalledError) as told:
        make_codec(family, {"fast": True}, NOWHERE)
    assert str(told.value) == (f"codec family {family!r} is not installed; run: pip install imageio-ffmpeg")


def test_a_wheel_without_its_program_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "imageio_ffmpeg"
    (package / "binaries").mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "imageio_ffmpeg", raising=False)
    with pytest.raises(CodecNotInstalledError, match=r"carries no program for this machine; run: pip "):
        find_ffmpeg("vvc")
    program = package / "binaries" / "ffmpeg-any"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(CodecNotInstalledError, match=r"cannot be run .*; run: pip install"):
        find_ffmpeg("vvc")


def test_an_ffmpeg_without_the_encoder_is_one_line() -> None:
    with pytest.raises(CodecNotInstalledError, match=r"cannot run libvvenc; run: pip install .* --upgrade"):
        encoder_version(ffmpeg_module.Ffmpeg(Path("/bin/false"), "ffmpeg 1"), "libvvenc", "vvc")


def test_vvc_says_when_a_picture_may_be_too_noisy_for_a_qp() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    codec = make_codec("vvc", {"fast": True}, NOWHERE)
    with pytest.raises(ProgramError, match="may need more than the 8 bits a pixel"):
        codec.encode(noise, at(codec, 8))
    assert len(codec.encode(noise, at(codec, 21))) < 64 * 64


def test_a_damaged_bitstream_is_one_line(codec: Codec, photograph: Pixels) -> None:
    for data in (b"", b"nonsense" * 20, codec.encode(photograph, at(codec))[:30]):
        with pytest.raises(ProgramError) as told:
            codec.decode(data)
        assert "\n" not in str(told.value)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photograph: Pixels) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    codec = make_codec("av1", {"fast": True}, NOWHERE)
    codec.decode(codec.encode(photograph, at(codec, 50)))
    with pytest.raises(ProgramError):
        codec.decode(b"nonsense")
    with pytest.raises(ProgramError, match="was ended after"):
        run_ffmpeg(("-re", "-f", "lavfi", "-i", "color=rate=1", "-f", "null"), {}, "out", timeout=0.3)
    assert list(tmp_path.iterdir()) == []
