"""A manifest becomes rows once; what was judged is never changed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from stimuli.manifest import Manifest, picture_path
from stimuli.study import Pairing
from study_app.errors import DisconnectedDesign, EmptyDesign, ManifestConflict, PictureMissing
from study_app.judgment_input import read_judgment
from study_app.loading import load_manifest
from study_app.participation import enrol, next_trials, record_judgment

Make = Callable[..., Manifest]
TABLES = ("study", "source", "condition", "stimulus", "pair", "pair_source")


def dump(engine: Engine) -> dict[str, list[Any]]:
    with engine.connect() as connection:
        return {
            table: list(connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2"))) for table in TABLES
        }


def judge_once(engine: Engine, study: str = "tiny") -> None:
    with Session(engine) as db, db.begin():
        cookie = enrol(db, study).cookie
        trial = next_trials(db, study, cookie, lease_s=60).trials[0].trial
        body = {"client_uuid": "2f1c7a52-7d0e-4a3a-9a80-0c2b5f8f9d11", "trial": trial, "choice": 1}
        body |= {"response_ms": 1, "exposure_ms": 1, "flips": 1, "magnification": 1, "device_pixel_ratio": 1}
        record_judgment(db, study, cookie, read_judgment(body | {"viewport": "1x1"}))


def test_rows_are_those_of_the_manifest(engine: Engine, manifest: Manifest, study_folder: Path) -> None:
    report = load_manifest(engine, manifest, study_folder)
    assert (report.sources, report.conditions, report.stimuli, report.pairs) == (3, 4, 12, 6)
    assert report.questions == 18
    assert report.changed
    with engine.connect() as connection:
        stimuli = (
            connection.execute(text("SELECT * FROM stimuli ORDER BY source, condition")).mappings().all()
        )
    wanted = sorted(manifest.stimuli, key=lambda stimulus: (stimulus.source, stimulus.condition))
    assert len(stimuli) == len(wanted)
    for row, stimulus in zip(stimuli, wanted, strict=True):
        for name in set(row) - {"study", "rate"}:
            assert row[name] == getattr(stimulus, name), name
        assert (row["study"], row["rate"]) == ("tiny", "file")


def test_loading_again_changes_nothing(engine: Engine, manifest: Manifest, study_folder: Path) -> None:
    load_manifest(engine, manifest, study_folder)
    before = dump(engine)
    report = load_manifest(engine, manifest, study_folder)
    assert not report.changed
    assert dump(engine) == before
    judge_once(engine)
    after = dump(engine)
    assert not load_manifest(engine, manifest, study_folder).changed
    assert dump(engine) == after


def test_times_of_another_run_of_the_same_encode_change_nothing(
    engine: Engine, manifest: Manifest, study_folder: Path
) -> None:
    load_manifest(engine, manifest, study_folder)
    judge_once(engine)
    slower = replace(manifest, stimuli=tuple(replace(s, encode_s=9.0, encodes=0) for s in manifest.stimuli))
    assert not load_manifest(engine, slower, study_folder).changed


def test_metrics_that_were_measured_later_reach_the_rows_of_the_same_pictures(
    engine: Engine, manifest: Manifest, study_folder: Path
) -> None:
    load_manifest(engine, manifest, study_folder)
    judge_once(engine)
    first, *rest = manifest.stimuli
    later = replace(manifest, stimuli=(replace(first, metrics={"psnr": 33.25}, encode_s=9.0), *rest))
    before = dump(engine)
    report = load_manifest(engine, later, study_folder)
    assert (report.changed, report.measured) == (False, 1)
    assert "is loaded already, and the metrics of 1 stimulus were brought up to date" in str(report)
    after = dump(engine)
    assert {table for table in TABLES if before[table] != after[table]} == {"stimulus"}
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT source, condition, metrics FROM stimuli")).all()
    assert {row[:2]: row.metrics for row in rows if row.metrics} == {
        (first.source, first.condition): {"psnr": 33.25}
    }
    again = load_manifest(engine, later, study_folder)
    assert (again.measured, str(again).split(":")[0]) == (0, "study 'tiny' is loaded already")


def changed_picture(manifest: Manifest) -> Manifest:
    other = manifest.stimuli[1].shown_sha256
    return replace(
        manifest, stimuli=(replace(manifest.stimuli[0], shown_sha256=other), *manifest.stimuli[1:])
    )


def changed_question(manifest: Manifest) -> Manifest:
    return replace(manifest, study=replace(manifest.study, question="Which is prettier?"))


def without_source(manifest: Manifest) -> Manifest:
    gone = manifest.sources[0].name
    return replace(
        manifest,
        sources=manifest.sources[1:],
        stimuli=tuple(stimulus for stimulus in manifest.stimuli if stimulus.source != gone),
    )


def with_reference(manifest: Manifest) -> Manifest:
    return replace(manifest, study=replace(manifest.study, pairing=Pairing(include_reference=True)))


CHANGES = [
    (changed_picture, "stimulus scenery0 codecx@0.25: shown_sha256 was"),
    (
        changed_question,
        "study: question was 'Which one is closer to the original?' and is 'Which is prettier?'",
    ),
    (without_source, "source scenery0 is gone"),
    (with_reference, "condition reference is new"),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
def test_a_manifest_that_disagrees_with_judgments_is_refused_by_what_differs(
    engine: Engine, manifest: Manifest, study_folder: Path, change: Callable[[Manifest], Manifest], said: str
) -> None:
    load_manifest(engine, manifest, study_folder)
    judge_once(engine)
    before = dump(engine)
    with pytest.raises(ManifestConflict) as caught:
        load_manifest(engine, change(manifest), study_folder)
    assert said in str(caught.value)
    assert "1 judgments" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert dump(engine) == before


@pytest.mark.parametrize("change", [change for change, _ in CHANGES])
def test_without_judgments_the_design_is_replaced(
    engine: Engine, manifest: Manifest, study_folder: Path, change: Callable[[Manifest], Manifest]
) -> None:
    load_manifest(engine, manifest, study_folder)
    with Session(engine) as db, db.begin():
        # An open trial is no judgment.
        next_trials(db, "tiny", enrol(db, "tiny").cookie, lease_s=60)
    assert load_manifest(engine, change(manifest), study_folder).changed
    assert not load_manifest(engine, change(manifest), study_folder).changed
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM study")).scalar_one() == 1


def test_studies_share_a_database_without_touching_each_other(
    engine: Engine, make_manifest: Make, study_folder: Path
) -> None:
    first, second = make_manifest(name="one"), make_manifest(name="two", sources=2)
    load_manifest(engine, first, study_folder)
    judge_once(engine, "one")
    load_manifest(engine, second, study_folder)
    assert not load_manifest(engine, first, study_folder).changed
    with engine.connect() as connection:
        found = connection.execute(text("SELECT study, count(*) FROM stimuli GROUP BY 1 ORDER BY 1")).all()
    assert found == [("one", 12), ("two", 8)]


def test_only_included_stimuli_take_part(engine: Engine, make_manifest: Make, study_folder: Path) -> None:
    left_out = frozenset({("scenery0", "codecx@0.25"), ("scenery0", "codecy@0.25")})
    report = load_manifest(engine, make_manifest(left_out=left_out), study_folder)
    assert report.left_out == 2
    with engine.connect() as connection:
        asked = connection.execute(
            text(
                """
                SELECT count(*) FROM pair_source JOIN source ON source.id = source_id
                JOIN stimulus ON stimulus.id IN (stimulus_a_id, stimulus_b_id)
                WHERE NOT stimulus.included
                """
            )
        ).scalar_one()
        shown = connection.execute(text("SELECT count(*) FROM stimuli")).scalar_one()
    assert (asked, shown) == (0, 10)
    # scenery0 keeps the one pair between its two stimuli that remain.
    assert report.questions == 2 * 6 + 1


def test_reference_is_a_condition_shown_as_the_source(
    engine: Engine, make_manifest: Make, study_folder: Path
) -> None:
    manifest = make_manifest(pairing=Pairing(include_reference=True))
    report = load_manifest(engine, manifest, study_folder)
    assert (report.conditions, report.stimuli, report.pairs) == (5, 15, 10)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT role, status, bpp, codec, picture_sha256 FROM stimuli WHERE condition = 'reference'")
        ).all()
    assert {row[:4] for row in found} == {("reference", "given", None, "reference")}
    assert {row.picture_sha256 for row in found} == {source.picture_sha256 for source in manifest.sources}


def test_a_design_in_pieces_is_refused_by_its_groups(
    engine: Engine, make_manifest: Make, study_folder: Path
) -> None:
    pairing = Pairing(same_rate=False, adjacent_within=True, adjacent_across=False)
    with pytest.raises(DisconnectedDesign) as caught:
        load_manifest(engine, make_manifest(pairing=pairing), study_folder)
    assert "codecx@0.25, codecx@0.5 | codecy@0.25, codecy@0.5" in str(caught.value)
    assert dump(engine)["study"] == []


def test_a_rate_point_that_nobody_sees_does_not_part_its_neighbours(
    engine: Engine, make_manifest: Make, study_folder: Path
) -> None:
    """Where a codec misses it on every source, the next rate points are compared with each other."""
    manifest = make_manifest(targets=(0.25, 0.5, 1.0))
    stimuli = tuple(
        replace(s, included=False, left_out="x: failed") if s.target_bpp == 0.5 else s
        for s in manifest.stimuli
    )
    report = load_manifest(engine, replace(manifest, stimuli=stimuli), study_folder)
    assert (report.conditions, report.left_out, report.pairs) == (6, 6, 6)


def test_a_design_without_pairs_is_refused(engine: Engine, make_manifest: Make, study_folder: Path) -> None:
    with pytest.raises(EmptyDesign, match="no pair of stimuli"):
        load_manifest(engine, make_manifest(codecs=("only",), targets=(0.5,)), study_folder)


def test_a_missing_picture_is_named_and_nothing_is_stored(
    engine: Engine, manifest: Manifest, study_folder: Path
) -> None:
    path = picture_path(study_folder, manifest.stimuli[3].shown_sha256)
    path.unlink()
    with pytest.raises(PictureMissing) as caught:
        load_manifest(engine, manifest, study_folder)
    assert str(path) in str(caught.value)
    assert "scenery0 codecy@0.5" in str(caught.value)
    assert dump(engine)["study"] == []


def test_loads_at_the_same_time_make_one_study(
    engine: Engine, manifest: Manifest, study_folder: Path
) -> None:
    with ThreadPoolExecutor(6) as pool:
        reports = list(pool.map(lambda _: load_manifest(engine, manifest, study_folder), range(6)))
    assert sum(report.changed for report in reports) == 1
    assert len(dump(engine)["study"]) == 1
