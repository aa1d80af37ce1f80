"""A codec that does what BRITTLE_FAULT says at quality 50, and all is well at any other quality."""

import ctypes
import os
import time

import numpy as np

from stimuli.codecs.base import Scale


class BrittleCodec:
    name, version, extension = "brittle", "1.0", "brittle"
    scales = (Scale("quality", 1, 100, 1, start=50),)

    def __init__(self, settings):
        self.settings = dict(settings)

    @property
    def preview(self):
        if os.environ.get("BRITTLE_PREVIEW") and not self.settings.get("quick"):
            return BrittleCodec({"quick": True})
        return None

    def encode(self, source, quality):
        value = int(quality["quality"])
        if self.settings.get("quick"):
            self.fail(os.environ["BRITTLE_PREVIEW"])
        if value == 50 or os.environ.get("BRITTLE_ALWAYS"):
            self.fail(os.environ.get("BRITTLE_FAULT", ""))
        area = source.shape[0] * source.shape[1]
        size = round(area / 8 * value / 50)
        head = np.array([*source.shape[:2], value], dtype="<i4").tobytes()
        return head + bytes(size - len(head))

    def decode(self, bitstream):
        height, width, value = np.frombuffer(bitstream[:12], dtype="<i4")
        if value == 50:
            self.fail(os.environ.get("BRITTLE_DECODE", ""))
        odd = value == 50 and os.environ.get("BRITTLE_FAULT") == "size"
        return np.full((height - odd, width, 3), value, dtype=np.uint8)

    def fail(self, fault):
        if fault == "raise":
            raise ValueError("nothing comes of fifty")
        if fault == "crash":
            ctypes.string_at(0)
        if fault == "hang":
            time.sleep(600)
        if fault == "memory":
            while True:
                self.hoard = [*getattr(self, "hoard", []), np.ones(1 << 24)]
