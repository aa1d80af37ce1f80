"""A small study folder for the browser tests: pictures made here, and the manifest that tells of them."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stimuli.manifest import (
    FORMAT,
    CodecRecord,
    Machine,
    Manifest,
    SourceRecord,
    StudyRecord,
    manifest_path,
    manifest_to_text,
    picture_path,
)
from stimuli.study import Condition, Pairing, Stimulus, condition_name

Pixels = NDArray[np.uint8]

#: Names that occur nowhere else, so that a leak of one is found by searching for it.
CODECS = ("zebracodec", "quaggacodec")
TARGETS = (0.2345, 0.6789)
#: One picture as large as a demo's, and one with odd sides.
SOURCES = {"meadowscene": (512, 512), "harbourscene": (385, 257)}
NAME = "okapistudy"
SESSION_LENGTH = 6


@dataclass(frozen=True, slots=True)
class Shown:
    """What a picture is: `condition` is None for a reference."""

    source: str
    condition: str | None
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class SmallStudy:
    """The manifest, its folder, and every picture by the SHA-256 of its RGBA pixels and of its file."""

    folder: Path
    manifest: Manifest
    by_pixels: dict[str, Shown]
    by_file: dict[str, Shown]


def _png(pixels: Pixels) -> bytes:
    """IHDR, sRGB, IDAT and IEND, as the encoding writes its pictures."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"sRGB", b"\0")
        + chunk(b"IDAT", zlib.compress(rows, 1))
        + chunk(b"IEND", b"")
    )


def rgba_sha256(pixels: Pixels) -> str:
    """The hash that a browser gets from the pixels of a canvas."""
    opaque = np.full((*pixels.shape[:2], 1), 255, dtype=np.uint8)
    return hashlib.sha256(np.concatenate([pixels, opaque], axis=2).tobytes()).hexdigest()


def make_small_study(folder: Path, *, name: str = NAME, session_length: int = SESSION_LENGTH) -> SmallStudy:
    """Write pictures and manifest; every picture has single-pixel detail, so that resampling shows."""
    rng = np.random.default_rng(20)
    by_pixels: dict[str, Shown] = {}
    by_file: dict[str, Shown] = {}

    def keep(shown: Shown) -> str:
        data = _png(shown.pixels)
        sha256 = hashlib.sha256(data).hexdigest()
        path = picture_path(folder, sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        by_file[sha256] = shown
        by_pixels[rgba_sha256(shown.pixels)] = shown
        return sha256

    conditions = [
        Condition(condition_name(codec, target), codec, point, target)
        for codec in CODECS
        for point, target in enumerate(TARGETS)
    ]
    sources, stimuli = [], []
    for source, (width, height) in SOURCES.items():
        ramp = np.indices((height, width)).sum(axis=0)[:, :, None] * np.array([1, 2, 3]) % 200
        original = (ramp + rng.integers(0, 50, (height, width, 3))).astype(np.uint8)
        sha256 = keep(Shown(source, None, original))
        sources.append(
            SourceRecord(
                name=source,
                dataset=None,
                path=f"sources/{source}.png",
                file_sha256=sha256,
                width=width,
                height=height,
                crop=None,
                shown_width=width,
                shown_height=height,
                picture_sha256=sha256,
                shown_sha256=sha256,
                targets=(),
            )
        )
        for condition in conditions:
            noise = rng.integers(0, 40, (height, width, 3))
            pixels = np.clip(original.astype(int) + noise, 0, 255).astype(np.uint8)
            sha256 = keep(Shown(source, condition.name, pixels))
            size = round(condition.target * width * height / 8)
            stimuli.append(
                Stimulus(
                    source=source,
                    dataset=None,
                    condition=condition.name,
                    codec=condition.codec,
                    codec_version="1",
                    role="scored",
                    status="matched",
                    target_bpp=condition.target,
                    bpp=8 * size / (width * height),
                    bytes=size,
                    payload_bytes=size,
                    residual=8 * size / (width * height) / condition.target - 1,
                    width=width,
                    height=height,
                    encode_s=0.1,
                    decode_s=0.1,
                    bitstream_sha256=hashlib.sha256(f"{source} {condition.name}".encode()).hexdigest(),
                    picture_sha256=sha256,
                    quality={"quality": 50.0},
                    encodes=3,
                    previews=0,
                    limit_bpp=None,
                    metrics={},
                    note=None,
                    reachable=True,
                    shown_sha256=sha256,
                    bitstream="none.bin",
                    included=True,
                    left_out=None,
                )
            )
    manifest = Manifest(
        format=FORMAT,
        matchrate="0",
        study=StudyRecord(
            name=name,
            title="A small study",
            question="Which one looks closer to the original?",
            instructions="Judge how faithful a picture is.\n\nNot how pretty it is.",
            session_length=session_length,
            seed=7,
            tolerance=0.01,
            allow_mismatch=False,
            pairing=Pairing(),
            rate="file",
            match="each",
            metrics=(),
        ),
        sources=tuple(sources),
        codecs=tuple(CodecRecord(codec, "command", "1", {}) for codec in CODECS),
        conditions=tuple(conditions),
        stimuli=tuple(stimuli),
        failures=(),
        machine=Machine("here", "processor", "system", "3.11"),
    )
    manifest_path(folder).write_text(manifest_to_text(manifest), encoding="utf-8")
    return SmallStudy(folder, manifest, by_pixels, by_file)
