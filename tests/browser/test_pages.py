"""The pages around the trials, for raters and for the researcher."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
NO_SIDEWAYS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"


@pytest.fixture
def report(served: Any) -> Iterator[Path]:
    """A report such as the analysis writes: one file with its style and pictures inside."""
    folder = served.study.folder / "report"
    folder.mkdir()
    page = folder / "report.html"
    page.write_text(
        "<!doctype html><title>Report</title><style>h1 { color: rgb(1, 2, 3) }</style><h1>BD-rates</h1>"
        '<img alt="" src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">',
        encoding="utf-8",
    )
    (folder / "results.json").write_text("{}", encoding="utf-8")
    yield page
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


def test_every_page_forbids_inline_script_and_style(served: Any, page: Page) -> None:
    """The policy is sent, and the browser enforces it; no page trips over it (see the fixture `watch`)."""
    for path in ("/", "/instructions", "/rate", "/thanks", "/researcher", "/nothing"):
        response = page.request.get(served.url + path)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "<script>" not in response.text()
        assert "<style" not in response.text()
        assert " style=" not in response.text()
        assert " onclick=" not in response.text()


def test_the_policy_stops_a_script_that_was_slipped_in(served: Any, page: Page, watch: Any) -> None:
    watch.allowed.append("Content Security Policy")
    page.goto(served.url)
    page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "window.slipped = true";
      document.body.append(script);
    }""")
    assert page.evaluate("window.slipped") is None
    assert watch.complaints


def test_no_consent_no_session(served: Any, page: Page) -> None:
    page.goto(served.url)
    page.get_by_role("button", name="begin").click()
    assert page.evaluate("document.querySelector('[name=consent]').validity.valueMissing") is True
    assert page.context.cookies() == []
    page.goto(f"{served.url}/rate")
    assert page.url == f"{served.url}/"
    refused = page.request.post(f"{served.url}/enrol", form={})
    assert refused.status == 403
    assert "Consent: tick it to take part." in refused.text()


def test_the_welcome_page_tells_what_is_asked_and_resumes(served: Any, page: Page) -> None:
    hand = served.hand(page)
    page.goto(served.url)
    text = page.inner_text("main")
    assert "A small study" in text
    assert "Which one looks closer to the original?" in text
    assert "6 comparisons, about 2 minutes" in text
    assert "Please open this page on a computer" not in text
    hand.begin()
    page.goto(served.url)
    assert page.url.endswith("/instructions")
    assert "Judge how faithful a picture is." in page.inner_text("main")
    assert "Not how pretty it is." in page.inner_text("main")
    page.goto(f"{served.url}/thanks")
    assert page.url.endswith("/rate")
    hand.wait_for_trial()
    with page.expect_response("**/api/judgments"):
        hand.give(hand.look()[1])
    page.goto(served.url)
    assert page.url.endswith("/rate")
    hand.wait_for_trial()
    assert page.inner_text("#progress-text") == "2 of 6"


def test_a_long_address_in_the_instructions_breaks_and_does_not_widen_the_page(
    served: Any, page: Page
) -> None:
    served.hand(page).begin()
    page.goto(f"{served.url}/instructions")
    page.evaluate("document.querySelector('.sheet > p').textContent = 'https://' + 'abcdefghij/'.repeat(60)")
    assert page.evaluate(NO_SIDEWAYS)


def test_a_phone_reads_the_welcome_and_is_sent_to_a_computer(
    served: Any, new_context: Callable[..., Any]
) -> None:
    page = new_context(viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=3).new_page()
    page.goto(served.url)
    assert page.get_by_text("Please open this page on a computer").is_visible()
    assert page.get_by_role("button", name="begin").is_hidden()
    assert page.evaluate(NO_SIDEWAYS) is True
    size = page.evaluate("parseFloat(getComputedStyle(document.querySelector('dd')).fontSize)")
    assert size >= 16


def test_a_narrow_window_shows_a_note_in_place_of_the_trial(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    note = page.get_by_text("This screen is too small for rating")
    assert note.is_hidden()
    _, slot = hand.look()
    page.set_viewport_size({"width": 390, "height": 844})
    note.wait_for()
    assert page.locator("main").is_hidden()
    assert page.evaluate(NO_SIDEWAYS) is True
    hand.give(slot)  # nobody answers a trial that cannot be seen
    page.set_viewport_size({"width": 1366, "height": 400})
    page.locator("#frame-test").wait_for()
    assert note.is_hidden()
    assert page.inner_text("#progress-text") == "1 of 6"
    assert page.get_attribute("#choose-a", "aria-pressed") == "false"
    assert page.get_attribute("#choose-b", "aria-pressed") == "false"


def test_without_javascript_the_page_says_that_it_is_needed(
    served: Any, new_context: Callable[..., Any]
) -> None:
    page = new_context(java_script_enabled=False).new_page()
    page.goto(served.url)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="begin").click()
    page.get_by_role("link", name="Start rating").click()
    assert "Rating needs JavaScript" in page.inner_text("#waiting")


def test_the_colours_stay_light_and_grey_when_the_system_is_dark(
    served: Any, new_context: Callable[..., Any]
) -> None:
    page = new_context(color_scheme="dark", forced_colors="none").new_page()
    served.hand(page).begin()
    style = page.evaluate("""() => {
      const { colorScheme } = getComputedStyle(document.documentElement);
      return [colorScheme, getComputedStyle(document.body).backgroundColor];
    }""")
    assert style == ["light only", "rgb(112, 112, 112)"]
    assert page.get_attribute("meta[name=color-scheme]", "content") == "only light"


def test_an_error_is_a_page_and_no_traceback(served: Any, page: Page, watch: Any) -> None:
    watch.allowed.append("404")
    response = page.goto(f"{served.url}/nothing/here")
    assert response is not None
    assert response.status == 404
    assert page.inner_text("h1") == "Not found"
    page.get_by_role("link", name="start page").click()
    assert page.inner_text("h1") == "A small study"


def test_the_researchers_page_opens_with_the_token_only(served: Any, page: Page, watch: Any) -> None:
    watch.allowed.append("403")
    for address in ("/researcher", "/researcher?token=", "/researcher?token=%C3%A4", "/researcher?token=no"):
        response = page.goto(served.url + address)
        assert response is not None
        assert response.status == 403
        assert page.inner_text("h1") == "Not allowed"
        assert page.locator("table").count() == 0
    assert page.request.get(f"{served.url}/researcher/report/").status == 403
    assert page.request.get(f"{served.url}/researcher/report/results.json").status == 403

    response = page.goto(f"{served.url}/researcher?token={served.token}")
    assert response is not None
    assert response.status == 200
    assert page.url == f"{served.url}/researcher"
    assert page.evaluate("document.cookie") == ""
    assert served.token not in page.content()
    [cookie] = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/researcher")


def test_the_researchers_counts_follow_the_raters(served: Any, new_context: Callable[..., Any]) -> None:
    watcher, rater = new_context().new_page(), new_context().new_page()
    watcher.goto(f"{served.url}/researcher?token={served.token}")
    judgments = watcher.locator("[data-live=counts] .tile").filter(has_text="judgments").first.locator("dd")
    before = int(judgments.inner_text())
    hand = served.hand(rater)
    hand.begin()
    with rater.expect_response("**/api/judgments"):
        hand.give(hand.look()[1])
    watcher.bring_to_front()
    watcher.wait_for_function(
        "(number) => document.querySelector('[data-live=counts] dd').textContent === String(number)",
        arg=before + 1,
    )
    rows = watcher.locator("table tbody tr")
    assert rows.count() == 4
    assert "zebracodec@0.2345" in rows.all_inner_texts()[-2]


def test_the_report_is_served_with_its_own_policy(served: Any, page: Page, report: Path) -> None:
    page.goto(f"{served.url}/researcher?token={served.token}")
    page.get_by_role("link", name="Open the report").click()
    assert page.inner_text("h1") == "BD-rates"
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(1, 2, 3)"
    assert page.evaluate("document.images[0].naturalWidth") == 1
    assert page.request.get(f"{served.url}/researcher/report/results.json").status == 200
    for path in (
        "..%2fresearcher-token",
        "../stimuli/manifest.json",
        "%2e%2e/stimuli/manifest.json",
        "none.json",
    ):
        assert page.request.get(f"{served.url}/researcher/report/{path}").status == 404


def test_the_page_says_how_current_the_report_is(served: Any, page: Page, report: Path) -> None:
    results = report.with_name("results.json")
    address = f"{served.url}/researcher?token={served.token}"

    def said(text: str) -> str:
        results.write_text(text, encoding="utf-8")
        os.utime(results, (1_700_000_000, 1_700_000_000))
        page.goto(address)
        return page.inner_text("[data-live=report-age]")

    page.goto(address)
    tiles = page.locator("[data-live=counts] .tile").filter(has_text="judgment").locator("dd")
    total = sum(int(number) for number in tiles.all_inner_texts())
    when = "2023-11-14 22:13:20 UTC"
    assert (
        said('{"counts": {"judgments_read": 0}}') == f"Made from 0 judgments at {when}; {total} since then."
    )
    assert said('{"counts": {"judgments": 1}}').startswith(f"Made from 1 judgment at {when}; ")
    more = f'{{"counts": {{"judgments_read": {total + 1200}, "judgments": 3}}}}'
    assert said(more) == f"Made from {total + 1200:,} judgments at {when}; 0 since then."
    for odd in ("", "{", "[]", '{"counts": 3}', '{"counts": {"judgments_read": "x"}}', "[" * 100_000, "\0"):
        assert said(odd) == f"Made at {when}."
    results.unlink()
    page.goto(address)
    assert page.inner_text("[data-live=report-age]").startswith("Made at 20")


def test_without_a_report_the_page_says_how_to_make_one(served: Any, page: Page, watch: Any) -> None:
    watch.allowed.append("404")
    page.goto(f"{served.url}/researcher?token={served.token}")
    assert "matchrate analyze" in page.inner_text("[data-live=report]")
    page.goto(f"{served.url}/researcher/report/")
    assert page.inner_text("h1") == "No report yet"
