"""Whole sessions in a real browser, and what Postgres holds afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser

TRIALS = 6
POSTS = "**/api/judgments"


def finish(page: Page) -> None:
    page.wait_for_url("**/thanks")
    assert page.evaluate("localStorage.getItem('matchrate.answers')") is None


def test_a_session_by_keyboard_with_reloads_leaves_exactly_its_judgments(
    served: Any, page: Page, watch: Any
) -> None:
    """One reload in the middle of a trial, one after the server stored an answer whose receipt got lost."""
    hand = served.hand(page)
    hand.begin()
    given = list(hand.rate(2))

    hand.wait_for_trial()
    before = hand.look()
    page.reload()
    hand.wait_for_trial()
    assert page.inner_text("#progress-text") == f"3 of {TRIALS}"
    again = hand.look()
    assert again == before
    hand.give(again[1])
    given.append(again[0])

    lost: list[str] = []

    def lose_the_receipt(route: Route) -> None:
        route.fetch()
        lost.append(route.request.post_data or "")

    hand.wait_for_trial()
    answer, slot = hand.look()
    page.route(POSTS, lose_the_receipt)
    hand.give(slot)
    given.append(answer)
    page.wait_for_function("() => document.getElementById('progress-text').value.startsWith('5')")
    while not lost:
        page.wait_for_timeout(20)
    assert len(served.answers(page)) == 4
    page.unroute(POSTS)
    page.reload()
    hand.wait_for_trial()
    assert page.inner_text("#progress-text") == f"5 of {TRIALS}"

    given.extend(hand.rate(2))
    finish(page)

    assert served.answers(page) == given
    rows = served.judgments(page)
    assert len({row["trial"] for row in rows}) == TRIALS
    for row in rows:
        assert row["revision"] == 0
        assert row["kind"] == "scored"
        assert row["is_simulated"] is False
        assert 1000 <= row["exposure_ms"] <= row["response_ms"] < 60_000
        assert (row["magnification"], row["device_pixel_ratio"], row["viewport"]) == (1, 1, "1366x768")
    assert json.loads(lost[0])["flips"] == rows[3]["flips"]


def test_a_session_by_mouse_leaves_exactly_its_judgments(served: Any, page: Page) -> None:
    hand = served.hand(page, "mouse")
    hand.begin()
    given = list(hand.rate(TRIALS))
    finish(page)
    assert f"All your {TRIALS} answers" in page.inner_text("main")
    assert served.answers(page) == given


def test_an_answer_outlives_a_cut_network_and_a_failing_server_once(
    served: Any, page: Page, watch: Any
) -> None:
    watch.allowed += ["net::ERR_FAILED", "503"]
    hand = served.hand(page)
    hand.begin()
    answer, slot = hand.look()
    attempts: list[str] = []

    def fail_four_times(route: Route) -> None:
        attempts.append(json.loads(route.request.post_data or "{}")["client_uuid"])
        if len(attempts) in (1, 3):
            route.abort()
        elif len(attempts) == 2:
            route.fulfill(status=503, json={"error": "not now"})
        elif len(attempts) == 4:
            route.fetch()
            route.abort()
        else:
            route.continue_()

    page.route(POSTS, fail_four_times)
    hand.give(slot)
    page.wait_for_selector("#notice-connection", state="visible")
    hand.wait_for_trial()  # the next trial does not wait for the network
    with page.expect_response(lambda response: response.ok and "/api/judgments" in response.url):
        pass
    page.wait_for_selector("#notice-connection", state="hidden")
    assert len(attempts) == 5
    assert len(set(attempts)) == 1
    assert served.answers(page) == [answer]


def test_answers_given_without_a_network_are_sent_after_a_reload(served: Any, page: Page, watch: Any) -> None:
    watch.allowed.append("net::ERR_")
    hand = served.hand(page)
    hand.begin()
    page.wait_for_function("() => document.images.length === 6")
    page.route("**/api/**", lambda route: route.abort("internetdisconnected"))
    given = list(hand.rate(2))
    page.get_by_text("Saving your answers").wait_for()
    assert served.answers(page) == []
    page.unroute("**/api/**")
    page.reload()
    hand.wait_for_trial()
    assert page.inner_text("#progress-text") == f"3 of {TRIALS}"
    assert served.answers(page) == given


def test_the_answer_unlocks_after_both_pictures_and_one_flip_back(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    progress = page.inner_text("#progress-text")

    def is_locked() -> bool:
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Enter")
        pressed = page.get_attribute("#choose-a", "aria-pressed")
        assert page.inner_text("#progress-text") == progress
        return pressed == "false" and page.get_attribute("#confirm", "aria-disabled") == "true"

    page.wait_for_timeout(600)
    assert is_locked()
    assert "Flip to B" in page.inner_text("#hint")
    hand.show(2)
    page.wait_for_timeout(100)
    assert is_locked()
    assert "Flip back to A" in page.inner_text("#hint")
    hand.show(1)
    assert is_locked()
    assert "Look at B a moment longer" in page.inner_text("#hint")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.getElementById('choose-a').ariaDisabled === 'false'")
    page.keyboard.press("ArrowLeft")
    assert page.get_attribute("#choose-a", "aria-pressed") == "true"
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#choose-a", "aria-pressed") == "false"
    assert page.get_attribute("#choose-b", "aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert page.get_attribute("#choose-b", "aria-pressed") == "false"
    page.keyboard.press("Enter")
    assert page.inner_text("#progress-text") == progress
    assert served.answers(page) == []


def test_time_in_a_hidden_tab_counts_as_response_and_not_as_exposure(served: Any, page: Page) -> None:
    hand = served.hand(page)
    hand.begin()
    hand.show(2)
    page.wait_for_timeout(520)
    # Chromium without a window never hides a tab, so the page is told what it would be told.
    hide = """(state) => {
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, "hidden")
    page.wait_for_timeout(1000)
    page.evaluate(hide, "visible")
    hand.show(1)
    page.wait_for_function("() => document.getElementById('choose-a').ariaDisabled === 'false'")
    with page.expect_response("**/api/judgments"):
        hand.give(1)
    [row] = served.judgments(page)
    assert row["response_ms"] - row["exposure_ms"] > 900
    assert row["flips"] == 2


def test_two_tabs_of_one_session_store_one_answer_a_trial(
    served: Any, new_context: Callable[..., Any], watch: Any
) -> None:
    watch.allowed.append("409")
    context = new_context()
    first, second = context.new_page(), context.new_page()
    hand = served.hand(first)
    hand.begin()
    other = served.hand(second)
    second.goto(f"{served.url}/rate")
    other.wait_for_trial()
    second.bring_to_front()
    late, late_slot = other.look()
    first.bring_to_front()
    answer, slot = hand.look()
    assert (late.source, late.slots) == (answer.source, answer.slots)
    with first.expect_response(POSTS):
        hand.give(slot)
    second.bring_to_front()
    with second.expect_response("**/api/trials"):
        other.give(late_slot)
    other.wait_for_trial()
    assert second.inner_text("#progress-text") == f"2 of {TRIALS}"
    assert second.locator("#notice-refusal").is_hidden()
    assert served.answers(first) == [answer]


def test_an_answer_arrives_though_the_browser_stores_nothing(served: Any, page: Page) -> None:
    """A full or forbidden storage throws when it is written and can still be read."""
    page.add_init_script(
        "Storage.prototype.setItem = () => { throw new DOMException('', 'QuotaExceededError'); }"
    )
    hand = served.hand(page)
    hand.begin()
    with page.expect_response(POSTS):
        given = list(hand.rate(1))
    assert served.answers(page) == given


def test_a_trial_whose_answer_was_refused_is_asked_again(served: Any, page: Page, watch: Any) -> None:
    watch.allowed.append("400")
    hand = served.hand(page)
    hand.begin()
    refused, slot = hand.look()
    page.route(POSTS, lambda route: route.fulfill(status=400, json={"error": "of the test"}), times=1)
    with page.expect_response("**/api/trials"):
        hand.give(slot)
    assert "of the test" in page.inner_text("#notice-refusal")
    given = list(hand.rate(1))
    hand.wait_for_trial()
    again, slot = hand.look()
    assert (again.source, again.slots) == (refused.source, refused.slots)
    with page.expect_response(POSTS):
        hand.give(slot)
    assert served.answers(page) == [*given, again]
