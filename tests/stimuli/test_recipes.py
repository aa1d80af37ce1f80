"""Every shipped recipe goes the whole way: with stand-ins, and with the real programs where they are."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from stimuli.codecs.command import CommandCodec
from stimuli.codecs.recipe import shipped_recipes
from stimuli.codecs.registry import family_names, make_codec
from stimuli.encoding import encode_study
from stimuli.errors import CodecProgramError, CodecSettingsError, StudyFileError
from stimuli.manifest import Manifest, verify_manifest
from stimuli.programs import ProgramError
from stimuli.study import check_study, read_study
from stimuli.tries import try_key

Pixels = npt.NDArray[np.uint8]

STAND_INS = Path(__file__).parent / "stand_ins"
RECIPES = ("aomenc", "av2", "bpg", "cjxl", "ecm", "jpegai", "vtm", "vvenc")
#: What study.toml must say of those that need more than programs; the stand-ins find it there.
NEEDED = {"jpegai": 'home = "{folder}/checkout"\n'}
#: Arguments that keep a program on one thread, where it has any.
ONE_THREAD = {
    "aomenc": (("--threads=1", "--row-mt=0"), ("--threads=1",)),
    "av2": (("--threads=1", "--row-mt=0"), ("--threads=1",)),
    "cjxl": (("--num_threads=0",), ("--num_threads=1",)),
    "vvenc": (("-t 1", "--mtprofile 0"), ("-t 1",)),
    "jpegai": (("OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1"), ("OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1")),
}


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a program for each name that recipes run."""
    folder = tmp_path_factory.mktemp("stand-ins")
    for recipe in shipped_recipes().values():
        for name in recipe.programs.values():
            program = folder / name
            place = f"import sys; sys.path.insert(0, {str(STAND_INS)!r})"
            code = f"{place}; import programs; programs.main({name!r})"
            # The way to this Python may have a space in it, which the first line of a script cannot say.
            program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n')
            program.chmod(0o755)
    return folder


@pytest.fixture
def on_path(stand_ins: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-ins before all other programs."""
    monkeypatch.setenv("PATH", f"{stand_ins}{os.pathsep}{os.environ['PATH']}")
    return stand_ins


def write_study(studies: ModuleType, folder: Path, recipe: str, more: str = "", size: str = "96x64") -> Path:
    """A study of one picture, two rates and one recipe, with all that its stand-in looks for."""
    width, height = (int(side) for side in size.split("x"))
    more += NEEDED.get(recipe, "").replace("{folder}", str(folder))
    toml = f'name = "{recipe}"\ntargets = [1.0, 2.0]\ntolerance = 0.1\nsources = {{ folder = "sources" }}\n'
    toml += f'[[codecs]]\nname = "{recipe}"\n{more}'
    pictures = {"astronaut": studies.photographs(width, height)["astronaut"]}
    studies.write_study(folder, toml, pictures)
    for name in ("encoder_intra_vtm.cfg", "encoder_intra_ecm.cfg"):
        (folder / name).write_text("IntraPeriod : 1\n")
    checkout = folder / "checkout" / "cfg"
    (checkout / "profiles").mkdir(parents=True)
    for name in ("tools_on.json", "tools_off.json", "profiles/high.json"):
        (checkout / name).write_text("{}")
    return folder


def encoded(folder: Path) -> Manifest:
    return encode_study(read_study(folder), workers=1, progress=False)


def test_recipes_are_families() -> None:
    assert tuple(shipped_recipes()) == RECIPES
    assert set(RECIPES) <= set(family_names())
    for recipe in shipped_recipes().values():
        assert {"title", "homepage", "licence", "get", "threads"} <= set(recipe.texts), recipe.name
        assert Path(recipe.file or "").stem == recipe.name


def test_aomenc_ends_before_lossless_coding() -> None:
    """At --cq-level=0 it gives 4:4:4 of 10 bits back to the bit: another codec, as with the family av1."""
    quality = shipped_recipes()["aomenc"].command["quality"]
    assert isinstance(quality, dict)
    assert quality["range"] == [1, 63]


def test_the_table_in_the_docs_says_of_every_recipe_whether_it_was_run() -> None:
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    for name, recipe in shipped_recipes().items():
        assert ("not run by us" in rows[name]) == ("not_run" in recipe.texts), name
        assert (" @ " in rows[name]) == ("not_run" not in recipe.texts), name


def test_the_recipe_in_the_docs_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "mine.toml").write_text(next(block for block in blocks if "[settings.speed]" in block))
    for name in ("myenc", "mydec"):
        (tmp_path / name).write_text("#!/bin/sh\necho myenc version 3\n")
        (tmp_path / name).chmod(0o755)
    given = {"recipe": "mine.toml", "encoder": "./myenc", "decoder": "./mydec", "fast": True}
    codec = make_codec("command", given, tmp_path)
    assert (codec.version, codec.settings["speed"]) == ("3", 6)


@pytest.mark.usefixtures("on_path")
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_takes_the_whole_way_with_its_stand_in(
    studies: ModuleType, tmp_path: Path, recipe: str
) -> None:
    """check, encode at matched rates, decode, verify; the sides are odd, so that padding shows."""
    folder = write_study(studies, tmp_path / "a study", recipe, size="97x63")
    check_study(read_study(folder))
    manifest = encoded(folder)
    assert [stimulus.status for stimulus in manifest.stimuli] == ["matched"] * 2
    for stimulus in manifest.stimuli:
        assert (stimulus.width, stimulus.height) == (97, 63)
        assert stimulus.payload_bytes == stimulus.bytes
        kept = folder / "stimuli" / "bitstreams" / str(stimulus.bitstream)
        assert kept.stat().st_size == stimulus.bytes
    (record,) = manifest.codecs
    assert record.version == ("unknown" if recipe == "jpegai" else _stand_in_version(recipe))
    assert set(record.settings["program_sha256"]) >= set(shipped_recipes()[recipe].programs.values())  # type: ignore[call-overload]
    assert verify_manifest(folder, workers=1, progress=False) == ()


def _stand_in_version(recipe: str) -> str:
    return {"aomenc": "v0.0-stand-in", "av2": "v0.0-stand-in", "cjxl": "0.0.0"}.get(recipe, "0.0-stand-in")


@pytest.mark.usefixtures("on_path")
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_pins_one_thread(studies: ModuleType, tmp_path: Path, recipe: str) -> None:
    """Threads change the bits of libaom and AV2; the others have none, or must not have the machine's."""
    settings = {"home": str(tmp_path)} if recipe == "jpegai" else {}
    codec = make_codec(recipe, settings, write_study(studies, tmp_path / "study", recipe))
    for key, wanted in zip(("encode", "decode"), ONE_THREAD.get(recipe, ((), ())), strict=True):
        words = " ".join(codec.settings[key])  # type: ignore[arg-type]
        assert [argument for argument in wanted if f" {argument} " not in f" {words} "] == []
    if recipe not in ONE_THREAD:
        assert "has none" in shipped_recipes()[recipe].texts["threads"]


@pytest.mark.usefixtures("on_path")
def test_a_stand_in_refuses_what_the_program_does_not_know(
    studies: ModuleType, tmp_path: Path, photograph: Pixels
) -> None:
    codec = make_codec("aomenc", {"extra": ["--no-such=1"]}, tmp_path)
    with pytest.raises(ProgramError, match="Unrecognized option --no-such=1"):
        codec.encode(photograph, {"quality": 30.0, "fine": 0.0})


@pytest.mark.usefixtures("on_path")
def test_everything_of_a_recipe_can_be_said_in_study_toml(studies: ModuleType, tmp_path: Path) -> None:
    more = 'family = "av2"\ncpu_used = 6\ntimeout = 900\nmemory = 500\ninput = "y4m 420 10"\n'
    more += 'quality = { range = [100, 200] }\nextra = ["--sharpness=1"]\nencoder = "./mine"\n'
    folder = write_study(studies, tmp_path, "av2", more)
    program = folder / "mine"
    program.write_text("#!/bin/sh\necho 'AV2 Encoder 9'\n")
    program.chmod(0o755)
    (spec,) = read_study(folder).codecs
    codec = make_codec(spec.family, spec.settings, folder)
    assert isinstance(codec, CommandCodec)
    kept = codec.settings
    assert (kept["cpu_used"], kept["timeout"], kept["memory"], kept["chroma"]) == (6, 900, 500, "444")
    assert (codec.scales[0].low, codec.scales[0].high, codec.scales[0].increasing) == (100, 200, False)
    assert "--sharpness=1" in codec._encode
    assert "--cpu-used=6" in codec._encode
    assert codec._encode[0] == str(program)
    assert codec.location.startswith(str(program))


@pytest.mark.usefixtures("on_path")
def test_a_manifest_makes_the_codec_again_whatever_the_recipe_says_later(tmp_path: Path) -> None:
    codec = make_codec("aomenc", {"fast": True, "chroma": "420"}, tmp_path)
    assert codec.settings["cpu_used"] == 6
    assert "fast" not in codec.settings
    again = make_codec("aomenc", dict(codec.settings), tmp_path)
    assert again.settings == codec.settings
    assert again.scales == codec.scales


@pytest.mark.usefixtures("on_path")
def test_fast_settings_bracket_the_slow_ones_where_the_recipe_says_so(tmp_path: Path) -> None:
    slow = make_codec("aomenc", {}, tmp_path)
    assert isinstance(slow, CommandCodec)
    assert slow.preview is not None
    assert (slow.settings["cpu_used"], slow.preview.settings["cpu_used"]) == (2, 6)
    assert slow.preview.scales == slow.scales
    for settings in ({"fast": True}, {"cpu_used": 6}):
        quick = make_codec("aomenc", settings, tmp_path)
        assert isinstance(quick, CommandCodec)
        assert quick.preview is None
    assert getattr(make_codec("cjxl", {}, tmp_path), "preview", None) is None


@pytest.mark.usefixtures("on_path")
def test_a_raised_limit_finds_its_tries_in_the_cache_and_a_setting_does_not(tmp_path: Path) -> None:
    keys = [
        try_key("pixels", "av2", make_codec("av2", settings, tmp_path), {"quality": 1.0})
        for settings in ({}, {"timeout": 90000, "decode_timeout": 90000, "memory": 9000}, {"cpu_used": 8})
    ]
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]


def test_a_rebuilt_program_is_another_codec(stand_ins: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    shutil.copytree(stand_ins, folder)
    own = {"encoder": str(folder / "cjxl"), "decoder": str(folder / "djxl")}
    keys = []
    for addition in ("", "# rebuilt\n"):
        with (folder / "djxl").open("a") as program:
            program.write(addition)
        keys.append(try_key("pixels", "cjxl", make_codec("cjxl", own, tmp_path), {"quality": 1.0}))
    assert keys[0] != keys[1]


BAD_SETTINGS = {
    "out of range": ("cpu_used = 12", "cpu_used must lie between 0 and 9, got 12"),
    "not a choice": ('chroma = "422"', "chroma must be one of '444', '420', got '422'"),
    "unknown": ("speed = 3", "speed is not a setting of this family; it takes cpu_used, "),
    "another type": ('cpu_used = "6"', "cpu_used must be a whole number, got '6'"),
    "memory": ("memory = 0", "memory must be a whole number of megabytes from 1 to 4000000, got 0"),
    "decode_timeout": ("decode_timeout = -1", "decode_timeout must be a positive number of seconds"),
    "padding": ("padding = 0", "padding must be a whole number of pixels from 1 to 256, got 0"),
    "payload": ('payload = "all"', "payload must be one of 'container', 'file', got 'all'"),
    "format": ('input = "y4m 411 10"', "input must be png, ppm, or y4m or yuv with its chroma and bits"),
    "program": ("encoder = 3", "encoder must be the name or path of a program, got 3"),
    "pattern": ('version_pattern = "("', "version_pattern is not a regular expression"),
    "extra": ("extra = 3", "extra must be a list of texts"),
    "fast": ("fast = 1", "fast must be true or false, got 1"),
}


@pytest.mark.usefixtures("on_path")
@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_a_setting_that_is_wrong_is_one_line_of_study_toml(
    studies: ModuleType, tmp_path: Path, case: str
) -> None:
    more, words = BAD_SETTINGS[case]
    folder = write_study(studies, tmp_path, "av2", more + "\n")
    with pytest.raises(StudyFileError) as caught:
        read_study(folder)
    (line,) = caught.value.problems
    assert line.startswith(f"{folder / 'study.toml'}: codecs[0].{words}")


def test_a_program_that_is_absent_is_told_with_how_to_get_it(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_study(studies, tmp_path / "study", "av2")
    monkeypatch.setenv("PATH", str(tmp_path))
    study = read_study(folder)
    with pytest.raises(StudyFileError) as caught:
        check_study(study)
    (line,) = caught.value.problems
    get = shipped_recipes()["av2"].texts["get"]
    assert f": codecs[0].encoder names the program 'avmenc', which is not on PATH; {get}" in line


@pytest.mark.usefixtures("on_path")
def test_a_file_of_a_recipe_that_is_absent_is_told_and_one_that_changed_is_another_codec(
    studies: ModuleType, tmp_path: Path
) -> None:
    folder = write_study(studies, tmp_path, "vtm")
    before = make_codec("vtm", {}, folder).settings
    (folder / "encoder_intra_vtm.cfg").write_text("IntraPeriod : 1\nCTUSize : 64\n")
    assert make_codec("vtm", {}, folder).settings != before
    (folder / "encoder_intra_vtm.cfg").unlink()
    with pytest.raises(
        CodecProgramError, match=r"config names the file .*intra_vtm\.cfg, which does not exist"
    ):
        make_codec("vtm", {}, folder)
    with pytest.raises(CodecSettingsError, match="home is missing; it is the folder of the checkout"):
        make_codec("jpegai", {}, folder)


def real(recipe: str) -> CommandCodec:
    """The recipe with the real programs; skips the test where they are not."""
    try:
        codec = make_codec(recipe, {"fast": True} if shipped_recipes()[recipe].fast else {}, Path.cwd())
    except CodecProgramError as error:
        pytest.skip(f"{recipe}: {error}")
    assert isinstance(codec, CommandCodec)
    return codec


RUN = tuple(name for name, recipe in shipped_recipes().items() if "not_run" not in recipe.texts)


@pytest.mark.parametrize("recipe", RUN)
def test_the_real_programs_take_what_the_recipe_says(recipe: str, studies: ModuleType) -> None:
    """On odd sides: the picture comes back, both scales turn the way that they say, and bytes repeat."""
    codec = real(recipe)
    pixels = studies.photographs(65, 49)["chelsea"]
    start = {scale.name: scale.first for scale in codec.scales}
    bitstream = codec.encode(pixels, start)
    assert codec.encode(pixels, start) == bitstream
    decoded = codec.decode_at(bitstream, 65, 49)[:49, :65]
    assert decoded.shape == pixels.shape
    assert 10 * np.log10(255**2 / np.mean((decoded.astype(float) - pixels) ** 2)) > 25
    for scale in codec.scales:
        worse = scale.smallest
        if scale.name == "quality":
            worse = scale.first * 2 if scale.log else scale.first + 8
        shorter = codec.encode(pixels, start | {scale.name: worse})
        assert len(shorter) < len(bitstream) or scale.turns, scale.name
    assert "stand-in" not in codec.version
