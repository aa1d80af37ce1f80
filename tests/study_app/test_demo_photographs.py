"""The photographs of the demo: what was a JPEG file is halved, and a profile reaches no source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stimuli.pictures import load_picture
from study_app.demo_study import PHOTOGRAPHS, DemoPhotograph, _locate, _source_picture


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda photograph: photograph.name)
def test_what_was_a_jpeg_file_is_halved(photograph: DemoPhotograph) -> None:
    """A codec would else be rated for how it keeps the blocks of an earlier one."""
    assert photograph.halved == photograph.path.endswith(".jpg")
    with Image.open(_locate(photograph)) as opened:
        size, original = opened.size, np.asarray(opened.convert("RGB"))
    picture = _source_picture(photograph)
    if photograph.halved:
        assert photograph.box is not None or picture.size == (size[0] // 2, size[1] // 2)
        left, top = (photograph.box or (0, 0))[:2]
        block = original[2 * top : 2 * top + 2, 2 * left : 2 * left + 2].astype(float)
        assert np.abs(np.asarray(picture)[0, 0] - block.mean(axis=(0, 1))).max() <= 1
    elif photograph.box is None:
        assert picture.size == size


@pytest.mark.parametrize("name", ["astronaut", "china"])
def test_a_profile_is_read_once_and_left_behind(tmp_path: Path, name: str) -> None:
    """Four of the photographs carry one of 3,144 bytes."""
    picture = _source_picture(next(one for one in PHOTOGRAPHS if one.name == name))
    assert len(picture.info["icc_profile"]) == 3144
    picture.save(tmp_path / "a.png", icc_profile=picture.info["icc_profile"])
    pixels = load_picture(tmp_path / "a.png")
    assert pixels.shape == (picture.height, picture.width, 3)
    # Their profile is sRGB: nothing moves by more than a level.
    assert np.abs(pixels.astype(int) - np.asarray(picture)).max() <= 1
