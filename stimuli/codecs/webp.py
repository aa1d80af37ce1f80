"""WebP (lossy VP8) through Pillow; its quality takes fractions and its chroma is always 4:2:0."""

from __future__ import annotations

from collections.abc import Mapping

import PIL
from PIL import features

from stimuli.codecs.base import Pixels, Scale, Setting, load_with_pillow, resolve_settings, save_with_pillow


class WebpCodec:
    """libwebp at a real quality from 0 to 100."""

    name = "webp"
    extension = "webp"
    scales = (Scale("quality", 0, 100, 0.125, start=50, slope=0.018),)

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = resolve_settings(settings, {"method": Setting(6, low=0, high=6)})
        self.version = f"libwebp {features.version('webp')}, Pillow {PIL.__version__}"

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The WebP file at a quality from 0 to 100."""
        return save_with_pillow(source, "WEBP", quality=quality["quality"], **self.settings)

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels as libwebp gives them."""
        return load_with_pillow(bitstream, "WEBP")
