"""A command-line codec: quantised pixels, deflated. Usage: toycodec.py enc|dec INPUT OUTPUT [STEP]."""

import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

mode, source, target = sys.argv[1:4]
if mode == "enc":
    step = float(sys.argv[4])
    pixels = np.asarray(Image.open(source).convert("RGB"))
    head = np.array([pixels.shape[0], pixels.shape[1], step], dtype="<f8").tobytes()
    Path(target).write_bytes(head + zlib.compress(np.round(pixels / step).astype(np.uint8).tobytes(), 9))
else:
    data = Path(source).read_bytes()
    height, width, step = np.frombuffer(data[:24], dtype="<f8")
    levels = np.frombuffer(zlib.decompress(data[24:]), dtype=np.uint8) * step
    Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8).reshape(int(height), int(width), 3)).save(target)
