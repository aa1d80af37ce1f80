"""What the tests of the web calls share."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient


class RaterClient:
    """A rater's browser without a browser: a cookie jar and the calls of the rating page."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def enrol(self, **form: str) -> Any:
        return self.client.post("/enrol", data={"consent": "yes"} | form)

    def trials(self) -> dict[str, Any]:
        response = self.client.get("/api/trials")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.get_json()
        return found

    @staticmethod
    def body(trial: str, **changes: Any) -> dict[str, Any]:
        body = {
            "client_uuid": str(uuid.uuid4()),
            "trial": trial,
            "choice": 1,
            "response_ms": 2345,
            "exposure_ms": 2300,
            "flips": 4,
            "magnification": 1,
            "device_pixel_ratio": 1.25,
            "viewport": "1440x900",
        }
        return body | changes

    def post(self, body: Any) -> Any:
        return self.client.post("/api/judgments", json=body)

    def answer(self, choice: int = 1) -> bool:
        """Answer the current trial; False when the session is complete."""
        page = self.trials()
        if page["complete"]:
            return False
        response = self.post(self.body(page["trials"][0]["trial"], choice=choice))
        assert response.status_code == 201, response.text
        return True


@pytest.fixture
def rater(app: Flask) -> RaterClient:
    return RaterClient(app.test_client())


@pytest.fixture
def another_rater(app: Flask) -> RaterClient:
    return RaterClient(app.test_client())
