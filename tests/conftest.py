"""A Postgres for the whole run, a fresh migrated database for each test, and tiny studies to load."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from flask import Flask
from PIL import Image
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL

from stimuli.manifest import FORMAT, CodecRecord, Machine, Manifest, SourceRecord, StudyRecord, picture_path
from stimuli.study import Condition, Pairing, Stimulus, condition_name
from study_app import database
from study_app.app import create_app
from study_app.embedded_postgres import EmbeddedPostgres
from study_app.loading import load_manifest
from study_app.settings import Settings

# A shell starts background jobs with SIGINT ignored, and every process of the tests would inherit that:
# Ctrl-C would then stop nothing that is tested here.
signal.signal(signal.SIGINT, signal.default_int_handler)

# `make test` draws the same examples every time; HYPOTHESIS_PROFILE=explore draws new ones.
hypothesis.settings.register_profile("matchrate", derandomize=True)
hypothesis.settings.register_profile("explore", max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "matchrate"))

TOKEN = "researcher-token-of-the-tests"
ManifestMaker = Callable[..., Manifest]


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """A server on which databases may be made: `MATCHRATE_TEST_DATABASE_URL`, else an embedded one."""
    given = os.environ.get("MATCHRATE_TEST_DATABASE_URL", "")
    if given:
        yield database.postgres_url(given)
        return
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres") / "server") as server:
        engine = create_engine(server.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            # Hundreds of databases are made and dropped here, and none has to outlive a power cut.
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
            connection.execute(text("SELECT pg_reload_conf()"))
        engine.dispose()
        yield server.url


@pytest.fixture(scope="session")
def maintenance(postgres_url: URL) -> Iterator[Engine]:
    """An engine that may create and drop databases."""
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def _drop(engine: Engine, name: str) -> None:
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


@pytest.fixture(scope="session")
def template_database(maintenance: Engine, postgres_url: URL) -> Iterator[str]:
    """A database with every migration applied, to copy."""
    name = f"matchrate_template_{secrets.token_hex(6)}"
    with maintenance.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine = database.connect(postgres_url.set(database=name))
    database.upgrade(engine)
    engine.dispose()
    yield name
    _drop(maintenance, name)


@pytest.fixture
def empty_database(maintenance: Engine, postgres_url: URL) -> Iterator[URL]:
    """A database without any table."""
    name = f"matchrate_test_{secrets.token_hex(6)}"
    with maintenance.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield postgres_url.set(database=name)
    _drop(maintenance, name)


@pytest.fixture
def database_url(maintenance: Engine, postgres_url: URL, template_database: str) -> Iterator[URL]:
    """A migrated database of this test alone."""
    name = f"matchrate_test_{secrets.token_hex(6)}"
    with maintenance.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template_database}"'))
    yield postgres_url.set(database=name)
    _drop(maintenance, name)


@pytest.fixture
def engine(database_url: URL) -> Iterator[Engine]:
    """An engine on a migrated database of this test alone."""
    engine = database.connect(database_url, pool_size=20)
    yield engine
    engine.dispose()


@pytest.fixture
def study_folder(tmp_path: Path) -> Path:
    """An empty study folder; its name has a space, as a user's may."""
    folder = tmp_path / "a study"
    (folder / "stimuli" / "pictures").mkdir(parents=True)
    return folder


def _picture(folder: Path, seed: int, width: int, height: int) -> str:
    """Write a small PNG and return its SHA-256."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    draft = folder / f"{seed}.png"
    Image.fromarray(pixels).save(draft)
    sha256 = hashlib.sha256(draft.read_bytes()).hexdigest()
    draft.rename(picture_path(folder, sha256))
    return sha256


@pytest.fixture
def make_manifest(study_folder: Path) -> ManifestMaker:
    """`make(sources=, codecs=, targets=, ...)` writes real pictures and returns the manifest of them."""

    def make(
        *,
        name: str = "tiny",
        sources: int = 3,
        codecs: tuple[str, ...] = ("codecx", "codecy"),
        targets: tuple[float, ...] = (0.25, 0.5),
        session_length: int = 5,
        seed: int = 7,
        pairing: Pairing | None = None,
        left_out: frozenset[tuple[str, str]] = frozenset(),
        width: int = 12,
        height: int = 8,
    ) -> Manifest:
        numbers = itertools.count(seed * 10_000)
        records, stimuli = [], []
        conditions = tuple(
            Condition(condition_name(codec, target), codec, point, target)
            for codec in codecs
            for point, target in enumerate(targets)
        )
        for number in range(sources):
            original = _picture(study_folder, next(numbers), width, height)
            source = f"scenery{number}"
            records.append(
                SourceRecord(
                    name=source,
                    dataset="photographs",
                    path=f"sources/{source}.png",
                    file_sha256=original,
                    width=width,
                    height=height,
                    crop=None,
                    shown_width=width,
                    shown_height=height,
                    picture_sha256=original,
                    shown_sha256=original,
                    targets=(),
                )
            )
            for condition in conditions:
                shown = _picture(study_folder, next(numbers), width, height)
                stimuli.append(_stimulus(source, condition, shown, width, height, left_out))
        return Manifest(
            format=FORMAT,
            matchrate="0.1.0",
            study=StudyRecord(
                name=name,
                title="A title",
                question="Which one is closer to the original?",
                instructions="Look closely.",
                session_length=session_length,
                seed=seed,
                tolerance=0.01,
                allow_mismatch=False,
                pairing=pairing or Pairing(),
                rate="file",
                match="each",
                metrics=(),
            ),
            sources=tuple(records),
            codecs=tuple(CodecRecord(codec, "command", "1.0", {}) for codec in codecs),
            conditions=conditions,
            stimuli=tuple(stimuli),
            failures=(),
            machine=Machine("here", "processor", "system", "3.11"),
        )

    return make


def _stimulus(
    source: str,
    condition: Condition,
    shown: str,
    width: int,
    height: int,
    left_out: frozenset[tuple[str, str]],
) -> Stimulus:
    size = round(condition.target * width * height / 8)
    excluded = (source, condition.name) in left_out
    return Stimulus(
        source=source,
        dataset="photographs",
        condition=condition.name,
        codec=condition.codec,
        codec_version="1.0",
        role="scored",
        status="unreachable_low" if excluded else "matched",
        target_bpp=condition.target,
        bpp=8 * size / (width * height),
        bytes=size,
        payload_bytes=size,
        residual=8 * size / (width * height) / condition.target - 1,
        width=width,
        height=height,
        encode_s=0.01,
        decode_s=0.001,
        bitstream_sha256=hashlib.sha256(f"{source} {condition.name}".encode()).hexdigest(),
        picture_sha256=shown,
        quality={"quality": 50.0},
        encodes=3,
        previews=0,
        limit_bpp=None,
        metrics={},
        note=None,
        reachable=not excluded,
        shown_sha256=shown,
        bitstream="file.bin",
        included=not excluded,
        left_out="a codec cannot reach it" if excluded else None,
    )


@pytest.fixture
def manifest(make_manifest: ManifestMaker) -> Manifest:
    """Three sources, two codecs, two rate points."""
    return make_manifest()


@pytest.fixture
def settings(study_folder: Path) -> Settings:
    """Settings of the study folder."""
    return Settings(folder=study_folder)


@pytest.fixture
def app(engine: Engine, manifest: Manifest, study_folder: Path, settings: Settings) -> Flask:
    """The application on the loaded tiny study."""
    load_manifest(engine, manifest, study_folder)
    return create_app(settings, engine=engine, study="tiny", researcher_token=TOKEN)
