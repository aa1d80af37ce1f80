"""What a preset costs and how its sizes differ from a slower one's, at the same qualities.

python benchmarks/presets.py --families svtav1 av1 vvc

A line a preset: CPU seconds a megapixel for encoding and decoding, and the mean, spread and spread within a
picture of the change of size, over six crops of 256x256 from the photographs of scikit-image and four
qualities. A preview brackets well where the spread within a picture is small; its mean does not matter.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import skimage.data

from stimuli.codecs.base import Codec
from stimuli.codecs.registry import make_codec

# The setting, its values from the slowest, and the qualities.
LADDERS: Mapping[str, tuple[str, tuple[object, ...], tuple[float, ...]]] = {
    "av1": ("speed", (2, 1, 3, 4, 6, 8), (20, 30, 40, 50)),
    "svtav1": ("preset", (0, 2, 4, 6, 8), (20, 30, 40, 50)),
    "vvc": ("preset", ("slower", "slow", "medium", "fast", "faster"), (25, 31, 37, 42)),
}
CROPS = {
    "astronaut": ((20, 100), (100, 240)),
    "chelsea": ((20, 100), (22, 60)),
    "coffee": ((60, 150), (0, 0)),
}
SIDE = 256


def crops() -> list[npt.NDArray[np.uint8]]:
    """Two squares of each photograph."""
    return [
        np.ascontiguousarray(getattr(skimage.data, name)()[top : top + SIDE, left : left + SIDE])
        for name, corners in CROPS.items()
        for top, left in corners
    ]


def cpu_seconds() -> float:
    """Processor time of the programs that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def measure(codec: Codec, qualities: tuple[float, ...]) -> tuple[npt.NDArray[np.float64], float, float]:
    """ln bytes by picture and quality, and CPU seconds a megapixel for encoding and decoding."""
    coarse, *fine = codec.scales
    neutral = {scale.name: scale.first for scale in fine}
    pictures = crops()
    start = cpu_seconds()
    streams = [[codec.encode(pixels, {coarse.name: q} | neutral) for q in qualities] for pixels in pictures]
    encoded = cpu_seconds()
    for row in streams:
        for stream in row:
            codec.decode(stream)
    megapixels = len(pictures) * len(qualities) * SIDE**2 / 1e6
    sizes = np.log([[len(stream) for stream in row] for row in streams])
    return sizes, (encoded - start) / megapixels, (cpu_seconds() - encoded) / megapixels


def main() -> None:
    """Print a table a family."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=LADDERS, default=list(LADDERS))
    for family in parser.parse_args().families:
        key, values, qualities = LADDERS[family]
        slowest: npt.NDArray[np.float64] | None = None
        for value in values:
            codec = make_codec(family, {key: value}, Path())
            sizes, encode, decode = measure(codec, qualities)
            slowest = sizes if slowest is None else slowest
            change = sizes - slowest
            within = change - change.mean(axis=1, keepdims=True)
            print(
                f"{family} {key} {value}: encode {encode:.1f} s/MP, decode {decode:.2f} s/MP, size "
                f"{100 * np.expm1(change.mean()):+.1f} %, spread {100 * change.std():.1f} %, "
                f"within a picture {100 * within.std():.1f} %",
                flush=True,
            )


if __name__ == "__main__":
    main()
