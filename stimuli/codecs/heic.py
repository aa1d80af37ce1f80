"""HEIC (HEVC) through pillow-heif, x265 and libde265."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from stimuli.codecs.base import Pixels, Scale, Setting, folder_of, resolve_settings, to_image
from stimuli.errors import CodecNotInstalledError


class HeicCodec:
    """x265 on one thread, one tile.

    libheif maps the quality to whole quantiser steps of about 13 % in size, two units of quality each, so
    the strength of adaptive quantisation is the fine scale; 1 is x265's own default, and 0 that of its tune
    for PSNR. Towards 0 the file grows by up to 16 % at low rates; at high rates it grows towards 2 instead.
    There is no 4:2:2, whose colours libheif moves sideways by half a pixel.
    """

    name = "heic"
    extension = "heic"
    scales: tuple[Scale, ...] = (
        Scale("quality", 0, 100, 2, start=38, slope=0.048),
        Scale(
            "aq_strength", 0, 2, 0.02, increasing=False, start=1, slope=0.22, reach=(0.15, 0.25), turns=True
        ),
    )

    def __init__(self, settings: Mapping[str, object]) -> None:
        try:
            import pillow_heif
        except ImportError:
            raise CodecNotInstalledError(
                "heic", "run `make install` in the clone, or: pip install pillow-heif"
            ) from None
        self.settings = resolve_settings(
            settings,
            {
                "chroma": Setting("4:4:4", ("4:4:4", "4:2:0")),
                "preset": Setting(
                    "slower",
                    ("ultrafast", "veryfast", "faster", "fast", "medium", "slow", "slower", "placebo"),
                ),
                "tune": Setting("ssim", ("psnr", "ssim", "grain")),
            },
            fast={"preset": "medium"},
        )
        if self.settings["tune"] == "psnr":
            # What sets this tune apart is that it begins without adaptive quantisation.
            coarse, fine = self.scales
            self.scales = (coarse, replace(fine, start=0, reach=(0.25, 0.02)))
        info = pillow_heif.libheif_info()
        if not info["HEIF"]:
            raise CodecNotInstalledError("heic", "this pillow-heif has no HEVC encoder: install its wheel")
        self.version = f"{info['HEIF']}, libheif {info['libheif']}, pillow-heif {pillow_heif.__version__}"
        self.location = folder_of("pillow_heif")

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The HEIC file at an even quality from 0 to 100 and an aq_strength from 0 to 2."""
        import io

        import pillow_heif

        buffer = io.BytesIO()
        image = pillow_heif.from_pillow(to_image(source))
        image.save(
            buffer,
            quality=int(quality["quality"]),
            chroma=str(self.settings["chroma"]).replace(":", ""),
            # Without a fixed size, pillow-heif may cut a large picture into tiles that are coded apart.
            tile_size=0,
            enc_params={
                "preset": self.settings["preset"],
                "tune": self.settings["tune"],
                "x265:aq-strength": f"{quality['aq_strength']:g}",
                # The wavefronts of a thread pool change the bits with the number of processors.
                "x265:pools": "none",
                "x265:frame-threads": "1",
            },
        )
        return buffer.getvalue()

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels as libde265 and libheif give them."""
        import pillow_heif

        pillow_heif.options.DECODE_THREADS = 1
        image = pillow_heif.open_heif(bitstream, convert_hdr_to_8bit=True)
        return np.asarray(image.to_pillow().convert("RGB"))
