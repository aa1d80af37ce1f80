"""The work of one process: one picture file, or all targets of one codec on a source or on the set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stimuli.attempts import Attempts, cpu_seconds, is_kept, keep_pixels
from stimuli.codecs.base import Codec, Scale
from stimuli.codecs.recipe import shipped_recipes
from stimuli.codecs.reconstructions import Reconstruction, common_size
from stimuli.codecs.registry import make_codec
from stimuli.errors import CodecError, PictureError
from stimuli.files import sha256_of_file
from stimuli.manifest import Failure, SourceRecord
from stimuli.match_rule import MatchRule
from stimuli.matching import (
    Failed,
    FailedTry,
    Match,
    Point,
    ReversedScaleError,
    match_targets,
)
from stimuli.outcomes import Cell, given_stimulus, searched_stimulus
from stimuli.pictures import inspect_picture, load_picture
from stimuli.priors import Prior, prior_from
from stimuli.study import CodecSpec, Crop, RateBasis, Stimulus
from stimuli.tries import KeptPicture, TryCache, file_key


@dataclass(frozen=True, slots=True)
class FileJob:
    """One picture file and the part of it that is shown; `border` is the size of its source, to be cut to."""

    folder: Path
    path: Path
    crop: Crop | None
    border: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A picture file that was read: its hash, and what lies under `pictures/` for it."""

    file_sha256: str
    picture: KeptPicture


def read_file(job: FileJob) -> ReadFile | str:
    """Read one picture file into `pictures/`; a picture that cannot be used gives the reason as text."""
    cache = TryCache(job.folder / "stimuli" / "tries")
    try:
        file_sha256 = sha256_of_file(job.path)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    key = file_key(file_sha256, job.crop if job.border is None else (job.crop, job.border))
    kept = cache.load_picture(key)
    if kept is None or not is_kept(job.folder, kept):
        start = cpu_seconds()
        try:
            pixels = load_picture(job.path)
        except PictureError as error:
            return error.reason
        if job.border is not None:
            pixels = pixels[: job.border[1], : job.border[0]]
        kept = keep_pixels(job.folder, pixels, job.crop, cpu_seconds() - start)
        cache.keep_picture(key, kept)
    return ReadFile(file_sha256, kept)


@dataclass(frozen=True, slots=True)
class Unit:
    """All targets of one codec on one source, or on the whole set when that meets them: they share tries.

    `targets` has for each target of study.toml the bits per pixel it means for these sources. `fatal` tells
    what was being done when a worker died on this unit, and how.
    """

    folder: Path
    sources: tuple[SourceRecord, ...]
    spec: CodecSpec
    version: str
    targets: Mapping[float, float]
    tolerance: float
    rate: RateBasis
    match: MatchRule
    given: Mapping[float, Reconstruction] | None = None
    prior: Prior | None = None
    fatal: Mapping[str, str] = field(default_factory=dict)

    @property
    def area(self) -> int:
        """Pixels of its sources together."""
        return sum(source.width * source.height for source in self.sources)

    def cell(self, source: SourceRecord, target: float) -> Cell:
        """Where the stimulus of a source at a target belongs."""
        goal = self.targets[target]
        return Cell(source, self.spec, self.version, target, goal, self.match, self.rate, self.area)


@dataclass(frozen=True, slots=True)
class UnitResult:
    """What came of a unit, and the prior that its tries make for other sources."""

    stimuli: tuple[Stimulus, ...]
    failures: tuple[Failure, ...]
    prior: Prior | None


def encode_unit(unit: Unit) -> UnitResult:
    """Search, keep and decode every target of a unit; what the codec cannot make is a failure of its own.

    Raises CodecError for a scale whose direction is the wrong way round, PictureError for a given picture.
    """
    if unit.given is not None:
        given = [
            _given(unit, source, target, unit.given[target])
            for source in unit.sources
            for target in unit.targets
            if target in unit.given
        ]
        return UnitResult(tuple(given), (), None)
    codec = make_codec(unit.spec.family, unit.spec.settings, unit.folder)
    attempts = _attempts(unit, codec)
    tries: dict[Point, int] = {}

    def measure(point: Point) -> int:
        tries[point] = _total(attempts, point, unit.rate)
        return tries[point]

    fixed = _fixed(unit, codec, measure)
    searched = [target for target in unit.targets if target not in fixed]
    try:
        matches = match_targets(
            codec.scales,
            [unit.targets[target] * unit.area / 8 for target in searched],
            unit.tolerance,
            measure,
            prior=None if unit.prior is None else unit.prior.at(unit.area),
            preview=_preview(unit, codec),
        )
    except ReversedScaleError as error:
        reason = f"{error}; set {_turned(unit.spec.family, error.scale)}"
        raise CodecError(unit.spec.name, reason, source=unit.sources[0].name) from None
    stimuli: list[Stimulus] = []
    failures: list[Failure] = []
    found: dict[float, Match | Failed] = {**fixed, **dict(zip(searched, matches, strict=True))}
    for target in unit.targets:
        outcomes = [_searched(unit, attempt, target, found[target]) for attempt in attempts]
        failures += [outcome for outcome in outcomes if isinstance(outcome, Failure)]
        made = [outcome for outcome in outcomes if isinstance(outcome, Stimulus)]
        # The encodes of a set are counted once a setting, with its first stimulus.
        stimuli += made[:1] + [replace(stimulus, encodes=0, previews=0) for stimulus in made[1:]]
    return UnitResult(tuple(stimuli), tuple(failures), prior_from(codec.scales, tries, unit.area))


def _attempts(unit: Unit, codec: Codec, *, preview: bool = False) -> list[Attempts]:
    held = len(unit.sources) == 1
    return [
        Attempts(unit.folder, source, unit.spec, codec, unit.fatal, preview=preview, held=held)
        for source in unit.sources
    ]


def _total(attempts: Sequence[Attempts], point: Point, rate: RateBasis) -> int:
    """Bytes of all sources at a point; raises FailedTry, that of a set with the source that failed."""
    total = 0
    for attempt in attempts:
        try:
            total += attempt.size(point, rate)
        except FailedTry as error:
            if len(attempts) == 1:
                raise
            raise FailedTry(f"source {attempt.source.name!r} of the set: {error}") from None
    return total


def _fixed(unit: Unit, codec: Codec, measure: Callable[[Point], int]) -> dict[float, Match | Failed]:
    """The whole of the rate that `match` makes of this codec is that very encode, and no other near it."""
    if unit.match.codec != unit.spec.name or 1.0 not in unit.targets:
        return {}
    point = whole_point(codec, tuple(unit.match.quality.values()))
    try:
        size = measure(point)
    except FailedTry as error:
        return {1.0: Failed(str(error), 1)}
    return {1.0: Match(point, size, 0.0, "matched", True, 1)}


def whole_point(codec: Codec, values: Point) -> Point:
    """A value for every scale: those given, and the first ones of the others."""
    return (*values, *(scale.first for scale in codec.scales[len(values) :]))


def _preview(unit: Unit, codec: Codec) -> Callable[[Point], int] | None:
    """The size of the codec's fast preview at a point, where it has one."""
    preview = getattr(codec, "preview", None)
    if preview is None:
        return None
    attempts = _attempts(unit, preview, preview=True)
    return lambda point: _total(attempts, point, unit.rate)


def _searched(unit: Unit, attempt: Attempts, target: float, match: Match | Failed) -> Stimulus | Failure:
    cell = unit.cell(attempt.source, target)
    if isinstance(match, Failed):
        return Failure(cell.source.name, cell.condition, unit.spec.name, match.reason)
    try:
        decoded = attempt.decoded(match.point)
    except CodecError as error:
        return Failure(cell.source.name, cell.condition, unit.spec.name, error.reason)
    return searched_stimulus(cell, attempt.codec, match, decoded)


def _turned(family: str, scale: Scale) -> str:
    """What a researcher writes to turn the direction of a scale round."""
    if family == "command" or family in shipped_recipes():
        return f'direction = "{"down" if scale.increasing else "up"}" in `{scale.name}`'
    if family == "learned":
        return "checkpoints from the lowest to the highest rate"
    return f"increasing={not scale.increasing} in its Scale"


def _given(unit: Unit, source: SourceRecord, target: float, given: Reconstruction) -> Stimulus:
    wanted = (source.width, source.height)
    info = inspect_picture(given.path)
    size = (info.width, info.height)
    common = common_size(size, wanted) if unit.spec.settings.get("crop") is True else None
    if size != wanted and common is None:
        raise PictureError(
            given.path,
            f"is {info.width}x{info.height}, but source {source.name!r} is {source.width}x{source.height}",
        )
    cut = size != wanted and common is not None
    read = read_file(FileJob(unit.folder, given.path, source.crop, wanted if cut else None))
    if isinstance(read, str):
        raise PictureError(given.path, read)
    note = None
    if common is not None and cut:
        cropped = f"cropped from {info.width}x{info.height} to {common[0]}x{common[1]}"
        note = f"lacks a border of its {wanted[0]}x{wanted[1]} source" if size == common else cropped
    return given_stimulus(unit.cell(source, target), given, read.picture, note)


@dataclass(frozen=True, slots=True)
class AnchorJob:
    """The codec that `match` names, at the quality that it names, on the sources of a unit."""

    unit: Unit
    point: Point


def anchor_bpp(job: AnchorJob) -> float | str:
    """Bits per pixel of one encode, as the study counts them; one that fails gives the reason as text."""
    unit = job.unit
    codec = make_codec(unit.spec.family, unit.spec.settings, unit.folder)
    point = whole_point(codec, job.point)
    try:
        return 8 * _total(_attempts(unit, codec), point, unit.rate) / unit.area
    except FailedTry as error:
        return str(error)
