"""A codec of whole 16x16 blocks: it pads, and what BLOCK_FAULT names fails."""

import ctypes
import os
import tempfile

import numpy as np

from stimuli.codecs.base import Scale


class BlockCodec:
    name, version, extension, padding = "block", "1.0", "block", 16
    scales = (Scale("quality", 10, 100, 1, start=50),)

    def __init__(self, settings, quick=False):
        self.settings = {**settings, "quick": quick}
        if not quick and os.environ.get("BLOCK_FAULT") == "preview":
            self.preview = BlockCodec(settings, quick=True)

    def encode(self, source, quality):
        fault = os.environ.get("BLOCK_FAULT")
        if self.settings["quick"]:
            ctypes.string_at(0)
        if fault == "dark" and source[0, 0, 0] < 50:
            raise ValueError(f"{object()} found no light in {tempfile.mkdtemp()}/input.png")
        high, wide = (-(-side // 16) for side in source.shape[:2])
        size = round(high * wide * 32 * quality["quality"] / 50)
        head = np.array([high, wide, source[0, 0, 0]], dtype="<i4").tobytes()
        return head + bytes(size - len(head))

    def decode(self, bitstream):
        high, wide, value = np.frombuffer(bitstream[:12], dtype="<i4")
        if os.environ.get("BLOCK_FAULT") == "decode" and value < 50:
            raise ValueError("no light")
        return np.full((16 * high, 16 * wide, 3), value, dtype=np.uint8)
