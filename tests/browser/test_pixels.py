"""One picture pixel on one device pixel: screenshots against the served pictures, pixel by pixel."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, Playwright, Route

pytestmark = pytest.mark.browser


NOTICE = """(height) => {
  const notice = document.getElementById("notice-refusal");
  notice.style.height = height;
  notice.hidden = false;
}"""


def require_exact(hand: Any) -> None:
    for slot in (1, 2):
        hand.show(slot)
        assert hand.differing_pixels("#frame-test") == 0
    assert hand.differing_pixels("#frame-reference") == 0


@pytest.mark.parametrize("ratio", [1, 1.25, 1.5, 2])
def test_every_pixel_of_the_screen_is_a_pixel_of_the_picture(
    served: Any, playwright: Playwright, executable: str, browser_arguments: list[str], ratio: float
) -> None:
    """A browser that really has this ratio; odd window and picture sides leave frames off whole pixels."""
    browser = playwright.chromium.launch(
        executable_path=executable,
        args=[*browser_arguments, f"--force-device-scale-factor={ratio}", "--window-size=1371,853"],
    )
    with browser:
        page = browser.new_context(no_viewport=True).new_page()
        hand = served.hand(page)
        hand.begin()
        assert page.evaluate("window.devicePixelRatio") == ratio
        sizes = set()
        for _ in range(6):
            sizes.add(hand.seen().pixels.shape)
            require_exact(hand)
            if len(sizes) == 2:
                break
            _, slot = hand.look()
            with page.expect_response("**/api/judgments"):
                hand.give(slot)
            hand.wait_for_trial()
        # A line of text that appears above moves the pictures by a broken number of pixels.
        page.evaluate(NOTICE, "24.3px")
        require_exact(hand)
        assert len(sizes) == 2, "the session showed pictures of one size only"
        for row in served.judgments(page):
            assert row["device_pixel_ratio"] == ratio
            assert row["magnification"] == 1


def test_pictures_stay_exact_when_the_window_changes(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    for width, height in ((1367, 769), (1440, 900), (1281, 721)):
        page.set_viewport_size({"width": width, "height": height})
        require_exact(hand)


@pytest.mark.parametrize("size", [(1366, 768), (1440, 900), (1366, 625)])
def test_two_pictures_of_512_fit_a_laptop_without_scrolling(
    served: Any, page: Page, size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    hand = served.hand(page)
    hand.begin()
    for _ in range(6):
        if hand.seen().pixels.shape[0] == 512:
            break
        hand.give(hand.look()[1])
        hand.wait_for_trial()
    assert hand.seen().pixels.shape == (512, 512, 3)
    assert page.locator("#notice-size").is_hidden()
    overflow = """() => ["html", "#stage"].map((name) => document.querySelector(name)).some((element) =>
      element.scrollWidth > element.clientWidth || element.scrollHeight > element.clientHeight)"""
    assert page.evaluate(overflow) is False
    inside = """() => [...document.querySelectorAll("button, .frame, h1, progress")].every((element) => {
      const box = element.getBoundingClientRect();
      return box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight;
    })"""
    assert page.evaluate(inside) is True


def test_the_buttons_stay_where_they_are_from_trial_to_trial(served: Any, page: Page) -> None:
    """Pictures of different heights follow each other, and the pointer stays on its button."""
    places = """() => [...document.querySelectorAll("button")].map((button) => {
      const box = button.getBoundingClientRect();
      return [box.left, box.top];
    })"""
    sizes = ((1440, 900), (1366, 625), (1000, 800), (1366, 480))
    hand = served.hand(page)
    hand.begin()
    seen: dict[int, list[Any]] = {}
    for _ in range(6):
        height = hand.seen().pixels.shape[0]
        if height not in seen:
            seen[height] = []
            for width, low in sizes:
                page.set_viewport_size({"width": width, "height": low})
                hand.show(2)
                hand.show(1)
                seen[height].append(page.evaluate(places))
        if len(seen) == 2:
            break
        hand.give(hand.look()[1])
        hand.wait_for_trial()
    first, second = seen.values()
    assert first == second


def test_a_window_that_is_too_small_scrolls_and_says_so(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    page.set_viewport_size({"width": 720, "height": 400})
    page.get_by_text("never shrunk").wait_for()
    width = page.evaluate("document.querySelector('#frame-test').clientWidth")
    assert width == hand.seen().pixels.shape[1]
    page.locator("#frame-reference").scroll_into_view_if_needed()
    assert page.evaluate("document.querySelector('#stage').scrollLeft") > 0
    page.set_viewport_size({"width": 1366, "height": 768})
    page.get_by_text("never shrunk").wait_for(state="hidden")


def test_a_very_low_window_hides_neither_pictures_nor_buttons(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    page.set_viewport_size({"width": 720, "height": 320})
    page.wait_for_selector("#notice-size", state="visible")
    assert page.evaluate("document.getElementById('stage').clientHeight") >= 200
    page.mouse.move(250, 10)
    page.mouse.wheel(0, 5000)
    page.wait_for_function(
        "() => document.getElementById('confirm').getBoundingClientRect().bottom <= innerHeight"
    )


def test_pictures_larger_than_the_window_scroll_by_keyboard(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    page.set_viewport_size({"width": 900, "height": 400})
    page.wait_for_selector("#notice-size", state="visible")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "stage"
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => document.getElementById('stage').scrollTop > 0")


@pytest.mark.parametrize(
    ("kind", "said"),
    [("PNG", "A picture arrived with 256 × 128 pixels"), ("WEBP", "A picture arrived as image/webp")],
)
def test_a_picture_that_was_altered_on_the_way_is_never_rated(
    served: Any, page: Page, kind: str, said: str
) -> None:
    altered = io.BytesIO()
    Image.new("RGB", (256, 128), (9, 9, 9)).save(altered, kind)

    def recompress(route: Route) -> None:
        route.fulfill(body=altered.getvalue(), content_type=f"image/{kind.lower()}")

    page.route("**/pictures/*", recompress)
    page.goto(served.url)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="begin").click()
    page.get_by_role("link", name="Start rating").click()
    page.get_by_text(said).wait_for()
    assert page.locator("#frame-test img.shown").count() == 0
    page.unroute("**/pictures/*")
    page.get_by_role("link", name="Try again").click()
    served.hand(page).wait_for_trial()


def test_an_altered_picture_of_the_next_trial_leaves_the_present_one_alone(served: Any, page: Page) -> None:
    altered = io.BytesIO()
    Image.new("RGB", (256, 128), (9, 9, 9)).save(altered, "PNG")
    asked: list[str] = []

    def alter_all_but_three(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) <= 3:
            route.continue_()
        else:
            route.fulfill(body=altered.getvalue(), content_type="image/png")

    page.route("**/pictures/*", alter_all_but_three)
    hand = served.hand(page)
    hand.begin()
    answer, slot = hand.look()
    assert len(asked) == 6
    message = page.get_by_text("A picture arrived with 256 × 128 pixels")
    with page.expect_response("**/api/trials"):
        hand.give(slot)
        message.wait_for()
    page.wait_for_timeout(200)
    assert message.is_visible()
    assert page.locator("img").count() == 0
    assert served.answers(page) == [answer]
