"""Studies with a known truth, as the contract's tables: for tests, for coverage and for simulated raters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.curves import Floats
from analysis.elo import win_probability

__all__ = ["SimulatedStudy", "simulate_study", "win_probability"]

LADDER = (0.1, 0.15, 0.22, 0.33, 0.5, 0.75)


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedStudy:
    """The two tables of a simulated study, and the Elo that its raters answered by."""

    judgments: pd.DataFrame
    stimuli: pd.DataFrame
    elo: Mapping[str, float]


def simulate_study(
    seed: int,
    *,
    savings: Mapping[str, float] | None = None,
    ladder: Sequence[float] = LADDER,
    sources: int = 40,
    raters: int = 57,
    judgments: int = 7000,
    slope: float = 260.0,
    bend: float = 0.1,
    rater_effect: float = 0.0,
    source_effect: float = 0.0,
    rate_spread: float = 0.003,
    ties: float = 0.0,
    reference: bool = False,
    name: str = "simulated",
) -> SimulatedStudy:
    """A study whose codecs need 1 / `savings` times the bits of the first for the same Elo.

    Elo rises by `slope` for each unit of ln bpp, a little less at high rates (`bend`). `rater_effect` and
    `source_effect` are standard deviations, in Elo, of random effects per rater x codec and source x codec
    (effects of a rater or a source alone would cancel within a pair). `rate_spread` is the standard deviation
    of ln bpp about the target, `ties` the share of answers turned into ties. Pairs join conditions of the
    same or the neighbouring rate point, within and across codecs, evenly; raters and sources take turns. With
    `reference` the original joins.
    """
    rng = np.random.default_rng(seed)
    factors = dict(savings or {"alpha": 1.0, "beta": 1.15, "gamma": 1.3, "delta": 1.5})
    codecs = list(factors)
    conditions = [(codec, target) for codec in codecs for target in ladder]
    middle = float(np.mean(np.log(ladder)))

    def true_elo(codec: str, target: float) -> float:
        x = np.log(target * factors[codec]) - middle
        return 1500.0 + slope * float(x - bend * x * x / 2 if x > 0 else x)

    names = [f"{codec}@{target!r}" for codec, target in conditions]
    quality = np.array([true_elo(*condition) for condition in conditions])
    codec_of = np.array([codecs.index(codec) for codec, _ in conditions])
    point = np.array([list(ladder).index(target) for _, target in conditions])
    if reference:
        names.append("reference")
        quality = np.append(quality, quality.max() + 0.5 * slope)
        codec_of, point = np.append(codec_of, len(codecs)), np.append(point, len(ladder) - 1)
    design = _pairs(point)
    first, second, source, rater = _trials(rng, design, judgments, sources, raters)
    by_rater = rng.normal(0.0, rater_effect, (raters, len(codecs) + 1)) if rater_effect else None
    by_source = rng.normal(0.0, source_effect, (sources, len(codecs) + 1)) if source_effect else None
    difference = quality[first] - quality[second]
    for effect, index in ((by_rater, rater), (by_source, source)):
        if effect is not None:
            difference = difference + effect[index, codec_of[first]] - effect[index, codec_of[second]]
    wins = rng.random(judgments) < 1.0 / (1.0 + 10.0 ** (-difference / 400.0))
    choice = np.where(wins, "a", "b").astype(object)
    choice[rng.random(judgments) < ties] = "tie"
    rows = pd.DataFrame(
        {
            "judgment_id": [f"j{i:07d}" for i in range(judgments)],
            "trial": [f"t{i:07d}" for i in range(judgments)],
            "revision": 0,
            "study": name,
            "rater": [f"rater{i:04d}" for i in rater],
            "source": [f"source{i:03d}" for i in source],
            "condition_a": np.array(names, dtype=object)[first],
            "condition_b": np.array(names, dtype=object)[second],
            "choice": choice,
            "slot_of_a": rng.integers(1, 3, judgments),
            "kind": "scored",
            "is_simulated": True,
            "is_excluded": False,
        }
    )
    truth = dict(zip(names, quality.tolist(), strict=True))
    return SimulatedStudy(rows, _stimuli(rng, conditions, sources, rate_spread, reference), truth)


def _pairs(point: np.ndarray) -> np.ndarray:
    i, j = np.triu_indices(len(point), 1)
    near = np.abs(point[i] - point[j]) <= 1
    return np.stack([i[near], j[near]], axis=1)


def _trials(
    rng: np.random.Generator, design: np.ndarray, judgments: int, sources: int, raters: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rounds = -(-judgments // len(design))
    chosen = np.concatenate([rng.permutation(len(design)) for _ in range(rounds)])[:judgments]
    swap = rng.random(judgments) < 0.5
    first = np.where(swap, design[chosen, 1], design[chosen, 0])
    second = np.where(swap, design[chosen, 0], design[chosen, 1])
    source = np.concatenate([rng.permutation(sources) for _ in range(-(-judgments // sources))])[:judgments]
    rater = np.arange(judgments) * raters // judgments
    return first, second, source, rater


def _stimuli(
    rng: np.random.Generator,
    conditions: Sequence[tuple[str, float]],
    sources: int,
    spread: float,
    reference: bool,
) -> pd.DataFrame:
    rows = []
    pixels = 512 * 512
    for codec, target in conditions:
        for s in range(sources):
            size = max(1, round(target * float(np.exp(rng.normal(0.0, spread))) * pixels / 8))
            bpp = 8 * size / pixels
            rows.append(
                {
                    "source": f"source{s:03d}",
                    "condition": f"{codec}@{target!r}",
                    "codec": codec,
                    "role": "scored",
                    "status": "matched",
                    "target_bpp": target,
                    "bpp": bpp,
                    "bytes": size,
                    "residual": bpp / target - 1.0,
                    "width": 512,
                    "height": 512,
                }
            )
    if reference:
        rows += [
            {
                "source": f"source{s:03d}",
                "condition": "reference",
                "codec": "reference",
                "role": "reference",
                "status": "given",
                "width": 512,
                "height": 512,
            }
            for s in range(sources)
        ]
    return pd.DataFrame(rows)


def true_theta(elo: Mapping[str, float], conditions: Sequence[str]) -> Floats:
    """The true Elo in logits, in the order of `conditions`, summing to zero."""
    theta = np.array([elo[name] for name in conditions]) * np.log(10.0) / 400.0
    return np.asarray(theta - theta.mean())
