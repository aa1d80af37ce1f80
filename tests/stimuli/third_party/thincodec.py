"""A codec class for the entry-point group `matchrate.codecs`: pixels thinned by a real factor, deflated."""

import zlib

import numpy as np
from PIL import Image

from stimuli.codecs.base import Scale


class ThinCodec:
    name, version, extension = "thin", "1.0", "thin"
    scales = (Scale("factor", 1, 12, 0.01, increasing=False, start=3),)

    def __init__(self, settings):
        self.settings = {"level": settings.pop("level", 9)}
        if settings:
            raise ValueError(f"unknown settings {sorted(settings)}")

    def encode(self, source, quality):
        height, width = source.shape[:2]
        size = (max(1, round(width / quality["factor"])), max(1, round(height / quality["factor"])))
        small = np.asarray(Image.fromarray(source).resize(size, Image.Resampling.BOX))
        head = np.array([width, height, *size], dtype="<u4").tobytes()
        return head + zlib.compress(small.tobytes(), self.settings["level"])

    def decode(self, bitstream):
        width, height, wide, high = (int(n) for n in np.frombuffer(bitstream[:16], dtype="<u4"))
        small = np.frombuffer(zlib.decompress(bitstream[16:]), dtype=np.uint8).reshape(high, wide, 3)
        return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))
