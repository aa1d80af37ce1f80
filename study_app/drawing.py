"""New trials: counts in, a draw by the sampler, rows out, one study's draws after another."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from random import Random

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session as Database

from study_app.models import Rater, Session, Study, Trial
from study_app.sampling import Draw, PairCounts, PairSampler, Snapshot

#: First key of the advisory locks that serialise the draws of a study.
DRAW_LOCK = 0x6D72


def snapshot(db: Database, study_id: int, rater_id: int) -> Snapshot:
    """The counts of a study as this rater's next trial is drawn, in one statement and so of one moment."""
    rows = db.execute(SNAPSHOT, {"study": study_id, "rater": rater_id}).all()
    return Snapshot(
        tuple(PairCounts(row.pair_id, tuple(row.sources), tuple(row.counts), tuple(row.seen)) for row in rows)
    )


SNAPSHOT = text(
    """
    SELECT pair_source.pair_id AS pair_id,
           array_agg(pair_source.source_id ORDER BY pair_source.source_id) AS sources,
           array_agg((pair_source.judged + coalesce(opened.trials, 0))::int
                     ORDER BY pair_source.source_id) AS counts,
           array_agg(mine.pair_id IS NOT NULL ORDER BY pair_source.source_id) AS seen
    FROM pair_source
    LEFT JOIN (
      SELECT pair_id, source_id, count(*) AS trials
      FROM trial
      WHERE study_id = :study AND answered_at IS NULL AND leased_until > statement_timestamp()
      GROUP BY pair_id, source_id
    ) AS opened USING (pair_id, source_id)
    LEFT JOIN (
      SELECT pair_id, source_id FROM trial WHERE rater_id = :rater AND kind = 'scored'
    ) AS mine USING (pair_id, source_id)
    WHERE pair_source.study_id = :study
    GROUP BY pair_source.pair_id
    ORDER BY pair_source.pair_id
    """
)


def draw_trials(
    db: Database,
    session: Session,
    number: int,
    ordinal: int,
    lease_s: float,
    policy: PairSampler,
) -> list[Trial]:
    """Draw up to `number` new trials for a session whose row is locked; fewer when nothing is left to ask.

    One draw at a time in a study: each sees all earlier ones, so the pairs' counts stay within one.
    """
    db.execute(
        text("SELECT pg_advisory_xact_lock(:first, :second)"),
        {"first": DRAW_LOCK, "second": session.study_id % 2**31},
    )
    drawn: list[Trial] = []
    for offset in range(number):
        rng = _generator(db, session, ordinal + offset)
        draw = policy.choose(snapshot(db, session.study_id, session.rater_id), rng)
        if draw is None:
            break
        trial = _trial(session, draw, ordinal + offset, policy.name, lease_s)
        db.add(trial)
        db.flush()
        drawn.append(trial)
    return drawn


def _generator(db: Database, session: Session, ordinal: int) -> Random:
    """Draws repeat for the study's seed and a known worker; an open link's worker is itself random."""
    seed = db.scalars(select(Study.seed).where(Study.id == session.study_id)).one()
    rater = db.get_one(Rater, session.rater_id)
    # Counted over all sessions of the rater: else the slots of a second session would follow the first's.
    earlier = db.scalars(
        select(func.count())
        .select_from(Trial)
        .where(Trial.rater_id == rater.id, Trial.session_id != session.id)
    ).one()
    return Random(f"{seed}\0{rater.platform}\0{rater.worker}\0{earlier + ordinal}")


def _trial(session: Session, draw: Draw, ordinal: int, policy: str, lease_s: float) -> Trial:
    return Trial(
        public_id=secrets.token_urlsafe(16),
        study_id=session.study_id,
        rater_id=session.rater_id,
        session_id=session.id,
        ordinal=ordinal,
        pair_id=draw.pair,
        source_id=draw.source,
        slot_of_a=draw.slot_of_a,
        kind="scored",
        policy=policy,
        token_1=secrets.token_urlsafe(24),
        token_2=secrets.token_urlsafe(24),
        token_reference=secrets.token_urlsafe(24),
        leased_until=func.statement_timestamp() + timedelta(seconds=lease_s),
    )


def renew_leases(db: Database, trials: Sequence[Trial], lease_s: float) -> None:
    """Let trials that were served again count as open for another lease."""
    # Only when half is gone: a reload should not write for nothing.
    db.execute(
        update(Trial)
        .where(
            Trial.id.in_([trial.id for trial in trials]),
            Trial.leased_until < func.statement_timestamp() + timedelta(seconds=lease_s / 2),
        )
        .values(leased_until=func.statement_timestamp() + timedelta(seconds=lease_s))
        .execution_options(synchronize_session=False)
    )
