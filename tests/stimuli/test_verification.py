"""One flipped byte in each kind of artefact, and everything else that may drift apart, is told."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stimuli.encoding import encode_study
from stimuli.manifest import (
    Manifest,
    bitstream_path,
    manifest_path,
    picture_path,
    read_manifest,
    verify_manifest,
)
from stimuli.pictures import png_bytes
from stimuli.study import read_study


@pytest.fixture
def folder(encoded_template: Path, tmp_path: Path) -> Path:
    """A copy of an encoded study: two photographs, JPEG and WebP at two rates, shown as crops."""
    copy = tmp_path / "study"
    shutil.copytree(encoded_template, copy)
    return copy


def told(folder: Path) -> list[str]:
    """The lines of `matchrate verify`."""
    return [str(deviation) for deviation in verify_manifest(folder, workers=1, progress=False)]


def flip(file: Path, at: float = 0.5) -> None:
    """Flip one bit of one byte."""
    data = bytearray(file.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    file.write_bytes(data)


def name_of(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()


def test_an_untouched_study_deviates_in_nothing(folder: Path) -> None:
    assert told(folder) == []


ARTEFACTS: dict[str, Callable[[Path, Manifest], Path]] = {
    "bitstream": lambda folder, m: bitstream_path(folder, str(m.stimuli[0].bitstream)),
    "decoded picture": lambda folder, m: picture_path(folder, m.stimuli[1].picture_sha256),
    "shown crop": lambda folder, m: picture_path(folder, m.stimuli[2].shown_sha256),
    "reference": lambda folder, m: picture_path(folder, m.sources[0].picture_sha256),
    "shown reference": lambda folder, m: picture_path(folder, m.sources[1].shown_sha256),
    "source": lambda folder, m: folder / m.sources[0].path,
    "manifest": lambda folder, m: manifest_path(folder),
    "try": lambda folder, m: sorted((folder / "stimuli" / "tries").rglob("*.try"))[0],
    "record of a decode": lambda folder, m: sorted((folder / "stimuli" / "tries").rglob("*.json"))[0],
}
#: A cache may lack anything.
CACHED = ("try", "record of a decode")


@pytest.mark.parametrize("at", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("kind", ARTEFACTS)
def test_one_flipped_byte_is_told_by_its_artefact(folder: Path, kind: str, at: float) -> None:
    """At the first, a middle and the last byte: exactly the touched file is named."""
    file = ARTEFACTS[kind](folder, read_manifest(folder))
    flip(file, at)
    lines = told(folder)
    assert lines
    assert {line.split(":")[0].split(" (")[0] for line in lines} == {name_of(folder, file)}
    assert all("\n" not in line for line in lines)


@pytest.mark.parametrize("at", [0.0, 0.4, 0.9, 1.0])
def test_one_flipped_byte_in_the_hash_of_the_manifest_is_told(folder: Path, at: float) -> None:
    """Also in the name behind the hash, which `sha256sum -c` would look for."""
    flip(manifest_path(folder).with_suffix(".sha256"), at)
    (line,) = told(folder)
    assert line.startswith("stimuli/manifest.json: was changed after it was written")


def test_files_of_earlier_runs_are_hashed_too(folder: Path) -> None:
    """A picture that no stimulus uses any more is no deviation while it is what its name says."""
    data = png_bytes(np.zeros((16, 16, 3), np.uint8))
    path = picture_path(folder, hashlib.sha256(data).hexdigest())
    path.write_bytes(data)
    assert told(folder) == []
    flip(path)
    (folder / "stimuli" / "bitstreams" / "notes.txt").write_text("mine")
    lines = told(folder)
    assert [line.split(":")[0] for line in lines] == [
        "stimuli/bitstreams/notes.txt",
        name_of(folder, path),
    ]
    assert all("is used by no stimulus" in line for line in lines)


@pytest.mark.parametrize("kind", [kind for kind in ARTEFACTS if kind not in CACHED])
def test_a_missing_artefact_is_told(folder: Path, kind: str) -> None:
    file = ARTEFACTS[kind](folder, read_manifest(folder))
    file.unlink()
    lines = told(folder)
    assert lines
    assert all(name_of(folder, file) in line for line in lines)


def rewrite(folder: Path, before: str, after: str, count: int = 1) -> None:
    """Change the manifest and its SHA-256 with it, as a forger would."""
    path = manifest_path(folder)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, count))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".sha256").write_text(f"{sha256}  manifest.json\n")


def test_another_picture_under_the_right_hash_is_told_by_decoding(folder: Path) -> None:
    """A forged picture whose name and manifest fit is still not what the bitstream decodes to."""
    stimulus = read_manifest(folder).stimuli[0]
    pixels = np.array(Image.open(picture_path(folder, stimulus.picture_sha256)))
    pixels[0, 0, 0] ^= 4
    data = png_bytes(pixels)
    sha256 = hashlib.sha256(data).hexdigest()
    picture_path(folder, sha256).write_bytes(data)
    rewrite(folder, f'"picture_sha256": "{stimulus.picture_sha256}"', f'"picture_sha256": "{sha256}"')
    (line,) = [line for line in told(folder) if "decodes" in line]
    assert line.startswith(f"stimuli/pictures/{sha256}.png: is not what ")
    assert "(1 of 12288 pixels differs by up to 4 levels)" in line


def test_figures_that_contradict_each_other_are_told(folder: Path) -> None:
    stimulus = read_manifest(folder).stimuli[0]
    rewrite(folder, f'"bpp": {stimulus.bpp!r}', f'"bpp": {stimulus.bpp * 1.1!r}')
    lines = told(folder)
    assert any("but its bytes make" in line for line in lines)
    assert any("but its bpp makes another" in line for line in lines)


FORGED: dict[str, tuple[str, str, str]] = {
    "payload": ('"payload_bytes": ', '"payload_bytes": 1', "bytes of payload"),
    "inclusion": (
        '"included": true,\n      "left_out": null',
        '"included": false,\n      "left_out": "x"',
        "is left out, which its",
    ),
    "dataset": (
        '"dataset": null,\n      "decode_s"',
        '"dataset": "kodak",\n      "decode_s"',
        "has the dataset 'kodak'",
    ),
    "version": ('"codec_version": "', '"codec_version": "x', "contradicts its codec"),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_forged_field_is_told(folder: Path, case: str) -> None:
    before, after, words = FORGED[case]
    rewrite(folder, before, after)
    assert any(words in line for line in told(folder))


def test_a_status_that_its_residual_denies_is_told(folder: Path) -> None:
    """A miss cannot be called near beyond 2 %, nor too large where the file is too small."""
    file = folder / "study.toml"
    file.write_text(file.read_text().replace("[0.6, 1.2]", "[1.2, 20.0]"))
    encode_study(read_study(folder), workers=1, progress=False)
    assert told(folder) == []
    for status in ("near", "unreachable_low"):
        rewrite(folder, '"status": "unreachable_high"', f'"status": "{status}"')
        assert any(f"is called {status} at a residual of -" in line for line in told(folder))
        rewrite(folder, f'"status": "{status}"', '"status": "unreachable_high"')


def test_a_wrong_crop_is_told(folder: Path) -> None:
    rewrite(folder, '"crop": [\n        32,', '"crop": [\n        31,')
    assert any("is not the part (31, " in line for line in told(folder))


def test_extra_chunks_are_told(folder: Path) -> None:
    """A picture with metadata would be shown otherwise by browsers that manage colours."""
    stimulus = read_manifest(folder).stimuli[0]
    path = picture_path(folder, stimulus.picture_sha256)
    Image.open(path).save(folder / "tagged.png", dpi=(72, 72))
    data = (folder / "tagged.png").read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    picture_path(folder, sha256).write_bytes(data)
    rewrite(folder, f'"picture_sha256": "{stimulus.picture_sha256}"', f'"picture_sha256": "{sha256}"')
    assert any("holds other chunks than" in line for line in told(folder))


BAD_MANIFESTS: dict[str, tuple[str, str, str]] = {
    "not JSON": ("{", "{{", "is not JSON"),
    "another format": ('"format": 2', '"format": 1', "has format 1"),
    "unknown field": ('"format": 2', '"format": 2, "extra": 1', "extra is not a known field"),
    "missing field": ('"residual"', '"residue"', "stimuli[0].residual is missing"),
    "text for a number": ('"rate_point": 0', '"rate_point": "0"', "must be a whole number"),
    "not finite": ('"tolerance": 0.01', '"tolerance": NaN', "must be a finite number"),
    "unknown source": ('"source": "astronaut"', '"source": "nobody"', "names no source"),
    "unknown condition": ('"condition": "jpeg@0.6"', '"condition": "jpeg@0.7"', "names no condition"),
    "unknown status": ('"status": "matched"', '"status": "fine"', "must be one of"),
    "repeated stimulus": ('"condition": "jpeg@1.2"', '"condition": "jpeg@0.6"', "repeats astronaut jpeg@0.6"),
    "repeated source": ('"name": "chelsea"', '"name": "astronaut"', "repeats 'astronaut'"),
    "list for an object": ('"pairing": {', '"pairing": [{', "is not JSON"),
}


@pytest.mark.parametrize("case", BAD_MANIFESTS)
def test_a_malformed_manifest_is_one_line(folder: Path, case: str) -> None:
    before, after, words = BAD_MANIFESTS[case]
    rewrite(folder, before, after)
    (line,) = told(folder)
    assert line.startswith("stimuli/manifest.json: ")
    assert words in line
    assert "\n" not in line


def test_encoding_again_repairs_what_verify_tells(folder: Path) -> None:
    manifest = read_manifest(folder)
    for kind in ("bitstream", "decoded picture", "shown crop", "reference", "manifest"):
        flip(ARTEFACTS[kind](folder, manifest))
    assert len(told(folder)) >= 1
    encode_study(read_study(folder), workers=1, progress=False)
    assert told(folder) == []
