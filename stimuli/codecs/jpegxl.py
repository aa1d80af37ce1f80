"""JPEG XL through pillow-jxl-plugin and libjxl."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping

from stimuli.codecs.base import (
    Pixels,
    Scale,
    Setting,
    folder_of,
    load_with_pillow,
    resolve_settings,
    save_with_pillow,
)
from stimuli.errors import CodecNotInstalledError


class JpegXlCodec:
    """libjxl (VarDCT), on one thread.

    The plugin takes libjpeg's scale of quality as a real number and turns it into libjxl's distance; 100
    would mean lossless, so the range ends below it.
    """

    name = "jpegxl"
    extension = "jxl"
    scales = (Scale("quality", 0, 99.5, 0.01, start=40, slope=0.017),)

    def __init__(self, settings: Mapping[str, object]) -> None:
        _plugin()
        self.settings = resolve_settings(settings, {"effort": Setting(9, low=1, high=10)}, fast={"effort": 7})
        self.version = f"pillow-jxl-plugin {importlib.metadata.version('pillow-jxl-plugin')}"
        self.location = folder_of("pillow_jxl")

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The bare codestream at a real quality from 0 to 99.5."""
        _plugin()
        return save_with_pillow(
            source,
            "JXL",
            quality=float(quality["quality"]),
            num_threads=1,
            use_container=False,
            **self.settings,
        )

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels as libjxl gives them."""
        _plugin()
        return load_with_pillow(bitstream, "JXL")


def _plugin() -> None:
    try:
        # Importing the plugin is what registers the format with Pillow.
        from pillow_jxl import JpegXLImagePlugin
    except ImportError:
        raise CodecNotInstalledError(
            "jpegxl", "run `make install` in the clone, or: pip install pillow-jxl-plugin"
        ) from None
    JpegXLImagePlugin.DECODE_THREADS = 1
