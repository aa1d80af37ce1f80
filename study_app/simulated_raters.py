"""Raters made by a program: they answer over the same HTTP calls as a browser, and are labelled.

A simulated rater knows a picture only by the SHA-256 of the bytes that it was served, which it looks up
in the local manifest. The server gives it nothing that it does not give to a browser.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests
from tqdm import tqdm

from analysis.simulation import win_probability
from study_app.errors import StudyAppError

TIMEOUT_S = 30


class SimulatedRaterError(StudyAppError):
    """A simulated rater met an answer that a browser would not have met."""

    def __init__(self, worker: str, what: str) -> None:
        self.worker = worker
        super().__init__(f"simulated rater {worker}: {what}; is the server still up, and the study loaded?")


@dataclass(frozen=True, slots=True)
class SimulatedTruth:
    """What simulated raters see: an Elo a condition, and how much a rater departs from it.

    `elo` maps condition to Elo; `rater_sd` is the standard deviation, in Elo, of a rater's own opinion of a
    condition's codec. `seed` fixes every draw.
    """

    elo: Mapping[str, float]
    codec_of: Mapping[str, str]
    rater_sd: float
    seed: int

    def opinion(self, worker: str, condition: str) -> float:
        """The Elo that this rater sees in the condition."""
        draw = _generator(self.seed, "opinion", worker, self.codec_of[condition])
        return self.elo[condition] + self.rater_sd * float(draw.standard_normal())


def _generator(seed: int, *names: str) -> np.random.Generator:
    digest = hashlib.sha256("\x00".join((str(seed), *names)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


class SimulatedRater:
    """One labelled rater, with a cookie jar of its own, as a browser has."""

    def __init__(
        self,
        address: str,
        researcher_token: str,
        worker: str,
        truth: SimulatedTruth,
        condition_of: Mapping[str, str],
        answers: int | None = None,
    ) -> None:
        self._address = address.rstrip("/")
        self._token = researcher_token
        self.worker = worker
        self._truth = truth
        self._condition_of = condition_of
        self._answers = answers
        self._http = requests.Session()
        # A proxy in the environment must not stand between the rater and this machine's own server.
        self._http.trust_env = False

    def rate_session(self) -> int:
        """Enrol or resume, answer the session's trials (or so many of them as were asked for), and return how
        many answers were sent.

        Raises SimulatedRaterError when the server refuses, or serves a picture unknown to the manifest.
        """
        with self._http:
            self._enrol()
            answered = 0
            while True:
                page = self._json(self._http.get(f"{self._address}/api/trials", timeout=TIMEOUT_S))
                done = self._answers is not None and page["progress"]["done"] >= self._answers
                if page["complete"] or done:
                    return answered
                self._answer(page["trials"][0])
                answered += 1

    def _enrol(self) -> None:
        form = {
            "consent": "yes",
            "platform": "simulated",
            "worker": self.worker,
            "token": self._token,
        }
        response = self._http.post(
            f"{self._address}/enrol",
            data=form,
            headers={"Origin": self._address},
            timeout=TIMEOUT_S,
            allow_redirects=False,
        )
        if response.status_code != 303:
            raise SimulatedRaterError(self.worker, f"enrolment answered {response.status_code}")

    def _answer(self, trial: dict[str, Any]) -> None:
        shown: dict[str, str] = {}
        for slot, address in trial["pictures"].items():
            response = self._http.get(self._address + address, timeout=TIMEOUT_S)
            if response.status_code != 200:
                raise SimulatedRaterError(self.worker, f"a picture answered {response.status_code}")
            shown[slot] = hashlib.sha256(response.content).hexdigest()
        for slot in ("1", "2"):
            if shown[slot] not in self._condition_of:
                raise SimulatedRaterError(
                    self.worker, f"was served a picture that the manifest does not know ({shown[slot]})"
                )
        first, second = (self._condition_of[shown[slot]] for slot in ("1", "2"))
        draw = _generator(self._truth.seed, "answer", self.worker, *sorted((shown["1"], shown["2"])))
        chance = win_probability(
            self._truth.opinion(self.worker, first), self._truth.opinion(self.worker, second)
        )
        # The draw belongs to the unordered pair, so that the same pair gets the same answer in either slot.
        threshold = float(draw.random())
        if shown["1"] > shown["2"]:
            threshold = 1.0 - threshold
        response_ms = int(1500 + 1000 * draw.lognormal(0.7, 0.5))
        judgment = {
            "client_uuid": str(uuid.UUID(bytes=draw.bytes(16), version=4)),
            "trial": trial["trial"],
            "choice": 1 if threshold < chance else 2,
            "response_ms": response_ms,
            "exposure_ms": response_ms,
            "flips": int(2 + draw.poisson(2.0)),
            "magnification": 1.0,
            "device_pixel_ratio": 1.0,
            "viewport": "1440x900",
        }
        response = self._http.post(
            f"{self._address}/api/judgments",
            json=judgment,
            headers={"Origin": self._address},
            timeout=TIMEOUT_S,
        )
        self._json(response)

    def _json(self, response: requests.Response) -> dict[str, Any]:
        try:
            body = response.json()
        except ValueError:
            body = {}
        if response.status_code not in (200, 201):
            detail = body.get("error", "no reason given")
            raise SimulatedRaterError(self.worker, f"the server answered {response.status_code}: {detail}")
        return dict(body)


def rate_all(raters: list[SimulatedRater], *, threads: int = 1, progress: bool = True) -> int:
    """Let every rater finish a session; return how many judgments were sent.

    With one thread the order of all calls, and with it every pair that the server deals, repeats for a seed.
    """
    with (
        ThreadPoolExecutor(max_workers=threads) as pool,
        tqdm(total=len(raters), desc="simulated raters", unit="session", disable=not progress) as bar,
    ):
        sent = 0
        for answered in pool.map(SimulatedRater.rate_session, raters):
            sent += answered
            bar.update()
        return sent
