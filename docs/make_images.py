"""Makes the README's pictures again from the demo study: `make demo ONCE=1`, then `make images`."""

from __future__ import annotations

import importlib.util
import io
import shutil
import sys
from pathlib import Path
from types import ModuleType

from PIL import Image
from playwright.sync_api import sync_playwright

from stimuli.manifest import read_manifest
from study_app.app import create_app
from study_app.database import open_database
from study_app.server import researcher_token, start_server
from study_app.settings import Settings

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "demo-study"
IMAGES = ROOT / "docs" / "images"
VIEWPORT = (1440, 900)


def _chromium() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chromium", ROOT / "tests" / "browser" / "chromium.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _screenshot(address: str) -> bytes:
    """A trial as a rater sees it first."""
    finder = _chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=finder.find_chromium(), args=finder.browser_arguments()
        )
        page = browser.new_page(viewport={"width": VIEWPORT[0], "height": VIEWPORT[1]})
        page.goto(address)
        page.locator("input[name=consent]").check()
        page.locator("form button").click()
        page.goto(f"{address}/rate")
        page.locator("#frame-reference img").first.wait_for()
        page.wait_for_timeout(1000)
        page.keyboard.press("1")
        shot = page.screenshot()
        browser.close()
        return shot


def main() -> int:
    """Write docs/images/trial.jpg and docs/images/elo_curves.png."""
    curves = STUDY / "report" / "elo_curves.png"
    if not curves.exists():
        print("there is no demo study yet: run `make demo ONCE=1` first", file=sys.stderr)
        return 2
    settings = Settings.from_environment(STUDY)
    study = read_manifest(STUDY).study.name
    with open_database(settings) as engine:
        app = create_app(settings, engine=engine, study=study, researcher_token=researcher_token(STUDY))
        with start_server(app, 0) as server:
            shot = _screenshot(server.url)
    IMAGES.mkdir(exist_ok=True)
    Image.open(io.BytesIO(shot)).convert("RGB").save(IMAGES / "trial.jpg", quality=88, subsampling=0)
    shutil.copyfile(curves, IMAGES / "elo_curves.png")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
