"""The numbers of the researcher's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session as Database


@dataclass(frozen=True, slots=True)
class StudyCounts:
    """How far a study is. Judgments are those of the view: the last revision of each trial."""

    judgments: int
    judgments_by_kind: Mapping[str, int]
    judgments_real: int
    judgments_simulated: int
    judgments_excluded: int
    raters_real: int
    raters_simulated: int
    sessions_open: int
    sessions_complete: int
    trials_open: int
    """Offered, unanswered, and not older than the lease."""
    pairs: int
    pair_least: int
    """Judged trials of the pair with the fewest."""
    pair_most: int
    condition_appearances: Mapping[str, int]
    """Judged trials in which each condition was one of the two, by name."""
    latest_judgment: datetime | None


def count_study(db: Database, study: str) -> StudyCounts:
    """Count a study; one of that name without rows counts as all zero."""
    by_kind = {
        row.kind: row.judgments
        for row in db.execute(
            text("SELECT kind, count(*) AS judgments FROM judgments WHERE study = :study GROUP BY kind"),
            {"study": study},
        )
    }
    judged = db.execute(JUDGED, {"study": study}).one()
    people = db.execute(PEOPLE, {"study": study}).one()
    pairs = db.execute(PAIRS, {"study": study}).one()
    appearances = {row.name: row.judgments for row in db.execute(APPEARANCES, {"study": study})}
    return StudyCounts(
        judgments=sum(by_kind.values()),
        judgments_by_kind=by_kind,
        judgments_real=judged.real,
        judgments_simulated=judged.simulated,
        judgments_excluded=judged.excluded,
        raters_real=people.raters_real,
        raters_simulated=people.raters_simulated,
        sessions_open=people.sessions_open,
        sessions_complete=people.sessions_complete,
        trials_open=people.trials_open,
        pairs=pairs.pairs,
        pair_least=pairs.least,
        pair_most=pairs.most,
        condition_appearances=appearances,
        latest_judgment=judged.latest,
    )


JUDGED = text(
    """
    SELECT count(*) FILTER (WHERE NOT is_simulated) AS real,
           count(*) FILTER (WHERE is_simulated) AS simulated,
           count(*) FILTER (WHERE is_excluded) AS excluded,
           max(answered_at) AS latest
    FROM judgments WHERE study = :study
    """
)

PEOPLE = text(
    """
    WITH this AS (SELECT id FROM study WHERE name = :study)
    SELECT
      (SELECT count(*) FROM rater JOIN this ON this.id = study_id WHERE NOT is_simulated) AS raters_real,
      (SELECT count(*) FROM rater JOIN this ON this.id = study_id WHERE is_simulated) AS raters_simulated,
      (SELECT count(*) FROM session JOIN this ON this.id = study_id
        WHERE completed_at IS NULL) AS sessions_open,
      (SELECT count(*) FROM session JOIN this ON this.id = study_id
        WHERE completed_at IS NOT NULL) AS sessions_complete,
      (SELECT count(*) FROM trial JOIN this ON this.id = study_id
        WHERE answered_at IS NULL AND leased_until > statement_timestamp()) AS trials_open
    """
)

PAIRS = text(
    """
    SELECT count(*) AS pairs, coalesce(min(judged), 0) AS least, coalesce(max(judged), 0) AS most
    FROM (
      SELECT sum(pair_source.judged)::int AS judged
      FROM pair_source JOIN study ON study.id = pair_source.study_id
      WHERE study.name = :study GROUP BY pair_source.pair_id
    ) AS pairs
    """
)

APPEARANCES = text(
    """
    SELECT condition.name AS name, coalesce(sum(pair_source.judged), 0)::int AS judgments
    FROM condition
    JOIN study ON study.id = condition.study_id
    LEFT JOIN pair ON pair.condition_a_id = condition.id OR pair.condition_b_id = condition.id
    LEFT JOIN pair_source ON pair_source.pair_id = pair.id
    WHERE study.name = :study
    GROUP BY condition.id, condition.name, condition.codec, condition.rate_point
    ORDER BY condition.codec, condition.rate_point
    """
)
