"""The cache of everything that was computed once: encodes, decodes and read pictures.

Every record is one file under `stimuli/tries/`, named by the SHA-256 of all that its content depends on,
so that changing the study never serves a stale one and an interrupted run redoes nothing. Deleting the
folder costs time only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stimuli.codecs.base import Codec, Pixels, keyed_settings
from stimuli.files import sha256_of, write_atomic
from stimuli.manifest import SourceRecord
from stimuli.records import record_from_json, record_to_json

# Part of every key: a change of how encodes are made or records are written must miss the old records.
_GENERATION = 1
# Part of the keys of picture files: a change of how pictures are read must miss what was read before.
_READING = 2


@dataclass(frozen=True, slots=True)
class Try:
    """One encode: its bitstream and the CPU seconds it took."""

    bitstream: bytes
    encode_s: float


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A picture that lies under `pictures/`: its size, the hashes of its PNG and of the shown PNG.

    `seconds` is the CPU time of the decode or of reading the file.
    """

    width: int
    height: int
    picture_sha256: str
    shown_sha256: str
    seconds: float


@dataclass(frozen=True, slots=True)
class _PictureFile:
    picture: KeptPicture
    sha256: str
    """Of the picture's JSON, because a flipped digit in it would still be a record."""


@dataclass(frozen=True, slots=True)
class _MetricFile:
    metrics: Mapping[str, float]
    sha256: str


@dataclass(frozen=True, slots=True)
class _Header:
    bytes: int
    sha256: str
    encode_s: float


class TryCache:
    """The records of one study folder; safe for many processes, as records are written whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load_try(self, key: str) -> Try | None:
        """The encode under a key, or None when it is absent or damaged."""
        return _read_try(self._path(key, "try"))

    def keep_try(self, key: str, kept: Try) -> None:
        """Store an encode."""
        header = _Header(len(kept.bitstream), sha256_of(kept.bitstream), kept.encode_s)
        text = json.dumps(record_to_json(header), sort_keys=True)
        write_atomic(self._path(key, "try"), text.encode() + b"\n" + kept.bitstream)

    def load_picture(self, key: str) -> KeptPicture | None:
        """The picture record under a key, or None when it is absent or damaged."""
        return _read_picture(self._path(key, "json"))

    def keep_picture(self, key: str, picture: KeptPicture) -> None:
        """Store a picture record."""
        whole = _PictureFile(picture, sha256_of(_plain(picture)))
        write_atomic(self._path(key, "json"), _plain(whole) + b"\n")

    def load_metrics(self, key: str) -> Mapping[str, float] | None:
        """The metrics under a key, or None when the record is absent or damaged."""
        return _read_metrics(self._path(key, "metric"))

    def keep_metrics(self, key: str, metrics: Mapping[str, float]) -> None:
        """Store metrics by name; without any, that they cannot be measured."""
        whole = _MetricFile(metrics, sha256_of(_plain(metrics)))
        write_atomic(self._path(key, "metric"), _plain(whole) + b"\n")

    def damaged(self) -> Iterator[Path]:
        """The files here that no search would use again, because they are not what was written."""
        for path in sorted(self._folder.rglob("*")):
            read = _READERS.get(path.suffix)
            if read is not None and read(path) is None:
                yield path

    def _path(self, key: str, extension: str) -> Path:
        return self._folder / key[:2] / f"{key}.{extension}"


def _read_try(path: Path) -> Try | None:
    try:
        head, _, bitstream = path.read_bytes().partition(b"\n")
        header = record_from_json(_Header, json.loads(head))
    except (OSError, ValueError, RecursionError):
        return None
    if len(bitstream) != header.bytes or sha256_of(bitstream) != header.sha256:
        return None
    return Try(bitstream, header.encode_s)


def _read_picture(path: Path) -> KeptPicture | None:
    try:
        data = path.read_bytes()
        kept = record_from_json(_PictureFile, json.loads(data))
    except (OSError, ValueError, RecursionError):
        return None
    return kept.picture if sha256_of(_plain(kept.picture)) == kept.sha256 else None


def _read_metrics(path: Path) -> Mapping[str, float] | None:
    try:
        kept = record_from_json(_MetricFile, json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None
    return kept.metrics if sha256_of(_plain(kept.metrics)) == kept.sha256 else None


_READERS: Mapping[str, Callable[[Path], object]] = {
    ".try": _read_try,
    ".json": _read_picture,
    ".metric": _read_metrics,
}


def _plain(record: object) -> bytes:
    return json.dumps(record_to_json(record), sort_keys=True).encode()


def pixels_key(pixels: Pixels) -> str:
    """The SHA-256 of bare pixels and their shape."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()


def try_key(pixels: str, family: str, codec: Codec, quality: Mapping[str, float]) -> str:
    """The key of an encode: pixels, family, version, settings and quality."""
    return _key("try", pixels, family, codec.version, keyed_settings(codec), quality)


def decode_key(bitstream: str, family: str, codec: Codec, source: SourceRecord) -> str:
    """The key of a decode: bitstream hash, family, version, settings, the size and the crop that is shown.

    Two sources that a codec pads to the same picture have one bitstream and two sizes.
    """
    size = (source.width, source.height)
    return _key("decode", bitstream, family, codec.version, keyed_settings(codec), size, source.crop)


def file_key(file_sha256: str, crop: object) -> str:
    """The key of a picture file that was read: its hash and the crop that is shown."""
    return _key("file", _READING, file_sha256, crop)


def metric_key(reference: str, picture: str, name: str, version: str) -> str:
    """The key of a metric: the PNG hashes of the original and the picture, its name and version."""
    return _key("metric", reference, picture, name, version)


def _key(*parts: object) -> str:
    plain = record_to_json((_GENERATION, *parts))
    return sha256_of(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode())
