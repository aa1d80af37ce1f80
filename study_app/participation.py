"""A rater's way through a study: enrol, get the open trials, answer them.

Every function takes a SQLAlchemy session inside a transaction that the caller commits. Locks are taken in one
order, so nobody waits in a circle: the rater or session row, then the study's advisory lock, then counters.
The advisory lock makes each draw see all earlier ones, which keeps the counts of the pairs within one.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session as Database

from study_app.drawing import draw_trials, renew_leases
from study_app.errors import EnrolmentRefused, NotEnrolled, StudyNotLoaded, TrialAnswered, TrialUnknown
from study_app.judgment_input import JudgmentInput
from study_app.models import (
    Judgment,
    PairSource,
    Rater,
    Session,
    Source,
    Stimulus,
    Study,
    Trial,
)
from study_app.sampling import BalancedSampler, PairSampler

#: The trial that is shown and the one that the browser loads ahead.
OPEN_TRIALS = 2


@dataclass(frozen=True, slots=True)
class StudyDescription:
    """What raters read about a study."""

    name: str
    title: str
    question: str
    instructions: str
    session_length: int
    widest: int
    """Width in pixels of the widest picture that is shown."""
    tallest: int
    """Height in pixels of the tallest picture that is shown."""


@dataclass(frozen=True, slots=True)
class Sitting:
    """One session as its rater may know it."""

    pseudonym: str
    done: int
    total: int
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The cookie to set, and the session that it opens."""

    cookie: str
    sitting: Sitting


@dataclass(frozen=True, slots=True)
class OfferedTrial:
    """A trial as the browser gets it: opaque names, and the size of the pictures in pixels."""

    trial: str
    token_1: str
    token_2: str
    token_reference: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class OpenTrials:
    """The session and its open trials in order: the one to show and the one to load ahead."""

    sitting: Sitting
    trials: tuple[OfferedTrial, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the server stored of a judgment."""

    client_uuid: str
    trial: str
    revision: int


def describe_study(db: Database, study: str) -> StudyDescription:
    """What raters read about the study. Raises StudyNotLoaded."""
    row = _study(db, study)
    widest, tallest = db.execute(
        select(func.max(Source.shown_width), func.max(Source.shown_height)).where(Source.study_id == row.id)
    ).one()
    return StudyDescription(
        row.name, row.title, row.question, row.instructions, row.session_length, int(widest), int(tallest)
    )


def find_sitting(db: Database, study: str, cookie: str | None) -> Sitting | None:
    """The session that the cookie opens, or None."""
    session = _session(db, study, cookie)
    return None if session is None else _sitting(db, session)


def enrol(
    db: Database, study: str, *, platform: str = "open", worker: str | None = None, cookie: str | None = None
) -> Enrolment:
    """Give a rater a session: the unfinished one when there is one, else a new one.

    A rater of an open link is known by the cookie alone; any other is (platform, worker), and who comes back
    from another browser goes on with the same session there.

    Raises StudyNotLoaded, and EnrolmentRefused for a platform that needs a worker and has none.
    """
    row = _study(db, study)
    if platform == "open":
        held = _session(db, study, cookie)
        if held is not None and cookie is not None:
            rater = db.get_one(Rater, held.rater_id, with_for_update=True)
            db.refresh(held)
            if held.completed_at is None:
                return Enrolment(cookie, _sitting(db, held))
        else:
            rater = _rater(db, row, "open", secrets.token_urlsafe(18))
    else:
        if not worker or len(worker) > 200 or "\x00" in worker:
            raise EnrolmentRefused("worker: name the rater with 1 to 200 characters")
        rater = _rater(db, row, platform, worker)
    fresh = secrets.token_urlsafe(32)
    unfinished = db.scalars(
        select(Session).where(Session.rater_id == rater.id, Session.completed_at.is_(None)).with_for_update()
    ).one_or_none()
    if unfinished is not None:
        unfinished.cookie_sha256 = _digest(fresh)
        db.flush()
        return Enrolment(fresh, _sitting(db, unfinished))
    length = min(row.session_length, _left(db, row.id, rater.id))
    session = Session(
        study_id=row.id,
        rater_id=rater.id,
        pseudonym=f"s_{secrets.token_hex(8)}",
        cookie_sha256=_digest(fresh),
        length=length,
    )
    db.add(session)
    db.flush()
    if length == 0:
        session.completed_at = func.now()
        db.flush()
        db.refresh(session)
    return Enrolment(fresh, _sitting(db, session))


def next_trials(
    db: Database,
    study: str,
    cookie: str | None,
    *,
    lease_s: float,
    sampler: PairSampler | None = None,
) -> OpenTrials:
    """The session's open trials, drawing new ones until there are two or the session has enough.

    After a reload the same trials come again, in the same order. An open trial counts against its pair for
    `lease_s` seconds from when it was last served; an answer after that is still taken.

    Raises NotEnrolled.
    """
    session = _locked_session(db, study, cookie)
    done = _answered(db, session.id)
    opened = _open_trials(db, session.id)
    if session.completed_at is None:
        missing = min(OPEN_TRIALS, session.length - done) - len(opened)
        if missing > 0:
            opened += draw_trials(
                db, session, missing, done + len(opened), lease_s, sampler or BalancedSampler()
            )
            if len(opened) < min(OPEN_TRIALS, session.length - done):
                # Nothing is left to ask this rater: the session ends with what is open.
                session.length = done + len(opened)
        renew_leases(db, opened, lease_s)
        if not opened:
            session.completed_at = func.now()
        db.flush()
        db.refresh(session)
    sizes = {
        row.id: row
        for row in db.execute(
            select(Source.id, Source.shown_width, Source.shown_height).where(
                Source.id.in_([trial.source_id for trial in opened])
            )
        )
    }
    offered = tuple(
        OfferedTrial(
            trial.public_id,
            trial.token_1,
            trial.token_2,
            trial.token_reference,
            sizes[trial.source_id].shown_width,
            sizes[trial.source_id].shown_height,
        )
        for trial in opened
    )
    return OpenTrials(_sitting(db, session), offered)


def record_judgment(db: Database, study: str, cookie: str | None, judgment: JudgmentInput) -> Receipt:
    """Store the answer to an open trial once; the same judgment again gets the same receipt.

    Raises NotEnrolled, TrialUnknown for a trial of nobody or of another session, and TrialAnswered when the
    trial has another answer or the client_uuid belongs to another judgment.
    """
    session = _locked_session(db, study, cookie)
    earlier = db.execute(
        select(Judgment.revision, Judgment.chosen_slot, Trial.public_id, Trial.session_id)
        .join(Trial, Trial.id == Judgment.trial_id)
        .where(Judgment.client_uuid == judgment.client_uuid)
    ).one_or_none()
    if earlier is not None:
        same = (earlier.session_id, earlier.public_id, earlier.chosen_slot)
        if same != (session.id, judgment.trial, judgment.choice):
            raise TrialAnswered("client_uuid: it belongs to another judgment, so draw a new one")
        return Receipt(str(judgment.client_uuid), judgment.trial, earlier.revision)
    trial = db.scalars(
        select(Trial).where(Trial.public_id == judgment.trial, Trial.session_id == session.id)
    ).one_or_none()
    if trial is None:
        raise TrialUnknown(judgment.trial)
    if trial.answered_at is not None:
        raise TrialAnswered("trial: it was answered before; reload the page to go on")
    row = Judgment(
        trial_id=trial.id,
        revision=0,
        client_uuid=judgment.client_uuid,
        chosen_slot=judgment.choice,
        response_ms=judgment.response_ms,
        exposure_ms=judgment.exposure_ms,
        flips=judgment.flips,
        magnification=judgment.magnification,
        device_pixel_ratio=judgment.device_pixel_ratio,
        viewport=judgment.viewport,
    )
    db.add(row)
    try:
        db.flush()
    except IntegrityError as error:
        # Another session sent the same client_uuid at this very moment.
        raise TrialAnswered("client_uuid: it belongs to another judgment, so draw a new one") from error
    trial.answered_at = func.clock_timestamp()
    db.execute(
        update(PairSource)
        .where(PairSource.pair_id == trial.pair_id, PairSource.source_id == trial.source_id)
        .values(judged=PairSource.judged + 1)
    )
    db.flush()
    if session.completed_at is None and _answered(db, session.id) >= session.length:
        session.completed_at = func.now()
        db.flush()
    return Receipt(str(judgment.client_uuid), trial.public_id, row.revision)


def picture_sha256(db: Database, study: str, cookie: str | None, token: str) -> str | None:
    """The picture behind an address, when the address was drawn for this session; else None."""
    session = _session(db, study, cookie)
    if session is None:
        return None
    trial = db.scalars(
        select(Trial).where(
            Trial.session_id == session.id,
            (Trial.token_1 == token) | (Trial.token_2 == token) | (Trial.token_reference == token),
        )
    ).one_or_none()
    if trial is None:
        return None
    if token == trial.token_reference:
        return db.scalars(select(Source.shown_sha256).where(Source.id == trial.source_id)).one()
    slot = 1 if token == trial.token_1 else 2
    side = PairSource.stimulus_a_id if slot == trial.slot_of_a else PairSource.stimulus_b_id
    return db.scalars(
        select(Stimulus.shown_sha256)
        .join(PairSource, Stimulus.id == side)
        .where(PairSource.pair_id == trial.pair_id, PairSource.source_id == trial.source_id)
    ).one()


def _study(db: Database, name: str) -> Study:
    row = db.scalars(select(Study).where(Study.name == name)).one_or_none()
    if row is None:
        raise StudyNotLoaded(name)
    return row


def _rater(db: Database, study: Study, platform: str, worker: str) -> Rater:
    db.execute(
        insert(Rater)
        .values(
            study_id=study.id,
            platform=platform,
            worker=worker,
            pseudonym=f"r_{secrets.token_hex(8)}",
            is_simulated=platform == "simulated",
        )
        .on_conflict_do_nothing(index_elements=["study_id", "platform", "worker"])
    )
    return db.scalars(
        select(Rater)
        .where(Rater.study_id == study.id, Rater.platform == platform, Rater.worker == worker)
        .with_for_update()
    ).one()


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()


def _session(db: Database, study: str, cookie: str | None, *, lock: bool = False) -> Session | None:
    if not cookie:
        return None
    query = (
        select(Session)
        .join(Study, Study.id == Session.study_id)
        .where(Study.name == study, Session.cookie_sha256 == _digest(cookie))
    )
    if lock:
        query = query.with_for_update(of=Session)
    return db.scalars(query).one_or_none()


def _locked_session(db: Database, study: str, cookie: str | None) -> Session:
    session = _session(db, study, cookie, lock=True)
    if session is None:
        raise NotEnrolled
    return session


def _open_trials(db: Database, session_id: int) -> list[Trial]:
    return list(
        db.scalars(
            select(Trial)
            .where(Trial.session_id == session_id, Trial.answered_at.is_(None))
            .order_by(Trial.ordinal)
        )
    )


def _answered(db: Database, session_id: int) -> int:
    return db.scalars(
        select(func.count())
        .select_from(Trial)
        .where(Trial.session_id == session_id, Trial.answered_at.is_not(None))
    ).one()


def _left(db: Database, study_id: int, rater_id: int) -> int:
    asked = select(func.count()).select_from(PairSource).where(PairSource.study_id == study_id)
    seen = select(func.count()).select_from(Trial).where(Trial.rater_id == rater_id, Trial.kind == "scored")
    return max(0, db.scalars(asked).one() - db.scalars(seen).one())


def _sitting(db: Database, session: Session) -> Sitting:
    return Sitting(
        pseudonym=session.pseudonym,
        done=_answered(db, session.id),
        total=session.length,
        is_complete=session.completed_at is not None,
    )
