"""Facts of ready-made reconstructions: sizes, depths, profiles, missing cells and several rates."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from stimuli.encoding import encode_study
from stimuli.errors import StudyFileError
from stimuli.manifest import Manifest, picture_path, read_manifest, verify_manifest
from stimuli.study import check_study, read_study

Pixels = npt.NDArray[np.uint8]

STUDY = """
name = "given"
targets = [0.5]
metrics = ["psnr"]
sources = { folder = "sources" }
[[codecs]]
name = "jpeg"
[[codecs]]
name = "theirs"
family = "reconstructions"
EXTRA
"""


def write(folder: Path, studies: ModuleType, given: dict[str, Pixels], extra: str = "") -> Path:
    """A study with JPEG and one picture a source of `theirs`, at 0.5 bpp."""
    studies.write_study(folder, STUDY.replace("EXTRA", extra))
    rows = ["source,codec,bpp"]
    (folder / "reconstructions").mkdir()
    for name, pixels in given.items():
        (folder / "reconstructions" / name).mkdir(parents=True)
        Image.fromarray(pixels).save(folder / "reconstructions" / name / "theirs.png")
        rows.append(f"{name},theirs,0.5")
    (folder / "reconstructions" / "bpp.csv").write_text("\n".join(rows) + "\n")
    return folder


def encoded(folder: Path) -> Manifest:
    return encode_study(read_study(folder), workers=1, progress=False, isolated=False)


def noisy(pixels: Pixels, by: int = 3) -> Pixels:
    return np.clip(pixels.astype(int) + by, 0, 255).astype(np.uint8)


def test_another_size_is_refused_with_both_sizes_and_the_next_step(
    studies: ModuleType, tmp_path: Path
) -> None:
    given = {name: noisy(p) for name, p in studies.photographs().items()}
    given["astronaut"] = np.pad(given["astronaut"], ((0, 1), (0, 0), (0, 0)))
    with pytest.raises(StudyFileError) as caught:
        read_study(write(tmp_path, studies, given))
    (line,) = caught.value.problems
    assert "astronaut/theirs.png is 128x97, but source 'astronaut' is 128x96; set crop = true" in line


def test_a_larger_picture_is_cropped_to_the_source_and_that_is_recorded(
    studies: ModuleType, tmp_path: Path
) -> None:
    given = {name: noisy(p) for name, p in studies.photographs().items()}
    whole = given["astronaut"]
    given["astronaut"] = np.pad(whole, ((0, 1), (0, 2), (0, 0)), mode="edge")
    folder = write(tmp_path, studies, given, "crop = true")
    manifest = encoded(folder)
    notes = {s.source: s.note for s in manifest.stimuli if s.codec == "theirs"}
    assert notes == {"astronaut": "cropped from 130x97 to 128x96", "chelsea": None}
    there = next(s for s in manifest.stimuli if s.codec == "theirs" and s.source == "astronaut")
    with Image.open(picture_path(folder, there.picture_sha256)) as picture:
        assert np.array_equal(np.asarray(picture), whole)
    assert read_manifest(folder) == manifest
    assert verify_manifest(folder, workers=1, progress=False) == ()


def test_a_smaller_picture_shrinks_what_is_shown_for_every_codec(studies: ModuleType, tmp_path: Path) -> None:
    given = {name: noisy(p) for name, p in studies.photographs().items()}
    given["chelsea"] = given["chelsea"][:94, :125]
    folder = write(tmp_path, studies, given, "crop = true")
    manifest = encoded(folder)
    notes = {s.source: s.note for s in manifest.stimuli if s.codec == "theirs"}
    assert notes == {"astronaut": None, "chelsea": "lacks a border of its 128x96 source"}
    shown = {s.name: (s.crop, s.shown_width, s.shown_height) for s in manifest.sources}
    assert shown == {"astronaut": (None, 128, 96), "chelsea": ((0, 0, 125, 94), 125, 94)}
    for stimulus in manifest.stimuli:
        if stimulus.source != "chelsea":
            continue
        with Image.open(picture_path(folder, stimulus.shown_sha256)) as picture:
            assert picture.size == (125, 94)
        # The whole picture is coded, and its bits are counted over the whole picture.
        assert (stimulus.width, stimulus.height) == (128, 96)
        assert stimulus.metrics["psnr"] > 20
    assert verify_manifest(folder, workers=1, progress=False) == ()


def test_a_picture_of_another_format_is_no_border(studies: ModuleType, tmp_path: Path) -> None:
    given = {name: noisy(p) for name, p in studies.photographs().items()}
    given["chelsea"] = given["chelsea"][:60]
    with pytest.raises(StudyFileError, match="is 128x60, but source 'chelsea' is 128x96; leave this source"):
        read_study(write(tmp_path, studies, given, "crop = true"))


def test_sixteen_bits_and_profiles_become_plain_srgb(studies: ModuleType, tmp_path: Path) -> None:
    given = {name: noisy(p) for name, p in studies.photographs().items()}
    folder = write(tmp_path, studies, given)
    cells = folder / "reconstructions"
    # 16-bit RGB as a PNG, which Pillow cannot write: every sample is its 8-bit value times 257.
    import struct
    import zlib

    samples = given["astronaut"].astype(">u2") * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", 128, 96, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        parts.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    (cells / "astronaut" / "theirs.png").write_bytes(b"".join(parts))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(given["chelsea"]).save(cells / "chelsea" / "theirs.png", icc_profile=srgb)
    manifest = encoded(folder)
    for stimulus in manifest.stimuli:
        if stimulus.codec == "theirs":
            with Image.open(picture_path(folder, stimulus.picture_sha256)) as picture:
                assert picture.info.get("icc_profile") is None
                assert np.array_equal(np.asarray(picture), given[stimulus.source])


def test_an_optional_codec_takes_no_source_from_the_others(studies: ModuleType, tmp_path: Path) -> None:
    given = {"chelsea": noisy(studies.photographs()["chelsea"])}
    plain = encoded(write(tmp_path / "plain", studies, given))
    assert {(s.source, s.codec): s.included for s in plain.stimuli} == {
        ("astronaut", "jpeg"): False,
        ("chelsea", "jpeg"): True,
        ("chelsea", "theirs"): True,
    }
    folder = write(tmp_path / "optional", studies, given, "optional = true")
    manifest = encoded(folder)
    assert all(stimulus.included for stimulus in manifest.stimuli)
    assert manifest.summary().missing == 1
    assert verify_manifest(folder, workers=1, progress=False) == ()


def test_several_rates_of_a_source_go_to_their_targets(studies: ModuleType, tmp_path: Path) -> None:
    folder = write(tmp_path, studies, {})
    file = folder / "study.toml"
    text = file.read_text().replace("[0.5]", "[0.25, 0.5]")
    file.write_text(text + 'pattern = "{source}-{target}.png"\n')
    rows = ["source,codec,bpp,target_bpp"]
    for name, pixels in studies.photographs().items():
        for i, target in enumerate((0.25, 0.5)):
            Image.fromarray(noisy(pixels, 9 - i)).save(folder / "reconstructions" / f"{name}-{target}.png")
            rows.append(f"{name},theirs,{0.4 + i / 10},{target}")
    (folder / "reconstructions" / "bpp.csv").write_text("\n".join(rows) + "\n")
    manifest = encoded(folder)
    found = {(s.source, s.target_bpp): s.bpp for s in manifest.stimuli if s.codec == "theirs"}
    assert found == {
        (name, target): 0.4 + i / 10 for name in studies.photographs() for i, target in enumerate((0.25, 0.5))
    }


def test_the_rate_of_given_pictures_can_be_the_target_of_all(studies: ModuleType, tmp_path: Path) -> None:
    """`match` names the reconstructions: every other codec is matched to their bits, picture by picture."""
    photographs = studies.photographs()
    folder = write(tmp_path, studies, {name: noisy(p) for name, p in photographs.items()})
    (folder / "reconstructions" / "bpp.csv").write_text(
        "source,codec,bpp\nastronaut,theirs,0.9\nchelsea,theirs,0.6\n"
    )
    text = (folder / "study.toml").read_text().replace("[0.5]", '[0.8, 1.0]\nmatch = "theirs"')
    (folder / "study.toml").write_text(text)
    manifest = encoded(folder)
    assert [c.name for c in manifest.conditions if c.codec == "jpeg"] == ["jpeg@0.8x", "jpeg@1.0x"]
    rates = {(s.source, s.condition): s.bpp for s in manifest.stimuli if s.codec == "jpeg"}
    for source, rate in (("astronaut", 0.9), ("chelsea", 0.6)):
        assert rates[source, "jpeg@1.0x"] == pytest.approx(rate, rel=0.02)
        assert rates[source, "jpeg@0.8x"] == pytest.approx(0.8 * rate, rel=0.02)
    assert {s.condition for s in manifest.stimuli if s.codec == "theirs"} == {"theirs@1.0x"}
    assert verify_manifest(folder, workers=1, progress=False) == ()


@pytest.mark.real_data
def test_all_five_published_scenes_make_one_study(studies: ModuleType, tmp_path: Path) -> None:
    """16-bit pictures, 720x440 beside 720x439, two scenes without BPG, rates that differ within a scene."""
    pico: Path = studies.PICO
    if not pico.is_dir():
        pytest.skip(f"no published reconstructions at {pico}: they are not part of the project")
    scenes = sorted(path.name for path in pico.iterdir() if path.is_dir())
    assert len(scenes) == 5
    sources = "".join(
        f'[[sources]]\nname = "{scene}"\nfile = "{(pico / scene / "reference.png").as_posix()}"\n'
        for scene in scenes
    )
    codecs = "".join(
        f'[[codecs]]\nname = "{codec}"\nfamily = "reconstructions"\nfolder = "{pico.as_posix()}"\n'
        f"crop = true\n{'optional = true' if codec == 'bpg' else ''}\n"
        for codec in ("pico", "hific", "dcvc", "vvc", "bpg")
    )
    toml = f'name = "five"\ntargets = [1.0]\nmatch = "pico"\nmetrics = ["psnr"]\n{sources}{codecs}'
    toml += '[[codecs]]\nname = "webp"\nfast = true\n'
    (tmp_path / "study.toml").write_text(toml)
    study = read_study(tmp_path)
    check_study(study)
    manifest = encoded(tmp_path)
    notes = {(s.source, s.codec): s.note for s in manifest.stimuli if s.note}
    assert notes == {("todd-quackenbush-222", "vvc"): "cropped from 720x440 to 720x439"}
    assert manifest.summary().missing == 2
    assert all(stimulus.included for stimulus in manifest.stimuli if stimulus.codec != "webp")
    assert min(stimulus.metrics["psnr"] for stimulus in manifest.stimuli) > 20
    webp = {s.source: s for s in manifest.stimuli if s.codec == "webp"}
    given = {s.source: s for s in manifest.stimuli if s.codec == "pico"}
    for scene in scenes:
        assert webp[scene].target_bpp == given[scene].bpp
        assert abs(webp[scene].residual) < 0.02
    assert verify_manifest(tmp_path, workers=2, progress=False) == ()


def test_rows_that_meet_at_one_share_are_told_with_their_key(studies: ModuleType, tmp_path: Path) -> None:
    """Which target is a row's nearest is known only when the codec that `match` names has encoded."""
    given = {name: noisy(p) for name, p in studies.photographs().items()}
    folder = write(tmp_path, studies, given)
    file = folder / "study.toml"
    file.write_text(file.read_text().replace("[0.5]", '[0.5, 1.0]\nmatch = "jpeg quality 95"'))
    (folder / "reconstructions" / "bpp.csv").write_text(
        "source,codec,bpp\nastronaut,theirs,0.34\nastronaut,theirs,0.7\n"
    )
    with pytest.raises(StudyFileError, match=r"codecs\[1\]\.table .* lines 2 and 3 both give astronaut at"):
        encoded(folder)
