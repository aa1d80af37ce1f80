"""From study.toml to the files: matched rates, the same on any number of processes, nothing done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from analysis.contract import STIMULUS_NAMES, STIMULUS_STATUSES
from stimuli.codecs.jpeg import JpegCodec
from stimuli.encoding import encode_study
from stimuli.errors import CodecError, EncodingError, ManifestError
from stimuli.files import TEMPORARY, exclusive, sha256_of_file
from stimuli.manifest import (
    Manifest,
    bitstream_path,
    manifest_path,
    manifest_to_text,
    picture_path,
    read_manifest,
    verify_manifest,
)
from stimuli.pictures import load_picture, png_chunks, png_pixels
from stimuli.study import STATUSES, oversized_sources, read_study
from stimuli.template import write_template
from stimuli.tries import TryCache

Pixels = npt.NDArray[np.uint8]

ALL_CODECS = """
name = "all"
targets = [0.8, 1.6]
tolerance = 0.02
sources = { folder = "sources", show = [48, 48], place = "random", dataset = "wheels" }
allow_mismatch = true
[[codecs]]
name = "jpeg"
[[codecs]]
name = "webp"
[[codecs]]
name = "jpeg2000"
[[codecs]]
name = "avif"
speed = 9
[[codecs]]
name = "heic"
preset = "ultrafast"
[[codecs]]
name = "jpegxl"
effort = 3
"""


@pytest.fixture(scope="module")
def all_codecs(studies: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    """Six codecs on two photographs, encoded by two processes, in a folder with a space in its name."""
    folder = studies.write_study(tmp_path_factory.mktemp("all") / "my study", ALL_CODECS)
    return folder, encode_study(read_study(folder), workers=2, progress=False)


def without_times(manifest: Manifest) -> object:
    """The manifest with the measured times taken out: all the rest is determined."""
    plain = json.loads(manifest_to_text(manifest))
    for stimulus in plain["stimuli"]:
        del stimulus["encode_s"], stimulus["decode_s"]
    return plain


def test_every_stimulus_is_what_the_manifest_says(all_codecs: tuple[Path, Manifest]) -> None:
    folder, manifest = all_codecs
    assert len(manifest.stimuli) == 2 * 6 * 2
    assert read_manifest(folder) == manifest
    for stimulus in manifest.stimuli:
        assert stimulus.bitstream is not None
        assert stimulus.bytes is not None
        file = bitstream_path(folder, stimulus.bitstream)
        assert file.stat().st_size == stimulus.bytes
        assert sha256_of_file(file) == stimulus.bitstream_sha256 == file.stem
        assert stimulus.bpp == 8 * stimulus.bytes / (128 * 96)
        assert stimulus.residual == stimulus.bpp / stimulus.target_bpp - 1
        assert stimulus.condition == f"{stimulus.codec}@{stimulus.target_bpp!r}"
        assert stimulus.payload_bytes is not None
        assert 0 < stimulus.payload_bytes <= stimulus.bytes
        assert (stimulus.status == "matched") == (abs(stimulus.residual) <= 0.02)
    assert verify_manifest(folder, workers=1, progress=False) == ()


def test_pictures_decode_from_the_kept_bitstream(all_codecs: tuple[Path, Manifest]) -> None:
    """The picture of a stimulus is that of its own bitstream, never of another try."""
    folder, manifest = all_codecs
    for stimulus in manifest.stimuli:
        if stimulus.codec == "jpeg":
            assert stimulus.bitstream is not None
            assert stimulus.quality is not None
            data = bitstream_path(folder, stimulus.bitstream).read_bytes()
            picture = png_pixels(picture_path(folder, stimulus.picture_sha256).read_bytes())
            assert np.array_equal(JpegCodec({}).decode(data), picture)
            source = png_pixels(
                picture_path(
                    folder, next(s for s in manifest.sources if s.name == stimulus.source).picture_sha256
                ).read_bytes()
            )
            assert JpegCodec({}).encode(source, stimulus.quality) == data


def test_shown_pictures_are_the_same_crop_of_all(all_codecs: tuple[Path, Manifest]) -> None:
    folder, manifest = all_codecs
    for source in manifest.sources:
        assert source.crop is not None
        left, top, width, height = source.crop
        assert (width, height) == (source.shown_width, source.shown_height) == (48, 48)
        pairs = [(source.picture_sha256, source.shown_sha256)]
        pairs += [(s.picture_sha256, s.shown_sha256) for s in manifest.stimuli if s.source == source.name]
        assert len(pairs) == 13
        for whole, shown in pairs:
            pixels = png_pixels(picture_path(folder, whole).read_bytes())
            part = png_pixels(picture_path(folder, shown).read_bytes())
            assert np.array_equal(part, pixels[top : top + height, left : left + width])
    assert len({source.crop for source in manifest.sources}) == 2


def test_every_picture_has_four_kinds_of_chunks(all_codecs: tuple[Path, Manifest]) -> None:
    folder, _ = all_codecs
    for file in (folder / "stimuli" / "pictures").iterdir():
        kinds = [kind for kind, _ in png_chunks(file.read_bytes())]
        assert kinds[:2] == [b"IHDR", b"sRGB"]
        assert set(kinds[2:-1]) == {b"IDAT"}
        assert kinds[-1] == b"IEND"


def test_manifest_holds_the_columns_of_the_contract(all_codecs: tuple[Path, Manifest]) -> None:
    folder, manifest = all_codecs
    plain = json.loads(manifest_path(folder).read_text())
    for stimulus in plain["stimuli"]:
        # How rates are counted is said once, of the study.
        assert set(STIMULUS_NAMES) - {"rate"} <= set(stimulus)
    assert STATUSES == STIMULUS_STATUSES
    assert {stimulus.dataset for stimulus in manifest.stimuli} == {"wheels"}
    assert manifest.study.seed == 1


def test_summary_counts_what_happened(all_codecs: tuple[Path, Manifest]) -> None:
    _, manifest = all_codecs
    summary = manifest.summary()
    assert summary.stimuli == 24
    assert summary.encodes == sum(stimulus.encodes for stimulus in manifest.stimuli)
    assert summary.within_tolerance <= summary.reachable
    assert f"{summary.encodes_per_stimulus:.2f} a stimulus on average" in str(summary)
    assert summary.share_within_tolerance >= 0.9


def test_one_process_and_three_give_the_same(
    studies: ModuleType, all_codecs: tuple[Path, Manifest], tmp_path: Path
) -> None:
    folder = studies.write_study(tmp_path / "alone", ALL_CODECS)
    alone = encode_study(read_study(folder), workers=1, progress=False)
    assert without_times(alone) == without_times(all_codecs[1])


def inodes(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its inode and time of change: what was written again has others."""
    files = [path for path in (folder / "stimuli").rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in files
        if not path.name.startswith((".lock", "manifest."))
    }


def test_a_second_run_redoes_nothing(
    all_codecs: tuple[Path, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No encode, no decode, no picture is made again, and the manifest is the same to its times."""
    folder, manifest = all_codecs
    before = inodes(folder)

    def never(*_: object) -> None:
        raise AssertionError("done again")

    for name in ("attempts.Attempts._encode", "attempts.decode_bitstream", "attempts.png_bytes"):
        monkeypatch.setattr(f"stimuli.{name}", never)
    monkeypatch.setattr("stimuli.units.load_picture", never)
    monkeypatch.setattr("stimuli.measuring.measure", never)
    assert encode_study(read_study(folder), workers=1, progress=False, isolated=False) == manifest
    assert inodes(folder) == before


def test_damage_is_repaired_by_the_next_run(encoded_template: Path, tmp_path: Path) -> None:
    """A flipped byte in a picture, a bitstream or a try costs one piece of work and not the study."""
    folder = tmp_path / "study"
    shutil.copytree(encoded_template, folder)
    manifest = read_manifest(folder)
    for kind in ("pictures", "bitstreams", "tries"):
        file = sorted(path for path in (folder / "stimuli" / kind).rglob("*") if path.is_file())[0]
        data = bytearray(file.read_bytes())
        data[-20] ^= 1
        file.write_bytes(data)
    assert verify_manifest(folder, workers=1, progress=False) != ()
    again = encode_study(read_study(folder), workers=1, progress=False)
    assert without_times(again) == without_times(manifest)
    assert verify_manifest(folder, workers=1, progress=False) == ()


SLOW = """
name = "slow"
targets = [2.0, 4.0]
tolerance = 0.04
sources = { folder = "sources" }
[[codecs]]
name = "jpeg"
subsampling = "4:4:4"
[[codecs]]
name = "toy"
family = "command"
encode = ["{python}", "{study}/slow.py", "enc", "{input}", "{output}", "{quality}"]
decode = ["{python}", "{study}/slow.py", "dec", "{input}", "{output}"]
quality = { range = [4, 200], step = 0.01, direction = "down", scale = "log", start = 40 }
input = "ppm"
"""


def write_slow_study(studies: ModuleType, folder: Path) -> Path:
    """A study whose program notes each of its calls and takes a while."""
    studies.write_study(folder, SLOW)
    toy = (studies.THIRD_PARTY / "toycodec.py").read_text()
    note = f"import time\nwith open({str(folder / 'calls.txt')!r}, 'a') as calls:\n"
    note += "    calls.write(' '.join(sys.argv[1:2] + sys.argv[4:]) + chr(10))\n"
    (folder / "slow.py").write_text(toy.replace("\nmode, ", f"\n{note}time.sleep(0.1)\nmode, "))
    return folder


def encode_in_a_child(folder: Path) -> subprocess.Popen[bytes]:
    """`encode_study` in a process of its own, with two workers."""
    program = (
        "from pathlib import Path\n"
        "from stimuli.encoding import encode_study\n"
        "from stimuli.study import read_study\n"
        "if __name__ == '__main__':\n"
        f"    encode_study(read_study(Path({str(folder)!r})), workers=2, progress=False)\n"
    )
    script = folder / "run.py"
    script.write_text(program)
    return subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(condition: object, seconds: float = 60) -> None:
    """Poll until the condition holds."""
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def processes_of(folder: Path) -> list[int]:
    """The processes whose command line names the folder (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in line:
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_ended_in_the_middle_resumes(
    studies: ModuleType, tmp_path: Path, how: signal.Signals
) -> None:
    """Killed or interrupted: no process stays, no file is half, no finished try is made again."""
    folder = write_slow_study(studies, tmp_path / "ended")
    tries = folder / "stimuli" / "tries"
    child = encode_in_a_child(folder)
    noted = folder / "calls.txt"
    wait_for(lambda: noted.exists() and noted.read_text().count("enc") >= 5)
    child.send_signal(how)
    child.communicate(timeout=30)
    assert child.returncode != 0
    wait_for(lambda: processes_of(folder) == [])
    assert not manifest_path(folder).exists()
    kept = {path.name for path in tries.rglob("*.try")}
    calls = noted.read_text().splitlines()

    manifest = encode_study(read_study(folder), workers=2, progress=False)
    made = noted.read_text().splitlines()[len(calls) :]
    whole = {path.name for path in tries.rglob("*.try")}
    assert kept < whole
    # JPEG's tries are not calls of the program, so only the program's can be counted.
    assert len([call for call in made if call.startswith("enc")]) <= len(whole - kept)
    assert list((folder / "stimuli").rglob(f"{TEMPORARY}*")) == []
    assert verify_manifest(folder, workers=1, progress=False) == ()

    undisturbed = write_slow_study(studies, tmp_path / "undisturbed")
    other = encode_study(read_study(undisturbed), workers=2, progress=False)
    shas = [
        [(s.source, s.condition, s.bitstream_sha256, s.encodes) for s in m.stimuli] for m in (manifest, other)
    ]
    assert shas[0] == shas[1]


def test_two_runs_at_once_are_refused(studies: ModuleType, tmp_path: Path) -> None:
    folder = studies.write_study(tmp_path, ALL_CODECS)
    with (
        exclusive(folder / "stimuli"),
        pytest.raises(EncodingError, match="another run is encoding this study"),
    ):
        encode_study(read_study(folder), workers=1, progress=False)


MISSES = """
name = "misses"
targets = [0.05, 1.0, 20.0]
sources = { folder = "sources" }
[[codecs]]
name = "jpeg"
[[codecs]]
name = "webp"
"""


def test_unreachable_targets_are_left_out_for_all_codecs(studies: ModuleType, tmp_path: Path) -> None:
    """Below the floor and above the ceiling: status, residual, and the reason on every stimulus there."""
    folder = studies.write_study(tmp_path, MISSES)
    manifest = encode_study(read_study(folder), workers=1, progress=False)
    by_target = {
        target: [stimulus for stimulus in manifest.stimuli if stimulus.target_bpp == target]
        for target in (0.05, 1.0, 20.0)
    }
    assert {s.status for s in by_target[0.05]} == {"unreachable_low"}
    assert {s.status for s in by_target[20.0]} == {"unreachable_high"}
    assert {s.status for s in by_target[1.0]} == {"matched"}
    assert all(s.included for s in by_target[1.0])
    for stimulus in by_target[0.05]:
        assert not stimulus.included
        assert stimulus.reachable is False
        assert stimulus.left_out is not None
        assert stimulus.left_out.startswith("jpeg: unreachable_low (+")
        assert "; webp: unreachable_low (+" in stimulus.left_out
    summary = manifest.summary()
    assert summary.unreachable == 8
    assert summary.left_out_cells == 4
    assert len(manifest.mismatched()) == 8
    assert "unreachable_low" in manifest.mismatched()[0].describe()
    assert " bpp for 20 (" in manifest.mismatched()[-1].describe()
    jumped = replace(manifest.mismatched()[-1], reachable=True, limit_bpp=None)
    assert jumped.describe().endswith("%), though reachable: its sizes jump over the target")
    for stimulus in manifest.mismatched():
        side = "floor" if stimulus.status == "unreachable_low" else "ceiling"
        assert stimulus.describe().endswith(f", {side} {stimulus.bpp:.4g} bpp")
    assert "8 targets outside a codec's range\n4 source and rate points are left out" in str(summary)
    one = replace(summary, unreachable=1, left_out_cells=1, missing=1)
    assert "1 target outside a codec's range\n1 stimulus is missing" in str(one)
    assert str(one).endswith("\n1 source and rate point is left out for all codecs")
    # The floor is the true one: the smallest file that the codec makes on this source.
    floor = next(s for s in by_target[0.05] if s.codec == "jpeg")
    pixels = load_picture(folder / "sources" / f"{floor.source}.png")
    assert floor.bytes == len(JpegCodec({}).encode(pixels, {"quality": 1}))


def test_allow_mismatch_keeps_everything_in(studies: ModuleType, tmp_path: Path) -> None:
    folder = studies.write_study(tmp_path, "allow_mismatch = true\n" + MISSES)
    manifest = encode_study(read_study(folder), workers=1, progress=False)
    assert all(stimulus.included and stimulus.left_out is None for stimulus in manifest.stimuli)
    assert len(manifest.mismatched()) == 8


def test_a_changed_target_reuses_the_tries(encoded_template: Path, tmp_path: Path) -> None:
    """Adding a rate point keeps what was encoded: the start of the search is read from the cache."""
    folder = tmp_path / "study"
    shutil.copytree(encoded_template, folder)
    before = {path.name for path in (folder / "stimuli" / "tries").rglob("*.try")}
    file = folder / "study.toml"
    file.write_text(file.read_text().replace("[0.6, 1.2]", "[0.6, 0.9, 1.2]"))
    manifest = encode_study(read_study(folder), workers=1, progress=False)
    after = {path.name for path in (folder / "stimuli" / "tries").rglob("*.try")}
    assert before <= after
    assert len(after - before) < manifest.summary().encodes


def test_a_changed_source_is_encoded_again(
    encoded_template: Path, tmp_path: Path, photograph: Pixels
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(encoded_template, folder)
    old = read_manifest(folder)
    # The last one: what the first source teaches the search would change the others too.
    Image.fromarray(255 - photograph).save(folder / "sources" / "chelsea.png")
    new = encode_study(read_study(folder), workers=1, progress=False)
    for before, after in zip(old.stimuli, new.stimuli, strict=True):
        same = before.bitstream_sha256 == after.bitstream_sha256
        assert same == (before.source != "chelsea")


def test_a_large_sixteen_bit_source_with_metadata_is_coded_from_bare_pixels(
    studies: ModuleType, tmp_path: Path, photograph: Pixels
) -> None:
    """A profile and EXIF in the source reach neither the bitstreams nor the pictures."""
    exif = Image.Exif()
    exif[0x010E] = "a secret description"
    folder = studies.write_study(tmp_path, ALL_CODECS.replace("place", "# place"), {})
    (folder / "study.toml").write_text(
        ALL_CODECS.replace('place = "random", ', "").replace("[0.8, 1.6]", "[1.2]")
    )
    Image.fromarray(photograph).save(folder / "sources" / "a.tif", exif=exif, icc_profile=None)
    encode_study(read_study(folder), workers=1, progress=False)
    for file in (folder / "stimuli").rglob("*"):
        if file.is_file():
            assert b"secret" not in file.read_bytes()


def test_template_is_a_study(studies: ModuleType, tmp_path: Path) -> None:
    """What `matchrate init` writes encodes as it stands once pictures lie in sources/."""
    file = write_template(tmp_path / "my first study")
    assert file == tmp_path / "my first study" / "study.toml"
    for name, pixels in studies.photographs(96, 64).items():
        Image.fromarray(pixels).save(file.parent / "sources" / f"{name}.png")
    study = read_study(file.parent)
    assert study.name == "my-first-study"
    assert [codec.name for codec in study.codecs] == ["jpeg", "webp", "avif"]
    assert [source.crop for source in study.sources] == [None, None]
    with pytest.raises(Exception, match="exists already"):
        write_template(file.parent)


def test_a_picture_too_large_for_a_window_is_named_and_the_template_shows_less(
    studies: ModuleType, tmp_path: Path
) -> None:
    file = write_template(tmp_path / "large")
    sizes = {"fits": (600, 700), "tall": (700, 601), "wide": (1500, 2000)}
    for name, size in sizes.items():
        Image.fromarray(np.zeros((*size, 3), dtype=np.uint8)).save(file.parent / "sources" / f"{name}.png")
    assert oversized_sources(read_study(file)) == ()
    file.write_text(file.read_text().replace("show = [640, 512]", ""))
    study = read_study(file)
    assert oversized_sources(study) == (
        "tall is shown at 601x700: beside the original that needs a window about 700 pixels high; "
        "set `show` under [sources]",
        "wide is shown at 2000x1500: beside the original that needs a window about 4020 pixels wide; "
        "set `show` under [sources]",
    )
    assert len(oversized_sources(study, width=2000, height=1500)) == 0


def test_no_manifest_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="run `matchrate encode`"):
        read_manifest(tmp_path)


def test_a_folder_that_cannot_be_written_is_one_line(studies: ModuleType, tmp_path: Path) -> None:
    """A file where a folder must be, as a stand-in for a full or read-only disk: path, reason, next step."""
    folder = studies.write_study(tmp_path, ALL_CODECS)
    (folder / "stimuli").mkdir()
    (folder / "stimuli" / "pictures").write_text("in the way")
    for workers in (1, 2):
        with pytest.raises(EncodingError, match=r"stimuli/pictures: File exists; free space .* run again"):
            encode_study(read_study(folder), workers=workers, progress=False)


def test_a_flipped_digit_in_a_record_is_no_record(encoded_template: Path, tmp_path: Path) -> None:
    """A width that was changed in the cache never becomes the width of a source."""
    folder = tmp_path / "study"
    shutil.copytree(encoded_template, folder)
    for file in (folder / "stimuli" / "tries").rglob("*.json"):
        assert '"width": 128' in file.read_text()
        file.write_text(file.read_text().replace('"width": 128', '"width": 129'))
    again = encode_study(read_study(folder), workers=1, progress=False)
    assert without_times(again) == without_times(read_manifest(encoded_template))


def test_a_codec_whose_sizes_do_not_repeat_is_told(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size that was matched and the bytes that are kept are of one try, or there is no stimulus."""
    folder = studies.command_study(tmp_path)
    program = folder / "toycodec.py"
    program.write_text(
        program.read_text() + "\nif mode == 'enc':\n    import os\n"
        "    open(target, 'ab').write(bytes(os.getpid() % 97))\n"
    )
    monkeypatch.setattr(TryCache, "load_try", lambda cache, key: None)
    with pytest.raises(CodecError, match=r"bytes and then .* for the same input"):
        encode_study(read_study(folder), workers=1, progress=False, isolated=False)


def test_a_codec_that_fails_is_one_line(studies: ModuleType, tmp_path: Path) -> None:
    folder = studies.command_study(tmp_path)
    (folder / "toycodec.py").write_text("import sys\nsys.exit('the licence has run out')\n")
    with pytest.raises(CodecError) as caught:
        encode_study(read_study(folder), workers=2, progress=False)
    line = str(caught.value)
    assert line.startswith("codec 'toy' on source ")
    assert line.endswith("failed (exit 1): the licence has run out")
    assert "\n" not in line
