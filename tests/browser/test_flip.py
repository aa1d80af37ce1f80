"""A flip changes what is visible and nothing else; the next trial is there before it is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, Request, Route

pytestmark = pytest.mark.browser

OBSERVE = """() => {
  window.observed = { sources: 0, children: 0, shifts: 0 };
  new MutationObserver((records) => {
    for (const record of records) {
      if (record.type === "attributes") window.observed.sources += 1;
      else window.observed.children += record.addedNodes.length + record.removedNodes.length;
    }
  }).observe(document.querySelector(".pair"), {
    subtree: true, childList: true, attributes: true,
    attributeFilter: ["src", "srcset", "style", "width", "height"],
  });
  new PerformanceObserver((list) => {
    window.observed.shifts += list.getEntries().length;
  }).observe({ type: "layout-shift" });
}"""
BOXES = """() =>
  [...document.querySelectorAll(".frame, .frame img, button, #hint, .question, progress")].map((element) => {
    const { left, top, width, height } = element.getBoundingClientRect();
    return [left, top, width, height];
  })"""


def test_a_flip_changes_no_source_no_element_and_no_place(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    page.wait_for_function("() => document.images.length === 6")
    page.evaluate("() => document.fonts.ready")
    boxes = page.evaluate(BOXES)
    page.evaluate(OBSERVE)
    for slot in (2, 1, 2, 1):
        hand.show(slot)
        assert page.evaluate(BOXES) == boxes
    page.wait_for_function("() => document.getElementById('choose-a').ariaDisabled === 'true'")
    hand.look()
    page.keyboard.press("ArrowLeft")
    page.evaluate("() => new Promise((resolve) => requestAnimationFrame(resolve))")
    assert page.evaluate(BOXES) == boxes
    # Figure captions are text nodes that change: "Picture A", "Picture B".
    captions = page.evaluate("window.observed.children")
    assert captions <= 2 * 8
    assert page.evaluate("window.observed.sources") == 0
    assert page.evaluate("window.observed.shifts") == 0


def test_exactly_one_of_the_two_is_visible_and_always_the_reference(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    page.wait_for_function("() => document.images.length === 6")
    visible = """() => ["test", "reference"].map((name) =>
      [...document.querySelectorAll(`#frame-${name} img`)].filter((image) =>
        getComputedStyle(image).visibility === "visible").length)"""
    # Within one task: a moment with none or both visible would be seen as well.
    pressed = f"""(codes) => codes.map((code) => {{
      document.dispatchEvent(new KeyboardEvent("keydown", {{ code, bubbles: true, cancelable: true }}));
      return ({visible})();
    }})"""
    assert page.evaluate(pressed, ["Digit2", "Digit1", "Space", "Space", "Digit1", "Digit2"]) == [[1, 1]] * 6


def test_the_next_trial_is_shown_in_the_task_of_the_answer_without_a_request(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    for _ in range(2):
        page.wait_for_function("() => document.images.length === 6")
        _, slot = hand.look()
        before = page.get_attribute("#frame-test img.shown", "src")
        waiting = page.evaluate("[...document.querySelectorAll('#frame-test img')].map((image) => image.src)")
        page.keyboard.press("ArrowLeft" if slot == 1 else "ArrowRight")
        asked: list[str] = []

        def note(request: Request, asked: list[str] = asked) -> None:
            asked.append(request.url)

        page.on("request", note)
        state = page.evaluate("""() => {
          document.dispatchEvent(new KeyboardEvent("keydown", { code: "Enter", bubbles: true }));
          const image = document.querySelector("#frame-test img.shown");
          return { src: image.src, complete: image.complete, images: document.images.length,
                   hidden: document.getElementById("waiting").hidden };
        }""")
        page.remove_listener("request", note)
        assert state["src"] in waiting
        assert state["src"] != before
        assert (state["complete"], state["hidden"], state["images"]) == (True, True, 3)
        assert not [url for url in asked if "/pictures/" in url]
        assert hand.differing_pixels("#frame-test") == 0


def test_a_picture_that_does_not_arrive_is_fetched_again(served: Any, page: Page, watch: Any) -> None:
    watch.allowed += ["net::ERR_FAILED", "502"]
    refused: list[str] = []

    def drop_some(route: Route) -> None:
        if len(refused) < 2:
            refused.append(route.request.url)
            route.abort()
        elif len(refused) < 3:
            refused.append(route.request.url)
            route.fulfill(status=502)
        else:
            route.continue_()

    page.route("**/pictures/*", drop_some)
    hand = served.hand(page)
    hand.begin()
    page.wait_for_function("() => document.images.length === 6")
    assert len(refused) == 3
    assert page.locator("#notice-connection").is_hidden()
    hand.give(hand.look()[1])
    hand.wait_for_trial()


def test_a_page_from_the_back_forward_cache_fetches_again(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    with page.expect_response("**/api/trials"):
        page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    hand.wait_for_trial()


def test_held_keys_and_shortcuts_of_the_browser_do_nothing(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    hand.look()
    for extra in ("repeat", "altKey", "ctrlKey", "metaKey", "isComposing"):
        page.evaluate(
            """(extra) => document.dispatchEvent(
              new KeyboardEvent("keydown", { code: "ArrowLeft", [extra]: true, bubbles: true }))""",
            extra,
        )
    assert page.get_attribute("#choose-a", "aria-pressed") == "false"


def test_keys_work_after_a_click_and_buttons_work_by_tab(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    page.click("#show-b")
    page.keyboard.press("Space")
    assert page.inner_text("#label-test") == "Picture A"
    page.focus("#show-b")
    page.keyboard.press("Enter")
    assert page.inner_text("#label-test") == "Picture B"
    page.keyboard.press("Space")  # the button's own activation: B again, and no flip
    assert page.inner_text("#label-test") == "Picture B"
