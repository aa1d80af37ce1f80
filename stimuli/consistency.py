"""What a manifest says that cannot be true together: rates, statuses, inclusion, metrics, failures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from stimuli.manifest import Manifest, manifest_path, manifest_to_text, sidecar_bytes
from stimuli.matching import NEAR
from stimuli.study import Stimulus


def manifest_reasons(folder: Path, manifest: Manifest) -> Iterator[str]:
    """A line for everything in a manifest that contradicts itself or the hash beside it."""
    path = manifest_path(folder)
    data = path.read_bytes()
    try:
        noted = path.with_suffix(".sha256").read_bytes()
    except OSError:
        noted = b""
    if sidecar_bytes(data, path.name) != noted or data.decode() != manifest_to_text(manifest):
        yield "was changed after it was written (manifest.sha256 differs); run `matchrate encode` again"
    for stimulus in manifest.stimuli:
        yield from (
            f"{stimulus.source} {stimulus.condition} {reason}" for reason in _figures(manifest, stimulus)
        )
    yield from _inclusion_reasons(manifest)
    yield from _failure_reasons(manifest)
    for source in manifest.sources:
        left, top, width, height = source.crop or (0, 0, source.width, source.height)
        inside = left >= 0 and top >= 0 and left + width <= source.width and top + height <= source.height
        if not inside or (width, height) != (source.shown_width, source.shown_height):
            yield f"source {source.name}: the shown size or crop does not fit the picture"


def _inclusion_reasons(manifest: Manifest) -> Iterator[str]:
    """A source and rate point is in for all codecs or left out for all, where one misses it."""
    points = {condition.name: condition.rate_point for condition in manifest.conditions}
    optional = {codec.name for codec in manifest.codecs if codec.settings.get("optional") is True}
    needed = Counter(c.rate_point for c in manifest.conditions if c.codec not in optional)
    there = Counter(
        (s.source, points[s.condition])
        for s in manifest.stimuli
        if s.status in ("matched", "given") and s.codec not in optional
    )
    for stimulus in manifest.stimuli:
        point = points[stimulus.condition]
        whole = there[stimulus.source, point] == needed[point]
        if stimulus.included != (whole or manifest.study.allow_mismatch):
            is_in = "included" if stimulus.included else "left out"
            yield f"{stimulus.source} {stimulus.condition} is {is_in}, which its source and rate point is not"


def _failure_reasons(manifest: Manifest) -> Iterator[str]:
    """A failure belongs to its condition's codec and takes the place of one stimulus."""
    codecs = {condition.name: condition.codec for condition in manifest.conditions}
    there = {(stimulus.source, stimulus.condition) for stimulus in manifest.stimuli}
    failed = Counter((failure.source, failure.condition) for failure in manifest.failures)
    for failure in manifest.failures:
        cell = f"{failure.source} {failure.condition}"
        if failure.codec != codecs[failure.condition]:
            yield f"{cell} failed with {failure.codec!r}, which is not the codec of its condition"
        if not failure.reason.strip():
            yield f"{cell} failed without a reason"
        if (failure.source, failure.condition) in there:
            yield f"{cell} failed and is a stimulus at once"
    yield from (f"{source} {condition} failed twice" for (source, condition), n in failed.items() if n > 1)


def _names_the_miss(stimulus: Stimulus) -> bool:
    """Whether `near` is a reachable miss of at most 2 %, and any other status names the side of the miss."""
    if stimulus.status == "near":
        return bool(stimulus.reachable) and abs(stimulus.residual) <= NEAR * (1 + 1e-9)
    return (stimulus.status == "unreachable_low") == (stimulus.residual > 0)


def _figures(manifest: Manifest, stimulus: Stimulus) -> Iterator[str]:
    """What a stimulus says of itself that cannot be true together."""
    source = next(source for source in manifest.sources if source.name == stimulus.source)
    if stimulus.dataset != source.dataset:
        yield f"has the dataset {stimulus.dataset!r}, its source {source.dataset!r}"
    if (stimulus.width, stimulus.height) != (source.width, source.height):
        yield "has another size than its source"
    if stimulus.bytes is not None:
        bpp = 8 * stimulus.bytes / (stimulus.width * stimulus.height)
        if not math.isclose(bpp, stimulus.bpp, rel_tol=1e-9):
            yield f"has {stimulus.bpp:g} bpp, but its bytes make {bpp:g}"
    counted = stimulus.bpp
    if manifest.study.rate == "payload" and stimulus.payload_bytes is not None:
        counted = 8 * stimulus.payload_bytes / (stimulus.width * stimulus.height)
    if not math.isclose(counted / stimulus.target_bpp - 1, stimulus.residual, rel_tol=1e-9, abs_tol=1e-12):
        yield f"has the residual {stimulus.residual:g}, but its bpp makes another"
    for name in stimulus.metrics:
        if name not in manifest.study.metrics:
            yield f"has the metric {name!r}, which is none of the study's"
    yield from _limit_reasons(stimulus)
    if manifest.study.match != "set-mean":
        yield from _status_reasons(manifest, stimulus)
    if stimulus.included != (stimulus.left_out is None):
        yield "is included and left out at once"
    if (stimulus.bitstream is None) != (stimulus.status == "given"):
        yield "has a bitstream and is given, or neither"
    if (stimulus.bitstream or "").partition(".")[0] != (stimulus.bitstream_sha256 or ""):
        yield "has a bitstream that is not named by its SHA-256"


def _limit_reasons(stimulus: Stimulus) -> Iterator[str]:
    """The floor or ceiling of a codec is told where the target lies beyond it, and only there."""
    limit, target = stimulus.limit_bpp, stimulus.target_bpp
    if limit is None:
        return
    if stimulus.reachable is not False or not stimulus.status.startswith("unreachable"):
        yield f"has a limit of {limit:g} bpp and is {stimulus.status}"
    elif not limit > 0 or (stimulus.status == "unreachable_low") != (limit > target):
        side = "floor" if stimulus.status == "unreachable_low" else "ceiling"
        yield f"has a {side} of {limit:g} bpp at a target of {target:g}"


def _status_reasons(manifest: Manifest, stimulus: Stimulus) -> Iterator[str]:
    # The search divides bytes, the record bpp: they may differ in the last bit.
    within = abs(stimulus.residual) <= manifest.study.tolerance * (1 + 1e-9)
    if stimulus.status == "matched" and not within:
        yield f"is called matched at a residual of {stimulus.residual:g}"
    elif stimulus.status not in ("matched", "given") and not _names_the_miss(stimulus):
        yield f"is called {stimulus.status} at a residual of {stimulus.residual:g}"
