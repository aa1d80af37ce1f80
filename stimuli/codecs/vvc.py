"""VVC (H.266) intra pictures through ffmpeg: vvenc, and ffmpeg's own decoder."""

from __future__ import annotations

import math
from collections.abc import Mapping

from stimuli.codecs.base import Pixels, Scale, Setting, resolve_settings
from stimuli.codecs.ffmpeg_still import Still, check_params, encoder_version, library_params, padded
from stimuli.colour import YuvFormat
from stimuli.ffmpeg import find_ffmpeg
from stimuli.programs import ProgramError

_PRESETS = ("faster", "fast", "medium", "slow", "slower")
_PREVIEWED = {"slow": "fast", "slower": "fast", "medium": "fast"}
#: The narrowest picture that vvenc takes, with a margin.
_LEAST = 16
#: Even noise takes less than 8 bits a pixel above.
_AMPLE_QP = 20


class VvcCodec:
    """vvenc, one intra picture on one thread; it takes 4:2:0 of 10 bits alone, and even sizes.

    `qp` is the quantiser of the picture itself (vvenc would lower it by 3 for intra pictures); a step is
    about 12 % in size. The range ends at 8, because ffmpeg leaves vvenc room for 8 bits a pixel. The fine
    scale is vvenc's factor of the Lagrangian of intra pictures, x 1.05 of which takes about 1.3 % off.
    """

    name = "vvc"
    extension = "266"
    padding = 2
    scales = (
        Scale("qp", 8, 63, 1, increasing=False, start=32, slope=0.125),
        Scale(
            "lambda_modifier",
            0.5,
            2,
            math.log(2) / 64,
            increasing=False,
            log=True,
            start=1,
            slope=0.25,
            reach=(0.2, 0.17),
        ),
    )

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = resolve_settings(
            settings,
            {
                "preset": Setting("slower", _PRESETS),
                "chroma": Setting("4:2:0", ("4:2:0",)),
                "bits": Setting(10, (10,)),
                "qpa": Setting(False),
                "params": Setting(""),
            },
            fast={"preset": "faster"},
        )
        options = self._options({scale.name: scale.first for scale in self.scales})
        ffmpeg = find_ffmpeg(self.name)
        self.version = encoder_version(ffmpeg, "libvvenc", self.name)
        self.location = str(ffmpeg.path)
        self._still = Still(ffmpeg, YuvFormat("420", 10), "libvvenc", "vvc", "vvc")
        check_params(self._still, self.settings["params"], options)
        faster = _PREVIEWED.get(str(self.settings["preset"]))
        self.preview = None if faster is None else VvcCodec({**self.settings, "preset": faster})

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The Annex B byte stream at a whole qp from 8 to 63 and a lambda_modifier from 0.5 to 2.

        Raises ProgramError.
        """
        try:
            return self._still.encode(padded(source, self.padding, _LEAST), self._options(quality))
        except ProgramError as error:
            if quality["qp"] > _AMPLE_QP:
                raise
            raise ProgramError(
                f"{error}; this qp may need more than the 8 bits a pixel it has room for"
            ) from None

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels of the decoded samples, padding included, upsampled by us; raises ProgramError."""
        return self._still.decode(bitstream)

    def _options(self, quality: Mapping[str, float]) -> tuple[str, ...]:
        pinned = {
            "IntraPeriod": 1,
            "GOPSize": 1,
            "AccessUnitDelimiter": 0,
            "IntraQPOffset": 0,
            # ffmpeg does not hand its own option on, and the stream would say limited range.
            "VideoFullRange": 1,
            "LambdaModifierI": f"{quality['lambda_modifier']:g}",
        }
        return (
            *("-preset", str(self.settings["preset"]), "-qp", str(int(quality["qp"]))),
            *("-qpa", "1" if self.settings["qpa"] else "0"),
            *("-vvenc-params", library_params(self.settings["params"], pinned)),
        )
