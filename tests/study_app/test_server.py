"""The web server: its port, its stop, its researcher's token."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from flask import Flask, Response

from study_app.errors import UsageError
from study_app.server import bind, researcher_token, start_server


@pytest.fixture
def plain_app() -> Flask:
    """An application with a request that lasts until it is released."""
    app = Flask("plain")
    app.extensions["entered"] = threading.Event()
    app.extensions["release"] = threading.Event()

    @app.get("/")
    def hello() -> str:
        return "hello"

    @app.get("/slow")
    def slow() -> Response:
        app.extensions["entered"].set()
        app.extensions["release"].wait(20)
        return Response("finished" * 1000)

    return app


@pytest.fixture
def http() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def test_a_taken_port_gives_the_next_free_one(plain_app: Flask, http: requests.Session) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with start_server(plain_app, port) as server:
            assert server.port > port
            assert server.url == f"http://127.0.0.1:{server.port}"
            assert http.get(server.url, timeout=10).text == "hello"


def test_two_servers_never_share_a_port(plain_app: Flask) -> None:
    with start_server(plain_app, 0) as first, start_server(plain_app, first.port) as second:
        assert first.port != second.port


def test_it_says_nothing_of_itself(plain_app: Flask, http: requests.Session) -> None:
    with start_server(plain_app, 0) as server:
        assert "Server" not in http.get(server.url, timeout=10).headers


def test_stop_lets_a_request_in_progress_finish_and_frees_the_port(plain_app: Flask) -> None:
    server = start_server(plain_app, 0)
    with ThreadPoolExecutor(2) as pool:
        answer = pool.submit(requests.get, server.url + "/slow", timeout=30, proxies={"http": ""})
        assert plain_app.extensions["entered"].wait(10)
        stopping = pool.submit(server.stop)
        plain_app.extensions["release"].set()
        assert answer.result().text == "finished" * 1000
        stopping.result()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server.port))


def test_stop_does_not_wait_for_idle_browsers(plain_app: Flask, http: requests.Session) -> None:
    server = start_server(plain_app, 0)
    # A browser keeps its connection for two minutes.
    assert http.get(server.url, timeout=10).text == "hello"
    server.stop()
    server.wait()
    with pytest.raises(requests.ConnectionError):
        http.get(server.url, timeout=10)
    server.stop()


def test_many_idle_browsers_leave_room_for_the_next(plain_app: Flask, http: requests.Session) -> None:
    with start_server(plain_app, 0) as server, ExitStack() as idle:
        for _ in range(150):
            browser = idle.enter_context(socket.create_connection((server.host, server.port)))
            browser.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert http.get(server.url, timeout=20).text == "hello"


def test_an_address_that_is_not_ours_is_one_line(plain_app: Flask) -> None:
    with pytest.raises(UsageError, match="cannot listen there"):
        start_server(plain_app, 0, "192.0.2.1")


def test_the_researchers_token_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    token = researcher_token(tmp_path)
    assert len(token) >= 20
    assert (tmp_path / "researcher-token").stat().st_mode & 0o777 == 0o600
    assert researcher_token(tmp_path) == token
    assert [path.name for path in tmp_path.iterdir()] == ["researcher-token"]


def test_an_empty_token_file_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "researcher-token").write_text("")
    token = researcher_token(tmp_path)
    assert len(token) >= 20
    assert researcher_token(tmp_path) == token


def test_a_folder_that_cannot_hold_the_token_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "researcher-token").mkdir()
    with pytest.raises(UsageError, match="researcher-token"):
        researcher_token(tmp_path)
