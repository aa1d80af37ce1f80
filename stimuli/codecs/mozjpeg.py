"""MozJPEG through jpeglib, with a quality that need not be a whole number."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping

import numpy as np
from PIL import features

from stimuli.codecs.base import Pixels, Scale, Setting, folder_of, load_with_pillow, resolve_settings
from stimuli.codecs.jpeg import quantisation_table
from stimuli.errors import CodecNotInstalledError
from stimuli.working_folders import working_folder

_LIBRARY = "mozjpeg403"
_REMEDY = "run: pip install jpeglib"
# Of luma, down and across.
_SAMPLING = {"4:2:0": (2, 2), "4:2:2": (1, 2), "4:4:4": (1, 1)}
# N. Robidoux's table, which MozJPEG takes for both luma and chroma by default.
_ROBIDOUX = (
    (16, 16, 16, 18, 25, 37, 56, 85),
    (16, 17, 20, 27, 34, 40, 53, 75),
    (16, 20, 24, 31, 43, 62, 91, 135),
    (18, 27, 31, 40, 53, 74, 106, 156),
    (25, 34, 43, 53, 69, 94, 131, 189),
    (37, 40, 62, 74, 94, 124, 169, 238),
    (56, 53, 91, 106, 131, 169, 226, 311),
    (85, 75, 135, 156, 189, 238, 311, 418),
)
#: Parts of a quality between which single entries change.
_PARTS = 4
#: Counts the changes of the tables here that change files.
_TABLES = 2


class MozJpegCodec:
    """MozJPEG's own choices: its tables, trellis quantisation, scans chosen by their size, ringing damped.

    Other bindings take whole qualities only, half a step of which is more than 1 % of the size; this one
    takes tables, so that they can be scaled by a real quality. Many entries of its table are equal: scaled as
    a whole they change at once, by up to 5 % in size, so between two quarters they change one by one.
    """

    name = "mozjpeg"
    extension = "jpg"
    scales = (Scale("quality", 1, 100, 1 / 1024, start=50, slope=0.022),)

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = resolve_settings(
            settings,
            {
                "subsampling": Setting("4:2:0", tuple(_SAMPLING)),
                "trellis": Setting(True),
                "overshoot_deringing": Setting(True),
            },
            # It takes some hundredths of a second as it is.
            fast={},
        )
        self.location = folder_of("jpeglib")
        if self.location is None:
            raise CodecNotInstalledError(self.name, _REMEDY)
        self._check()
        own = importlib.metadata.version("jpeglib")
        turbo = features.version("libjpeg_turbo")
        # Pillow decodes, hence its library is part of what a picture hangs on.
        self.version = f"MozJPEG 4.0.3, jpeglib {own}, tables {_TABLES}, libjpeg-turbo {turbo}"

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The JPEG file at a quality from 1 to 100."""
        import jpeglib

        jpeglib.version.set(_LIBRARY)
        picture = jpeglib.from_spatial(np.ascontiguousarray(source))
        picture.samp_factor = (_SAMPLING[str(self.settings["subsampling"])], (1, 1), (1, 1))
        # The library writes files only.
        with working_folder() as folder:
            path = folder / "picture.jpg"
            picture.write_spatial(
                str(path),
                qt=np.reshape(quantisation_tables(quality["quality"]), (2, 8, 8)).astype(np.uint16),
                dct_method=jpeglib.DCTMethod.JDCT_ISLOW,
                flags=self._flags(),
            )
            return path.read_bytes()

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels as libjpeg-turbo gives them (accurate DCT, fancy upsampling)."""
        return load_with_pillow(bitstream, "JPEG")

    def _flags(self) -> list[str]:
        def flag(setting: str, *names: str) -> list[str]:
            return [("+" if self.settings[setting] else "-") + name for name in names]

        return [
            *("+OPTIMIZE_CODING", "+OPTIMIZE_SCANS"),
            *flag("trellis", "TRELLIS_QUANT", "TRELLIS_QUANT_DC"),
            *flag("overshoot_deringing", "OVERSHOOT_DERINGING"),
        ]

    def _check(self) -> None:
        """A jpeglib that was built without MozJPEG would only be met at the first encode."""
        try:
            import jpeglib

            jpeglib.version.set(_LIBRARY)
        except Exception as error:
            raise CodecNotInstalledError(
                self.name, f"this jpeglib has no MozJPEG 4.0.3 ({error}); {_REMEDY} --force-reinstall"
            ) from None


def quantisation_tables(quality: float) -> list[list[int]]:
    """64 entries for luma and 64 for chroma: MozJPEG's own, scaled, at every quarter of a quality.

    Between two quarters each entry goes down by one at a time, evenly spread and in the order in which a
    real quality would change them; of those that it changes at once, the low frequencies come first.
    """
    part = math.floor(quality * _PARTS)
    table = quantisation_table(_ROBIDOUX, part / _PARTS)
    tables = [list(table), list(table)]
    if share := quality * _PARTS - part:
        finer = quantisation_table(_ROBIDOUX, (part + 1) / _PARTS)
        changes = [
            # The percentage below which scaling rounds this entry to one less.
            ((50 - 100 * value) / _ROBIDOUX[entry // 8][entry % 8], entry // 8 + entry % 8, entry, i)
            for i in range(len(tables))
            for entry in range(len(table))
            for value in range(table[entry], finer[entry], -1)
        ]
        for *_, entry, i in sorted(changes)[: round(share * len(changes))]:
            tables[i][entry] -= 1
    return tables
