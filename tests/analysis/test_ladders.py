"""Which rates to add where two curves share too little: adding them makes the curves share half."""

from __future__ import annotations

import re

import numpy as np
import pytest

from analysis.bdrate import compare_curves
from analysis.curves import Curve
from analysis.document import results_document
from analysis.judgments import tables_from_frames
from analysis.ladders import ladder_advice, rates_to_add
from analysis.results import Options, analyse_study
from analysis.simulation import simulate_study

LADDER = (0.1, 0.2, 0.5)


def curve(savings: float, ladder: tuple[float, ...] = LADDER) -> Curve:
    """Elo rises by 300 a unit of ln bpp, so that going on by the mean slope is the truth."""
    log_rate = np.log(ladder)
    return Curve(300.0 * (log_rate + np.log(savings)), log_rate)


@pytest.mark.parametrize("savings", [2.3, 3.0, 5.0, 12.0])
@pytest.mark.parametrize("wide", [LADDER, (0.02, 0.1, 0.5), (0.1, 0.5, 2.5)])
def test_either_rate_makes_the_curves_share_half(savings: float, wide: tuple[float, ...]) -> None:
    """From flagged to no overlap, with ladders of one span and of two."""
    for better, worse in ((LADDER, wide), (wide, LADDER)):
        high, low = curve(savings, better), curve(1.0, worse)
        if compare_curves(low, high).overlap >= 0.5:
            continue
        down, up = rates_to_add(high, low) or (0.0, 0.0)
        assert down < min(better)
        assert up > max(worse)
        assert compare_curves(low, curve(savings, (down, *better))).overlap == pytest.approx(0.5)
        assert compare_curves(curve(1.0, (*worse, up)), high).overlap == pytest.approx(0.5)


def test_the_sentence_names_the_codecs_whichever_is_the_anchor() -> None:
    """The better one gets the lower rate."""
    old, new = curve(1.0), curve(3.0)
    said = {
        ladder_advice("old", "new", (old, new), compare_curves(old, new)),
        ladder_advice("new", "old", (new, old), compare_curves(new, old)),
    }
    assert len(said) == 1
    assert re.match(
        r"Add a rate of about 0\.0\d+ bpp to new, or of about 0\.\d+ bpp to old: ", said.pop() or ""
    )
    assert ladder_advice("old", "new", (old, curve(1.2)), compare_curves(old, curve(1.2))) is None
    point = Curve(np.array([900.0]), np.array([0.0]))
    assert rates_to_add(point, old) is None


@pytest.mark.parametrize("rise", [3.0, 0.1])
def test_a_curve_that_hardly_rises_leads_to_no_rate(rise: float) -> None:
    """Followed by its slope it would need 1e89 bpp, or more than a float holds; two such have no advice."""
    log_rate = np.log([0.1, 0.8])
    flat, new, higher = (
        Curve(np.array([start, start + by]), log_rate)
        for start, by in ((1400.0, rise), (1600.0, 200.0), (1600.0, rise))
    )
    said = ladder_advice("flat", "new", (flat, new), compare_curves(flat, new))
    assert said == "Add a rate of about 0.013 bpp to new: with it they would share half."
    assert ladder_advice("new", "flat", (new, flat), compare_curves(new, flat)) == said
    assert ladder_advice("flat", "higher", (flat, higher), compare_curves(flat, higher)) is None


def test_the_report_of_a_short_ladder_says_what_to_add() -> None:
    """Savings of 3 on a span of 5: flagged, and the rates stand in the warning of that pair alone."""
    study = simulate_study(
        2, savings={"old": 1.0, "mid": 1.2, "new": 3.0}, ladder=LADDER, sources=8, raters=30, judgments=3000
    )
    tables = tables_from_frames(study.judgments, study.stimuli)
    document = results_document(analyse_study(tables, Options(anchor="old", replicates=100)))
    told = [line for line in document["warnings"] if "Add a rate" in line]
    assert len(told) == 1
    assert re.search(r"^new against old: .* bpp to new, or of about .* bpp to old", told[0])
