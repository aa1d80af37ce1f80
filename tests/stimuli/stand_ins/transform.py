"""A codec for planes: cosine transforms of 8x8 blocks, one quantiser step, deflated."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from samples import Picture

_HEAD = "<4sHH3sBf"
_BASIS = np.cos(np.pi * np.outer(np.arange(8), np.arange(8) + 0.5) / 8) / 2
_BASIS[0] /= np.sqrt(2)


def compress(picture: Picture, magic: bytes, step: float) -> bytes:
    """A bitstream; `step` is that of 8-bit samples."""
    head = struct.pack(
        _HEAD, magic, picture.width, picture.height, picture.chroma.encode(), picture.bits, step
    )
    scaled = step * 2 ** (picture.bits - 8)
    levels = []
    for plane in picture.planes:
        rows, columns = plane.shape
        padded = np.pad(plane.astype(float), ((0, -rows % 8), (0, -columns % 8)), mode="edge")
        blocks = padded.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8)
        coefficients = np.einsum("ij,ajbk,lk->aibl", _BASIS, blocks, _BASIS)
        # Frequency by frequency, so that the many zeros lie together.
        levels.append(np.round(coefficients / scaled).transpose(1, 3, 0, 2).astype("<i2").tobytes())
    return head + zlib.compress(b"".join(levels), 9)


def decompress(data: bytes, magic: bytes) -> Picture:
    found, width, height, chroma, bits, step = struct.unpack_from(_HEAD, data)
    if found != magic:
        raise SystemExit("not a bitstream of this program")
    picture = Picture(width, height, chroma.decode(), bits, [])
    levels = np.frombuffer(zlib.decompress(data[struct.calcsize(_HEAD) :]), dtype="<i2")
    for rows, columns in picture.shapes():
        high, wide = -(-rows // 8), -(-columns // 8)
        part, levels = levels[: high * wide * 64], levels[high * wide * 64 :]
        blocks = part.reshape(8, 8, high, wide).transpose(2, 0, 3, 1) * (step * 2 ** (bits - 8))
        plane = np.einsum("ji,ajbk,kl->aibl", _BASIS, blocks, _BASIS).reshape(high * 8, wide * 8)
        picture.planes.append(np.clip(np.rint(plane), 0, 2**bits - 1)[:rows, :columns])
    return picture
