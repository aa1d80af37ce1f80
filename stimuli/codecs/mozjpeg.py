"""MozJPEG through jpeglib, with a quality that need not be a whole number."""

from __future__ import annotations

import importlib.metadata
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


class MozJpegCodec:
    """MozJPEG's own choices: its tables, trellis quantisation, scans chosen by their size, ringing damped.

    Other bindings take whole qualities only, half a step of which is more than 1 % of the size; this one
    takes tables, so that they can be scaled by a real quality.
    """

    name = "mozjpeg"
    extension = "jpg"
    scales = (Scale("quality", 1, 100, 0.03125, start=50, slope=0.022),)

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
        # Pillow decodes, hence its library is part of what a picture hangs on.
        self.version = f"MozJPEG 4.0.3, jpeglib {own}, libjpeg-turbo {features.version('libjpeg_turbo')}"

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The JPEG file at a quality from 1 to 100."""
        import jpeglib

        jpeglib.version.set(_LIBRARY)
        table = np.reshape(quantisation_table(_ROBIDOUX, quality["quality"]), (8, 8)).astype(np.uint16)
        picture = jpeglib.from_spatial(np.ascontiguousarray(source))
        picture.samp_factor = (_SAMPLING[str(self.settings["subsampling"])], (1, 1), (1, 1))
        # The library writes files only.
        with working_folder() as folder:
            path = folder / "picture.jpg"
            picture.write_spatial(
                str(path),
                qt=np.stack([table, table]),
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
