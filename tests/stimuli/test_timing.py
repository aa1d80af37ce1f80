"""Seconds: whose they are, who waits for whom, and the table of times that a study keeps."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from stimuli.encoding import encode_study
from stimuli.errors import CodecError
from stimuli.study import read_study

SLOW = """
name = "slow"
targets = [4.0]
metrics = []
timeout = 1
sources = { folder = "sources" }

[[codecs]]
name = "toy"
family = "command"
encode = ["{python}", "{study}/toycodec.py", "enc", "{input}", "{output}", "{quality}"]
decode = ["{python}", "{study}/toycodec.py", "dec", "{input}", "{output}"]
quality = { range = [4, 120], step = 0.002, direction = "down", scale = "log", start = 40 }
version = "1.0"
extension = "toy"
input = "ppm"
"""


def slow_study(studies: ModuleType, folder: Path, first: str, extra: str = "") -> Path:
    """A program of somebody else that does `first` before it encodes or decodes one small picture."""
    pixels = studies.photographs(64, 48)["astronaut"]
    path: Path = studies.write_study(folder, SLOW + extra, {"astronaut": pixels})
    program = (studies.THIRD_PARTY / "toycodec.py").read_text()
    (path / "toycodec.py").write_text(program.replace("mode, source", f"{first}\nmode, source", 1))
    return path


def test_a_guard_waits_for_the_time_limit_of_a_program(studies: ModuleType, tmp_path: Path) -> None:
    """A limit of 1 s in study.toml, of a minute in the codec, and a program of 1.5 s: the codec's counts."""
    first = "import time, pathlib\nif not (flag := pathlib.Path(__file__).with_name('slept')).exists():\n"
    first += "    flag.touch()\n    time.sleep(1.5)\n"
    folder = slow_study(studies, tmp_path / "study", first, "timeout = 60\n")
    (stimulus,) = encode_study(read_study(folder), workers=1, progress=False).stimuli
    assert stimulus.status == "matched"
    assert (folder / "slept").exists()


def test_a_program_without_a_limit_of_its_own_keeps_to_that_of_the_study(
    studies: ModuleType, tmp_path: Path
) -> None:
    first = "import time, sys\nif sys.argv[1] == 'dec': time.sleep(60)\n"
    folder = slow_study(studies, tmp_path / "study", first)
    with pytest.raises(CodecError, match="was ended after 1 s"):
        encode_study(read_study(folder), workers=1, progress=False)
