"""A command-line codec: deflated 8x8 cosine blocks. Usage: toycodec.py enc|dec INPUT OUTPUT [STEP]."""

import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

mode, source, target = sys.argv[1:4]
basis = np.cos(np.pi * np.outer(np.arange(8), np.arange(8) + 0.5) / 8) / 2
basis[0] /= np.sqrt(2)
if mode == "enc":
    step = float(sys.argv[4])
    pixels = np.asarray(Image.open(source).convert("RGB"), dtype=float)
    high, wide = pixels.shape[0] // 8, pixels.shape[1] // 8
    blocks = np.einsum("ij,ajbkc,lk->aiblc", basis, pixels.reshape(high, 8, wide, 8, 3), basis)
    head = np.array([high, wide, step], dtype="<f8").tobytes()
    Path(target).write_bytes(head + zlib.compress(np.round(blocks / step).astype("<i2").tobytes(), 9))
else:
    data = Path(source).read_bytes()
    high, wide, step = np.frombuffer(data[:24], dtype="<f8")
    levels = np.frombuffer(zlib.decompress(data[24:]), dtype="<i2").reshape(int(high), 8, int(wide), 8, 3)
    pixels = np.einsum("ji,ajbkc,kl->aiblc", basis, levels * step, basis).reshape(int(high) * 8, -1, 3)
    Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save(target)
