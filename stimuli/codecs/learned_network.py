"""One trained network of CompressAI on the CPU: pixels to strings and back.

Only `learned.py` imports this, after it knows that torch and CompressAI are installed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import io
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stimuli.codecs.base import Pixels

#: Pictures are padded to this multiple: four halvings to the latent, two more to the hyper-latent.
MULTIPLE = 64
#: Networks that a process keeps for the next source of the same codec.
_KEPT = 8
_LONGEST_LABEL = 120


class CheckpointError(Exception):
    """A checkpoint file that does not hold a network of its architecture; the text says why."""


class SteppedConditional:
    """A Gaussian conditional whose latent is quantised in steps of `step` instead of 1.

    Coding y with step s is coding y / s with step 1, where y / s is Gaussian with mean / s and scale / s: the
    probabilities that the entropy coder uses stay those of the values that it codes. It stands in for the
    conditional of ScaleHyperprior and MeanScaleHyperprior, which use no more than these three methods.
    """

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.step = 1.0

    def build_indexes(self, scales: Any) -> Any:
        """The tables of the entropy coder that fit these scales at the present step."""
        return self.inner.build_indexes(scales / self.step)

    def compress(self, inputs: Any, indexes: Any, means: Any = None) -> Any:
        """The strings of a latent."""
        return self.inner.compress(inputs / self.step, indexes, self._scaled(means))

    def decompress(self, strings: Any, indexes: Any, dtype: Any = None, means: Any = None) -> Any:
        """The quantised latent of strings."""
        kept = {} if dtype is None else {"dtype": dtype}
        return self.inner.decompress(strings, indexes, means=self._scaled(means), **kept) * self.step

    def _scaled(self, means: Any) -> Any:
        return None if means is None else means / self.step


class Network:
    """A network for encoding and another instance of it for decoding, equal in nothing but weights."""

    def __init__(self, data: bytes, architecture: str, *, stepped: bool) -> None:
        self._torch = import_torch()
        checkpoint = self._read(data)
        self.label = _label(checkpoint)
        self._encoder = self._build(checkpoint, architecture, stepped)
        self._decoder = self._build(checkpoint, architecture, stepped)

    def encode(self, pixels: Pixels, step: float) -> tuple[bytes, ...]:
        """The strings of height x width x 3 uint8 pixels."""
        torch = self._one_thread()
        height, width = pixels.shape[:2]
        # Copied, because torch warns of arrays that cannot be written to.
        levels = torch.from_numpy(np.array(pixels)).permute(2, 0, 1).unsqueeze(0).float() / 255
        right, bottom = -width % MULTIPLE, -height % MULTIPLE
        padded = torch.nn.functional.pad(levels, (0, right, 0, bottom), mode="replicate")
        with torch.inference_mode():
            coded = _at_step(self._encoder, step).compress(padded)
        return tuple(strings[0] for strings in coded["strings"])

    def decode(self, strings: tuple[bytes, ...], step: float, width: int, height: int) -> Pixels:
        """The height x width x 3 uint8 pixels of strings; raises ValueError for another network's."""
        torch = self._one_thread()
        factor = self._decoder.downsampling_factor
        shape = [(side + -side % MULTIPLE) // factor for side in (height, width)]
        # The factorised networks alone have no hyper-latent, and stop after four halvings.
        expected = 2 if factor == MULTIPLE else 1
        if len(strings) != expected:
            raise ValueError(f"has {len(strings)} strings, this architecture reads {expected}")
        with torch.inference_mode():
            decoded = _at_step(self._decoder, step).decompress([[string] for string in strings], shape)
            levels = decoded["x_hat"][0, :, :height, :width].clamp(0, 1)
            if not torch.isfinite(levels).all():
                raise ValueError("decodes to values that are no numbers")
            pixels: Pixels = (levels * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        return pixels

    def _one_thread(self) -> Any:
        # Both are settings of the process, and the order in which threads add up changes bits.
        self._torch.set_num_threads(1)
        self._torch.use_deterministic_algorithms(True)
        return self._torch

    def _read(self, data: bytes) -> Mapping[str, Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                # A checkpoint is a pickle, and without this a pickle may run any program.
                checkpoint = self._torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            except Exception as error:
                raise CheckpointError(f"cannot be read as weights alone ({_first_line(error)})") from None
        if not isinstance(checkpoint, Mapping):
            raise CheckpointError(f"holds {type(checkpoint).__name__}, not a state dict")
        return checkpoint

    def _build(self, checkpoint: Mapping[str, Any], architecture: str, stepped: bool) -> Any:
        zoo = importlib.import_module("compressai.zoo.image")
        rename = importlib.import_module("compressai.zoo.pretrained").load_pretrained
        # Training scripts write the state dict beside the state of their optimisers.
        state = checkpoint.get("state_dict", checkpoint)
        try:
            model = zoo.model_architectures[architecture].from_state_dict(rename(dict(state)))
            # A checkpoint straight from training has no tables for the entropy coder yet.
            model.update()
        except Exception as error:
            raise CheckpointError(f"is no checkpoint of {architecture} ({_first_line(error)})") from None
        model.eval()
        if stepped:
            conditional = SteppedConditional(model.gaussian_conditional)
            del model.gaussian_conditional
            model.gaussian_conditional = conditional
        return model


@functools.lru_cache(maxsize=_KEPT)
def load_network(path: Path, sha256: str, architecture: str, *, stepped: bool) -> Network:
    """The network in a file whose SHA-256 is known; raises CheckpointError, OSError."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CheckpointError("changed while it was read; run again")
    return Network(data, architecture, stepped=stepped)


@functools.cache
def import_torch() -> Any:
    """Import torch and CompressAI, and give torch; raises ImportError with the reason in one line.

    CompressAI imports torchvision, whose wheel may have been built for a GPU: beside a torch for the CPU its
    compiled operators do not load, and it stops at the first one that it describes. None is used here, so
    that declaring those two is enough.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch = importlib.import_module("torch")
            try:
                importlib.import_module("torchvision")
            except RuntimeError as error:
                if "torchvision::nms" not in str(error):
                    raise
                _declare_operators(torch)
            importlib.import_module("compressai.zoo.image")
        except Exception as error:
            raise ImportError(_first_line(error)) from None
    return torch


_declared: list[Any] = []


def _declare_operators(torch: Any) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    # The declaration ends with the object that made it.
    _declared.append(library)


def _at_step(model: Any, step: float) -> Any:
    conditional = getattr(model, "gaussian_conditional", None)
    if isinstance(conditional, SteppedConditional):
        conditional.step = step
    elif step != 1:
        raise ValueError(f"has the step {step:g}, and this architecture knows 1 alone")
    return model


def _label(checkpoint: Mapping[str, Any]) -> str:
    """What the checkpoint says of itself under `label`, as one short printable line."""
    label = checkpoint.get("label", "")
    if not isinstance(label, str):
        return ""
    printable = "".join(char if char.isprintable() else " " for char in label[:_LONGEST_LABEL])
    return " ".join(printable.split())


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2])[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
