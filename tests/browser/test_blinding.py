"""Nothing that a browser receives tells a codec, rate, rank, condition or source."""

from __future__ import annotations

import re
import struct
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Page, Route

pytestmark = pytest.mark.browser


def forbidden_words(study: Any) -> list[str]:
    """Every name and number of the manifest that would tell a rater what a picture is."""
    manifest = study.manifest
    words = {manifest.study.name, "zebra", "quagga", "meadow", "harbour"}
    for source in manifest.sources:
        words |= {source.name, source.path}
    for condition in manifest.conditions:
        words |= {condition.name, condition.codec, repr(condition.target)}
    for stimulus in manifest.stimuli:
        words |= {stimulus.picture_sha256, stimulus.bitstream_sha256, f"{stimulus.bpp:.6f}"}
    return sorted(words)


def chunks(png: bytes) -> list[bytes]:
    """The names of a PNG's chunks, in order."""
    names, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        names.append(png[at + 4 : at + 8])
        at += 12 + length
    return names


def test_nothing_that_the_browser_receives_names_what_is_shown(served: Any, page: Page) -> None:
    received: list[APIResponse] = []

    def keep(route: Route) -> None:
        response = route.fetch(max_redirects=0)
        received.append(response)
        route.fulfill(response=response)

    page.route("**/*", keep)
    hand = served.hand(page)
    page.goto(served.url)
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="begin").click()
    page.wait_for_url("**/instructions")
    page.reload()  # the target of a redirect is not routed
    page.get_by_role("link", name="Start rating").click()
    given = list(hand.rate(6))
    page.wait_for_url("**/thanks")
    page.wait_for_load_state("networkidle")
    assert len(given) == 6

    words = forbidden_words(served.study)
    pictures = []
    for response in received:
        headers = " ".join(f"{name}: {value}" for name, value in response.headers.items())
        said = f"{response.url} {response.status_text} {headers}"
        if "/pictures/" in response.url:
            pictures.append(response)
            assert set(chunks(response.body())) == {b"IHDR", b"sRGB", b"IDAT", b"IEND"}
        else:
            said += response.body().decode()
        found = [word for word in words if word.lower() in said.lower()]
        assert not found, f"{response.url} tells {found}"
    asked = {response.url.removeprefix(served.url) for response in received}
    assert {"/", "/enrol", "/instructions", "/rate", "/api/trials", "/api/judgments", "/thanks"} <= asked

    assert len(pictures) == 6 * 3
    assert len({response.url for response in pictures}) == 6 * 3, "an address served two pictures"
    addresses = [response.url.rsplit("/", 1)[1] for response in pictures]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", address) for address in addresses)
    # The set of headers is the same for every picture, and no value belongs to a file.
    varying = {"content-length", "date"}
    kept = [
        {name: value for name, value in response.headers.items() if name not in varying}
        for response in pictures
    ]
    assert all(headers == kept[0] for headers in kept)
    assert not {"last-modified", "etag", "content-disposition", "x-sendfile", "server"} & set(kept[0])
    assert "no-transform" in kept[0]["cache-control"]


def test_one_picture_has_another_address_in_every_session(served: Any, new_context: Any) -> None:
    addresses: set[str] = set()
    seen = 0
    for _ in range(2):
        page = new_context().new_page()
        page.on("response", lambda response: addresses.add(response.url))
        served.hand(page).begin()
        page.wait_for_function("() => document.images.length === 6")
        seen += 6
    assert len([address for address in addresses if "/pictures/" in address]) == seen


def test_a_picture_opens_for_its_own_session_only(served: Any, new_context: Any) -> None:
    page, stranger = new_context().new_page(), new_context().new_page()
    with page.expect_response("**/pictures/*") as first:
        served.hand(page).begin()
    assert page.request.get(first.value.url).status == 200
    assert stranger.request.get(first.value.url).status == 404
    served.hand(stranger).begin()
    assert stranger.request.get(first.value.url).status == 404


def test_the_page_itself_names_nothing(served: Any, page: Page) -> None:
    """Attributes, titles and alternative texts of the mounted pictures included."""
    hand = served.hand(page)
    hand.begin()
    markup = page.content().lower()
    assert not [word for word in forbidden_words(served.study) if word.lower() in markup]
    kept = page.evaluate(
        "() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])"
    )
    assert kept == '[{},{},""]'
