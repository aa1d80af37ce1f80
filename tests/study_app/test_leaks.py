"""Nothing that a rater can fetch tells what a picture is."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from stimuli.manifest import Manifest
from stimuli.study import Pairing
from study_app.app import create_app
from study_app.loading import load_manifest
from study_app.settings import Settings

CODECS = ("zygocodec", "quincodec")
TARGETS = (0.27183, 0.61803)


@pytest.fixture
def telling(make_manifest: Callable[..., Manifest]) -> Manifest:
    """A study whose every name is found by searching for it."""
    return make_manifest(
        codecs=CODECS, targets=TARGETS, sources=3, session_length=9, pairing=Pairing(include_reference=True)
    )


@pytest.fixture
def app(engine: Engine, telling: Manifest, study_folder: Path) -> Flask:
    load_manifest(engine, telling, study_folder)
    settings = Settings(folder=study_folder)
    return create_app(settings, engine=engine, study="tiny", researcher_token="a token of the tests")


def forbidden(manifest: Manifest) -> list[str]:
    words = {*CODECS, *(str(target) for target in TARGETS), "scenery", "matched"}
    words |= {condition.name for condition in manifest.conditions}
    words |= {source.name for source in manifest.sources}
    for record in (*manifest.stimuli, *manifest.sources):
        words |= {record.shown_sha256, record.picture_sha256}
    words |= {str(stimulus.bitstream_sha256) for stimulus in manifest.stimuli}
    return sorted(words)


def seen_by(client: Any) -> tuple[list[str], list[Any], list[dict[str, Any]]]:
    """All text, headers included, that one rater's session can get; its picture responses; its trials."""
    said, pictures, trials = [], [], []

    def take(response: Any) -> Any:
        said.append("\n".join(f"{name}: {value}" for name, value in response.headers.items()))
        if not response.headers.get("Content-Type", "").startswith("image/png"):
            said.append(response.text)
        # A file of static/ stays open until its response is closed.
        response.close()
        return response

    take(client.get("/"))
    take(client.post("/enrol", data={"consent": "yes"}))
    for path in ("/instructions", "/rate"):
        page = take(client.get(path))
        for address in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
            take(client.get(address))
    while True:
        page = take(client.get("/api/trials")).get_json()
        if page["complete"]:
            break
        for trial in page["trials"]:
            trials.append(trial)
            for address in trial["pictures"].values():
                pictures.append(take(client.get(address)))
        body = {"client_uuid": str(uuid.uuid4()), "choice": 1}
        body |= {"trial": page["trials"][0]["trial"], "response_ms": 1, "exposure_ms": 1, "flips": 1}
        body |= {"magnification": 1, "device_pixel_ratio": 1, "viewport": "1x1"}
        take(client.post("/api/judgments", json=body))
        take(client.post("/api/judgments", json=body | {"choice": 7}))
    for path in ("/thanks", "/researcher", "/nowhere", "/api/nowhere", "/pictures/nothing", "/manifest.json"):
        take(client.get(path))
    return said, pictures, trials


def test_no_body_and_no_header_names_a_codec_rate_condition_source_or_hash(
    app: Flask, telling: Manifest, engine: Engine
) -> None:
    said, pictures, trials = seen_by(app.test_client())
    with engine.connect() as connection:
        pseudonyms = connection.execute(text("SELECT pseudonym FROM rater")).scalars().all()
    everything = "\n".join(said).lower()
    for word in [*forbidden(telling), *pseudonyms]:
        assert word.lower() not in everything, word
    assert len(pictures) >= 9 * 3
    assert all(set(trial) == {"trial", "pictures", "width", "height"} for trial in trials)


def test_picture_responses_differ_in_length_and_content_only(app: Flask) -> None:
    _, pictures, _ = seen_by(app.test_client())
    headers = {
        json.dumps(
            sorted(
                (name, value) for name, value in response.headers if name not in ("Content-Length", "Date")
            )
        )
        for response in pictures
    }
    assert len(headers) == 1


def test_addresses_belong_to_one_trial_and_never_repeat(app: Flask) -> None:
    addresses: list[str] = []
    names: list[str] = []
    for _ in range(3):
        _, _, trials = seen_by(app.test_client())
        unique = {trial["trial"]: trial for trial in trials}
        names += unique
        addresses += [address for trial in unique.values() for address in trial["pictures"].values()]
    assert len(set(addresses)) == len(addresses) == 3 * 9 * 3
    assert len(set(names)) == len(names)
    # Random to the last letter: no common part, and an order of addresses that is no order of slots.
    tails = [address.removeprefix("/pictures/") for address in addresses]
    assert len({tail[:4] for tail in tails}) > 0.9 * len(tails)
    assert len({tail[-4:] for tail in tails}) > 0.9 * len(tails)


def test_the_hidden_reference_has_an_address_unlike_the_open_ones(app: Flask, telling: Manifest) -> None:
    _, _, trials = seen_by(app.test_client())
    # Even where slot 1 or 2 shows the original itself, its address differs from the reference's.
    assert all(len(set(trial["pictures"].values())) == 3 for trial in trials)
