"""Tiny networks, trained for a few steps or not at all: `make learned` runs these tests."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

ROOT = Path(__file__).parents[2]
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="session")
def bench() -> ModuleType:
    """`benchmarks/learned.py`, which trains."""
    spec = spec_from_file_location("bench_learned", ROOT / "benchmarks" / "learned.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def trained(bench: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two rates of one structure, `low.pth` and `high.pth`."""
    folder: Path = tmp_path_factory.mktemp("trained")
    bench.train(folder / "low.pth", steps=150, weight=0.005)
    bench.train(folder / "high.pth", steps=150, weight=0.02)
    return folder


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`untrained(architecture)`: a folder with `a.pth` and `b.pth`, random networks without tables."""
    from stimuli.codecs.learned_network import import_torch

    torch = import_torch()
    from compressai.zoo.image import model_architectures

    def make(architecture: str) -> Path:
        folder: Path = tmp_path_factory.mktemp(architecture)
        for seed, name in enumerate(("a.pth", "b.pth")):
            torch.manual_seed(seed)
            sizes = (16,) if architecture.startswith("cheng") else (16, 24)
            model = model_architectures[architecture](*sizes)
            # As a training script writes it: beside other state, and without tables of the entropy coder.
            torch.save({"epoch": 3, "state_dict": model.state_dict()}, folder / name)
        return folder

    return make


@pytest.fixture(scope="session")
def photograph(bench: ModuleType) -> Pixels:
    """200x150 of a real photograph."""
    pixels: Pixels = bench.pictures_to_show()["astronaut"]
    return pixels
