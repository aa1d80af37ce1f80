"""AVIF (AV1) through Pillow, libaom and dav1d."""

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
from stimuli.errors import CodecNotInstalledError

#: Tunes that leave the quantiser alone, so that there is no strength to set.
_WITHOUT_STRENGTH = ("ssim", "psnr")
#: The speed of the preview.
_PREVIEW_SPEED = 6


class AvifCodec:
    """libaom, tuned for still pictures, on one thread because the number of threads changes its bits.

    The quality moves the size by about 6 % a step, so the strength of the quantiser's adaptation (about
    0.26 % a unit) is the fine scale; 100 is libaom's own default. The tunes for SSIM and PSNR have none.
    """

    name = "avif"
    extension = "avif"
    scales: tuple[Scale, ...] = (
        Scale("quality", 0, 99, 1, start=45, slope=0.033),
        Scale("deltaq_strength", 0, 200, 1, start=100, slope=0.0026, reach=(0.3, 0.2)),
    )

    def __init__(self, settings: Mapping[str, object]) -> None:
        if not features.check("avif"):
            raise CodecNotInstalledError("avif", "this Pillow was built without AVIF: pip install -U pillow")
        self.settings = resolve_settings(
            settings,
            {
                "speed": Setting(2, low=0, high=10),
                "subsampling": Setting("4:4:4", ("4:4:4", "4:2:2", "4:2:0")),
                "tune": Setting("iq", ("iq", "ssimulacra2", *_WITHOUT_STRENGTH)),
            },
            fast={"speed": 6},
        )
        if self.settings["tune"] in _WITHOUT_STRENGTH:
            self.scales = self.scales[:1]
        self.version = f"libavif {features.version('avif')}{_codecs()}, Pillow {PIL.__version__}"
        self.location = folder_of("PIL")
        self.preview: AvifCodec | None = None
        if int(str(self.settings["speed"])) < _PREVIEW_SPEED - 2:
            self.preview = AvifCodec({**self.settings, "speed": _PREVIEW_SPEED})

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The AVIF file at a whole quality from 0 to 99 and, where the tune has one, a strength to 200."""
        advanced = {"tune": str(self.settings["tune"])}
        if "deltaq_strength" in quality:
            advanced["deltaq-strength"] = str(int(quality["deltaq_strength"]))
        return save_with_pillow(
            source,
            "AVIF",
            quality=int(quality["quality"]),
            speed=self.settings["speed"],
            subsampling=self.settings["subsampling"],
            codec="aom",
            max_threads=1,
            advanced=advanced,
        )

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels as libavif gives them."""
        return load_with_pillow(bitstream, "AVIF")


def _codecs() -> str:
    """The libraries that really code and decode, in parentheses, where this Pillow tells them."""
    from PIL import _avif

    told = getattr(_avif, "codec_versions", str)()
    return f" ({told})" if told else ""
