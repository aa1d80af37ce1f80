"""The sources table of study.toml: from folders and files to named sources with their crops."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

from stimuli.errors import PictureError
from stimuli.pictures import SHORTEST_SIDE, SUFFIXES, inspect_picture
from stimuli.records import is_number
from stimuli.study import Crop, Source
from stimuli.target_keys import read_source_targets
from stimuli.toml_table import Table

_PLACES = ("centre", "random")


def read_sources(study: Table, folder: Path, seed: int, targets: tuple[float, ...]) -> tuple[Source, ...]:
    """Every source that `sources` names, sorted within a folder, as listed among files.

    `targets` are those of the study, to which sources may have rates of their own.
    """
    if not study.has("sources"):
        study.take("sources")
        study.problem("sources", 'is missing; write folder = "sources" under [sources]')
        return ()
    sources: dict[str, Source] = {}
    for group in study.tables("sources"):
        for source, key in _read_group(group, folder, seed, targets):
            if source.name in sources:
                group.problem(
                    key,
                    f"gives the source name {source.name!r} twice: "
                    f"{_shown(sources[source.name].path, folder)} and {_shown(source.path, folder)}; "
                    "rename one",
                )
                continue
            sources[source.name] = source
    return tuple(sources.values())


def _read_group(
    group: Table, folder: Path, seed: int, targets: tuple[float, ...]
) -> Iterator[tuple[Source, str]]:
    dataset = group.text("dataset", "") or None
    show = _read_show(group)
    place = group.text("place", "centre")
    if place not in _PLACES:
        group.problem("place", f"must be one of {', '.join(_PLACES)}, got {place!r}")
        place = "centre"
    crops = group.table("crops")
    explicit = {key: _read_crop(crops, key) for key in crops.rest()}
    name = group.text("name", "") if group.has("name") else None
    paths = _paths(group, folder)
    rates = read_source_targets(group, [name or path.stem for path, _ in paths], targets)
    names: list[str] = []
    for path, key in paths:
        try:
            info = inspect_picture(path)
        except PictureError as error:
            group.problem(f"{key}:", f"{_shown(path, folder)} {error.reason}")
            names.append(name or path.stem)
            continue
        source_name = name or path.stem
        names.append(source_name)
        if not _is_plain(source_name):
            group.problem(key, f"gives the source name {source_name!r}; no control characters, / or @ in it")
            continue
        crop = explicit.get(source_name)
        if crop is not None and not _fits(crop, info.width, info.height):
            crops.problem(
                source_name,
                f"must lie in the {info.width}x{info.height} picture, {SHORTEST_SIDE} pixels a side or more",
            )
            continue
        if crop is None and show is not None:
            crop = _place(show, info.width, info.height, place, f"{seed} {source_name}")
        own = rates.get(source_name)
        yield Source(source_name, path, info.width, info.height, dataset, crop, own), key
    for key in explicit:
        if key not in names:
            crops.problem(key, f"names no source of this table; it has {', '.join(names) or 'none'}")
    group.finish()


def _paths(group: Table, folder: Path) -> list[tuple[Path, str]]:
    paths: list[tuple[Path, str]] = []
    written = [key for key in ("folder", "files", "file") if group.has(key)]
    if group.has("name") and written != ["file"]:
        group.problem("name", "goes with a single `file`")
    if not written:
        group.problem("folder", "is missing; name a folder, a list of files or a file")
    where = group.text("folder", "") if "folder" in written else ""
    if where:
        found = folder / where
        try:
            inside = sorted(
                path
                for path in found.iterdir()
                if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
            )
            if not inside:
                group.problem("folder", f"{_shown(found, folder)} holds no PNG, TIFF, PPM or JPEG picture")
            paths += [(path, "folder") for path in inside]
        except (FileNotFoundError, NotADirectoryError, ValueError):
            group.problem("folder", f"is not a folder: {_shown(found, folder)}")
        except OSError as error:
            group.problem("folder", f"cannot be read ({error.strerror or error}): {_shown(found, folder)}")
    for i, item in enumerate((group.items("files") or []) if "files" in written else []):
        if isinstance(item, str) and item:
            paths.append((folder / item, f"files[{i}]"))
        else:
            group.problem(f"files[{i}]", f"must be the path of a picture, got {item!r}")
    if "file" in written and (file := group.text("file", "")):
        paths.append((folder / file, "file"))
    return paths


def _read_show(group: Table) -> tuple[int, int] | None:
    value = group.items("show")
    if value is None:
        return None
    if len(value) == 2 and all(isinstance(side, int) and side >= SHORTEST_SIDE for side in value):
        return int(str(value[0])), int(str(value[1]))
    group.problem("show", f"must be [width, height], each at least {SHORTEST_SIDE}, got {value!r}")
    return None


def _read_crop(crops: Table, key: str) -> Crop | None:
    value = crops.take(key)
    if (
        isinstance(value, list)
        and len(value) == 4
        and all(is_number(v) and isinstance(v, int) for v in value)
    ):
        left, top, width, height = value
        return left, top, width, height
    crops.problem(key, f"must be [left, top, width, height] in whole pixels, got {value!r}")
    return None


def _fits(crop: Crop, width: int, height: int) -> bool:
    left, top, wide, high = crop
    return (
        left >= 0
        and top >= 0
        and min(wide, high) >= SHORTEST_SIDE
        and left + wide <= width
        and top + high <= height
    )


def _place(show: tuple[int, int], width: int, height: int, place: str, seed: str) -> Crop | None:
    wide, high = min(show[0], width), min(show[1], height)
    if (wide, high) == (width, height):
        return None
    if place == "centre":
        return (width - wide) // 2, (height - high) // 2, wide, high
    # A seed of its own for each source: adding a picture moves no other picture's crop.
    draw = random.Random(hashlib.sha256(seed.encode()).digest())
    return draw.randint(0, width - wide), draw.randint(0, height - high), wide, high


def _is_plain(name: str) -> bool:
    return name.isprintable() and not set(name) & set("/\\@") and name == name.strip()


def _shown(path: Path, folder: Path) -> str:
    try:
        return path.relative_to(folder).as_posix()
    except ValueError:
        return str(path)
