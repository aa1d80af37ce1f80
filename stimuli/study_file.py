"""study.toml to a Study, telling everything that needs repair in one run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.codecs.reconstructions import Reconstruction, Reconstructions
from stimuli.codecs.registry import make_codec
from stimuli.errors import (
    CodecNotInstalledError,
    CodecProgramError,
    CodecSettingsError,
    PictureError,
    StudyFileError,
)
from stimuli.pictures import inspect_picture, load_picture
from stimuli.records import is_number
from stimuli.source_files import read_sources
from stimuli.study import REFERENCE, CodecSpec, Pairing, Source, Study
from stimuli.toml_table import Table

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9+])?")
_NAME_RULE = "must be letters, digits and . _ + - within, starting with a letter or digit"
#: No picture that is accepted makes a file of so few bits per pixel, and no study asks for so many rates.
_LEAST_TARGET = 1e-6
_MOST_TARGETS = 100
_QUESTION = "Which of the two pictures is closer to the original?"
_INSTRUCTIONS = (
    "You will see an original picture and two compressed versions of it in the same place. Switch between "
    "them as often as you like, then choose the version that is closer to the original."
)


def load_study(path: Path) -> Study:
    """Read a study folder or a study.toml; raises StudyFileError with every problem found."""
    file = path / "study.toml" if path.is_dir() else path
    problems: list[str] = []
    table = Table(file, _read_toml(file), "", problems)
    folder = file.parent
    name = _read_name(table, "name")
    seed = table.integer("seed", 1, 0, 2**63 - 1)
    pairing = _read_pairing(table)
    study = Study(
        folder=folder,
        file=file,
        name=name,
        title=table.text("title", name or "untitled"),
        question=table.text("question", _QUESTION),
        instructions=table.text("instructions", _INSTRUCTIONS),
        targets=_read_targets(table),
        tolerance=table.number("tolerance", 0.01, 0, 0.5),
        seed=seed,
        session_length=table.integer("session_length", 40, 1, 10_000),
        allow_mismatch=table.boolean("allow_mismatch", False),
        workers=table.integer("workers", 1, 1, 1024) if table.has("workers") else None,
        pairing=pairing,
        sources=read_sources(table, folder, seed),
        codecs=_read_codecs(table, folder),
    )
    table.take("workers")
    table.finish()
    if len(study.conditions) + pairing.include_reference == 1:
        table.problem(
            "codecs", "make one condition with the targets; a pair needs two: add a codec or a target"
        )
    if not problems:
        problems += _reconstruction_problems(study, whole=False)
    if problems:
        raise StudyFileError(tuple(problems))
    return study


def find_problems(study: Study) -> tuple[str, ...]:
    """What reading every picture whole and making every codec finds, one line each."""
    problems: list[str] = []
    for i, spec in enumerate(study.codecs):
        if spec.family == RECONSTRUCTIONS:
            continue
        try:
            make_codec(spec.family, spec.settings, study.folder)
        except CodecProgramError as error:
            problems.append(f"{study.file}: codecs[{i}].{error}")
        except CodecNotInstalledError as error:
            problems.append(f"{study.file}: codecs[{i}].family ({spec.name}): {error}")
        except CodecSettingsError as error:
            problems.append(f"{study.file}: codecs[{i}].{error}")
    for source in study.sources:
        try:
            load_picture(source.path)
        except PictureError as error:
            problems.append(f"{study.file}: sources: {_relative(source.path, study.folder)} {error.reason}")
    problems += _reconstruction_problems(study, whole=True)
    return tuple(problems)


def reconstructions_of(study: Study, spec: CodecSpec) -> dict[tuple[str, float], Reconstruction]:
    """The given pictures of one codec by source name and target; raises CodecSettingsError."""
    names = [source.name for source in study.sources]
    return Reconstructions(spec.settings, study.folder, spec.name).cells(names, study.targets)


def _reconstruction_problems(study: Study, *, whole: bool) -> list[str]:
    problems: list[str] = []
    sources = {source.name: source for source in study.sources}
    for i, spec in enumerate(study.codecs):
        if spec.family != RECONSTRUCTIONS:
            continue
        key = f"{study.file}: codecs[{i}]"
        try:
            cells = reconstructions_of(study, spec)
        except CodecSettingsError as error:
            problems.append(f"{key}.{error}")
            continue
        if not cells:
            problems.append(f"{key}.table has no row for any source of the study")
        for (name, _), cell in cells.items():
            reason = _size_problem(sources[name], cell.path, whole)
            if reason:
                problems.append(f"{key}.pattern: {_relative(cell.path, study.folder)} {reason}")
    return problems


def _size_problem(source: Source, path: Path, whole: bool) -> str | None:
    try:
        info = inspect_picture(path)
        if whole:
            load_picture(path)
    except PictureError as error:
        return error.reason
    if (info.width, info.height) == (source.width, source.height):
        return None
    return (
        f"is {info.width}x{info.height}, but source {source.name!r} is {source.width}x{source.height}; "
        "leave this source out or give a reconstruction of its size"
    )


def _read_toml(file: Path) -> dict[str, object]:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
        too_large = _beyond_64_bits(values)
    except FileNotFoundError:
        raise StudyFileError((f"{file}: does not exist; `matchrate init DIR` writes one",)) from None
    except tomllib.TOMLDecodeError as error:
        raise StudyFileError((f"{file}: is not TOML: {error}",)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyFileError((f"{file}: cannot be read ({error})",)) from None
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits, brackets within thousands of brackets.
        raise StudyFileError((f"{file}: is not TOML: {error}",)) from None
    if too_large is not None:
        raise StudyFileError((f"{file}: {too_large} is a whole number of more than 64 bits",))
    return values


def _beyond_64_bits(value: object, where: str = "") -> str | None:
    """The way to the first whole number that TOML 1.0 need not hold; None when there is none."""
    if isinstance(value, dict):
        items = [(f"{where}.{key}" if where else key, item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(f"{where}[{i}]", item) for i, item in enumerate(value)]
    else:
        return where if isinstance(value, int) and not -(2**63) <= value < 2**63 else None
    return next((key for name, item in items if (key := _beyond_64_bits(item, name))), None)


def _read_name(table: Table, key: str) -> str:
    before = len(table.problems)
    name = table.text(key)
    if len(table.problems) == before and not _NAME.fullmatch(name):
        table.problem(key, f"{_NAME_RULE}, got {name!r}")
    return name


def _read_targets(table: Table) -> tuple[float, ...]:
    if not table.has("targets"):
        table.take("targets")
        table.problem("targets", "is missing; write the rate points in bpp, as [0.25, 0.5, 1.0]")
        return ()
    targets: list[float] = []
    items = table.items("targets") or []
    if len(items) > _MOST_TARGETS:
        table.problem("targets", f"has {len(items)} rate points; the most is {_MOST_TARGETS}")
        return ()
    for i, item in enumerate(items):
        if not is_number(item) or float(item) <= 0:  # type: ignore[arg-type]
            table.problem(f"targets[{i}]", f"must be a positive number of bits per pixel, got {item!r}")
            continue
        target = float(item)  # type: ignore[arg-type]
        if target < _LEAST_TARGET:
            table.problem(f"targets[{i}]", f"is below {_LEAST_TARGET:g} bpp, got {item!r}")
        elif target > 24:
            table.problem(f"targets[{i}]", f"is above the 24 bpp of the bare picture, got {item!r}")
        elif target in targets:
            table.problem(f"targets[{i}]", f"repeats {item!r}")
        else:
            targets.append(target)
    return tuple(sorted(targets))


def _read_pairing(table: Table) -> Pairing:
    pairing = table.table("pairing")
    read = Pairing(
        same_rate=pairing.boolean("same_rate", True),
        adjacent_within=pairing.boolean("adjacent_within", True),
        adjacent_across=pairing.boolean("adjacent_across", True),
        include_reference=pairing.boolean("include_reference", False),
    )
    pairing.finish()
    if not (read.same_rate or read.adjacent_within or read.adjacent_across):
        table.problem("pairing", "allows no pair; set same_rate, adjacent_within or adjacent_across to true")
    return read


def _read_codecs(table: Table, folder: Path) -> tuple[CodecSpec, ...]:
    codecs: list[CodecSpec] = []
    for entry in table.tables("codecs"):
        before = len(entry.problems)
        name = _read_name(entry, "name")
        if name == REFERENCE:
            entry.problem("name", f"must not be {REFERENCE!r}: that is the hidden original")
        if name and name in [codec.name for codec in codecs]:
            entry.problem("name", f"repeats {name!r}; give each codec a name of its own")
        family = entry.text("family", name)
        spec = CodecSpec(name, family, entry.rest())
        if len(entry.problems) == before:
            _check_settings(entry, spec, folder)
        codecs.append(spec)
    if not codecs and not table.has("codecs"):
        table.problem("codecs", "is missing; write at least one [[codecs]] with a name and a family")
    return tuple(codecs)


def _check_settings(entry: Table, spec: CodecSpec, folder: Path) -> None:
    try:
        if spec.family == RECONSTRUCTIONS:
            Reconstructions(spec.settings, folder, spec.name)
        else:
            make_codec(spec.family, spec.settings, folder)
    except CodecSettingsError as error:
        entry.problem(error.key, error.reason)
    except CodecNotInstalledError:
        # A study can be read, loaded and served where its codecs are not installed; `find_problems` asks.
        pass


def _relative(path: Path, folder: Path) -> str:
    try:
        return path.relative_to(folder).as_posix()
    except ValueError:
        return str(path)
