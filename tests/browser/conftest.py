"""A real server on a real Postgres, and a real Chromium before it."""

from __future__ import annotations

import importlib.util
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, sync_playwright
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from study_app.app import create_app
from study_app.database import connect
from study_app.loading import load_manifest
from study_app.server import start_server
from study_app.settings import Settings


def _sibling(name: str) -> ModuleType:
    # Test folders are no packages, and several of them may have a file of the same name.
    full = f"browser_tests_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[full] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[full]


chromium = _sibling("chromium")
small_study = _sibling("small_study")
rater_hand = _sibling("rater_hand")

TOKEN = "a-token-for-the-researcher-of-the-tests"
LAPTOP = {"width": 1366, "height": 768}


@dataclass(frozen=True, slots=True)
class Served:
    """A study that is being served."""

    url: str
    study: Any
    engine: Engine
    token: str = TOKEN

    def hand(self, page: Page, way: str = "keyboard") -> Any:
        """Somebody who rates on this page by "keyboard" or "mouse"."""
        return rater_hand.RaterHand(page, self.url, self.study, way)

    def answers(self, page: Page) -> list[Any]:
        """What Postgres holds of this browser's session."""
        return rater_hand.stored_answers(self.engine, page)

    def judgments(self, page: Page) -> list[dict[str, Any]]:
        """The same, as the rows of the view."""
        return rater_hand.judgment_rows(self.engine, page)


@pytest.fixture(scope="session")
def served_engine(maintenance: Engine, postgres_url: URL, template_database: str) -> Iterator[Engine]:
    """A migrated database for all browser tests."""
    name = f"matchrate_browser_{secrets.token_hex(6)}"
    with maintenance.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}"'))
    engine = connect(postgres_url.set(database=name))
    yield engine
    engine.dispose()
    with maintenance.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def served(served_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all browser tests: sessions do not see each other."""
    study = small_study.make_small_study(tmp_path_factory.mktemp("study"))
    load_manifest(served_engine, study.manifest, study.folder)
    settings = Settings(folder=study.folder)
    app = create_app(settings, engine=served_engine, study=small_study.NAME, researcher_token=TOKEN)
    with start_server(app, 0) as server:
        yield Served(server.url, study, served_engine)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def executable() -> str:
    path = chromium.find_chromium()
    if path is None:
        pytest.fail(chromium.HOW, pytrace=False)
    return str(path)


@pytest.fixture(scope="session")
def browser_arguments() -> list[str]:
    return list(chromium.browser_arguments())


@pytest.fixture(scope="session")
def browser(playwright: Playwright, executable: str) -> Iterator[Browser]:
    with playwright.chromium.launch(executable_path=executable, args=chromium.browser_arguments()) as running:
        yield running


@dataclass
class Watch:
    """Everything that a page complained of; `allowed` holds parts of complaints that a test provokes."""

    complaints: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)

    def console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def page(self, page: Page) -> None:
        page.on("console", self.console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    def unexpected(self) -> list[str]:
        return [said for said in self.complaints if not any(part in said for part in self.allowed)]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails a test whose pages wrote an error, a warning or a policy violation to the console."""
    watch = Watch()
    yield watch
    assert watch.unexpected() == []


@pytest.fixture
def new_context(browser: Browser, watch: Watch) -> Iterator[Callable[..., BrowserContext]]:
    """Opens fresh browser contexts, each a rater of its own."""
    opened: list[BrowserContext] = []

    def open_context(**options: Any) -> BrowserContext:
        context = browser.new_context(**{"viewport": LAPTOP, **options})
        context.set_default_timeout(15_000)
        context.on("page", watch.page)
        opened.append(context)
        return context

    yield open_context
    for context in opened:
        context.close()


@pytest.fixture
def page(new_context: Callable[..., BrowserContext]) -> Page:
    """A page in a fresh context, on a screen of a small laptop."""
    return new_context().new_page()
