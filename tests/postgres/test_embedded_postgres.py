"""The embedded Postgres through real starts, joins, kills and left-over files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from study_app.embedded_postgres import EmbeddedPostgres
from study_app.errors import EmbeddedPostgresError

HOLDER = """
import sys
from pathlib import Path
from study_app.embedded_postgres import EmbeddedPostgres

with EmbeddedPostgres(Path(sys.argv[1])) as server:
    try:
        print(server.url.render_as_string(hide_password=False), flush=True)
        sys.stdin.read()
    except KeyboardInterrupt:
        pass
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space in its path that the tests of this file use one after another."""
    return tmp_path_factory.mktemp("a folder") / "postgres"


@pytest.fixture
def hold() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """`hold(folder)` starts another process that uses the server, and returns when it does."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, *, wait: bool = True) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(HOLDER), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        if wait:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("postgresql")
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def pid_of(folder: Path) -> int | None:
    path = folder / "data" / "postmaster.pid"
    return int(path.read_text().splitlines()[0]) if path.exists() else None


def is_running(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return False
    return words[0] != "Z"


def query(server: EmbeddedPostgres, statement: str) -> list[tuple[object, ...]]:
    url = server.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_data_survives_a_stop_and_nothing_keeps_running(cluster: Path) -> None:
    with EmbeddedPostgres(cluster) as server:
        query(server, "CREATE TABLE IF NOT EXISTS kept (value int)")
        query(server, "INSERT INTO kept VALUES (42)")
        pid = pid_of(cluster)
        assert pid is not None
        sockets = Path(str(server.url.query["host"]))
        assert sockets.stat().st_mode & 0o077 == 0
    assert not is_running(pid)
    assert not sockets.exists()
    with EmbeddedPostgres(cluster) as server:
        assert query(server, "SELECT value FROM kept LIMIT 1") == [(42,)]


def test_it_listens_on_no_network_address(cluster: Path) -> None:
    with EmbeddedPostgres(cluster) as server:
        assert query(server, "SHOW listen_addresses") == [("",)]


def test_the_last_of_several_users_stops_it(
    cluster: Path, hold: Callable[..., subprocess.Popen[str]]
) -> None:
    other = hold(cluster)
    pid = pid_of(cluster)
    assert pid is not None
    with EmbeddedPostgres(cluster) as server:
        assert pid_of(cluster) == pid
        with EmbeddedPostgres(cluster):
            pass
        assert query(server, "SELECT 1") == [(1,)]
        other.communicate("")
        # The process that started it is gone and the server stays for us.
        assert query(server, "SELECT 1") == [(1,)]
    assert not is_running(pid)


def test_processes_that_start_at_once_share_one_server(
    tmp_path: Path, hold: Callable[..., subprocess.Popen[str]]
) -> None:
    folder = tmp_path / "postgres"
    processes = [hold(folder, wait=False) for _ in range(4)]
    addresses = set()
    for process in processes:
        assert process.stdout is not None
        addresses.add(process.stdout.readline())
    assert len(addresses) == 1
    assert addresses.pop().startswith("postgresql")
    pid = pid_of(folder)
    assert pid is not None
    for process in processes:
        process.communicate("")
        assert process.returncode == 0
    assert not is_running(pid)


def test_ctrl_c_stops_it(cluster: Path, hold: Callable[..., subprocess.Popen[str]]) -> None:
    process = hold(cluster)
    pid = pid_of(cluster)
    assert pid is not None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert not is_running(pid)


def test_after_a_killed_user_the_next_takes_over_the_running_server_and_stops_it(
    cluster: Path, hold: Callable[..., subprocess.Popen[str]]
) -> None:
    process = hold(cluster)
    pid = pid_of(cluster)
    assert pid is not None
    process.kill()
    process.wait()
    assert is_running(pid)
    with EmbeddedPostgres(cluster) as server:
        assert pid_of(cluster) == pid
        assert query(server, "SELECT 1") == [(1,)]
    assert not is_running(pid)


def test_after_the_server_itself_was_killed_it_recovers(
    cluster: Path, hold: Callable[..., subprocess.Popen[str]]
) -> None:
    process = hold(cluster)
    pid = pid_of(cluster)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    while is_running(pid):
        time.sleep(0.01)
    assert pid_of(cluster) == pid
    with EmbeddedPostgres(cluster) as server:
        assert pid_of(cluster) != pid
        assert query(server, "SELECT value FROM kept LIMIT 1") == [(42,)]


@pytest.mark.parametrize(
    "content", ["{pid}\n{data}\n1\n5432\n/nowhere\n\n\nready\n", "", "nonsense\n", "999999999\n"]
)
def test_a_leftover_pid_file_is_no_hindrance_even_when_its_pid_is_another_programs(
    cluster: Path, content: str
) -> None:
    # As after a crash in a container, where pids start again from 1 and soon belong to something else.
    with EmbeddedPostgres(cluster):
        pass
    (cluster / "data" / "postmaster.pid").write_text(content.format(pid=os.getpid(), data=cluster / "data"))
    with EmbeddedPostgres(cluster) as server:
        assert query(server, "SELECT 1") == [(1,)]


def test_a_leftover_pid_file_is_no_hindrance_when_its_pid_is_another_studys_server(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study_app.embedded_postgres.START_TIMEOUT_S", 5)
    with EmbeddedPostgres(cluster):
        pass
    with EmbeddedPostgres(tmp_path / "another") as another:
        pid = pid_of(tmp_path / "another")
        left_over = f"{pid}\n{cluster / 'data'}\n1\n5432\n/nowhere\n\n\nready\n"
        (cluster / "data" / "postmaster.pid").write_text(left_over)
        with EmbeddedPostgres(cluster) as server:
            assert query(server, "SELECT value FROM kept LIMIT 1") == [(42,)]
        assert query(another, "SELECT 1") == [(1,)]


def test_an_interrupted_making_of_the_cluster_is_begun_anew(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    (folder / "data.partial" / "base").mkdir(parents=True)
    with EmbeddedPostgres(folder) as server:
        assert query(server, "SELECT 1") == [(1,)]
    assert not (folder / "data.partial").exists()


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root's copy of a study belongs to another than its server"
)
def test_a_study_that_root_copied_is_served(cluster: Path, tmp_path: Path) -> None:
    with EmbeddedPostgres(cluster):
        pass
    copy = tmp_path / "postgres"
    # As `cp -r`: what root copies is root's.
    shutil.copytree(cluster, copy)
    assert (copy / "data").stat().st_uid == 0
    with EmbeddedPostgres(copy) as server:
        assert query(server, "SELECT 1") == [(1,)]


def test_a_very_long_path_works(tmp_path: Path) -> None:
    folder = tmp_path / ("long " * 20) / ("name" * 20) / "postgres"
    with EmbeddedPostgres(folder) as server:
        assert query(server, "SELECT 1") == [(1,)]


def test_a_cluster_that_cannot_start_is_one_line_with_the_log(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    with EmbeddedPostgres(folder):
        pass
    (folder / "data" / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedPostgresError) as caught:
        EmbeddedPostgres(folder).start()
    assert "\n" not in str(caught.value)
    assert str(folder / "server.log") in str(caught.value)
    assert pid_of(folder) is None


def test_a_cluster_of_another_major_version_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedPostgresError, match="PostgreSQL 15"):
        EmbeddedPostgres(folder).start()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="cannot be written"):
        EmbeddedPostgres(tmp_path / "file" / "postgres").start()
