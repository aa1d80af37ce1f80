"""Seconds: who waits for whom, whose CPU time is counted, and the table of times that a study keeps."""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from stimuli.encoding import encode_study
from stimuli.errors import CodecError, TimingError
from stimuli.manifest import read_manifest
from stimuli.study import read_study
from stimuli.timing import time_study
from stimuli.timing_table import Timing, read_timings, timing_lines
from study_app.cli import main

SLOW = """
name = "slow"
targets = [2.0, 4.0]
metrics = []
timeout = 1
sources = { folder = "sources" }

[[codecs]]
name = "toy"
family = "command"
encode = ["{python}", "{study}/program.py", "enc", "{input}", "{output}", "{quality}"]
decode = ["{python}", "{study}/program.py", "dec", "{input}", "{output}"]
quality = { range = [1, 100], start = 50 }
version = "1.0"
extension = "toy"
input = "ppm"
"""


#: Of 64x48 pixels alone: quality / 25 bits per pixel, and black.
PROGRAM = """
import sys
from pathlib import Path
mode, source, target = sys.argv[1:4]
size = round(64 * 48 / 8 * float(sys.argv[4]) / 25) if mode == "enc" else 0
Path(target).write_bytes(bytes(size) or b"P6\\n64 48\\n255\\n" + bytes(3 * 64 * 48))
"""


def slow_study(studies: ModuleType, folder: Path, first: str, extra: str = "") -> Path:
    """A program of somebody else that does `first` before it encodes or decodes one small picture."""
    pixels = studies.photographs(64, 48)["astronaut"]
    path: Path = studies.write_study(folder, SLOW + extra, {"astronaut": pixels})
    (path / "program.py").write_text(first + PROGRAM)
    return path


def test_a_guard_waits_for_the_time_limit_of_a_program(studies: ModuleType, tmp_path: Path) -> None:
    """A limit of 1 s in study.toml, of a minute in the codec, and a program of 1.5 s: the codec's counts."""
    first = "import time, pathlib, sys\nflag = pathlib.Path(__file__).with_name('slept')\n"
    first += "if sys.argv[1] == 'dec' and not flag.exists():\n    flag.touch()\n    time.sleep(1.5)\n"
    folder = slow_study(studies, tmp_path / "study", first, "timeout = 60\n")
    manifest = encode_study(read_study(folder), workers=1, progress=False)
    assert (len(manifest.stimuli), manifest.failures) == (2, ())
    assert (folder / "slept").exists()


def test_a_program_without_a_limit_of_its_own_keeps_to_that_of_the_study(
    studies: ModuleType, tmp_path: Path
) -> None:
    first = "import time, sys\nif sys.argv[1] == 'dec': time.sleep(60)\n"
    folder = slow_study(studies, tmp_path / "study", first)
    with pytest.raises(CodecError, match="was ended after 1 s"):
        encode_study(read_study(folder), workers=1, progress=False)


def test_the_seconds_of_a_program_are_counted(studies: ModuleType, tmp_path: Path) -> None:
    """Each run of the program burns a tenth of a CPU second by its own clock, in a child of a child."""
    code = "import time\\nwhile time.process_time() < 0.1: pass"
    first = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', '{code}'], check=True)\n"
    folder = slow_study(studies, tmp_path / "study", first, "timeout = 60\n")
    for stimulus in encode_study(read_study(folder), workers=1, progress=False).stimuli:
        assert stimulus.encode_s is not None
        assert stimulus.decode_s is not None
        assert stimulus.encode_s >= 0.1
        assert stimulus.decode_s >= 0.1


FICKLE = """
name = "timed"
targets = [0.5, 1.0, 2.0, 20.0]
tolerance = 0.005
metrics = []
sources = { folder = "sources" }
[[codecs]]
name = "first"
family = "fickle"
label = "first"

[[codecs]]
name = "second"
family = "fickle"
label = "second"
"""


@pytest.fixture
def timed(
    studies: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Path]]:
    """Two pictures through two of the fickle codec, at qualities 25, 50 and 100, the last for two targets."""
    monkeypatch.syspath_prepend(str(studies.install_fickle_codec(tmp_path / "site")))
    importlib.invalidate_caches()

    def encoded() -> Path:
        pictures = {
            "astronaut": studies.photographs(64, 48)["astronaut"],
            "chelsea": studies.photographs(80, 48)["chelsea"],
        }
        folder: Path = studies.write_study(tmp_path / "study", FICKLE, pictures)
        encode_study(read_study(folder), workers=1, progress=False)
        return folder

    yield encoded
    sys.modules.pop("ficklecodec", None)


def test_the_seconds_of_threads_are_counted(
    timed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that burn 0.05 s each, in a guarded worker."""
    monkeypatch.setenv("FICKLE_BURN", "1")
    stimuli = read_manifest(folder := timed()).stimuli
    assert len(stimuli) == 16
    assert min(stimulus.encode_s or 0.0 for stimulus in stimuli) >= 0.1
    row = time_study(folder, repeats=1, sources=1, progress=False).timings[0]
    assert row.encode >= 0.1 / (64 * 48 / 1e6)


def test_every_kept_quality_is_timed_in_turns(
    timed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = timed()
    monkeypatch.setenv("FICKLE_LOG", str(tmp_path / "log"))
    found = time_study(folder, reference="second", repeats=3, sources=2, progress=False)
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    encodes = [(label, width, value) for what, label, _, width, value in lines if what == "encode"]
    once = [
        (label, width, value)
        for width in ("64", "80")
        for value in ("25", "50", "100")
        for label in ("second", "first")
    ]
    assert encodes == 3 * once
    assert [what for what, *_ in lines] == ["encode", "decode"] * (3 * 12)
    assert len({process for _, _, process, *_ in lines}) == 1
    assert [(row.codec, row.cells, row.sources, row.repeats) for row in found.timings] == [
        ("first", 6, 2, 3),
        ("second", 6, 2, 3),
    ]
    second = found.timings[1]
    assert (second.relative_encode, second.relative_decode) == (1.0, 1.0)
    first = found.timings[0]
    assert first.relative_encode == pytest.approx(first.encode / second.encode)


def test_rows_of_other_devices_are_kept(
    timed: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = timed()
    assert main(["timings", "--repeats", "1", "--sources", "1", str(folder)]) == 0
    file = folder / "timings.csv"
    with file.open(newline="") as lines:
        header = next(csv.reader(lines))
    assert header[:4] == ["codec", "device", "encode", "decode"]
    gpu = {"codec": "first", "device": "a GPU", "encode": "0.02", "decode": "0.05", "told by": "a paper"}
    pico = {"codec": "pico", "device": "a phone", "encode": "", "decode": "0.15", "told by": "its authors"}
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["codec"] for row in rows] == ["first", "second"]
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, [*header, "told by"])
        writer.writeheader()
        writer.writerows([gpu, *(row | {"encode": "12345"} for row in rows), pico])
    capsys.readouterr()
    assert main(["timings", "--repeats", "1", "--sources", "1", "--reference", "second", str(folder)]) == 0
    assert "kept: first on a GPU, pico on a phone" in capsys.readouterr().out
    with file.open(newline="") as lines:
        again = list(csv.DictReader(lines))
    assert [(row["codec"], row["device"] == rows[0]["device"]) for row in again] == [
        ("first", False),
        ("first", True),
        ("second", True),
        ("pico", False),
    ]
    for before, after in ((gpu, again[0]), (pico, again[3])):
        assert {key: value for key, value in after.items() if value or key in before} == before
    assert all(row["encode"] != "12345" and float(row["encode"]) > 0 for row in again[1:3])
    assert {row["reference"] for row in again[1:3]} == {"second"}


def test_a_codec_that_crashes_is_named_and_the_others_are_timed(
    timed: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = timed()
    monkeypatch.setenv("FICKLE_CRASH", "50")
    monkeypatch.setenv("FICKLE_LOG", str(tmp_path / "log"))
    found = time_study(folder, repeats=2, sources=1, progress=False)
    assert [row.cells for row in found.timings] == [2, 2]
    assert "first on astronaut at quality 50 is not timed: the worker process died (SIGSEGV)" in found.notes
    log = (tmp_path / "log").read_text().splitlines()
    assert [len([line for line in log if line.endswith(f" 64 {value}")]) for value in (25, 50)] == [8, 4]


def test_small_sources_are_said(
    timed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, however many there are; and not where all are large."""
    folder = timed()
    capsys.readouterr()
    assert main(["timings", "--repeats", "1", str(folder)]) == 0
    said = (
        "note: sources under 0.25 megapixel (2 here, the smallest of 0.0031): what a program needs to start"
    )
    assert capsys.readouterr().out.count(said) == 1
    # 80x48 pixels are .00384 megapixels.
    monkeypatch.setattr("stimuli.timing.SMALL", 0.0035)
    assert main(["timings", "--repeats", "1", str(folder)]) == 0
    assert "(1 here, the smallest of 0.0031)" in capsys.readouterr().out
    monkeypatch.setattr("stimuli.timing.SMALL", 0.003)
    assert main(["timings", "--repeats", "1", str(folder)]) == 0
    assert "megapixel (" not in capsys.readouterr().out


def test_threads_are_named() -> None:
    row = Timing("c", "d", 1.0, 1.0, None, None, "c", "1", 1, 1, 1, encode_threads=1.9, decode_threads=1.1)
    assert row.threads == "encode"
    assert timing_lines([row])[1] == [("c", "1", "-", "1", "-", "encode")]


BAD_TABLES = {
    "has no column 'device'": "codec,encode,decode\n",
    "line 2: encode must be CPU seconds a megapixel, got 'fast'": "codec,device,encode,decode\na,b,fast,1\n",
    "line 3 needs a codec and a device": "codec,device,encode,decode\na,b,1,1\na,,1,1\n",
    "line 2 has more values than": "codec,device,encode,decode\na,b,1,1,1\n",
}


@pytest.mark.parametrize("words", BAD_TABLES)
def test_a_bad_table_is_one_line(tmp_path: Path, words: str) -> None:
    (tmp_path / "timings.csv").write_text(BAD_TABLES[words])
    with pytest.raises(TimingError) as caught:
        read_timings(tmp_path / "timings.csv")
    assert str(caught.value).startswith(f"{tmp_path / 'timings.csv'}: {words}")


def test_an_unknown_reference_is_one_line(timed: Callable[..., Path]) -> None:
    with pytest.raises(TimingError, match="has no encodes of 'third' to compare with; it has first, second"):
        time_study(timed(), reference="third", progress=False)
