"""The researcher's numbers are those of the tables."""

from __future__ import annotations

from typing import Any

from flask import Flask
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from study_app.counts import count_study

TOKEN = "researcher-token-of-the-tests"


def test_counts_follow_what_raters_do(app: Flask, engine: Engine, rater: Any, another_rater: Any) -> None:
    rater.enrol()
    while rater.answer():
        pass
    another_rater.enrol(platform="simulated", worker="robot", token=TOKEN)
    another_rater.answer()
    another_rater.trials()
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO exclusion (judgment_id, rule) SELECT max(id), 'r' FROM judgment")
        )
    with Session(engine) as db:
        counts = count_study(db, "tiny")
    assert counts.judgments == 6
    assert counts.judgments_by_kind == {"scored": 6}
    assert (counts.judgments_real, counts.judgments_simulated, counts.judgments_excluded) == (5, 1, 1)
    assert (counts.raters_real, counts.raters_simulated) == (1, 1)
    assert (counts.sessions_open, counts.sessions_complete) == (1, 1)
    assert counts.trials_open == 2
    # Six answered trials over six pairs, and two more that are open.
    assert (counts.pairs, counts.pair_least <= 1, counts.pair_most >= 1) == (6, True, True)
    assert sum(counts.condition_appearances.values()) == 2 * 6
    assert set(counts.condition_appearances) == {"codecx@0.25", "codecx@0.5", "codecy@0.25", "codecy@0.5"}
    assert counts.latest_judgment is not None


def test_a_study_without_rows_counts_as_zero(engine: Engine) -> None:
    with Session(engine) as db:
        counts = count_study(db, "unknown")
    assert counts.judgments == counts.pairs == counts.trials_open == 0
    assert counts.latest_judgment is None
