"""A codec that is another one elsewhere: what it does beside coding is said by variables FICKLE_*."""

import ctypes
import os
import threading
import time
from pathlib import Path

import numpy as np

from stimuli.codecs.base import Scale


def told(name):
    return int(os.environ.get(f"FICKLE_{name}", "0"))


def write(line):
    if "FICKLE_LOG" in os.environ:
        with Path(os.environ["FICKLE_LOG"]).open("a") as file:
            file.write(f"{line}\n")


def burn():
    while time.thread_time() < 0.05:
        pass


class FickleCodec:
    name, extension = "fickle", "fickle"
    scales = (Scale("quality", 1, 100, 1, start=50),)

    def __init__(self, settings):
        self.settings = {"label": settings.get("label", "")}
        self.version = os.environ.get("FICKLE_VERSION", "1.0")
        if told("ABSENT"):
            raise ValueError("nothing here to run")

    def encode(self, source, quality):
        value = int(quality["quality"])
        write(f"encode {self.settings['label']} {os.getpid()} {source.shape[1]} {value}")
        if told("BURN"):
            threads = [threading.Thread(target=burn) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        size = round(source.shape[0] * source.shape[1] / 8 * value / 50)
        head = np.array([*source.shape[:2], value], dtype="<i4").tobytes()
        return head + bytes(size - len(head) - 1) + bytes([told("TAIL")]) + bytes(told("BYTES"))

    def decode(self, bitstream):
        height, width, value = np.frombuffer(bitstream[:12], dtype="<i4")
        write(f"decode {self.settings['label']} {os.getpid()} {width} {value}")
        if value == told("CRASH"):
            ctypes.string_at(0)
        picture = np.full((height * width, 3), value, dtype=np.uint8)
        picture[: told("PIXELS"), 1] += 1
        return picture.reshape(height, width, 3)
