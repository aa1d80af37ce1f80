"""The container of learned codecs: the few bytes around CompressAI's strings, all of them counted.

`MRL1`, the index of the checkpoint (1 byte), the step (float32, little-endian), then as LEB128 numbers the
width, the height, how many strings there are and the length of each, then the strings.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"MRL1"
_HEAD = struct.Struct("<4sBf")
#: Nobody shows a larger picture, and a damaged header must not ask for more memory than there is.
_LONGEST_SIDE = 65_535
_MOST_STRINGS = 8
#: A number of five groups of seven bits is beyond every length here.
_MOST_GROUPS = 5


@dataclass(frozen=True, slots=True)
class LearnedStream:
    """One coded picture: checkpoint and step, the size in pixels, the strings of the entropy coder."""

    checkpoint: int
    step: float
    width: int
    height: int
    strings: tuple[bytes, ...]

    def pack(self) -> bytes:
        """The bytes of the file."""
        numbers = (self.width, self.height, len(self.strings), *(len(string) for string in self.strings))
        head = _HEAD.pack(MAGIC, self.checkpoint, self.step) + b"".join(_leb128(number) for number in numbers)
        return head + b"".join(self.strings)


def unpack(bitstream: bytes) -> LearnedStream:
    """Read the bytes of a file; raises ValueError for any that `pack` would not write."""
    if len(bitstream) < _HEAD.size or not bitstream.startswith(MAGIC):
        raise ValueError("is not a bitstream of a learned codec")
    _, checkpoint, step = _HEAD.unpack_from(bitstream)
    at = _HEAD.size
    width, at = _read_number(bitstream, at)
    height, at = _read_number(bitstream, at)
    count, at = _read_number(bitstream, at)
    if not (0 < width <= _LONGEST_SIDE and 0 < height <= _LONGEST_SIDE and count <= _MOST_STRINGS):
        raise ValueError(f"has a damaged header: {width}x{height} pixels in {count} strings")
    if not 0 < step < float("inf"):
        raise ValueError(f"has a damaged header: the step {step}")
    lengths = []
    for _ in range(count):
        length, at = _read_number(bitstream, at)
        lengths.append(length)
    if len(bitstream) - at != sum(lengths):
        raise ValueError(f"has {len(bitstream) - at} bytes of strings, its header says {sum(lengths)}")
    strings = []
    for length in lengths:
        strings.append(bitstream[at : at + length])
        at += length
    return LearnedStream(checkpoint, step, width, height, tuple(strings))


def strings_bytes(bitstream: bytes) -> int | None:
    """Bytes of the strings alone, without the header; None for another kind of file."""
    try:
        return sum(len(string) for string in unpack(bitstream).strings)
    except ValueError:
        return None


def stored_step(step: float) -> float:
    """The step as a decoder reads it: encoder and decoder must divide by the same number."""
    stored: float = struct.unpack("<f", struct.pack("<f", step))[0]
    return stored


def _leb128(number: int) -> bytes:
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for i, byte in enumerate(data[at : at + _MOST_GROUPS]):
        number |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return number, at + i + 1
    raise ValueError("has a damaged header: a number does not end")
