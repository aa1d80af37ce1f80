"""Files of pictures as lists of planes: written again here, so that the project's own files are checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass
class Picture:
    """Three planes of whole numbers; `chroma` is "444", "420" or "rgb"."""

    width: int
    height: int
    chroma: str
    bits: int
    planes: list[np.ndarray]

    def shapes(self) -> list[tuple[int, int]]:
        half = ((self.height + 1) // 2, (self.width + 1) // 2)
        small = half if self.chroma == "420" else (self.height, self.width)
        return [(self.height, self.width), small, small]


def from_raw(data: bytes, width: int, height: int, chroma: str, bits: int) -> Picture:
    picture = Picture(width, height, chroma, bits, [])
    samples = np.frombuffer(data, dtype="<u2" if bits > 8 else "u1")
    for rows, columns in picture.shapes():
        picture.planes.append(samples[: rows * columns].reshape(rows, columns))
        samples = samples[rows * columns :]
    if len(samples):
        raise SystemExit("more samples than one picture has")
    return picture


def to_raw(picture: Picture) -> bytes:
    kind = "<u2" if picture.bits > 8 else "u1"
    return b"".join(plane.astype(kind).tobytes() for plane in picture.planes)


def read_y4m(path: Path) -> Picture:
    head, _, rest = path.read_bytes().partition(b"\n")
    words = head.decode().split()
    if words[0] != "YUV4MPEG2":
        raise SystemExit("not a Y4M file")
    values = {word[0]: word[1:] for word in words[1:] if word[0] != "X"}
    chroma, bits = {"444": ("444", 8), "444p10": ("444", 10), "420mpeg2": ("420", 8), "420p10": ("420", 10)}[
        values["C"]
    ]
    return from_raw(rest.partition(b"\n")[2], int(values["W"]), int(values["H"]), chroma, bits)


def write_y4m(path: Path, picture: Picture) -> None:
    name = picture.chroma + (f"p{picture.bits}" if picture.bits > 8 else "")
    head = f"YUV4MPEG2 W{picture.width} H{picture.height} F25:1 Ip C{name} XCOLORRANGE=FULL\nFRAME\n"
    path.write_bytes(head.encode() + to_raw(picture))


def read_picture(path: Path) -> Picture:
    from PIL import Image

    pixels = np.asarray(Image.open(path).convert("RGB"))
    height, width = pixels.shape[:2]
    return Picture(width, height, "rgb", 8, [pixels[..., i] for i in range(3)])


def write_picture(path: Path, picture: Picture) -> None:
    from PIL import Image

    Image.fromarray(np.stack(picture.planes, axis=-1).astype(np.uint8)).save(path)
