"""JPEG 2000 through Pillow and OpenJPEG, steered by a compression ratio."""

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

_BLOCKS = ((64, 64), (64, 32), (32, 64), (32, 32))


class Jpeg2000Codec:
    """OpenJPEG's rate mode with the irreversible transform.

    The mode meets a ratio nearly at once on large pictures. On pictures of a few kilobytes its choice of
    truncation points jumps by up to 5 %, and there smaller code blocks give other points: the fine scale is
    the index of the block's shape (0 for 64x64, the default, 1 for 64x32, 2 for 32x64, 3 for 32x32), which
    costs at most about 1 % of the size.
    """

    name = "jpeg2000"
    extension = "jp2"
    scales = (
        Scale("ratio", 2, 2400, 0.002, increasing=False, log=True, start=48, slope=1.0),
        Scale("block", 0, 3, 1, start=0, slope=0.003),
    )

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = resolve_settings(settings, {"irreversible": Setting(True)}, fast={})
        self.version = f"OpenJPEG {features.version('jpg_2000')}, Pillow {PIL.__version__}"
        self.location = folder_of("PIL")

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The JP2 file at 24 bpp over `ratio`."""
        return save_with_pillow(
            source,
            "JPEG2000",
            quality_mode="rates",
            quality_layers=[quality["ratio"]],
            codeblock_size=_BLOCKS[int(quality["block"])],
            mct=1,
            **self.settings,
        )

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels as OpenJPEG gives them."""
        return load_with_pillow(bitstream, "JPEG2000")
