"""Codecs from outside the project: a program, an entry point, and ready-made reconstructions."""

from __future__ import annotations

import csv
import importlib
import re
import shutil
import sys
import tomllib
import tracemalloc
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from stimuli.codecs.command import CommandCodec
from stimuli.codecs.registry import family_names, make_codec
from stimuli.encoding import encode_study
from stimuli.errors import (
    CodecBrokenError,
    CodecError,
    CodecSettingsError,
    StimuliError,
    StudyFileError,
)
from stimuli.manifest import picture_path, read_manifest, verify_manifest
from stimuli.pictures import load_picture, png_pixels
from stimuli.programs import ProgramError
from stimuli.study import check_study, read_study

Pixels = npt.NDArray[np.uint8]


def test_a_program_takes_the_whole_way(studies: ModuleType, tmp_path: Path) -> None:
    """check, encode on two processes, verify: a program that somebody else wrote, at matched rates."""
    study = read_study(studies.command_study(tmp_path / "my study"))
    check_study(study)
    manifest = encode_study(study, workers=2, progress=False)
    toy = [stimulus for stimulus in manifest.stimuli if stimulus.codec == "toy"]
    assert [stimulus.status for stimulus in toy] == ["matched"] * 4
    assert {stimulus.codec_version for stimulus in toy} == {"1.0"}
    record = next(codec for codec in manifest.codecs if codec.name == "toy")
    assert record.family == "command"
    assert set(record.settings["program_sha256"]) == {"toycodec.py"}  # type: ignore[call-overload]
    assert verify_manifest(study.folder, workers=1, progress=False) == ()


@pytest.mark.usefixtures("thin_codec")
def test_an_entry_point_takes_the_whole_way(studies: ModuleType, tmp_path: Path) -> None:
    """check, encode on two processes, verify: a class that somebody else installed."""
    assert "thin" in family_names()
    study = read_study(studies.entry_point_study(tmp_path / "study"))
    check_study(study)
    manifest = encode_study(study, workers=2, progress=False)
    thin = [stimulus for stimulus in manifest.stimuli if stimulus.codec == "thin-9"]
    assert [stimulus.status for stimulus in thin] == ["matched"] * 4
    assert all(str(stimulus.bitstream).endswith(".thin") for stimulus in thin)
    record = next(codec for codec in manifest.codecs if codec.name == "thin-9")
    assert (record.family, record.version, record.settings) == ("thin", "1.0", {"level": 9})
    assert verify_manifest(study.folder, workers=1, progress=False) == ()


@pytest.mark.usefixtures("thin_codec")
def test_settings_that_an_entry_point_refuses_are_one_line(studies: ModuleType, tmp_path: Path) -> None:
    folder = studies.entry_point_study(tmp_path / "study")
    file = folder / "study.toml"
    file.write_text(file.read_text().replace("level = 9", "level = 9\nspeed = 3"))
    with pytest.raises(StudyFileError) as caught:
        read_study(folder)
    (line,) = caught.value.problems
    assert "codecs[1].settings are refused by thincodec:ThinCodec" in line
    assert "unknown settings ['speed']" in line


def test_the_class_in_the_docs_is_a_codec(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What docs/codecs.md shows, as it stands there, under the entry point that it shows."""
    text = (Path(__file__).parents[2] / "docs" / "codecs.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    project = next(
        table for table in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[project]" in table
    )
    points = tomllib.loads(project)["project"]["entry-points"]["matchrate.codecs"]
    info = tmp_path / "site" / "mypackage-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mypackage\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[matchrate.codecs]\nmine = {points['mine']}\n")
    (tmp_path / "site" / "mypackage.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()
    toml = 'name = "docs"\ntargets = [2.0, 4.0]\nsources = { folder = "sources" }\n'
    toml += '[[codecs]]\nname = "mine"\nlevel = 6\n'
    folder = studies.write_study(tmp_path / "study", toml)
    try:
        manifest = encode_study(read_study(folder), workers=1, progress=False)
        assert [stimulus.status for stimulus in manifest.stimuli] == ["matched"] * 4
        assert verify_manifest(folder, workers=1, progress=False) == ()
        file = folder / "study.toml"
        file.write_text(file.read_text().replace("level", "levle"))
        with pytest.raises(StudyFileError, match=r"codecs\[0\]\.levle is not a setting of this codec"):
            read_study(folder)
    finally:
        sys.modules.pop("mypackage", None)


BROKEN = {
    "raises at import": ("raise ImportError('no torch')", "fails: ImportError('no torch')"),
    "lacks decode": (
        "from stimuli.codecs.base import Scale\nclass ThinCodec:\n"
        "    name = version = extension = 'x'\n    scales = (Scale('q', 0, 1),)\n    settings = {}\n"
        "    def __init__(self, settings): ...\n    def encode(self, source, quality): ...\n",
        "lacks decode of the Codec protocol",
    ),
    "has no scale": (
        "class ThinCodec:\n    name = version = extension = 'x'\n    scales = ()\n    settings = {}\n"
        "    def __init__(self, settings): ...\n    def encode(self, source, quality): ...\n"
        "    def decode(self, bitstream): ...\n",
        "must have one or two scales",
    ),
}


@pytest.mark.usefixtures("thin_codec")
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_entry_point_is_named(tmp_path: Path, case: str) -> None:
    code, words = BROKEN[case]
    (tmp_path / "site" / "thincodec.py").write_text(code)
    sys.modules.pop("thincodec", None)
    with pytest.raises(CodecBrokenError) as caught:
        make_codec("thin", {}, tmp_path)
    assert str(caught.value).startswith("codec family 'thin': its entry point thincodec:ThinCodec ")
    assert words in str(caught.value)
    assert "not installed" not in str(caught.value)


FATAL = {
    "leaves": ("raise SystemExit('no licence')", "codec 'thin-9' on source .*SystemExit: no licence"),
    "crashes": (
        "import ctypes; ctypes.string_at(0)",
        r"codec 'thin-9' on source .*: encoding .* at .*SIGSEGV",
    ),
}


@pytest.mark.usefixtures("thin_codec")
@pytest.mark.parametrize("case", FATAL)
def test_an_entry_point_that_ends_its_process_is_one_line(
    studies: ModuleType, tmp_path: Path, case: str
) -> None:
    """The other worker waits for a signal at that moment, and the run must not wait for the dead one."""
    code, words = FATAL[case]
    module = tmp_path / "site" / "thincodec.py"
    head = "    def encode(self, source, quality):\n"
    module.write_text(module.read_text().replace(head, f"{head}        {code}\n"))
    study = read_study(studies.entry_point_study(tmp_path / "study"))
    with pytest.raises(StimuliError, match=words):
        encode_study(study, workers=2, progress=False)


@pytest.mark.usefixtures("thin_codec")
def test_an_entry_point_that_works_in_place_spoils_nothing(studies: ModuleType, tmp_path: Path) -> None:
    shas = []
    for in_place in (False, True):
        sys.modules.pop("thincodec", None)
        module = tmp_path / "site" / "thincodec.py"
        if in_place:
            text = module.read_text()
            module.write_text(
                text.replace("        return head +", "        source[:] = 0\n        return head +")
            )
        study = read_study(studies.entry_point_study(tmp_path / f"study-{in_place}"))
        manifest = encode_study(study, workers=1, progress=False)
        shas.append([stimulus.bitstream_sha256 for stimulus in manifest.stimuli])
    assert shas[0] == shas[1]


@pytest.fixture
def toy(studies: ModuleType, tmp_path: Path) -> dict[str, object]:
    """The settings of the toy program, which lies in tmp_path."""
    shutil.copy(studies.THIRD_PARTY / "toycodec.py", tmp_path)
    return {
        "encode": ["{python}", "{study}/toycodec.py", "enc", "{input}", "{output}", "{quality}"],
        "decode": ["{python}", "{study}/toycodec.py", "dec", "{input}", "{output}"],
        "quality": {"range": [4, 120], "step": 0.002, "direction": "down", "scale": "log"},
    }


@pytest.mark.parametrize("kind", ["png", "ppm"])
def test_a_program_gets_and_gives_pictures_of_either_kind(
    toy: dict[str, object], tmp_path: Path, photograph: Pixels, kind: str
) -> None:
    codec = make_codec("command", toy | {"input": kind}, tmp_path)
    decoded = codec.decode(codec.encode(photograph, {"quality": 8.0}))
    assert np.abs(decoded.astype(int) - photograph).max() <= 16


def test_a_program_runs_without_a_shell(toy: dict[str, object], tmp_path: Path, photograph: Pixels) -> None:
    """What a shell would act on is passed on as it is written."""
    marker = tmp_path / "marker"
    encode = [*toy["encode"], f"; touch {marker}", "$(touch x)"]  # type: ignore[misc]
    codec = make_codec("command", toy | {"encode": encode}, tmp_path)
    assert codec.encode(photograph, {"quality": 8.0})
    assert not marker.exists()


def test_a_program_that_hangs_is_ended_with_its_children(
    toy: dict[str, object], tmp_path: Path, photograph: Pixels
) -> None:
    (tmp_path / "toycodec.py").write_text(
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "time.sleep(60)\n"
    )
    codec = make_codec("command", toy | {"timeout": 0.5}, tmp_path)
    with pytest.raises(ProgramError, match=r"was ended after 0\.5 s; raise `timeout`"):
        codec.encode(photograph, {"quality": 8.0})


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys; sys.exit(3)", "failed (exit 3) and said nothing"),
        ("import sys; print('first\\nlast words', file=sys.stderr); sys.exit(1)", "(exit 1): last words"),
        ("import os; os.kill(os.getpid(), 9)", "failed (SIGKILL)"),
        ("pass", "wrote nothing to {output}"),
    ],
)
def test_a_program_that_fails_is_one_line(
    toy: dict[str, object], tmp_path: Path, photograph: Pixels, program: str, words: str
) -> None:
    (tmp_path / "toycodec.py").write_text(program)
    codec = make_codec("command", toy, tmp_path)
    with pytest.raises(ProgramError) as caught:
        codec.encode(photograph, {"quality": 8.0})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_program_that_talks_without_end_is_not_kept_in_memory(
    toy: dict[str, object], tmp_path: Path, photograph: Pixels
) -> None:
    words = "import sys\nfor i in range(100): sys.stderr.write('x' * 10**6)\nsys.exit('\\x1b[31mthe end')\n"
    (tmp_path / "toycodec.py").write_text(words)
    codec = make_codec("command", toy, tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(ProgramError, match=r"\(exit 1\): .*\?\[31mthe end$"):
            codec.encode(photograph, {"quality": 8.0})
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def test_a_program_that_leaves_another_behind_has_ended(
    toy: dict[str, object], tmp_path: Path, photograph: Pixels
) -> None:
    """Its own end counts, not that of a child that keeps standard error open; the child is ended too."""
    program = (tmp_path / "toycodec.py").read_text()
    child = "import subprocess\nfrom pathlib import Path\n"
    child += "sleeper = subprocess.Popen(['sleep', '60'])\n"
    child += f"Path({str(tmp_path / 'pid')!r}).write_text(str(sleeper.pid))\n"
    (tmp_path / "toycodec.py").write_text(child + program)
    codec = make_codec("command", toy | {"timeout": 30}, tmp_path)
    assert codec.encode(photograph, {"quality": 8.0})
    pid = (tmp_path / "pid").read_text()
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().split()[2] in "ZX"


def test_a_program_can_tell_its_version(toy: dict[str, object], tmp_path: Path) -> None:
    codec = make_codec("command", toy | {"version": ["{python}", "-c", "print('toy 2.7')"]}, tmp_path)
    assert codec.version == "toy 2.7"


def test_a_version_on_standard_error_counts_when_nothing_else_is_printed(
    toy: dict[str, object], tmp_path: Path
) -> None:
    both = "import sys; print('warning', file=sys.stderr); print('toy 2.8')"
    for code, version in (("import sys; sys.stderr.write('toy 2.7')", "toy 2.7"), (both, "toy 2.8")):
        codec = make_codec("command", toy | {"version": ["{python}", "-c", code]}, tmp_path)
        assert codec.version == version


def test_a_version_command_that_fails_is_no_version(toy: dict[str, object], tmp_path: Path) -> None:
    code = "import sys; print('usage: toy'); print('first\\nunknown option', file=sys.stderr); sys.exit(3)"
    with pytest.raises(CodecSettingsError) as caught:
        make_codec("command", toy | {"version": ["{python}", "-c", code]}, tmp_path)
    assert str(caught.value) == (
        "version command failed (exit 3): unknown option; write the version as text instead"
    )


def test_a_rebuilt_program_is_another_codec_to_the_cache(toy: dict[str, object], tmp_path: Path) -> None:
    before = make_codec("command", toy, tmp_path).settings
    program = tmp_path / "toycodec.py"
    program.write_text(program.read_text() + "\n# rebuilt\n")
    assert make_codec("command", toy, tmp_path).settings != before
    assert isinstance(make_codec("command", dict(before), tmp_path), CommandCodec)


def test_a_fine_scale_of_a_program_bridges_its_steps(
    studies: ModuleType, tmp_path: Path, toy: dict[str, object]
) -> None:
    """Quality in steps of 20 %, and a fine argument that divides them."""
    folder = studies.command_study(tmp_path / "study")
    program = (folder / "toycodec.py").read_text()
    (folder / "toycodec.py").write_text(
        program.replace("step = float(sys.argv[4])", "step = 1.2 ** float(sys.argv[4]) * float(sys.argv[5])")
    )
    file = folder / "study.toml"
    text = file.read_text().replace('"{quality}"]', '"{quality}", "{fine}"]')
    coarse = 'quality = { range = [4, 120], step = 0.002, direction = "down", scale = "log", start = 40 }'
    assert coarse in text
    file.write_text(
        text.replace(
            coarse,
            'quality = { range = [6, 28], direction = "down", start = 20 }\n'
            'fine = { range = [0.8, 1.25], step = 0.001, direction = "down", start = 1 }',
        )
    )
    manifest = encode_study(read_study(folder), workers=1, progress=False)
    toys = [stimulus for stimulus in manifest.stimuli if stimulus.codec == "toy"]
    assert [stimulus.status for stimulus in toys] == ["matched"] * 4
    assert any(stimulus.quality is not None and stimulus.quality["fine"] != 1 for stimulus in toys)


@pytest.mark.usefixtures("thin_codec")
@pytest.mark.parametrize("kind", ["program", "class"])
def test_a_direction_that_is_wrong_is_one_line(studies: ModuleType, tmp_path: Path, kind: str) -> None:
    if kind == "program":
        folder = studies.command_study(tmp_path / "study")
        file, right, wrong = folder / "study.toml", 'direction = "down"', 'direction = "up"'
        words = "files grow as quality falls, but the direction says otherwise; "
        words += 'set direction = "down" in `quality`'
    else:
        folder = studies.entry_point_study(tmp_path / "study")
        file, right, wrong = tmp_path / "site" / "thincodec.py", "increasing=False, log", "log"
        words = "files grow as factor falls, but the direction says otherwise; "
        words += "set increasing=False in its Scale"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, wrong))
    sys.modules.pop("thincodec", None)
    study = read_study(folder)
    with pytest.raises(CodecError) as caught:
        encode_study(study, workers=1, progress=False)
    assert caught.value.reason == words
    assert "\n" not in str(caught.value)


ABSENT = {
    "not executable": ("./mycodec", "{folder}/mycodec, which is not executable: chmod +x {folder}/mycodec"),
    "missing": ("./nocodec", "{folder}/nocodec, which does not exist"),
    "not on PATH": ("mycodec", "'mycodec', which is not on PATH"),
}


@pytest.mark.parametrize("case", ABSENT)
def test_a_program_that_cannot_be_run_is_told_and_the_study_can_still_be_read(
    studies: ModuleType, tmp_path: Path, case: str
) -> None:
    folder = studies.command_study(tmp_path / "study")
    (folder / "mycodec").write_text("#!/bin/sh\n")
    program, words = ABSENT[case]
    file = folder / "study.toml"
    file.write_text(
        file.read_text().replace('"{python}", "{study}/toycodec.py", "dec"', f'"{program}", "dec"')
    )
    study = read_study(folder)
    for use in (check_study, lambda study: encode_study(study, workers=1, progress=False)):
        with pytest.raises(StudyFileError) as caught:
            use(study)
        (line,) = caught.value.problems
        assert f": codecs[1].decode names the program {words.format(folder=folder)}" in line
        assert "is not installed" not in line


# Ready-made reconstructions


def write_reconstructions(folder: Path, pictures: dict[str, Pixels], rows: list[dict[str, object]]) -> None:
    """`recon/<source>/<codec>.png`, a little darker than the source, and the table."""
    recon = folder / "recon"
    for row in rows:
        path = recon / str(row["source"]) / f"{row['codec']}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pictures[str(row["source"])] * 0.9).astype(np.uint8)).save(path)
    with (recon / "bpp.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


GIVEN = """
name = "given"
targets = [1.0, 2.0]
sources = { folder = "sources" }
[[codecs]]
name = "ours"
family = "reconstructions"
folder = "recon"
pattern = "{source}/{codec}.png"
[[codecs]]
name = "jpeg"
"""


@pytest.fixture
def given(studies: ModuleType, tmp_path: Path) -> Path:
    """JPEG beside reconstructions of both photographs near the first of two targets."""
    pictures = studies.photographs()
    folder: Path = studies.write_study(tmp_path / "given", GIVEN, pictures)
    rows: list[dict[str, object]] = [
        {"source": "astronaut", "codec": "ours", "bpp": 1.08},
        {"source": "chelsea", "codec": "ours", "bpp": 0.93},
        {"source": "chelsea", "codec": "theirs", "bpp": 0.8},
    ]
    write_reconstructions(folder, pictures, rows)
    return folder


def test_missing_reconstructions_leave_their_cell_out_for_all(given: Path) -> None:
    """Nothing at 2 bpp: JPEG is left out there too, with the reason; 1 bpp stays in, 8 % off and given."""
    manifest = encode_study(read_study(given), workers=1, progress=False)
    ours = [stimulus for stimulus in manifest.stimuli if stimulus.codec == "ours"]
    assert [(s.source, s.target_bpp, s.bpp, s.status) for s in ours] == [
        ("astronaut", 1.0, 1.08, "given"),
        ("chelsea", 1.0, 0.93, "given"),
    ]
    assert all(s.included and s.bytes is None and s.bitstream is None and s.quality is None for s in ours)
    left_out = [stimulus for stimulus in manifest.stimuli if not stimulus.included]
    assert {(s.codec, s.target_bpp, s.left_out) for s in left_out} == {
        ("jpeg", 2.0, "ours: no reconstruction")
    }
    summary = manifest.summary()
    assert (summary.given, summary.missing, summary.left_out_cells) == (2, 2, 2)
    assert "2 stimuli are missing" in str(summary)
    assert read_manifest(given) == manifest
    assert verify_manifest(given, workers=1, progress=False) == ()


def test_a_target_column_decides_over_the_nearest(given: Path) -> None:
    table = given / "recon" / "bpp.csv"
    table.write_text("source,codec,bpp,target_bpp\nastronaut,ours,1.08,2\nchelsea,ours,0.93,0.1\n")
    manifest = encode_study(read_study(given), workers=1, progress=False)
    ours = [(s.source, s.target_bpp) for s in manifest.stimuli if s.codec == "ours"]
    assert ours == [("astronaut", 2.0)]


def test_a_changed_reconstruction_or_rate_is_told_by_verify(given: Path) -> None:
    encode_study(read_study(given), workers=1, progress=False)
    picture = given / "recon" / "chelsea" / "ours.png"
    Image.fromarray(255 - np.array(Image.open(picture))).save(picture)
    table = given / "recon" / "bpp.csv"
    table.write_text(table.read_text().replace("1.08", "1.09"))
    lines = [str(deviation) for deviation in verify_manifest(given, workers=1, progress=False)]
    assert len(lines) == 2
    assert any("has 1.09 bpp in the table, the manifest says 1.08" in line for line in lines)
    assert any("is not what chelsea ours@1.0 decodes to now" in line for line in lines)


BAD_GIVEN: dict[str, tuple[str, str, str]] = {
    "no table": ("", "codecs[0].table", "does not exist"),
    "no bpp column": ("source,codec\nchelsea,ours\n", "codecs[0].table", "has no column 'bpp'"),
    "bpp not a number": (
        "source,codec,bpp\nchelsea,ours,lots\n",
        "codecs[0].table",
        "line 2: bpp must be positive",
    ),
    "bpp negative": (
        "source,codec,bpp\nchelsea,ours,-1\n",
        "codecs[0].table",
        "line 2: bpp must be positive",
    ),
    "codec not in it": ("source,codec,bpp\nchelsea,other,1\n", "codecs[0].codec", "'ours' has no row"),
    "no source of the study": (
        "source,codec,bpp\nnobody,ours,1\n",
        "codecs[0].table",
        "has no row for any source",
    ),
    "two rows for one cell": (
        "source,codec,bpp\nchelsea,ours,1\nchelsea,ours,1.1\n",
        "codecs[0].table",
        "lines 2 and 3 both give chelsea at 1 bpp",
    ),
}


@pytest.mark.parametrize("case", BAD_GIVEN)
def test_a_bad_table_is_one_line(given: Path, case: str) -> None:
    text, key, words = BAD_GIVEN[case]
    table = given / "recon" / "bpp.csv"
    if text:
        table.write_text(text)
    else:
        table.unlink()
    with pytest.raises(StudyFileError) as caught:
        read_study(given)
    (line,) = caught.value.problems
    assert f": {key}" in line
    assert words in line


def test_a_reconstruction_of_another_size_is_refused_with_both_sizes(given: Path) -> None:
    Image.new("RGB", (128, 95)).save(given / "recon" / "chelsea" / "ours.png")
    with pytest.raises(StudyFileError) as caught:
        read_study(given)
    (line,) = caught.value.problems
    assert "recon/chelsea/ours.png is 128x95, but source 'chelsea' is 128x96" in line


def test_an_absent_or_cut_reconstruction_is_one_line(given: Path) -> None:
    picture = given / "recon" / "chelsea" / "ours.png"
    data = picture.read_bytes()
    picture.write_bytes(data[: len(data) // 2])
    with pytest.raises(StudyFileError, match=r"recon/chelsea/ours\.png is truncated"):
        check_study(read_study(given))
    picture.unlink()
    with pytest.raises(StudyFileError, match=r"recon/chelsea/ours\.png does not exist"):
        read_study(given)


@pytest.mark.real_data
def test_published_reconstructions_of_kodak_scenes(studies: ModuleType, tmp_path: Path) -> None:
    """PICO, HiFiC, DCVC-RT, VVC (16 bit) and BPG on three scenes: one study, encoded and verified."""
    if not studies.PICO.is_dir():
        pytest.skip(f"no real reconstructions at {studies.PICO}: this test needs them")
    folder = studies.pico_study(tmp_path / "pico")
    study = read_study(folder)
    check_study(study)
    manifest = encode_study(study, workers=1, progress=False)
    assert len(manifest.stimuli) == 15
    assert all(stimulus.included and stimulus.status == "given" for stimulus in manifest.stimuli)
    assert {(s.width, s.height) for s in manifest.stimuli} <= {(768, 512), (512, 768)}
    assert max(abs(stimulus.residual) for stimulus in manifest.stimuli) < 0.25
    sixteen = next(s for s in manifest.stimuli if (s.source, s.codec) == ("kodim23", "vvc"))
    kept = png_pixels(picture_path(folder, sixteen.picture_sha256).read_bytes())
    assert np.array_equal(kept, load_picture(studies.PICO / "kodim23" / "vvc.png"))
    assert verify_manifest(folder, workers=1, progress=False) == ()


@pytest.mark.real_data
def test_the_scene_whose_reconstruction_is_a_row_too_high_is_refused(
    studies: ModuleType, tmp_path: Path
) -> None:
    if not studies.PICO.is_dir():
        pytest.skip(f"no real reconstructions at {studies.PICO}: this test needs them")
    folder = studies.pico_study(tmp_path / "pico")
    file = folder / "study.toml"
    file.write_text(file.read_text().replace("kodim23", "todd-quackenbush-222").replace("0.27", "0.44"))
    with pytest.raises(StudyFileError, match="is 720x440, but source 'todd-quackenbush-222' is 720x439"):
        read_study(folder)
