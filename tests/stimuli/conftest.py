"""Small real pictures, and studies written into temporary folders."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from stimuli.encoding import encode_study
from stimuli.study import read_study

Pixels = npt.NDArray[np.uint8]
StudyWriter = Callable[..., Path]

TWO_CODECS = """
name = "small"
targets = [0.6, 1.2]
sources = { folder = "sources" }
[[codecs]]
name = "jpeg"
[[codecs]]
name = "webp"
"""


def _load_studies() -> ModuleType:
    spec = spec_from_file_location("studies_of_stimuli", Path(__file__).parent / "studies.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def studies() -> ModuleType:
    """The writers of small studies in `studies.py`."""
    return _load_studies()


@pytest.fixture(scope="session")
def photograph(studies: ModuleType) -> Pixels:
    """128x96 of a real photograph."""
    pixels: Pixels = studies.photographs()["astronaut"]
    return pixels


@pytest.fixture
def thin_codec(studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The third party's entry point, installed for this process and its workers."""
    site = studies.install_thin_codec(tmp_path / "site")
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("thincodec", None)


@pytest.fixture(scope="session")
def encoded_template(studies: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoded study that shows a crop of its pictures; copy it before changing it."""
    folder: Path = tmp_path_factory.mktemp("encoded") / "study"
    toml = TWO_CODECS.replace('{ folder = "sources" }', '{ folder = "sources", show = [64, 48] }')
    studies.write_study(folder, toml)
    encode_study(read_study(folder), workers=1, progress=False)
    return folder
