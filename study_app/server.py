"""The web server: waitress on a socket of ours, so the port is known first and the server can be stopped."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import resource
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import waitress.server  # type: ignore[import-untyped]
from flask import Flask
from waitress import wasyncore

from study_app.errors import UsageError

THREADS = 8
#: Every rater's browser keeps up to six connections open between trials. The limit of waitress, 100, would
#: leave the twentieth rater waiting for somebody's two minutes of silence; select() ends at 1024 files.
CONNECTIONS = 800
#: Files that connections must leave for the database, pictures and logs.
OTHER_FILES = 100
#: How many ports after the wanted one are tried.
PORTS_TRIED = 100
#: Requests in progress get this long when the server stops; with the embedded Postgres's own stop, all ends
#: within 10 s even where both hang.
FINISH_S = 3.0
FLUSH_S = 1.0


def bind(host: str, port: int) -> socket.socket:
    """A listening socket on the port, or on the next free one.

    Raises UsageError when the host or all of the ports cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = port if port == 0 else min(port + PORTS_TRIED, 65535)
    for wanted in range(port, last + 1):
        listener = socket.socket(family, socket.SOCK_STREAM)
        # Else a stopped server's port stays taken for a minute; it does not allow two servers on one port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, wanted))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise UsageError(f"--host {host}: cannot listen there ({error.strerror})") from error
        except OverflowError as error:
            listener.close()
            raise UsageError(f"--port {wanted}: ports go from 0 to 65535") from error
        return listener
    raise UsageError(f"--port {port}: none of the ports {port} to {last} on {host} is free; name another")


@dataclass(frozen=True, slots=True)
class _Parts:
    listener: socket.socket
    server: Any
    sockets: dict[int, Any]


class RunningServer:
    """A server in a thread of its own; `stop()` lets requests in progress finish and returns within 5 s."""

    def __init__(self, app: Flask, listener: socket.socket) -> None:
        sockets: dict[int, Any] = {}
        server = waitress.server.create_server(
            app,
            map=sockets,
            sockets=[listener],
            threads=THREADS,
            ident=None,
            clear_untrusted_proxy_headers=True,
            max_request_body_size=1 << 20,
            connection_limit=_connection_limit(),
        )
        self._parts = _Parts(listener, server, sockets)
        self._stopping = threading.Event()
        host, port = listener.getsockname()[:2]
        self.host: str = host
        self.port: int = port
        self._thread = threading.Thread(target=self._run, name="matchrate-server", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The address to open in a browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        if ":" in host and not host.startswith("["):
            host = f"[{host}]"
        return f"http://{host}:{self.port}"

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait(self) -> None:
        """Block until `stop()` or an interrupt."""
        while self._thread.is_alive():
            self._thread.join(timeout=0.5)

    def stop(self) -> None:
        """Take no more connections, let requests in progress finish, close everything."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._parts.server.pull_trigger()
        self._thread.join(timeout=FINISH_S + FLUSH_S + 1)

    def _run(self) -> None:
        parts = self._parts
        while not self._stopping.is_set():
            wasyncore.loop(timeout=0.5, map=parts.sockets, count=1)
        parts.server.accepting = False
        parts.server.task_dispatcher.shutdown(timeout=FINISH_S)
        deadline = time.monotonic() + FLUSH_S
        while time.monotonic() < deadline and any(
            getattr(channel, "total_outbufs_len", 0) for channel in parts.sockets.values()
        ):
            wasyncore.loop(timeout=0.1, map=parts.sockets, count=1)
        parts.server.trigger.close()
        wasyncore.close_all(parts.sockets, ignore_all=True)


def _connection_limit() -> int:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return CONNECTIONS
    return max(20, min(CONNECTIONS, allowed - OTHER_FILES))


def start_server(app: Flask, port: int, host: str = "127.0.0.1") -> RunningServer:
    """Serve the application in a thread, on the port or the next free one. Raises UsageError."""
    # Waitress tells when requests wait for a thread, which is no trouble.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    return RunningServer(app, bind(host, port))


def researcher_token(folder: Path) -> str:
    """The study's token for its researcher, drawn once and kept where only the owner reads it.

    Raises UsageError when the file cannot be read or written.
    """
    path = folder / "researcher-token"
    try:
        token = path.read_text(encoding="ascii").strip() if path.exists() else ""
        if len(token) >= 20:
            return token
        # Written whole under another name first: two commands that start at once agree on one token.
        fresh = path.with_name(f".researcher-token.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        try:
            if token or (path.exists() and path.stat().st_size == 0):
                fresh.replace(path)
            else:
                path.hardlink_to(fresh)
        except FileExistsError:
            pass
        finally:
            fresh.unlink(missing_ok=True)
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read or written ({error})") from error
