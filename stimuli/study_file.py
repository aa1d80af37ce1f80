"""study.toml to a Study, telling everything that needs repair in one run."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.codecs.reconstructions import Reconstruction, Reconstructions, common_size
from stimuli.codecs.registry import make_codec
from stimuli.errors import (
    CodecNotInstalledError,
    CodecProgramError,
    CodecSettingsError,
    PictureError,
    StudyFileError,
)
from stimuli.goals import Goals, given_anchors, plain_goals, targets_of
from stimuli.match_rule import EACH, MatchRule, read_match_rule
from stimuli.pictures import SHORTEST_SIDE, inspect_picture, load_picture
from stimuli.source_files import read_sources
from stimuli.study import DEFAULT_METRICS, REFERENCE, CodecSpec, Crop, Pairing, RateBasis, Source, Study
from stimuli.target_keys import check_targets, read_targets
from stimuli.toml_table import Table

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9+])?")
_NAME_RULE = "must be letters, digits and . _ + - within, starting with a letter or digit"
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
    targets = read_targets(table)
    study = Study(
        folder=folder,
        file=file,
        name=name,
        title=table.text("title", name or "untitled"),
        question=table.text("question", _QUESTION),
        instructions=table.text("instructions", _INSTRUCTIONS),
        targets=targets,
        tolerance=table.number("tolerance", 0.01, 0, 0.5),
        seed=seed,
        session_length=table.integer("session_length", 40, 1, 10_000),
        allow_mismatch=table.boolean("allow_mismatch", False),
        workers=table.integer("workers", 1, 1, 1024) if table.has("workers") else None,
        pairing=pairing,
        sources=read_sources(table, folder, seed, targets),
        codecs=_read_codecs(table, folder),
        rate=_read_rate(table),
        match=_read_match(table),
        metrics=_read_metrics(table),
        timeout=table.number("timeout", 1800.0, 0, 604_800),
        memory=table.integer("memory", 1, 1, 2**31) if table.has("memory") else None,
        expected_savings=table.number("expected_savings", 2.0, 1, 100),
    )
    table.take("workers")
    table.take("memory")
    table.finish()
    if not problems:
        check_targets(table, study)
    if len(study.conditions) + pairing.include_reference == 1:
        table.problem(
            "codecs", "make one condition with the targets; a pair needs two: add a codec or a target"
        )
    if not problems:
        problems += _reconstruction_problems(study, whole=False)
    if problems:
        raise StudyFileError(tuple(problems))
    return _with_common_parts(study)


def _with_common_parts(study: Study) -> Study:
    """The study with the shown part of its sources cut to what every cropped reconstruction has too."""
    shown: dict[str, Crop] = {s.name: s.crop or (0, 0, s.width, s.height) for s in study.sources}
    sizes = {source.name: (source.width, source.height) for source in study.sources}
    for spec in study.codecs:
        if spec.family != RECONSTRUCTIONS or spec.settings.get("crop") is not True:
            continue
        for (name, _), cell in reconstructions_of(study, spec).items():
            info = inspect_picture(cell.path)
            common = common_size((info.width, info.height), sizes[name])
            if common is not None:
                left, top, width, height = shown[name]
                shown[name] = (left, top, min(width, common[0] - left), min(height, common[1] - top))
    problems = [
        f"{study.file}: sources: the shown part of {name!r} lies outside of a cropped reconstruction"
        for name, (_, _, width, height) in shown.items()
        if min(width, height) < SHORTEST_SIDE
    ]
    if problems:
        raise StudyFileError(tuple(problems))
    sources = tuple(
        replace(
            source, crop=None if shown[source.name] == (0, 0, *sizes[source.name]) else shown[source.name]
        )
        for source in study.sources
    )
    return replace(study, sources=sources)


def find_problems(study: Study) -> tuple[str, ...]:
    """What reading every picture whole and making every codec finds, one line each."""
    from stimuli.metrics import missing_metrics

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
    problems += [f"{study.file}: {missing}" for missing in missing_metrics(study.metrics)]
    for source in study.sources:
        try:
            load_picture(source.path)
        except PictureError as error:
            problems.append(f"{study.file}: sources: {_relative(source.path, study.folder)} {error.reason}")
    problems += _reconstruction_problems(study, whole=True)
    return tuple(problems)


def reconstructions_of(
    study: Study, spec: CodecSpec, goals: Goals | None = None
) -> dict[tuple[str, float], Reconstruction]:
    """The given pictures of one codec by source name and target; `goals` are the rates where these are known.

    Raises CodecSettingsError, and StudyFileError for `match` with a codec of reconstructions.
    """
    given = Reconstructions(spec.settings, study.folder, spec.name)
    if goals is None:
        anchors = given_anchors(study)
        if anchors is None and study.match.codec is not None:
            # The rates are known only once that codec has encoded: every row is somewhere on its ladder.
            anchors = {source.name: given.middle_rate(source.name) for source in study.sources}
        goals = plain_goals(study, anchors)
    ladder = study.ladder(spec)
    return given.cells({name: targets_of(goals, name, ladder) for name in goals})


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
        except StudyFileError as error:
            problems += error.problems
            continue
        if not cells:
            problems.append(f"{key}.table has no row for any source of the study")
        for (name, _), cell in cells.items():
            crops = spec.settings.get("crop") is True
            reason = _size_problem(sources[name], cell.path, whole, crops)
            if reason:
                problems.append(f"{key}.pattern: {_relative(cell.path, study.folder)} {reason}")
    return problems


def _size_problem(source: Source, path: Path, whole: bool, crops: bool) -> str | None:
    try:
        info = inspect_picture(path)
        if whole:
            load_picture(path)
    except PictureError as error:
        return error.reason
    sizes = (info.width, info.height), (source.width, source.height)
    if sizes[0] == sizes[1]:
        return None
    told = f"is {info.width}x{info.height}, but source {source.name!r} is {source.width}x{source.height}"
    if common_size(*sizes) is None:
        return f"{told}; leave this source out or give a reconstruction of its size"
    return None if crops else f"{told}; set crop = true to compare the common part, or give one of its size"


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


def _read_rate(table: Table) -> RateBasis:
    rate = table.text("rate", "file")
    if rate not in ("file", "payload"):
        table.problem("rate", f"must be 'file' or 'payload', got {rate!r}")
    return "payload" if rate == "payload" else "file"


def _read_match(table: Table) -> MatchRule:
    text = table.text("match", "each")
    try:
        return read_match_rule(text)
    except ValueError as error:
        table.problem("match", str(error))
        return EACH


def _read_metrics(table: Table) -> tuple[str, ...]:
    from stimuli.metrics import METRICS

    written = table.take("metrics")
    if written is None:
        return DEFAULT_METRICS
    if not isinstance(written, list):
        table.problem("metrics", f"must be a list of names, got {written!r}")
        return ()
    for i, name in enumerate(written):
        if name not in METRICS:
            table.problem(f"metrics[{i}]", f"must be one of {', '.join(METRICS)}, got {name!r}")
        elif name in written[:i]:
            table.problem(f"metrics[{i}]", f"repeats {name!r}")
    return tuple(name for name in METRICS if name in written)


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
    fast = table.boolean("fast", False)
    for entry in table.tables("codecs"):
        before = len(entry.problems)
        name = _read_name(entry, "name")
        if name == REFERENCE:
            entry.problem("name", f"must not be {REFERENCE!r}: that is the hidden original")
        if name and name in [codec.name for codec in codecs]:
            entry.problem("name", f"repeats {name!r}; give each codec a name of its own")
        family = entry.text("family", name)
        ladder = read_targets(entry) if entry.has("targets") else None
        spec = CodecSpec(name, family, entry.rest(), ladder)
        if len(entry.problems) == before:
            if fast and "fast" not in spec.settings:
                spec = _hastened(spec, folder)
            _check_settings(entry, spec, folder)
        codecs.append(spec)
    if not codecs and not table.has("codecs"):
        table.problem("codecs", "is missing; write at least one [[codecs]] with a name and a family")
    return tuple(codecs)


def _hastened(spec: CodecSpec, folder: Path) -> CodecSpec:
    """The codec with its fast preset, where its family has one."""
    if spec.family == RECONSTRUCTIONS:
        return spec
    fast = replace(spec, settings={**spec.settings, "fast": True})
    try:
        make_codec(fast.family, fast.settings, folder)
    except CodecSettingsError as error:
        return spec if error.key == "fast" else fast
    except CodecNotInstalledError:
        pass
    return fast


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
