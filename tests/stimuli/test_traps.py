"""Traps of real codecs that were met once, and would be met again: docs/codec-traps.md lists them all."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
import skimage.data
from PIL import Image

from stimuli.codecs.base import Codec
from stimuli.codecs.recipe import shipped_recipes
from stimuli.codecs.registry import make_codec
from stimuli.colour import YuvFormat, planes_to_rgb, rgb_to_planes
from stimuli.encoding import encode_study
from stimuli.manifest import Manifest, bitstream_path
from stimuli.matching import match_targets
from stimuli.pictures import load_picture
from stimuli.study import Stimulus, read_study

Pixels = npt.NDArray[np.uint8]

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = Path(skimage.data.__file__ or "").parent
#: One codec of each family of the wheels, as quick as it gets.
QUICK = {
    "jpeg": "",
    "mozjpeg": "",
    "webp": "",
    "jpeg2000": "",
    "avif": "speed = 9",
    "heic": 'preset = "ultrafast"',
    "jpegxl": "effort = 3",
    "av1": "fast = true",
    "svtav1": "fast = true",
    "vvc": "fast = true",
}


def at(codec: Codec, value: float) -> dict[str, float]:
    """A value of the coarse scale, with the fine one at its start."""
    return {scale.name: scale.first for scale in codec.scales} | {codec.scales[0].name: value}


def encoded(folder: Path) -> Manifest:
    return encode_study(read_study(folder), workers=1, progress=False, isolated=False)


def timeless(stimuli: tuple[Stimulus, ...]) -> list[Stimulus]:
    return [replace(stimulus, encode_s=None, decode_s=None) for stimulus in stimuli]


@pytest.mark.parametrize("picture", ["astronaut", "chelsea"])
def test_the_profile_of_a_real_photograph_reaches_no_bitstream(
    studies: ModuleType, tmp_path: Path, picture: str
) -> None:
    """Its 3,144 bytes once put the floor of HEIC at .467 bpp, where it is .099."""
    with Image.open(PHOTOGRAPHS / f"{picture}.png") as opened:
        profile = opened.info["icc_profile"]
        small = opened.convert("RGB").crop((200, 60, 264, 108))
    assert len(profile) == 3144
    codecs = "".join(f'[[codecs]]\nname = "{name}"\n{more}\n' for name, more in QUICK.items())
    toml = 'name = "bare"\ntargets = [1.5]\ntolerance = 0.1\nmetrics = []\nallow_mismatch = true\n'
    toml += f'sources = {{ folder = "sources" }}\n{codecs}'
    found = []
    for tagged in (True, False):
        folder = studies.write_study(tmp_path / str(tagged), toml, {})
        file = folder / "sources" / "a.png"
        small.save(file, icc_profile=profile)
        if not tagged:
            Image.fromarray(load_picture(file)).save(file)
        with Image.open(file) as written:
            assert ("icc_profile" in written.info) == tagged
        manifest = encoded(folder)
        assert len(manifest.stimuli) == len(QUICK)
        for stimulus in manifest.stimuli:
            data = bitstream_path(folder, str(stimulus.bitstream)).read_bytes()
            assert not re.search(rb"acsp|ICC|iCCP|prof", data), stimulus.codec
        found.append(timeless(manifest.stimuli))
    assert found[0] == found[1]


@pytest.mark.parametrize(("family", "low", "high"), [("webp", 10, 70), ("jpegxl", 0, 12)])
@pytest.mark.parametrize("picture", ["astronaut", "chelsea"])
def test_a_rate_is_met_where_the_sizes_of_a_real_codec_go_up_and_down(
    studies: ModuleType, family: str, low: int, high: int, picture: str
) -> None:
    """A better quality of WebP and of JPEG XL makes smaller files now and then."""
    pixels = studies.photographs()[picture]
    codec = make_codec(family, {"effort": 3} if family == "jpegxl" else {}, Path())
    names = [scale.name for scale in codec.scales]
    sizes: dict[tuple[float, ...], int] = {}

    def measure(point: tuple[float, ...]) -> int:
        if point not in sizes:
            sizes[point] = len(codec.encode(pixels, dict(zip(names, point, strict=True))))
        return sizes[point]

    quarters = [measure(tuple(at(codec, value / 4).values())) for value in range(4 * low, 4 * high)]
    reversals = [(a, b) for a, b in itertools.pairwise(quarters) if b < a]
    assert len(reversals) >= 3
    # On so small a picture even the end of a range may not be its smallest file.
    targets = sorted({float(size) for pair in reversals for size in pair if size > quarters[0]})
    assert len(targets) >= 5
    asked: list[tuple[float, ...]] = []

    def counted(point: tuple[float, ...]) -> int:
        asked.append(point)
        return measure(point)

    matches = match_targets(codec.scales, targets, 0.01, counted)
    assert [match.status for match in matches] == ["matched"] * len(targets)
    assert len(set(asked)) <= 4 * len(targets)
    for match, target in zip(matches, targets, strict=True):
        assert abs(match.size / target - 1) <= 0.01
        assert match.size == sizes[match.point]


SETTINGS = {
    # Adaptive quantisation of vvenc: half as much again on one picture, twice as much on another.
    "vvc": ("fast = true", "fast = true\nqpa = true", 32.0, (1.4, 1.9)),
    # A higher effort that makes the larger file.
    "jpegxl": ("effort = 3", "effort = 7", 80.0, (1.005, 1.005)),
}


@pytest.mark.parametrize("family", SETTINGS)
def test_every_setting_is_searched_for_itself(studies: ModuleType, tmp_path: Path, family: str) -> None:
    """What one setting needs for a rate says nothing of another, nor does a higher effort mean less."""
    plain, other, value, least = SETTINGS[family]
    pictures = studies.photographs()
    toml = 'name = "settings"\ntargets = [1.5]\nmetrics = []\nsources = { folder = "sources" }\n'
    for name, more in (("plain", plain), ("other", other)):
        toml += f'[[codecs]]\nname = "{name}"\nfamily = "{family}"\n{more}\n'
    manifest = encoded(studies.write_study(tmp_path, toml, pictures))
    codecs = {c.name: make_codec(c.family, c.settings, tmp_path) for c in manifest.codecs}
    for pixels, ratio in zip(pictures.values(), least, strict=True):
        one, two = (len(codecs[name].encode(pixels, at(codecs[name], value))) for name in ("plain", "other"))
        assert two > ratio * one
    for stimulus in manifest.stimuli:
        assert stimulus.status == "matched"
        assert stimulus.quality is not None
        again = codecs[stimulus.codec].encode(pictures[stimulus.source], stimulus.quality)
        assert len(again) == stimulus.bytes
        assert bitstream_path(tmp_path, str(stimulus.bitstream)).read_bytes() == again
    for source in pictures:
        qualities = [s.quality for s in manifest.stimuli if s.source == source]
        assert qualities[0] != qualities[1]


@pytest.mark.parametrize("family", ["av1", "svtav1"])
def test_no_end_of_a_range_is_lossless_av1(family: str) -> None:
    """At crf 0 both encoders change to lossless coding, another codec with other tools."""
    codec = make_codec(family, {"fast": True, "tune": "psnr"}, Path())
    noise = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    ends = [at(codec, codec.scales[0].largest) | {fine.name: fine.largest} for fine in codec.scales[1:]]
    format = YuvFormat("444" if family == "av1" else "420", 10)
    exact = planes_to_rgb(rgb_to_planes(noise, format), format)
    for quality in (at(codec, codec.scales[0].largest), *ends):
        assert not np.array_equal(codec.decode(codec.encode(noise, quality)), exact)


def test_both_kinds_of_jpeg_have_one_decoder(studies: ModuleType) -> None:
    """Decoders upsample chroma in ways of their own: a difference between codecs would be theirs."""
    pixels = studies.photographs()["astronaut"]
    jpeg, mozjpeg = (make_codec(family, {}, Path()) for family in ("jpeg", "mozjpeg"))
    for codec in (jpeg, mozjpeg):
        bitstream = codec.encode(pixels, at(codec, 60))
        assert np.array_equal(jpeg.decode(bitstream), mozjpeg.decode(bitstream))


# Programs -------------------------------------------------------------------------------------------------

#: What the real programs take: whole numbers between these, other numbers are cut without a word or refused.
WHOLE = {
    "aomenc": (0, 63),
    "av2": (0, 255),
    "bpg": (0, 51),
    "vvenc": (0, 63),
    "vtm": (-12, 63),
    "ecm": (-12, 63),
}


def scale_of(recipe: str, name: str) -> Mapping[str, object]:
    scale = shipped_recipes()[recipe].command[name]
    assert isinstance(scale, Mapping)
    return scale


@pytest.mark.parametrize("recipe", WHOLE)
def test_no_program_is_sent_a_fraction_of_a_quality(recipe: str) -> None:
    """VTM takes 30.9 for 30, and bpgenc 28.4 for 28: a search would believe in steps that are not there."""
    scale = scale_of(recipe, "quality")
    assert scale.get("step", 1) == 1
    low, high = scale["range"]  # type: ignore[misc]
    assert float(low).is_integer()
    assert WHOLE[recipe][0] <= low < high <= WHOLE[recipe][1]


def test_cjxl_is_asked_for_nothing_beyond_the_distance_where_its_files_grow() -> None:
    """From 20 on it codes at half the size, and at 20.2 a file is 15 % larger than at 19.8."""
    assert scale_of("cjxl", "quality")["range"] == [0.01, 20]


def test_fine_scales_of_programs_are_those_that_do_something() -> None:
    """The strength of aomenc does nothing in its modes 0 to 3, and bpgenc has nothing of the kind."""
    encode = shipped_recipes()["aomenc"].command["encode"]
    assert isinstance(encode, list)
    assert {"--deltaq-mode=4", "--deltaq-strength={fine}"} <= set(encode)
    assert "fine" not in shipped_recipes()["bpg"].command


@pytest.mark.parametrize("recipe", shipped_recipes())
def test_a_program_decodes_what_its_own_encoder_made(recipe: str) -> None:
    """Two versions of libjxl differ by a level on half the pixels: no library decodes for a program."""
    command = shipped_recipes()[recipe].command
    encode, decode = command["encode"], command["decode"]
    assert isinstance(encode, list)
    assert isinstance(decode, list)
    programs = set(shipped_recipes()[recipe].programs)
    assert {word.strip("{}") for word in encode} & programs
    assert {word.strip("{}") for word in decode} & programs


def test_programs_of_half_chroma_get_even_sides() -> None:
    """vvencapp refuses odd ones, and VTM aborts."""
    for recipe in ("vvenc", "vtm", "ecm"):
        assert shipped_recipes()[recipe].command["padding"] == 2
    assert shipped_recipes()["vvenc"].command["input"] == "y4m 420 10"


# The page -------------------------------------------------------------------------------------------------


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "codec-traps.md").read_text()
    groups = re.findall(r"((?:`test_\w+`(?:, | and )?)+) in `([\w/]+\.py)`", page)
    named = [(name, file) for names, file in groups for name in re.findall(r"test_\w+", names)]
    assert len(named) == len(re.findall(r"`test_\w+`", page)) > 50
    for name, file in named:
        path = ROOT / "tests" / (file if "/" in file else f"stimuli/{file}")
        assert re.search(rf"^def {name}\(", path.read_text(), re.M), f"{file} has no {name}"
