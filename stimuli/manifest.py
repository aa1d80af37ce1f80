"""The manifest: every stimulus of a study with its rate, hashes, settings and seed.

The hidden original is not listed as a stimulus: whoever loads a manifest makes the condition
`reference` from `sources` when `study.pairing.include_reference` says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stimuli.errors import ManifestError
from stimuli.files import sha256_of, write_atomic
from stimuli.match_rule import read_match_rule
from stimuli.records import RecordError, record_from_json, record_to_json
from stimuli.study import STATUSES, Condition, Crop, Pairing, Stimulus, condition_name

FORMAT = 2


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """What the manifest keeps of study.toml."""

    name: str
    title: str
    question: str
    instructions: str
    session_length: int
    seed: int
    tolerance: float
    allow_mismatch: bool
    pairing: Pairing
    rate: str
    match: str
    metrics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """What the times of a manifest were measured on."""

    name: str
    processor: str
    system: str
    python: str

    def __str__(self) -> str:
        return f"{self.name} ({self.processor}, {self.system}, Python {self.python})"


@dataclass(frozen=True, slots=True)
class Failure:
    """A stimulus that could not be made, and why, in one line."""

    source: str
    condition: str
    codec: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source} {self.condition}: failed, {self.reason}"


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A source as it was read: sizes in pixels, and the hashes of its file and of its two PNGs.

    `path` is relative to the study folder, with `/` between its parts. `crop` is the part that is shown,
    or None for the whole picture, and then `shown_sha256` equals `picture_sha256`.
    """

    name: str
    dataset: str | None
    path: str
    file_sha256: str
    width: int
    height: int
    crop: Crop | None
    shown_width: int
    shown_height: int
    picture_sha256: str
    shown_sha256: str
    targets: tuple[float, ...]
    """Bits per pixel of this source at every rate point of the study."""


@dataclass(frozen=True, slots=True)
class CodecRecord:
    """A codec as it was run, with every setting that was in force."""

    name: str
    family: str
    version: str
    settings: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that is not as the manifest says: which artefact, relative to the study folder, and how."""

    artefact: str
    reason: str

    def __str__(self) -> str:
        return f"{self.artefact}: {self.reason}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a matched study; `str()` gives them as lines for a terminal."""

    stimuli: int
    given: int
    encodes: int
    previews: int
    reachable: int
    within_tolerance: int
    within_two_percent: int
    largest_residual: float
    unreachable: int
    missing: int
    failed: int
    left_out_cells: int
    tolerance: float

    @property
    def searched(self) -> int:
        """Stimuli whose rate was searched for."""
        return self.stimuli - self.given

    @property
    def encodes_per_stimulus(self) -> float:
        """Mean number of encodes a searched stimulus took; 0 when none was searched."""
        return self.encodes / self.searched if self.searched else 0.0

    @property
    def share_within_tolerance(self) -> float:
        """Share of the reachable stimuli within the tolerance; 1 when none was searched."""
        return self.within_tolerance / self.reachable if self.reachable else 1.0

    def __str__(self) -> str:
        lines = [_count(self.stimuli, "stimulus", "stimuli")]
        if self.given:
            lines[0] += f", {self.given} of them given reconstructions"
        if self.searched:
            reachable = _count(self.reachable, "reachable stimulus", "reachable stimuli")
            lines.append(
                f"{self.within_tolerance} of {reachable} "
                f"({100 * self.share_within_tolerance:.1f} %) within {100 * self.tolerance:g} % of "
                f"their target, {self.within_two_percent} within 2 %, "
                f"largest residual {100 * self.largest_residual:.2f} %"
            )
            lines.append(
                f"{_count(self.encodes, 'encode', 'encodes')}, "
                f"{self.encodes_per_stimulus:.2f} a stimulus on average"
                f"{self._previews()}; "
                f"{_count(self.unreachable, 'target', 'targets')} outside a codec's range"
            )
        if self.missing:
            there = _count(self.missing, "stimulus is", "stimuli are")
            lines.append(f"{there} missing from the given reconstructions")
        if self.failed:
            lines.append(f"{_count(self.failed, 'stimulus', 'stimuli')} failed")
        if self.left_out_cells:
            cells = _count(self.left_out_cells, "source and rate point is", "source and rate points are")
            lines.append(f"{cells} left out for all codecs")
        return "\n".join(lines)

    def _previews(self) -> str:
        return f" and {_count(self.previews, 'fast preview', 'fast previews')}" if self.previews else ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that a study shows; docs/architecture.md describes the file."""

    format: int
    matchrate: str
    study: StudyRecord
    sources: tuple[SourceRecord, ...]
    codecs: tuple[CodecRecord, ...]
    conditions: tuple[Condition, ...]
    stimuli: tuple[Stimulus, ...]
    failures: tuple[Failure, ...]
    machine: Machine

    def summary(self) -> Summary:
        """The figures to print after encoding; `largest_residual` is over the reachable stimuli.

        Where the set meets a target, a stimulus counts with the residual of its set.
        """
        searched = [stimulus for stimulus in self.stimuli if stimulus.status != "given"]
        reachable = [stimulus for stimulus in searched if stimulus.reachable]
        of_sets = self.set_residuals()
        residuals = [abs(of_sets.get(s.condition, s.residual)) for s in reachable]
        # A set counts a setting once, for which all its pictures are encoded.
        pictures = len(self.sources) if self.study.match == "set-mean" else 1
        return Summary(
            stimuli=len(self.stimuli),
            given=len(self.stimuli) - len(searched),
            encodes=pictures * sum(stimulus.encodes for stimulus in searched),
            previews=pictures * sum(stimulus.previews for stimulus in searched),
            reachable=len(reachable),
            within_tolerance=sum(residual <= self.study.tolerance for residual in residuals),
            within_two_percent=sum(residual <= 0.02 for residual in residuals),
            largest_residual=max(residuals, default=0.0),
            unreachable=len(searched) - len(reachable),
            missing=len(self.sources) * len(self.conditions) - len(self.stimuli) - len(self.failures),
            failed=len(self.failures),
            left_out_cells=len(self._left_out_cells()),
            tolerance=self.study.tolerance,
        )

    def set_residuals(self) -> dict[str, float]:
        """By how much the stimuli of each condition together miss its target; empty where each has one."""
        if self.study.match != "set-mean":
            return {}
        searched = [stimulus for stimulus in self.stimuli if stimulus.status != "given"]
        residuals: dict[str, float] = {}
        for condition in self.conditions:
            there = [(s, s.width * s.height) for s in searched if s.condition == condition.name]
            if there:
                total = sum(s.residual * area for s, area in there)
                residuals[condition.name] = total / sum(area for _, area in there)
        return residuals

    def _left_out_cells(self) -> set[tuple[str, float]]:
        targets = {condition.name: condition.target for condition in self.conditions}
        return {(s.source, targets[s.condition]) for s in self.stimuli if not s.included}

    def mismatched(self) -> tuple[Stimulus, ...]:
        """The stimuli whose rate misses its target by more than the tolerance, in manifest order."""
        return tuple(s for s in self.stimuli if s.status not in ("matched", "given"))


def manifest_path(folder: Path) -> Path:
    """Where the manifest of a study folder lies."""
    return folder / "stimuli" / "manifest.json"


def picture_path(folder: Path, sha256: str) -> Path:
    """The PNG with this hash in a study folder."""
    return folder / "stimuli" / "pictures" / f"{sha256}.png"


def bitstream_path(folder: Path, name: str) -> Path:
    """The bitstream with this file name in a study folder."""
    return folder / "stimuli" / "bitstreams" / name


def manifest_to_text(manifest: Manifest) -> str:
    """The manifest as the file holds it: keys sorted, two spaces of indent."""
    return json.dumps(record_to_json(manifest), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest and beside it its SHA-256, as `sha256sum -c` reads it; each whole or not at all."""
    data = manifest_to_text(manifest).encode()
    path = manifest_path(folder)
    write_atomic(path, data)
    write_atomic(path.with_suffix(".sha256"), sidecar_bytes(data, path.name))


def sidecar_bytes(data: bytes, name: str) -> bytes:
    """What `sha256sum` prints for a file of this name and content."""
    return f"{sha256_of(data)}  {name}\n".encode()


def verify_manifest(
    folder: Path, *, workers: int | None = None, progress: bool = True
) -> tuple[Deviation, ...]:
    """What deviates when everything is hashed and decoded again; see `stimuli.verification`.

    With one worker this is done by this process, which a codec that crashes or hangs takes along.
    """
    from stimuli.verification import verify_study

    return verify_study(folder, workers=workers, progress=progress, isolated=False).deviations


def read_manifest(folder: Path) -> Manifest:
    """Read and validate the manifest of a study folder; raises ManifestError with one line."""
    path = manifest_path(folder)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ManifestError(path, "does not exist; run `matchrate encode` on the study first") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(path, f"cannot be read ({error})") from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(path, f"is not JSON ({error}); run `matchrate encode` again") from None
    if isinstance(value, dict) and value.get("format") != FORMAT:
        raise ManifestError(
            path,
            f"has format {value.get('format')!r}, this version reads {FORMAT}; run `matchrate encode` again",
        )
    try:
        manifest = record_from_json(Manifest, value)
        _require_consistent(manifest)
    except RecordError as error:
        raise ManifestError(path, f"{error}; run `matchrate encode` again") from None
    return manifest


def _require_consistent(manifest: Manifest) -> None:
    """Refuse names that point nowhere or twice, so that no reader has to."""
    sources = _unique("sources", [source.name for source in manifest.sources])
    codecs = _unique("codecs", [codec.name for codec in manifest.codecs])
    versions = {codec.name: codec.version for codec in manifest.codecs}
    _unique("conditions", [condition.name for condition in manifest.conditions])
    conditions = {condition.name: condition for condition in manifest.conditions}
    try:
        match = read_match_rule(manifest.study.match)
    except ValueError as error:
        raise RecordError("study.match", str(error)) from None
    if manifest.study.rate not in ("file", "payload"):
        raise RecordError("study.rate", "must be file or payload")
    for i, condition in enumerate(manifest.conditions):
        if condition.codec not in codecs:
            raise RecordError(
                f"conditions[{i}].codec", f"names no codec of the manifest: {condition.codec!r}"
            )
        if condition.name != condition_name(condition.codec, condition.target, match):
            raise RecordError(f"conditions[{i}].name", "is not made of its codec and target")
    seen: set[tuple[str, str]] = set()
    for i, stimulus in enumerate(manifest.stimuli):
        where = f"stimuli[{i}]"
        if stimulus.source not in sources:
            raise RecordError(f"{where}.source", f"names no source of the manifest: {stimulus.source!r}")
        if stimulus.condition not in conditions:
            raise RecordError(f"{where}.condition", f"names no condition: {stimulus.condition!r}")
        condition = conditions[stimulus.condition]
        if stimulus.codec != condition.codec:
            raise RecordError(where, f"contradicts its condition {condition.name!r} in the codec")
        if stimulus.codec_version != versions[stimulus.codec]:
            raise RecordError(where, f"contradicts its codec {stimulus.codec!r} in the version")
        if stimulus.status not in STATUSES:
            raise RecordError(f"{where}.status", f"must be one of {', '.join(STATUSES)}")
        if (stimulus.source, stimulus.condition) in seen:
            raise RecordError(where, f"repeats {stimulus.source} {stimulus.condition}")
        seen.add((stimulus.source, stimulus.condition))
    for i, failure in enumerate(manifest.failures):
        if failure.source not in sources or failure.condition not in conditions:
            raise RecordError(f"failures[{i}]", "names no source or no condition of the manifest")


def _unique(where: str, names: list[str]) -> set[str]:
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            raise RecordError(f"{where}[{i}].name", f"repeats {name!r}")
        seen.add(name)
    return seen
