"""AV1 still pictures at full chroma through ffmpeg: libaom and dav1d, without a container."""

from __future__ import annotations

from collections.abc import Mapping

from stimuli.codecs.base import Pixels, Scale, Setting, resolve_settings
from stimuli.codecs.ffmpeg_still import Still, check_params, encoder_version, library_params
from stimuli.colour import YuvFormat
from stimuli.ffmpeg import find_ffmpeg

#: The speed of the preview, and the slowest one that needs none.
_PREVIEW_SPEED = 6


class Av1Codec:
    """libaom in its all-intra mode on one thread, one tile, one picture.

    `crf` moves the size by about 6 % a step, so the strength with which the quantiser follows the picture
    (about 0.15 % a unit) is the fine scale; 100 is libaom's own default. At 0, `crf` is lossless coding,
    another codec, and the range begins at 1. Without `deltaq_mode` there is no fine scale.
    """

    name = "av1"
    extension = "obu"

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = resolve_settings(
            settings,
            {
                "speed": Setting(2, low=0, high=8),
                "chroma": Setting("4:4:4", ("4:4:4", "4:2:0")),
                "bits": Setting(10, (10, 8)),
                "tune": Setting("iq", ("iq", "ssimulacra2", "ssim", "psnr")),
                "deltaq_mode": Setting(6, (0, 2, 3, 6)),
                "params": Setting(""),
            },
            fast={"speed": 8},
        )
        self.scales: tuple[Scale, ...] = (Scale("crf", 1, 63, 1, increasing=False, start=40, slope=0.06),)
        if self.settings["deltaq_mode"]:
            self.scales += (Scale("deltaq_strength", 0, 200, 1, start=100, slope=0.0015, reach=(0.2, 0.09)),)
        options = self._options({scale.name: scale.first for scale in self.scales})
        ffmpeg = find_ffmpeg(self.name)
        self.version = encoder_version(ffmpeg, "libaom-av1", self.name)
        self.location = str(ffmpeg.path)
        format = YuvFormat(
            "444" if self.settings["chroma"] == "4:4:4" else "420", 10 if self.settings["bits"] == 10 else 8
        )
        self._still = Still(ffmpeg, format, "libaom-av1", "libdav1d", "obu")
        check_params(self._still, self.settings["params"], options)
        self.preview: Av1Codec | None = None
        if int(str(self.settings["speed"])) < _PREVIEW_SPEED:
            self.preview = Av1Codec({**self.settings, "speed": _PREVIEW_SPEED})

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The bare OBUs at a whole crf from 1 to 63 and a strength from 0 to 200; raises ProgramError."""
        return self._still.encode(source, self._options(quality))

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels of dav1d's samples; raises ProgramError."""
        return self._still.decode(bitstream)

    def _options(self, quality: Mapping[str, float]) -> tuple[str, ...]:
        # The tune comes first, because it sets the rest to its own choice.
        pinned = {"tune": self.settings["tune"], "deltaq-mode": self.settings["deltaq_mode"]}
        if "deltaq_strength" in quality:
            pinned["deltaq-strength"] = int(quality["deltaq_strength"])
        return (
            *("-usage", "allintra", "-still-picture", "1", "-cpu-used", str(self.settings["speed"])),
            *("-crf", str(int(quality["crf"])), "-b:v", "0", "-row-mt", "0", "-tiles", "1x1"),
            *("-aom-params", library_params(self.settings["params"], pinned)),
        )
