"""WebP (lossy VP8) through Pillow; its quality takes fractions and its chroma is always 4:2:0."""

from __future__ import annotations

from collections.abc import Mapping

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


class WebpCodec:
    """libwebp at a real quality from 0 to 100.

    Its segments share one quantiser table, so that a small picture can jump by 7 % between two qualities.
    The fine scale is the effort: one step less than the setting `method` makes files about 1.5 % larger.
    """

    name = "webp"
    extension = "webp"

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = resolve_settings(settings, {"method": Setting(6, low=2, high=6)}, fast={"method": 4})
        method = int(str(self.settings["method"]))
        self.scales = (
            Scale("quality", 0, 100, 0.0078125, start=50, slope=0.018),
            Scale("method", method - 2, method, 1, increasing=False, start=method, slope=0.015),
        )
        self.version = f"libwebp {features.version('webp')}, Pillow {PIL.__version__}"
        self.location = folder_of("PIL")

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The WebP file at a quality from 0 to 100 and a method up to the one that is set."""
        return save_with_pillow(source, "WEBP", quality=quality["quality"], method=int(quality["method"]))

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels as libwebp gives them."""
        return load_with_pillow(bitstream, "WEBP")
