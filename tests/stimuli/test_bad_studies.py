"""Bad study.toml and bad pictures: each gives one line that names file and key, and nothing is written."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from stimuli.encoding import encode_study
from stimuli.errors import StudyFileError
from stimuli.study import check_study, read_study

Pixels = npt.NDArray[np.uint8]

GOOD = """
name = "good"
title = "A good study"
targets = [0.5, 1.0]
tolerance = 0.01
seed = 3
session_length = 20
sources = { folder = "sources" }
[pairing]
same_rate = true
[[codecs]]
name = "jpeg"
[[codecs]]
name = "webp"
method = 4
"""


def problems_of(folder: Path) -> tuple[str, ...]:
    """Everything that reading and checking finds."""
    try:
        study = read_study(folder)
    except StudyFileError as error:
        return error.problems
    try:
        check_study(study)
    except StudyFileError as error:
        return error.problems
    return ()


def test_the_good_study_has_no_problem(studies: ModuleType, tmp_path: Path) -> None:
    assert problems_of(studies.write_study(tmp_path, GOOD)) == ()


#: what is replaced, by what, the key that the line must name, and words that it must hold
BAD_FILES: dict[str, tuple[str, str, str, str]] = {
    "no TOML": ("title =", "title", "", "is not TOML"),
    "unknown key": ("seed =", "sed =", "sed", "not a known key; did you mean 'seed'"),
    "unknown pairing": (
        "same_rate = true",
        "same_rat = true",
        "pairing.same_rat",
        "did you mean 'same_rate'",
    ),
    "unknown sources key": (
        'folder = "sources"',
        'folder = "sources", shows = 1',
        "sources.shows",
        "not a known",
    ),
    "unknown codec setting": ("method = 4", "metod = 4", "codecs[1].metod", "not a setting"),
    "no name": ('name = "good"\n', "", "name", "is missing"),
    "name with spaces": ('name = "good"', 'name = "so good"', "name", "must be letters"),
    "name not text": ('name = "good"', "name = 3", "name", "must be text, got 3"),
    "empty title": ('"A good study"', '" "', "title", "must be text"),
    "no targets": ("targets = [0.5, 1.0]\n", "", "targets", "is missing"),
    "empty targets": ("[0.5, 1.0]", "[]", "targets", "at least one"),
    "target zero": ("[0.5, 1.0]", "[0.5, 0]", "targets[1]", "must be a positive number"),
    "target negative": ("[0.5, 1.0]", "[-0.5, 1.0]", "targets[0]", "must be a positive number"),
    "target infinite": ("[0.5, 1.0]", "[0.5, inf]", "targets[1]", "must be a positive number"),
    "target not a number": ("[0.5, 1.0]", "[0.5, nan]", "targets[1]", "must be a positive number"),
    "target text": ("[0.5, 1.0]", '[0.5, "1"]', "targets[1]", "must be a positive number"),
    "target true": ("[0.5, 1.0]", "[0.5, true]", "targets[1]", "must be a positive number"),
    "target repeated": ("[0.5, 1.0]", "[0.5, 1.0, 0.50]", "targets[2]", "repeats"),
    "target above bare pixels": ("[0.5, 1.0]", "[0.5, 50]", "targets[1]", "above the 24 bpp"),
    "tolerance zero": ("tolerance = 0.01", "tolerance = 0", "tolerance", "above 0"),
    "tolerance in percent": ("tolerance = 0.01", "tolerance = 1", "tolerance", "up to 0.5"),
    "seed negative": ("seed = 3", "seed = -3", "seed", "whole number"),
    "session length zero": ("session_length = 20", "session_length = 0", "session_length", "whole number"),
    "workers as text": ("seed = 3", 'seed = 3\nworkers = "two"', "workers", "whole number"),
    "mismatch as text": ("seed = 3", 'seed = 3\nallow_mismatch = "yes"', "allow_mismatch", "true or false"),
    "pairing as list": ("[pairing]\nsame_rate = true", "pairing = 3", "pairing", "must be a table"),
    "no pair left": (
        "same_rate = true",
        "same_rate = false\nadjacent_within = false\nadjacent_across = false",
        "pairing",
        "allows no pair",
    ),
    "target below any file": ("[0.5, 1.0]", "[5e-324, 1.0]", "targets[0]", "is below 1e-06 bpp"),
    "too many targets": (
        "[0.5, 1.0]",
        str([i / 1000 for i in range(1, 10_001)]),
        "targets",
        "has 10000 rate points; the most is 100",
    ),
    "number of 400 digits": ("seed = 3", "seed = 1" + "0" * 400, "seed", "more than 64 bits"),
    "number of 5000 digits": ("seed = 3", "seed = " + "9" * 5000, "", "is not TOML"),
    "brackets without end": ("seed = 3", "seed = " + "[" * 5000, "", "is not TOML"),
    "sources as text": (
        'sources = { folder = "sources" }',
        'sources = "sources"',
        "sources",
        "must be a table or a list of tables, got 'sources'",
    ),
    "no table of sources": ('sources = { folder = "sources" }', "sources = []", "sources", "must be a table"),
    "folder with a line break": ('"sources" }', '"a\\nb" }', "sources.folder", "is not a folder: a b"),
    "folder with a long name": ('"sources" }', f'"{"a" * 5000}" }}', "sources.folder", "File name too long"),
    "no sources": ('sources = { folder = "sources" }\n', "", "sources", "is missing"),
    "no such folder": ('"sources" }', '"photos" }', "sources.folder", "is not a folder: photos"),
    "folder without pictures": ('"sources" }', '"empty" }', "sources.folder", "holds no PNG"),
    "missing file": (
        '{ folder = "sources" }',
        '{ files = ["b.png"] }',
        "sources.files[0]",
        "b.png does not exist",
    ),
    "files not a list": ('{ folder = "sources" }', '{ files = "b.png" }', "sources.files", "must be a list"),
    "one name twice": (
        '{ folder = "sources" }',
        '{ folder = "sources", files = ["other/chelsea.tif"] }',
        "sources.files[0]",
        "gives the source name 'chelsea' twice: sources/chelsea.png and other/chelsea.tif",
    ),
    "crop outside": (
        '{ folder = "sources" }',
        '{ folder = "sources", crops = { chelsea = [100, 0, 64, 64] } }',
        "sources.crops.chelsea",
        "must lie in the 128x96 picture",
    ),
    "crop of nobody": (
        '{ folder = "sources" }',
        '{ folder = "sources", crops = { chelsa = [0, 0, 64, 64] } }',
        "sources.crops.chelsa",
        "names no source",
    ),
    "show too small": (
        '{ folder = "sources" }',
        '{ folder = "sources", show = [8, 8] }',
        "sources.show",
        "must be [width, height]",
    ),
    "unknown place": (
        '{ folder = "sources" }',
        '{ folder = "sources", place = "corner" }',
        "sources.place",
        "must be one of centre, random",
    ),
    "codec twice": ('name = "webp"', 'name = "jpeg"', "codecs[1].name", "repeats 'jpeg'"),
    "codec called reference": (
        'name = "webp"',
        'name = "reference"\nfamily = "webp"',
        "codecs[1].name",
        "must not be 'reference'",
    ),
    "codec with an at sign": (
        'name = "webp"',
        'name = "webp@2"\nfamily = "webp"',
        "codecs[1].name",
        "must be letters",
    ),
    "unknown family": ('name = "webp"', 'name = "wepb"', "codecs[1].family", "did you mean 'webp'"),
    "setting out of range": ("method = 4", "method = 9", "codecs[1].method", "between 2 and 6"),
    "setting of another type": ("method = 4", 'method = "4"', "codecs[1].method", "must be a whole number"),
    "setting not offered": (
        'name = "jpeg"',
        'name = "jpeg"\nsubsampling = "4:1:1"',
        "codecs[0].subsampling",
        "must be one of '4:2:0'",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_study_file_gives_one_line(studies: ModuleType, tmp_path: Path, case: str) -> None:
    before, after, key, words = BAD_FILES[case]
    assert before in GOOD
    folder = studies.write_study(tmp_path, GOOD.replace(before, after))
    (folder / "empty").mkdir()
    (folder / "other").mkdir()
    Image.new("RGB", (64, 64)).save(folder / "other" / "chelsea.tif")
    problems = problems_of(folder)
    assert len(problems) == 1, problems
    (line,) = problems
    assert line.startswith(f"{folder / 'study.toml'}: {key}")
    assert words in line
    assert "\n" not in line


COMMAND = """
name = "mine"
family = "command"
encode = ["{python}", "{input}", "{output}", "{quality}"]
decode = ["{python}", "{input}", "{output}"]
quality = { range = [0, 63] }
"""

BAD_COMMANDS: dict[str, tuple[str, str, str, str]] = {
    "encode as text": (
        '["{python}", "{input}", "{output}", "{quality}"]',
        '"enc"',
        "encode",
        "must be a list",
    ),
    "no quality in it": (', "{quality}"]', "]", "encode", "must use {quality}"),
    "no output": (
        'decode = ["{python}", "{input}", "{output}"]',
        'decode = ["x"]',
        "decode",
        "must use {input}",
    ),
    "unknown placeholder": ('"{quality}"]', '"{quality}", "{q}"]', "encode", "unknown placeholder {q}"),
    "fine without a scale": ('"{quality}"]', '"{quality}", "{fine}"]', "encode", "no `fine` scale"),
    "no scale": ("quality = { range = [0, 63] }", "", "quality", "is missing"),
    "range reversed": ("[0, 63]", "[63, 0]", "quality", "low below its high"),
    "range of one": ("[0, 63]", "[63]", "quality.range", "must be two numbers"),
    "unknown direction": ("[0, 63]", '[0, 63], direction = "left"', "quality.direction", "'up', 'down'"),
    "start outside": ("[0, 63]", "[0, 63], start = 70", "quality.start", "must lie in the range"),
    "unknown scale key": ("[0, 63]", "[0, 63], steps = 1", "quality.steps", "is not known"),
    "step not a number": ("[0, 63]", "[0, 63], step = nan", "quality.step", "must be a number"),
    "step too small": ("[0, 63]", "[0, 63], step = 1e-300", "quality", "at most 1e+12 steps"),
    "range too wide": ("[0, 63]", "[-1e308, 1e308]", "quality", "at most 1e+12 steps"),
    "timeout infinite": (
        'family = "command"',
        'family = "command"\ntimeout = inf',
        "timeout",
        "positive number of seconds up to",
    ),
    "no program": (
        'encode = ["{python}", "{input}"',
        'encode = ["{input}"',
        "encode",
        "must begin with a program",
    ),
    "version of a picture": (
        'family = "command"',
        'family = "command"\nversion = ["{python}", "{input}"]',
        "version",
        "unknown placeholder {input}",
    ),
    "timeout zero": ('family = "command"', 'family = "command"\ntimeout = 0', "timeout", "positive number"),
    "extension with a dot": (
        'family = "command"',
        'family = "command"\nextension = ".x"',
        "extension",
        "letters",
    ),
    "unknown key": ('family = "command"', 'family = "command"\nshell = true', "shell", "is not a setting"),
}


@pytest.mark.parametrize("case", BAD_COMMANDS)
def test_bad_command_gives_one_line(studies: ModuleType, tmp_path: Path, case: str) -> None:
    before, after, key, words = BAD_COMMANDS[case]
    assert before in COMMAND
    toml = GOOD.replace('name = "webp"\nmethod = 4', COMMAND.replace(before, after))
    (line,) = problems_of(studies.write_study(tmp_path, toml))
    assert line.startswith(f"{tmp_path / 'study.toml'}: codecs[1].{key}")
    assert words in line


def test_absent_program_is_said_by_check_and_not_by_reading(studies: ModuleType, tmp_path: Path) -> None:
    toml = GOOD.replace('name = "webp"\nmethod = 4', COMMAND.replace('"{python}"', '"./mycodec"'))
    study = read_study(studies.write_study(tmp_path, toml))
    with pytest.raises(StudyFileError) as caught:
        check_study(study)
    (line,) = caught.value.problems
    assert line.startswith(f"{tmp_path / 'study.toml'}: codecs[1].encode names the program ")
    assert f"{tmp_path / 'mycodec'}, which does not exist" in line
    with pytest.raises(StudyFileError, match="mycodec, which does not exist"):
        encode_study(study, progress=False)


def png_header(width: int, height: int, depth: int = 8, kind: int = 2) -> bytes:
    """The start of a PNG that claims a size, followed by little."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body


def _save(name: str, mode: str, **options: object) -> Callable[[Path, Pixels], str]:
    def write(folder: Path, pixels: Pixels) -> str:
        Image.fromarray(pixels).convert(mode).save(folder / name, **options)
        return name

    return write


def _cut(name: str, **options: object) -> Callable[[Path, Pixels], str]:
    def write(folder: Path, pixels: Pixels) -> str:
        Image.fromarray(pixels).save(folder / name, **options)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) * 2 // 3])
        return name

    return write


def _bytes(name: str, data: bytes) -> Callable[[Path, Pixels], str]:
    def write(folder: Path, pixels: Pixels) -> str:
        (folder / name).write_bytes(data)
        return name

    return write


def _pages(folder: Path, pixels: Pixels) -> str:
    image = Image.fromarray(pixels)
    image.save(folder / "bad.tif", save_all=True, append_images=[image])
    return "bad.tif"


def _damaged(folder: Path, pixels: Pixels) -> str:
    Image.fromarray(pixels).save(folder / "bad.png")
    data = bytearray((folder / "bad.png").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / "bad.png").write_bytes(data)
    return "bad.png"


def _float(folder: Path, pixels: Pixels) -> str:
    Image.fromarray(pixels[..., 0].astype(np.float32)).save(folder / "bad.tif")
    return "bad.tif"


def _tiff(**options: object) -> Callable[[Path, Pixels], str]:
    def write(folder: Path, pixels: Pixels) -> str:
        sixteen = pixels * np.uint16(257)
        if options.get("planarconfig") == "separate":
            sixteen = np.ascontiguousarray(sixteen.transpose(2, 0, 1))
        elif "extrasamples" in options:
            sixteen = np.dstack([sixteen, sixteen[..., 0]])
        tifffile.imwrite(folder / "bad.tif", sixteen, photometric="rgb", metadata=None, **options)
        return "bad.tif"

    return write


def _without_end(folder: Path, pixels: Pixels) -> str:
    Image.fromarray(pixels).save(folder / "bad.png")
    (folder / "bad.png").write_bytes((folder / "bad.png").read_bytes()[:-14])
    return "bad.png"


def _hdr(folder: Path, pixels: Pixels) -> str:
    """A PNG that says BT.2100 PQ by a cICP chunk behind its header."""
    Image.fromarray(pixels).save(folder / "bad.png")
    data = (folder / "bad.png").read_bytes()
    body = b"cICP" + bytes([9, 16, 0, 1])
    chunk = struct.pack(">I", 4) + body + struct.pack(">I", zlib.crc32(body))
    (folder / "bad.png").write_bytes(data[:33] + chunk + data[33:])
    return "bad.png"


BAD_PICTURES: dict[str, tuple[Callable[[Path, Pixels], str], str]] = {
    "CMYK JPEG": (_save("bad.jpg", "CMYK"), "is CMYK; convert it to RGB"),
    "CMYK TIFF": (_save("bad.tif", "CMYK"), "is CMYK; convert it to RGB"),
    "alpha": (_save("bad.png", "RGBA"), "has an alpha channel"),
    "grey with alpha": (_save("bad.png", "LA"), "has an alpha channel"),
    "transparent palette": (_save("bad.png", "P", transparency=0), "has an alpha channel"),
    "16-bit alpha": (_bytes("bad.png", png_header(64, 64, 16, 6)), "has an alpha channel"),
    "floating point": (_float, "has pixels of kind 'F'"),
    "Lab": (_save("bad.tif", "LAB"), "has pixels of kind 'LAB'"),
    "cut PNG": (_cut("bad.png"), "is truncated"),
    "cut JPEG": (_cut("bad.jpg"), "is truncated"),
    "cut PPM": (_cut("bad.ppm"), "is truncated"),
    "cut TIFF": (_cut("bad.tif"), "is truncated"),
    "cut deflated TIFF": (_cut("bad.tif", compression="tiff_adobe_deflate"), "is no whole PNG"),
    "damaged PNG": (_damaged, "cannot be read"),
    "empty file": (_bytes("bad.png", b""), "is no whole PNG, TIFF, PPM or JPEG"),
    "text": (_bytes("bad.png", b"this is no picture at all"), "is no whole PNG, TIFF, PPM or JPEG"),
    "a GIF in disguise": (_save("bad.png", "P", format="GIF"), "is no whole PNG, TIFF, PPM or JPEG"),
    "bomb by area": (_bytes("bad.png", png_header(16000, 16000)), "80,000,000 pixels"),
    "bomb by side": (_bytes("bad.png", png_header(60000, 16)), "is 60000x16"),
    "bomb beyond Pillow's own limit": (_bytes("bad.png", png_header(60000, 60000)), "80,000,000 pixels"),
    "tiny": (_bytes("bad.ppm", b"P6\n4 4\n255\n" + bytes(48)), "is 4x4; the least is 16"),
    "two pages": (_pages, "holds more than one picture"),
    "16 bit in planes": (_tiff(planarconfig="separate"), "keeps 16-bit colours in separate planes"),
    "a fourth channel": (_tiff(extrasamples=["unspecified"]), "has a channel besides its colours"),
    "PNG without its last bytes": (_without_end, "is truncated"),
    "HDR": (_hdr, "has a cICP chunk of another colour space"),
    "broken profile": (_save("bad.png", "RGB", icc_profile=b"x" * 200), "has an ICC profile that cannot"),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_bad_picture_gives_one_line(
    studies: ModuleType, tmp_path: Path, photograph: Pixels, case: str
) -> None:
    """The line names study.toml, the key and the picture; the good picture beside it is not mentioned."""
    write, words = BAD_PICTURES[case]
    folder = studies.write_study(tmp_path, GOOD)
    name = write(folder / "sources", photograph)
    problems = problems_of(folder)
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{folder / 'study.toml'}: sources")
    assert f"sources/{name} " in problems[0]
    assert words in problems[0]
    assert "\n" not in problems[0]


def test_every_problem_is_told_at_once(studies: ModuleType, tmp_path: Path, photograph: Pixels) -> None:
    """Four faults in one file make four lines in one run."""
    toml = (
        GOOD.replace("[0.5, 1.0]", "[0, 1.0]").replace("seed = 3", "seeds = 3").replace("method = 4", "x = 1")
    )
    folder = studies.write_study(tmp_path, toml)
    Image.fromarray(photograph).convert("CMYK").save(folder / "sources" / "bad.jpg")
    assert len(problems_of(folder)) == 4


@pytest.mark.parametrize("case", ["cut PNG", "damaged PNG"])
def test_encoding_meets_a_bad_picture_before_any_encode(
    studies: ModuleType, tmp_path: Path, photograph: Pixels, case: str
) -> None:
    """A picture that breaks after its header is told by encode too, and no manifest is written."""
    folder = studies.write_study(tmp_path, GOOD)
    BAD_PICTURES[case][0](folder / "sources", photograph)
    with pytest.raises(StudyFileError, match=r"bad\.png"):
        encode_study(read_study(folder), workers=1, progress=False)
    assert not (folder / "stimuli" / "manifest.json").exists()
    assert not (folder / "stimuli" / "bitstreams").exists()


def test_missing_study_file_names_the_command_that_writes_one(tmp_path: Path) -> None:
    (line,) = problems_of(tmp_path / "study.toml")
    assert line == f"{tmp_path / 'study.toml'}: does not exist; `matchrate init DIR` writes one"
