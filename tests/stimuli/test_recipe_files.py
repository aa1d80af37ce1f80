"""A recipe of one's own, and every way in which its file can be wrong: one line with the file and the key."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from stimuli.codecs.registry import make_codec
from stimuli.encoding import encode_study
from stimuli.errors import CodecProgramError, CodecSettingsError, StudyFileError
from stimuli.manifest import verify_manifest
from stimuli.programs import ProgramError
from stimuli.study import read_study

Pixels = npt.NDArray[np.uint8]

RECIPE = """
name = "toy"
title = "A toy"
encode = ["{python}", "{study}/toycodec.py", "enc", "{input}", "{output}", "{quality}"]
decode = ["{python}", "{study}/toycodec.py", "dec", "{input}", "{output}"]
version = ["{python}", "-c", "print('toy {release}')"]
quality = { range = [4, 120], step = 0.002, direction = "down", scale = "log", start = 40 }
input = "ppm"
extension = "toy"
payload = "file"

[settings.release]
default = "1.0"
help = "what it says its version is"
"""

STUDY = """
name = "own-recipe"
targets = [2.0, 4.0]
sources = { folder = "sources" }
[[codecs]]
name = "toy"
family = "command"
recipe = "toy.toml"
"""


@pytest.fixture
def own(studies: ModuleType, tmp_path: Path) -> Path:
    """A study with a recipe of its own beside it."""
    folder: Path = studies.write_study(tmp_path / "study", STUDY)
    shutil.copy(studies.THIRD_PARTY / "toycodec.py", folder)
    (folder / "toy.toml").write_text(RECIPE)
    return folder


def test_a_recipe_of_ones_own_takes_the_whole_way(own: Path) -> None:
    file = own / "study.toml"
    file.write_text(file.read_text() + 'release = "2.5"\n')
    manifest = encode_study(read_study(own), workers=1, progress=False)
    assert [stimulus.status for stimulus in manifest.stimuli] == ["matched"] * 4
    (record,) = manifest.codecs
    assert (record.family, record.version) == ("command", "toy 2.5")
    assert (record.settings["recipe"], record.settings["release"]) == ("toy.toml", "2.5")
    assert all(stimulus.payload_bytes == stimulus.bytes for stimulus in manifest.stimuli)
    assert verify_manifest(own, workers=1, progress=False) == ()


BAD: dict[str, tuple[str, str, str]] = {
    "not TOML": ("name =", "name = =", "is not TOML"),
    "no name": ('name = "toy"', "", "name is missing"),
    "name": ('name = "toy"', 'name = "A Toy"', "name must be small letters"),
    "unknown key": ("extension", "extnsion", "extnsion is not a known key; did you mean 'extension'?"),
    "no decode": ("decode =", "title2 =", "title2 is not a known key"),
    "decode": ('"dec", "{input}", "{output}"]', '"dec"]', "decode must use {input}"),
    "placeholder": ('"{quality}"]', '"{quality}", "{speed}"]', "encode has the unknown placeholder {speed}"),
    "placeholder left to the other": (
        '"dec", "{input}"',
        '"dec", "{quality}", "{input}"',
        "decode has the unknown placeholder {quality}",
    ),
    "format": ('input = "ppm"', 'input = "bmp"', "input must be png, ppm"),
    "scale": ("[4, 120]", "[4]", "quality.range must be two numbers"),
    "slope": ("start = 40", "start = 40, slope = -1", "quality.slope must be positive"),
    "reach": ("start = 40", "start = 40, reach = [1]", "quality.reach must be two numbers"),
    "version": ("{release}'", "{other}'", "version has the unknown placeholder {other}"),
    "version fails": ("print(", "exit(", "version command failed (exit 1): toy 1.0"),
    "pattern finds nothing": (
        "payload",
        "version_pattern = 'release ([0-9]+)'\npayload",
        "version_pattern 'release ([0-9]+)' finds nothing in what",
    ),
    "memory": ("payload", "memory = 1.5\npayload", "memory must be a whole number of megabytes"),
    "setting without default": ('default = "1.0"\n', "", "settings.release.default is missing"),
    "setting without help": ("help =", "halp =", "settings.release.help is missing"),
    "setting of a wrong type": ("help =", 'type = "colour"\nhelp =', "settings.release.type must be one of"),
    "setting of a taken name": (
        "[settings.release]",
        "[settings.quality]",
        "settings.quality must have another name",
    ),
    "default out of range": (
        'default = "1.0"',
        "default = 3\nrange = [0, 2]",
        "settings.release.default must lie between",
    ),
    "fast": ("[settings.release]", "[fast]\nspeed = 1\n[settings.release]", "fast.speed is neither"),
    "fast value": (
        "[settings.release]",
        "[fast]\nrelease = 1\n[settings.release]",
        "fast.release must be text, got 1",
    ),
    "program": (
        "[settings.release]",
        "[programs]\nencoder = 3\n[settings.release]",
        "programs.encoder must be",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_recipe_that_is_wrong_is_one_line_with_its_file_and_key(own: Path, case: str) -> None:
    before, after, words = BAD[case]
    assert before in RECIPE
    (own / "toy.toml").write_text(RECIPE.replace(before, after))
    with pytest.raises(StudyFileError) as caught:
        read_study(own)
    (line,) = caught.value.problems
    assert line.startswith(f"{own / 'study.toml'}: codecs[0].recipe toy.toml: ")
    assert words in line
    assert "\n" not in line


def test_two_problems_of_a_recipe_are_told_together(own: Path) -> None:
    text = RECIPE.replace("title =", "titel =").replace("help =", "halp =")
    (own / "toy.toml").write_text(text)
    with pytest.raises(CodecSettingsError) as caught:
        make_codec("command", {"recipe": "toy.toml"}, own)
    assert "toy.toml: titel is not a known key" in str(caught.value)
    assert "toy.toml: settings.release.help is missing" in str(caught.value)


@pytest.mark.parametrize("value", ['"nowhere.toml"', "3", '""'])
def test_a_recipe_that_is_not_there_is_one_line(own: Path, value: str) -> None:
    file = own / "study.toml"
    file.write_text(file.read_text().replace('"toy.toml"', value))
    with pytest.raises(StudyFileError) as caught:
        read_study(own)
    (line,) = caught.value.problems
    assert line.startswith(f"{file}: codecs[0].recipe ")
    assert "does not exist" in line or "must be the path of a recipe" in line


def test_what_study_toml_gives_is_not_blamed_on_the_recipe(own: Path) -> None:
    with pytest.raises(CodecSettingsError) as caught:
        make_codec("command", {"recipe": "toy.toml", "quality": {"start": 500}}, own)
    assert str(caught.value) == "quality.start must lie in the range, got 500"


FORMATS = ("png", "ppm", "y4m 444 8", "y4m 444 10", "y4m 420 8", "y4m 420 10", "yuv 444 10", "yuv 420 8")

#: Keeps the picture as it is and writes what it was told of its size beside it.
COPY = """
import shutil, sys
shutil.copy(sys.argv[1], sys.argv[2])
open(sys.argv[4], "a").write(sys.argv[3] + "\\n")
"""


@pytest.mark.parametrize("kind", FORMATS)
def test_pictures_come_and_go_in_every_format(tmp_path: Path, photograph: Pixels, kind: str) -> None:
    """A program that only copies: what remains is the way to samples and back, on padded odd sides."""
    (tmp_path / "copy.py").write_text(COPY)
    size = "{width}x{height}-{quality}"
    settings = {
        "encode": ["{python}", "{study}/copy.py", "{input}", "{output}", size, "{study}/told"],
        "decode": ["{python}", "{study}/copy.py", "{input}", "{output}", "{width}x{height}", "{study}/told"],
        "quality": {"range": [0, 9]},
        "input": kind,
        "padding": 8,
    }
    codec = make_codec("command", settings, tmp_path)
    pixels = photograph[:51, :77]
    bitstream = codec.encode(pixels, {"quality": 5.0})
    decode_at = codec.decode_at  # type: ignore[attr-defined]
    decoded = decode_at(bitstream, 77, 51)
    assert decoded.shape == (56, 80, 3)
    error = np.abs(decoded[:51, :77].astype(int) - pixels)
    assert error.mean() <= (4 if "420" in kind else 0.5)
    if kind in ("png", "ppm", "y4m 444 10", "yuv 444 10"):
        assert error.max() == 0
    assert (tmp_path / "told").read_text().split() == ["80x56-5", "80x56"]
    with pytest.raises(ProgramError, match="without the size of the picture"):
        codec.decode(bitstream)


def test_a_decoder_has_limits_of_its_own(tmp_path: Path, photograph: Pixels) -> None:
    (tmp_path / "slow.py").write_text("import sys, time\nif sys.argv[1] == 'dec': time.sleep(60)\n" + "")
    with (tmp_path / "slow.py").open("a") as file:
        file.write("import shutil; shutil.copy(sys.argv[2], sys.argv[3])\n")
    settings = {
        "encode": ["{python}", "{study}/slow.py", "enc", "{input}", "{output}", "{quality}"],
        "decode": ["{python}", "{study}/slow.py", "dec", "{input}", "{output}"],
        "quality": {"range": [0, 9]},
        "decode_timeout": 0.3,
    }
    codec = make_codec("command", settings, tmp_path)
    bitstream = codec.encode(photograph, {"quality": 5.0})
    with pytest.raises(ProgramError, match=r"was ended after 0\.3 s"):
        codec.decode(bitstream)


def test_a_codec_that_needs_too_much_memory_is_one_line(tmp_path: Path, photograph: Pixels) -> None:
    (tmp_path / "large.py").write_text("held = bytearray(10**11)\n")
    settings = {
        "encode": ["{python}", "{study}/large.py", "{input}", "{output}", "{quality}"],
        "decode": ["{python}", "{study}/large.py", "{input}", "{output}"],
        "quality": {"range": [0, 9]},
        "memory": 300,
    }
    codec = make_codec("command", settings, tmp_path)
    with pytest.raises(ProgramError, match="was ended: needs more than 300 MB; raise `memory`"):
        codec.encode(photograph, {"quality": 5.0})


def test_a_program_that_only_the_recipe_names_is_said_of_its_file(own: Path) -> None:
    file = own / "toy.toml"
    file.write_text(file.read_text().replace('encode = ["{python}"', 'encode = ["no-such-program"'))
    with pytest.raises(
        CodecProgramError, match=r"^recipe toy\.toml: encode names the program 'no-such-program'"
    ):
        make_codec("command", {"recipe": "toy.toml"}, own)


def test_a_decoder_out_of_time_names_the_limit_that_it_has(own: Path) -> None:
    file = own / "toy.toml"
    text = file.read_text().replace('"{study}/toycodec.py", "dec"', '"-c", "import time; time.sleep(60)"')
    file.write_text(text.replace('payload = "file"', 'payload = "file"\ndecode_timeout = 0.3'))
    codec = make_codec("command", {"recipe": "toy.toml"}, own)
    with pytest.raises(ProgramError, match=r"was ended after 0\.3 s; raise `decode_timeout`"):
        codec.decode(b"anything")
