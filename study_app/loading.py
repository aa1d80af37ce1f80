"""A manifest into rows: the study, its sources, conditions and stimuli, and the pairs that it compares."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, func, insert, select, text, update
from sqlalchemy.orm import Session as Database

from analysis.contract import REFERENCE_CONDITION
from stimuli.manifest import Manifest, picture_path
from study_app.design import ConditionPair, connected_groups, pair_conditions
from study_app.errors import DisconnectedDesign, EmptyDesign, ManifestConflict, PictureMissing
from study_app.models import Condition, Judgment, Pair, PairSource, Source, Stimulus, Study, Trial

#: Advisory lock: one load at a time in a database.
LOAD_LOCK = 0x6C6F6164

Row = dict[str, Any]

#: Fields of a manifest's stimulus that are columns under the same name.
COPIED = (
    *("codec_version", "role", "status", "target_bpp", "bpp", "bytes", "payload_bytes", "residual"),
    *("width", "height", "encode_s", "decode_s", "bitstream_sha256", "picture_sha256", "shown_sha256"),
    *("included", "left_out"),
)

#: Times differ between two runs of the same encode, and metrics may be measured later and are then updated:
#: neither changes anything that a rater saw.
UNCOMPARED = ("encode_s", "decode_s", "metrics")


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What loading did: `changed` is false when the database held the same study before."""

    study: str
    changed: bool
    sources: int
    conditions: int
    stimuli: int
    left_out: int
    pairs: int
    questions: int
    """Pairs on a source: how many different trials there are to ask."""
    measured: int = 0
    """Stimuli of a study that was there already whose objective metrics were brought up to date."""

    def __str__(self) -> str:
        done = "loaded" if self.changed else "is loaded already"
        if self.measured:
            noun = "stimulus" if self.measured == 1 else "stimuli"
            done += f", and the metrics of {self.measured} {noun} were brought up to date"
        return (
            f"study {self.study!r} {done}: {self.sources} sources, {self.conditions} conditions, "
            f"{self.stimuli} stimuli ({self.left_out} left out), {self.pairs} pairs, "
            f"{self.questions} different trials"
        )


@dataclass(frozen=True, slots=True)
class _Rows:
    study: Row
    sources: dict[str, Row]
    conditions: dict[str, Row]
    stimuli: dict[tuple[str, str], Row]


def load_manifest(engine: Engine, manifest: Manifest, folder: Path) -> LoadReport:
    """Put a study into the database, all of it or nothing; loading the same manifest again changes nothing.

    A study without judgments is replaced by a manifest that differs. Where only metrics differ, the rows get
    those of the manifest, judgments or not: the pictures are the same.

    Raises
    ------
    ManifestConflict
        The manifest differs from a study that has judgments; the message names what differs.
    DisconnectedDesign, EmptyDesign
        The pairs leave conditions that are never compared, or there is nothing to ask.
    PictureMissing
        A picture that raters are to see is not in the folder.
    """
    rows = _rows(manifest)
    pairs, questions = _design(manifest, rows)
    _require_pictures(rows, folder)
    with Database(engine) as db, db.begin():
        db.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOAD_LOCK})
        study = db.scalars(select(Study).where(Study.name == manifest.study.name)).one_or_none()
        changed, measured = True, 0
        if study is not None:
            stored = _stored(db, study)
            differences = list(_differences(stored, rows))
            if differences:
                # No judgment may slip in between the count and the replacement; the tables in the order
                # in which record_judgment writes them.
                db.execute(text("LOCK TABLE judgment, trial IN SHARE ROW EXCLUSIVE MODE"))
                judgments = db.scalars(
                    select(func.count())
                    .select_from(Judgment)
                    .join(Trial, Trial.id == Judgment.trial_id)
                    .where(Trial.study_id == study.id)
                ).one()
                if judgments:
                    raise ManifestConflict(study.name, judgments, differences)
                db.execute(delete(Study).where(Study.id == study.id))
            changed = bool(differences)
            if not changed:
                measured = _update_metrics(db, stored, rows)
        if changed:
            _insert(db, rows, pairs, questions)
    return LoadReport(
        study=manifest.study.name,
        changed=changed,
        sources=len(rows.sources),
        conditions=len(rows.conditions),
        stimuli=len(rows.stimuli),
        left_out=sum(not row["included"] for row in rows.stimuli.values()),
        pairs=len(pairs),
        questions=sum(len(sources) for sources in questions.values()),
        measured=measured,
    )


def _update_metrics(db: Database, stored: _Rows, given: _Rows) -> int:
    """Put the manifest's metrics into the rows of the same pictures; returns how many rows had others."""
    changes = [
        {"id": row["id"], "metrics": given.stimuli[key]["metrics"]}
        for key, row in stored.stimuli.items()
        if row["metrics"] != given.stimuli[key]["metrics"]
    ]
    if changes:
        db.execute(update(Stimulus), changes)
    return len(changes)


def _rows(manifest: Manifest) -> _Rows:
    study = asdict(manifest.study)
    # The names are those of the stimuli's metrics.
    del study["metrics"]
    sources = {
        source.name: {
            "name": source.name,
            "dataset": source.dataset,
            "width": source.width,
            "height": source.height,
            "crop": None if source.crop is None else list(source.crop),
            "shown_width": source.shown_width,
            "shown_height": source.shown_height,
            "picture_sha256": source.picture_sha256,
            "shown_sha256": source.shown_sha256,
        }
        for source in manifest.sources
    }
    conditions: dict[str, Row] = {condition.name: asdict(condition) for condition in manifest.conditions}
    stimuli: dict[tuple[str, str], Row] = {}
    for stimulus in manifest.stimuli:
        row: Row = {name: getattr(stimulus, name) for name in COPIED}
        row["quality"] = None if stimulus.quality is None else dict(stimulus.quality)
        row["metrics"] = dict(stimulus.metrics)
        stimuli[stimulus.source, stimulus.condition] = row
    if manifest.study.pairing.include_reference:
        conditions[REFERENCE_CONDITION] = {
            "name": REFERENCE_CONDITION,
            "codec": REFERENCE_CONDITION,
            "rate_point": None,
            "target": None,
        }
        for source in manifest.sources:
            row = dict.fromkeys((*COPIED, "quality"))
            row |= {"role": "reference", "status": "given", "included": True, "metrics": {}}
            row |= {"width": source.width, "height": source.height}
            row |= {"picture_sha256": source.picture_sha256, "shown_sha256": source.shown_sha256}
            stimuli[source.name, REFERENCE_CONDITION] = row
    return _Rows(study, sources, conditions, stimuli)


def _design(manifest: Manifest, rows: _Rows) -> tuple[list[ConditionPair], dict[tuple[str, str], list[str]]]:
    """The pairs that at least one source can show, and the sources of each."""
    has: dict[str, set[str]] = defaultdict(set)
    for (source, condition), row in rows.stimuli.items():
        if row["included"]:
            has[condition].add(source)
    reference = REFERENCE_CONDITION if manifest.study.pairing.include_reference else None
    pairs, questions = [], {}
    # Neighbours on a ladder are neighbours among what is shown: a rate point may be left out altogether.
    conditions = [condition for condition in manifest.conditions if has[condition.name]]
    for pair in pair_conditions(conditions, manifest.study.pairing, reference):
        shared = has[pair.condition_a] & has[pair.condition_b]
        if shared:
            pairs.append(pair)
            questions[pair.condition_a, pair.condition_b] = [name for name in rows.sources if name in shared]
    if not pairs:
        raise EmptyDesign(manifest.study.name)
    shown = [name for name in rows.conditions if has[name]]
    groups = connected_groups(shown, [(pair.condition_a, pair.condition_b) for pair in pairs])
    if len(groups) > 1:
        raise DisconnectedDesign(manifest.study.name, groups)
    return pairs, questions


def _require_pictures(rows: _Rows, folder: Path) -> None:
    for name, row in rows.sources.items():
        _require_picture(folder, row["shown_sha256"], f"source {name}")
    for (source, condition), row in rows.stimuli.items():
        if row["included"]:
            _require_picture(folder, row["shown_sha256"], f"{source} {condition}")


def _require_picture(folder: Path, sha256: str, of: str) -> None:
    path = picture_path(folder, sha256)
    if not path.is_file():
        raise PictureMissing(path, of)


def _stored(db: Database, study: Study) -> _Rows:
    """The rows of a study as the database holds them, keyed and shaped as `_rows` makes them."""
    sources = {row.name: row for row in db.scalars(select(Source).where(Source.study_id == study.id))}
    conditions = {
        row.name: row for row in db.scalars(select(Condition).where(Condition.study_id == study.id))
    }
    source_names = {row.id: row.name for row in sources.values()}
    condition_names = {row.id: row.name for row in conditions.values()}
    stimuli = {
        (source_names[row.source_id], condition_names[row.condition_id]): row
        for row in db.scalars(select(Stimulus).where(Stimulus.study_id == study.id))
    }
    return _Rows(
        _plain(study),
        {name: _plain(row) for name, row in sources.items()},
        {name: _plain(row) for name, row in conditions.items()},
        {key: _plain(row) for key, row in stimuli.items()},
    )


def _plain(row: Study | Source | Condition | Stimulus) -> Row:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def _differences(stored: _Rows, given: _Rows) -> Iterator[str]:
    yield from _changed("study", stored.study, given.study)
    for what, old, new in (
        ("source", stored.sources, given.sources),
        ("condition", stored.conditions, given.conditions),
        ("stimulus", stored.stimuli, given.stimuli),
    ):
        yield from _changed_table(what, old, new)


def _changed_table(what: str, old: Mapping[Any, Row], new: Mapping[Any, Row]) -> Iterator[str]:
    for key in sorted(old.keys() - new.keys()):
        yield f"{what} {_name(key)} is gone"
    for key in sorted(new.keys() - old.keys()):
        yield f"{what} {_name(key)} is new"
    for key in sorted(old.keys() & new.keys()):
        yield from _changed(f"{what} {_name(key)}", old[key], new[key])


def _changed(what: str, old: Row, new: Row) -> Iterator[str]:
    for name, value in new.items():
        if name not in UNCOMPARED and old[name] != value:
            yield f"{what}: {name} was {_short(old[name])} and is {_short(value)}"


def _name(key: str | tuple[str, str]) -> str:
    return key if isinstance(key, str) else " ".join(key)


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 40 else f"{said[:37]}..."


def _insert(
    db: Database, rows: _Rows, pairs: list[ConditionPair], questions: dict[tuple[str, str], list[str]]
) -> None:
    study = Study(**rows.study)
    db.add(study)
    db.flush()
    sources = _insert_named(db, Source, study.id, rows.sources)
    conditions = _insert_named(db, Condition, study.id, rows.conditions)
    stimulus_rows = [
        row | {"study_id": study.id, "source_id": sources[source], "condition_id": conditions[condition]}
        for (source, condition), row in rows.stimuli.items()
    ]
    db.execute(insert(Stimulus), stimulus_rows)
    stimuli = {
        (row.source_id, row.condition_id): row.id
        for row in db.execute(
            select(Stimulus.id, Stimulus.source_id, Stimulus.condition_id).where(
                Stimulus.study_id == study.id
            )
        )
    }
    db.execute(
        insert(Pair),
        [
            {
                "study_id": study.id,
                "condition_a_id": conditions[pair.condition_a],
                "condition_b_id": conditions[pair.condition_b],
                "kind": pair.kind,
            }
            for pair in pairs
        ],
    )
    pair_ids = {
        (row.condition_a_id, row.condition_b_id): row.id
        for row in db.execute(
            select(Pair.id, Pair.condition_a_id, Pair.condition_b_id).where(Pair.study_id == study.id)
        )
    }
    db.execute(
        insert(PairSource),
        [
            {
                "pair_id": pair_ids[conditions[first], conditions[second]],
                "source_id": sources[source],
                "study_id": study.id,
                "stimulus_a_id": stimuli[sources[source], conditions[first]],
                "stimulus_b_id": stimuli[sources[source], conditions[second]],
            }
            for (first, second), names in questions.items()
            for source in names
        ],
    )


def _insert_named(
    db: Database, model: type[Source] | type[Condition], study_id: int, rows: Mapping[str, Row]
) -> dict[str, int]:
    db.execute(insert(model), [row | {"study_id": study_id} for row in rows.values()])
    found = db.execute(select(model.name, model.id).where(model.study_id == study_id))
    return {row.name: row.id for row in found}
