"""JPEG through Pillow and libjpeg-turbo, with a quality that need not be a whole number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import PIL
from PIL import features

from stimuli.codecs.base import (
    Pixels,
    Scale,
    Setting,
    folder_of,
    load_with_pillow,
    resolve_settings,
    save_with_pillow,
)

# ITU-T T.81 Annex K, tables K.1 and K.2, in rows: the tables that libjpeg scales.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)


class JpegCodec:
    """Baseline tables scaled by a real quality: equal to libjpeg's own at whole numbers."""

    name = "jpeg"
    extension = "jpg"
    scales = (Scale("quality", 1, 100, 0.03125, start=50, slope=0.022),)

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = resolve_settings(
            settings,
            {
                "subsampling": Setting("4:2:0", ("4:2:0", "4:2:2", "4:4:4")),
                "progressive": Setting(True),
                "optimize": Setting(True),
            },
            fast={},
        )
        self.version = f"libjpeg-turbo {features.version('libjpeg_turbo')}, Pillow {PIL.__version__}"
        self.location = folder_of("PIL")

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The JPEG file at a quality from 1 to 100."""
        tables = [quantisation_table(base, quality["quality"]) for base in (_LUMINANCE, _CHROMINANCE)]
        return save_with_pillow(source, "JPEG", qtables=tables, **self.settings)

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels as libjpeg-turbo gives them (accurate DCT, fancy upsampling)."""
        return load_with_pillow(bitstream, "JPEG")


def quantisation_table(base: tuple[tuple[int, ...], ...], quality: float) -> list[int]:
    """64 entries: libjpeg's jpeg_quality_scaling and jpeg_add_quant_table without the rounding of quality."""
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    scaled = np.floor((np.asarray(base, dtype=np.float64) * percent + 50) / 100)
    return [int(entry) for entry in np.clip(scaled, 1, 255).ravel()]
