"""The codecs of a manifest on this machine, which may be another than the one that encoded."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stimuli.codecs.reconstructions import FAMILY as RECONSTRUCTIONS
from stimuli.codecs.registry import make_codec
from stimuli.errors import StimuliError
from stimuli.manifest import CodecRecord
from stimuli.study import DEFAULT_TIMEOUT


@dataclass(frozen=True, slots=True)
class CodecHere:
    """A codec of a manifest on this machine: its version, or the reason why it cannot be run.

    `note` tells what of it is another than when the study was encoded.
    """

    version: str | None
    reason: str | None = None
    note: str | None = None


def codec_here(folder: Path, record: CodecRecord) -> CodecHere:
    """Make a codec as the manifest records it."""
    if record.family == RECONSTRUCTIONS:
        return CodecHere(record.version)
    try:
        codec = make_codec(record.family, record.settings, folder)
    except StimuliError as error:
        return CodecHere(None, reason=str(error))
    note = None
    if codec.version != record.version:
        note = f"is {codec.version} here, and was {record.version}"
    elif codec.settings.get("program_sha256") != record.settings.get("program_sha256"):
        note = f"is {codec.version} here as it was, but its program files are others (program_sha256)"
    return CodecHere(codec.version, note=note)


def versions_here(folder: Path, records: Sequence[CodecRecord]) -> dict[str, str]:
    """The versions of a manifest's codecs on this machine, without those that it lacks."""
    found = {record.name: codec_here(folder, record).version for record in records}
    return {name: version for name, version in found.items() if version is not None}


def guard_limits(folder: Path) -> tuple[float, int | None]:
    """Seconds for one encode or decode and MB for one worker: what study.toml says, if it can be read."""
    try:
        said = tomllib.loads((folder / "study.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        said = {}
    timeout, memory = said.get("timeout", DEFAULT_TIMEOUT), said.get("memory")
    if type(timeout) not in (int, float) or not 0 < timeout < math.inf:
        timeout = DEFAULT_TIMEOUT
    return float(timeout), memory if type(memory) is int and memory > 0 else None
