"""Programs are held to their time, memory and disk, and leave nothing behind, however a run ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from stimuli import programs, working_folders
from stimuli.programs import ProgramError, run_program
from stimuli.working_folders import sweep, working_folder

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="memory of programs is limited on Linux only: no /proc here"
)


def run_python(code: str, folder: Path, **limits: float) -> None:
    given = {"timeout": 60.0, **limits}
    memory = given.pop("memory", None)
    run_program(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder,
        timeout=given["timeout"],
        memory=None if memory is None else int(memory),
    )


@linux_only
@pytest.mark.parametrize(
    "code",
    [
        "bytearray(10**11)",
        "held = []\nwhile True: held.append(bytearray(b'x' * 2**22))",
        "import os, sys\ntry: bytearray(2**31)\nexcept MemoryError: sys.exit('std::bad_alloc')",
        """
        import subprocess, sys
        subprocess.run([sys.executable, "-c", "held = []\\nwhile True: held.append(b'x' * 2**22 + b'y')"])
        """,
    ],
    ids=["at once", "little by little", "said in its own words", "by its child"],
)
def test_a_program_that_needs_too_much_memory_is_ended(tmp_path: Path, code: str) -> None:
    with pytest.raises(ProgramError) as caught:
        run_python(code, tmp_path, memory=200)
    line = str(caught.value)
    assert f"{Path(sys.executable).name} was ended: needs more than 200 MB; raise `memory`" in line
    assert "\n" not in line


@linux_only
def test_a_program_within_its_memory_is_left_alone(tmp_path: Path) -> None:
    run_python("held = b'x' * (150 << 20)", tmp_path, memory=400)


@linux_only
def test_address_space_that_is_only_reserved_is_no_memory(tmp_path: Path) -> None:
    """Run-time systems reserve far more than they hold; that must not end them."""
    run_python("import mmap; mmap.mmap(-1, 4 << 30, prot=mmap.PROT_READ)", tmp_path, memory=200)


@linux_only
def test_a_program_that_fails_for_another_reason_is_not_said_to_need_memory(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"failed \(exit 1\): unknown option$"):
        run_python("import sys; sys.exit('unknown option')", tmp_path, memory=200)


@linux_only
@pytest.mark.parametrize("ignored", [True, False])
def test_a_file_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ignored: bool) -> None:
    """Python itself ignores the signal and gets an error from the system; other programs die of it."""
    monkeypatch.setattr("stimuli.process_memory.LARGEST_FILE", 1 << 20)
    code = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n" if not ignored else ""
    code += "import time; time.sleep(0.2)\nwith open('out', 'wb') as file:\n"
    code += "    while True: file.write(bytes(2**16)); file.flush()"
    with pytest.raises(ProgramError, match="was ended: wrote a file larger than a decoded picture can be"):
        run_python(code, tmp_path)
    assert (tmp_path / "out").stat().st_size <= 1 << 20


def test_a_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"was ended after 0\.3 s; raise `timeout` if it needs longer"):
        run_python("import time; time.sleep(60)", tmp_path, timeout=0.3)


def test_a_program_that_closes_standard_error_is_waited_for(tmp_path: Path) -> None:
    code = "import os, time\nos.close(2); time.sleep(0.3)\nopen('done', 'w').close()"
    run_python(code, tmp_path, memory=500)
    assert (tmp_path / "done").exists()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_working_folder_goes_with_its_work(temporary: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), working_folder() as folder:
        (folder / "large").write_bytes(bytes(100))
        assert folder.parent == temporary
        raise ZeroDivisionError
    assert list(temporary.iterdir()) == []


def test_ending_all_removes_the_folders_too(temporary: Path) -> None:
    with working_folder() as folder:
        (folder / "large").write_bytes(bytes(100))
        programs.end_all()
        assert list(temporary.iterdir()) == []


def test_the_folder_of_a_killed_run_goes_at_the_next_one_and_that_of_a_live_one_stays(
    temporary: Path,
) -> None:
    code = """
    import os, sys, tempfile
    tempfile.tempdir = sys.argv[1]
    from stimuli.working_folders import working_folder
    with working_folder() as folder:
        (folder / "large").write_bytes(bytes(100))
        print(folder, flush=True)
        sys.stdin.read()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(temporary)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        another = temporary / "matchrate-1234-somebody"
        another.mkdir()
        an_hour_ago = time.time() - 3600
        for place in (folder, another):
            os.utime(place, (an_hour_ago, an_hour_ago))
        sweep()
        assert folder.is_dir()
        process.kill()
    sweep()
    assert not folder.exists()
    assert another.is_dir()


def test_a_folder_that_was_just_made_is_left_alone(temporary: Path) -> None:
    folder = temporary / f"{working_folders._PREFIX}new"
    folder.mkdir()
    sweep()
    assert folder.is_dir()


def test_the_words_of_a_program_do_not_name_the_folder_of_this_run(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"cannot read \{folder\}/input\.png"):
        run_python("import os, sys\nsys.exit(f'cannot read {os.getcwd()}/input.png')", tmp_path)
