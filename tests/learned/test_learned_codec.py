"""Real bitstreams of networks: what is decoded, what it costs, and what a checkpoint must not do."""

from __future__ import annotations

import importlib.util
import io
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

if importlib.util.find_spec("compressai") is None:
    pytest.skip("CompressAI is not installed here: `make learned` runs these tests", allow_module_level=True)

from stimuli.codecs.learned import ARCHITECTURES, LearnedCodec
from stimuli.codecs.learned_network import SteppedConditional
from stimuli.codecs.learned_stream import unpack
from stimuli.codecs.registry import make_codec
from stimuli.errors import CodecSettingsError

Pixels = npt.NDArray[np.uint8]
#: Parts of the names of structures and of published codecs.
PUBLISHED = ("bmshj", "balle", "hyperprior", "mbt2018", "minnen", "cheng", "elic", "hific", "mlic", "tcm")


@pytest.fixture
def codec(trained: Path) -> LearnedCodec:
    """The higher of the two rates."""
    return LearnedCodec({"checkpoint": "high.pth", "architecture": "mbt2018-mean"}, trained)


def test_at_the_trained_step_the_strings_are_those_of_compressai(
    codec: LearnedCodec, trained: Path, photograph: Pixels
) -> None:
    import torch
    from compressai.zoo.image import model_architectures

    state = torch.load(trained / "high.pth", weights_only=True)["state_dict"]
    model = model_architectures["mbt2018-mean"].from_state_dict(state).eval()
    whole = np.ascontiguousarray(photograph[:128, :192])
    with torch.inference_mode():
        theirs = model.compress(torch.from_numpy(whole).permute(2, 0, 1)[None].float() / 255)["strings"]
    assert unpack(codec.encode(whole, {"step": 1})).strings == tuple(strings[0] for strings in theirs)


def test_the_size_falls_with_the_step_without_jumps(codec: LearnedCodec, photograph: Pixels) -> None:
    """65 steps over the whole range: never up, and never by more than 8 % where the step moves by 4.4 %."""
    (scale,) = codec.scales
    steps = np.geomspace(scale.low, scale.high, 65)
    sizes = [len(codec.encode(photograph, {"step": float(step)})) for step in steps]
    falls = -np.diff(np.log(sizes))
    assert (falls > 0).all()
    in_middle = (steps[1:] <= 2) & (steps[:-1] >= 0.5)
    assert falls[in_middle].max() < 0.08
    assert sizes[0] > 3 * sizes[-1]


@pytest.mark.parametrize("step", [0.35, 0.7, 1, 1.6, 3])
def test_the_strings_are_as_long_as_the_gaussian_says(
    codec: LearnedCodec, photograph: Pixels, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    """The tables fit what they code: the latent costs its own -log2 probability, at any step."""
    scales: list[object] = []
    spent: list[tuple[float, int]] = []
    build_indexes, compress = SteppedConditional.build_indexes, SteppedConditional.compress

    def seen(self: SteppedConditional, given: object) -> object:
        scales.append(given)
        return build_indexes(self, given)

    def measured(self: SteppedConditional, inputs: object, indexes: object, means: object = None) -> object:
        strings = compress(self, inputs, indexes, means)
        symbols = ((inputs - means) / self.step).round()  # type: ignore[operator]
        # CompressAI has 64 tables, and takes the next wider one.
        right = self.inner.build_indexes(scales[-1] / self.step)  # type: ignore[operator]
        probability = self.inner._likelihood(symbols, self.inner.scale_table[right])
        spent.append((-probability.clamp_min(2**-16).log2().sum().item(), 8 * len(strings[0])))
        return strings

    monkeypatch.setattr(SteppedConditional, "build_indexes", seen)
    monkeypatch.setattr(SteppedConditional, "compress", measured)
    codec.encode(photograph, {"step": step})
    ((wanted, paid),) = spent
    assert paid == pytest.approx(wanted, rel=0.03, abs=64)


def test_the_scale_of_the_probabilities_follows_the_step(
    codec: LearnedCodec, photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With tables of step 1 the same symbols cost more: scaling the latent alone is not enough."""
    right = len(codec.encode(photograph, {"step": 0.5}))
    monkeypatch.setattr(
        SteppedConditional, "build_indexes", lambda self, scales: self.inner.build_indexes(scales)
    )
    assert len(codec.encode(photograph, {"step": 0.5})) > 1.03 * right


def test_a_finer_step_is_nearer_to_the_latent(
    codec: LearnedCodec, photograph: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every decoded value lies within half a step of what was coded."""
    coded: list[object] = []
    decoded: list[object] = []
    compress, decompress = SteppedConditional.compress, SteppedConditional.decompress

    def compress_(self: SteppedConditional, inputs: object, *args: object, **options: object) -> object:
        coded.append(inputs)
        return compress(self, inputs, *args, **options)  # type: ignore[arg-type]

    def decompress_(self: SteppedConditional, *args: object, **options: object) -> object:
        decoded.append(decompress(self, *args, **options))  # type: ignore[arg-type]
        return decoded[-1]

    monkeypatch.setattr(SteppedConditional, "compress", compress_)
    monkeypatch.setattr(SteppedConditional, "decompress", decompress_)
    for step in (0.5, 2.0):
        codec.decode(codec.encode(photograph, {"step": step}))
        off = (coded[-1] - decoded[-1]).abs().max().item()  # type: ignore[operator]
        assert 0.4 * step < off <= 0.5 * step * 1.001


DECODE = """
import sys
from pathlib import Path
from stimuli.codecs.learned import LearnedCodec
folder = Path(sys.argv[1])
codec = LearnedCodec({"checkpoints": ["low.pth", "high.pth"], "architecture": "mbt2018-mean"}, folder)
for name in sys.argv[2:]:
    pixels = codec.decode((folder / name).read_bytes())
    (folder / (name + ".rgb")).write_bytes(pixels.tobytes())
"""


def test_another_process_decodes_the_same_pixels_from_the_bytes(trained: Path, photograph: Pixels) -> None:
    settings = {"checkpoints": ["low.pth", "high.pth"], "architecture": "mbt2018-mean"}
    codec = LearnedCodec(settings, trained)
    wanted = {}
    for index, step in ((0, 1.0), (1, 1.0), (1, 0.61)):
        data = codec.encode(photograph, {"checkpoint": index, "step": step})
        assert codec.encode(photograph, {"checkpoint": index, "step": step}) == data
        name = f"{index}-{step}.mrl"
        (trained / name).write_bytes(data)
        wanted[name] = codec.decode(data)
    assert len({pixels.tobytes() for pixels in wanted.values()}) == 3
    subprocess.run([sys.executable, "-c", DECODE, trained, *wanted], check=True, timeout=120)
    for name, pixels in wanted.items():
        assert (trained / f"{name}.rgb").read_bytes() == pixels.tobytes()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (63, 65), (64, 64), (129, 2)])
def test_any_size_comes_back(codec: LearnedCodec, photograph: Pixels, width: int, height: int) -> None:
    pixels = np.ascontiguousarray(photograph[:height, :width])
    data = codec.encode(pixels, {"step": 1})
    stream = unpack(data)
    assert (stream.width, stream.height) == (width, height)
    assert codec.decode(data).shape == (height, width, 3)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_decodes_what_it_encodes(
    untrained: Callable[[str], Path], photograph: Pixels, architecture: str
) -> None:
    """Two checkpoints straight from training; the step is a scale just where it is sound."""
    folder = untrained(architecture)
    settings = {"checkpoints": ["a.pth", "b.pth"], "architecture": architecture}
    codec = make_codec("learned", settings, folder)
    names = [scale.name for scale in codec.scales]
    assert names == (["checkpoint", "step"] if ARCHITECTURES[architecture] else ["checkpoint"])
    pixels = np.ascontiguousarray(photograph[:70, :100])
    quality = dict(zip(names, (1.0, 0.8), strict=False))
    data = codec.encode(pixels, quality)
    assert unpack(data).checkpoint == 1
    again = make_codec("learned", codec.settings, folder).decode(data)
    assert again.shape == pixels.shape
    assert np.array_equal(again, codec.decode(data))
    if not ARCHITECTURES[architecture]:
        with pytest.raises(ValueError, match="this architecture knows 1 alone"):
            codec.encode(pixels, {"checkpoint": 0, "step": 0.8})


def test_the_checkpoint_is_part_of_version_and_settings(trained: Path) -> None:
    made = {}
    for name in ("low.pth", "high.pth"):
        made[name] = LearnedCodec({"checkpoint": name, "architecture": "mbt2018-mean"}, trained)
    low, high = made.values()
    assert low.settings["checkpoint_sha256"] != high.settings["checkpoint_sha256"]
    (sha256,) = low.settings["checkpoint_sha256"]  # type: ignore[misc]
    assert sha256 in low.version
    assert "compressai 1." in low.version
    assert "torch 2." in low.version
    settings = {**low.settings, "checkpoints": ["high.pth"]}
    with pytest.raises(CodecSettingsError, match=r"for high\.pth, which is .*: it is another checkpoint"):
        LearnedCodec(settings, trained)


def test_nothing_calls_a_tiny_network_by_a_published_name(bench: ModuleType, trained: Path) -> None:
    codec = LearnedCodec({"checkpoint": "low.pth", "architecture": "mbt2018-mean"}, trained)
    assert "tiny model trained for 150 steps: not a published codec" in codec.version
    written = bench.STUDY.replace('architecture = "{architecture}"', "")
    for text in (bench.NAME, codec.name, codec.version, written):
        assert [name for name in PUBLISHED if name in text.lower()] == []


class _Trap:
    """What a hostile checkpoint holds: unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def _broken(folder: Path, kind: str) -> None:
    import torch

    file = folder / "mine.pth"
    if kind == "a program":
        torch.save({"state_dict": _Trap(folder / "sprung")}, file)
    elif kind == "a pickled program":
        file.write_bytes(pickle.dumps(_Trap(folder / "sprung")))
    elif kind == "noise":
        file.write_bytes(np.random.default_rng(1).bytes(4000))
    elif kind == "cut":
        buffer = io.BytesIO()
        torch.save({"state_dict": {"a": torch.zeros(1000)}}, buffer)
        file.write_bytes(buffer.getvalue()[:2000])
    elif kind == "a list":
        torch.save([1, 2], file)
    else:
        torch.save({"state_dict": {"g_a.0.weight": torch.zeros(16, 3, 5, 5)}}, file)


@pytest.mark.parametrize("kind", ["a program", "a pickled program", "noise", "cut", "a list", "another net"])
def test_a_file_that_is_no_checkpoint_is_one_line_and_runs_nothing(tmp_path: Path, kind: str) -> None:
    _broken(tmp_path, kind)
    with pytest.raises(CodecSettingsError) as caught:
        make_codec("learned", {"checkpoint": "mine.pth", "architecture": "mbt2018-mean"}, tmp_path)
    line = str(caught.value)
    assert f"checkpoint names {tmp_path / 'mine.pth'}, which " in line
    assert "\n" not in line
    assert len(line) < 500
    assert not (tmp_path / "sprung").exists()


def test_a_bitstream_of_another_ladder_is_refused(
    codec: LearnedCodec, trained: Path, photograph: Pixels
) -> None:
    ladder = LearnedCodec({"checkpoints": ["low.pth", "high.pth"], "architecture": "mbt2018-mean"}, trained)
    data = ladder.encode(photograph, {"checkpoint": 1, "step": 1})
    with pytest.raises(ValueError, match="names checkpoint 1 of 1"):
        codec.decode(data)
    assert math.isclose(len(data), len(codec.encode(photograph, {"step": 1})))
