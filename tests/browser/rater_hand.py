"""Drives the rating page as a person does, and writes down what was done."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image
from playwright.sync_api import Page
from sqlalchemy import Engine, text

THREE_FRAMES = """() => new Promise((resolve) =>
  requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(resolve))))"""
SHOWN_PIXELS = """async (frame) => {
  const image = document.querySelector(`${frame} img.shown`);
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const digest = await crypto.subtle.digest("SHA-256", data);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}"""
PLACE = """(frame) => {
  const box = document.querySelector(frame).getBoundingClientRect();
  return [box.left, box.top, window.devicePixelRatio];
}"""
READY = (
    """() => document.getElementById("waiting").hidden && document.querySelector("#frame-test img.shown")"""
)
UNLOCKED = """() => document.getElementById("choose-a").getAttribute("aria-disabled") === "false" """


class Pictures(Protocol):
    """A study whose pictures are known by the hash of their pixels."""

    by_pixels: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One trial as the rater saw it; `chosen` and `slots` name conditions, `flips` counts changes."""

    source: str
    slots: tuple[str, str]
    chosen: str
    flips: int


class RaterHand:
    """Answers trials by `way`: "keyboard" or "mouse"."""

    def __init__(self, page: Page, url: str, study: Pictures, way: str = "keyboard") -> None:
        self.page = page
        self.url = url
        self.study = study
        self.way = way

    def begin(self) -> None:
        """Consent and read the instructions, then wait for the first trial."""
        page = self.page
        page.goto(self.url)
        if self.way == "keyboard":
            page.keyboard.press("Tab")
            page.keyboard.press("Space")
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            page.wait_for_url("**/instructions")
            page.keyboard.press("Tab")
            page.keyboard.press("Enter")
        else:
            page.get_by_role("checkbox").click()
            page.get_by_role("button", name="begin").click()
            page.wait_for_url("**/instructions")
            page.get_by_role("link", name="Start rating").click()
        page.wait_for_url("**/rate")
        self.wait_for_trial()

    def wait_for_trial(self) -> None:
        """Until a trial is on the screen and painted."""
        self.page.wait_for_function(READY)
        self.page.evaluate(THREE_FRAMES)

    def show(self, slot: int) -> None:
        """Show picture 1 or 2 and let it be painted."""
        if self.way == "keyboard":
            self.page.keyboard.press(str(slot))
        else:
            self.page.click("#show-a" if slot == 1 else "#show-b")
        self.page.evaluate(THREE_FRAMES)

    def seen(self, frame: str = "#frame-test") -> Any:
        """The picture that is visible in a frame."""
        return self.study.by_pixels[self.page.evaluate(SHOWN_PIXELS, frame)]

    def differing_pixels(self, frame: str) -> int:
        """How many pixels of the screen are not those of the picture that is shown in a frame."""
        wanted = self.seen(frame).pixels
        height, width, _ = wanted.shape
        left, top, ratio = self.page.evaluate(PLACE, frame)
        screen = np.asarray(Image.open(io.BytesIO(self.page.screenshot(scale="device"))).convert("RGB"))
        x, y = round(left * ratio), round(top * ratio)
        # Off whole device pixels some browsers resample and others round: neither may happen by luck.
        assert abs(left * ratio - x) < 0.05
        assert abs(top * ratio - y) < 0.05
        assert screen.shape[0] >= y + height, "the picture does not fit the window"
        assert screen.shape[1] >= x + width, "the picture does not fit the window"
        return int((screen[y : y + height, x : x + width] != wanted).any(axis=2).sum())

    def look(self, extra_flips: int = 0) -> tuple[Answer, int]:
        """Look until the answer unlocks; the answer to give, and the slot that means it."""
        self.show(1)
        first = self.seen()
        self.show(2)
        second = self.seen()
        reference = self.seen("#frame-reference")
        assert first.source == second.source == reference.source
        assert reference.condition is None
        assert first.condition != second.condition
        self.page.wait_for_timeout(520)
        flips = 1
        for _ in range(extra_flips):
            self.show(1)
            self.show(2)
            flips += 2
        self.show(1)
        flips += 1
        self.page.wait_for_function(UNLOCKED)
        slots = (first.condition, second.condition)
        # By the picture and not by the slot: a mix-up of slots would turn about half of the answers round.
        slot = (
            1
            if hashlib.sha256(slots[0].encode()).digest() < hashlib.sha256(slots[1].encode()).digest()
            else 2
        )
        return Answer(first.source, slots, slots[slot - 1], flips), slot

    def give(self, slot: int) -> None:
        """Choose and confirm."""
        if self.way == "keyboard":
            self.page.keyboard.press("ArrowLeft" if slot == 1 else "ArrowRight")
            self.page.keyboard.press("Enter")
        else:
            self.page.click("#choose-a" if slot == 1 else "#choose-b")
            self.page.click("#confirm")

    def rate(self, trials: int) -> Iterator[Answer]:
        """Answer this many trials, each with another number of flips."""
        for number in range(trials):
            self.wait_for_trial()
            answer, slot = self.look(extra_flips=number % 3)
            self.give(slot)
            yield answer


def stored_answers(engine: Engine, page: Page) -> list[Answer]:
    """The judgments of the browser's session as Postgres has them, in the order of their trials."""
    rows = judgment_rows(engine, page)
    return [
        Answer(
            row["source"],
            (row["condition_a"], row["condition_b"])
            if row["slot_of_a"] == 1
            else (row["condition_b"], row["condition_a"]),
            row["condition_a"] if row["choice"] == "a" else row["condition_b"],
            row["flips"],
        )
        for row in rows
    ]


def judgment_rows(engine: Engine, page: Page) -> list[dict[str, Any]]:
    """The rows of the view `judgments` of the browser's session, in the order of their answers."""
    [cookie] = [cookie for cookie in page.context.cookies() if cookie["name"] == "matchrate_session"]
    query = text(
        "SELECT judgments.* FROM judgments JOIN session ON session.pseudonym = judgments.session "
        "WHERE session.cookie_sha256 = :digest ORDER BY judgments.answered_at"
    )
    digest = hashlib.sha256(cookie["value"].encode()).hexdigest()
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(query, {"digest": digest}).mappings()]
