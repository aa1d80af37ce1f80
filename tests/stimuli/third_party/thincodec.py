"""A codec class for the entry-point group `matchrate.codecs`: thinned, quantised, deflated pixels."""

import zlib

import numpy as np
from PIL import Image

from stimuli.codecs.base import Scale


class ThinCodec:
    name, version, extension = "thin", "1.0", "thin"
    scales = (
        Scale("factor", 1, 12, 0.01, increasing=False, log=True, start=3),
        Scale("step", 1, 8, 0.02, increasing=False, start=2),
    )

    def __init__(self, settings):
        self.settings = {"level": settings.pop("level", 9)}
        if settings:
            raise ValueError(f"unknown settings {sorted(settings)}")

    def encode(self, source, quality):
        size = [max(1, round(side / quality["factor"])) for side in source.shape[1::-1]]
        small = np.asarray(Image.fromarray(source).resize(size, Image.Resampling.BOX)) / quality["step"]
        head = np.array([*source.shape[1::-1], *size, quality["step"]], dtype="<f8").tobytes()
        return head + zlib.compress(np.round(small).astype(np.uint8).tobytes(), self.settings["level"])

    def decode(self, bitstream):
        width, height, wide, high, step = np.frombuffer(bitstream[:40], dtype="<f8")
        levels = np.frombuffer(zlib.decompress(bitstream[40:]), dtype=np.uint8) * step
        small = np.clip(levels, 0, 255).astype(np.uint8).reshape(int(high), int(wide), 3)
        return np.asarray(Image.fromarray(small).resize((int(width), int(height))))
