"""AV1 still pictures through ffmpeg: SVT-AV1 and dav1d, without a container."""

from __future__ import annotations

from collections.abc import Mapping

from stimuli.codecs.base import Pixels, Scale, Setting, resolve_settings
from stimuli.codecs.ffmpeg_still import Still, check_params, encoder_version, library_params
from stimuli.colour import YuvFormat
from stimuli.ffmpeg import find_ffmpeg

_TUNES = {"vq": 0, "psnr": 1, "ssim": 2, "iq": 3, "ms_ssim": 4}
_PREVIEW_PRESET = 4
# Met in version 4.2: at an offset of 16 of the luma's, the picture of a decoder lost 5 dB.
_BROKEN = dict.fromkeys(
    (
        "luma-y-dc-qindex-offset",
        *(f"chroma-{plane}-{kind}-qindex-offset" for plane in "uv" for kind in ("dc", "ac")),
    ),
    "this encoder's own picture does not follow it, so that decoders show another",
)


class SvtAv1Codec:
    """SVT-AV1 in its still-picture mode on one thread; it codes 4:2:0 alone.

    `crf` goes in quarters, of about 1.5 % in size; at 0 it is lossless coding, another codec. The fine scale
    is the weight of rate against distortion in the encoder's choices, in 1/128: it leaves the quantiser
    alone, and moves the size the less the faster the preset.
    """

    name = "svtav1"
    extension = "obu"
    scales = (
        Scale("crf", 0.25, 70, 0.25, increasing=False, start=40, slope=0.06),
        Scale("lambda_scale", 48, 384, 1, increasing=False, start=128, slope=0.0012, reach=(0.06, 0.2)),
    )

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = resolve_settings(
            settings,
            {
                "preset": Setting(0, low=-1, high=13),
                "chroma": Setting("4:2:0", ("4:2:0",)),
                "bits": Setting(10, (10, 8)),
                "tune": Setting("iq", tuple(_TUNES)),
                "params": Setting(""),
            },
            fast={"preset": 8},
        )
        options = self._options({scale.name: scale.first for scale in self.scales})
        ffmpeg = find_ffmpeg(self.name)
        self.version = encoder_version(ffmpeg, "libsvtav1", self.name)
        self.location = str(ffmpeg.path)
        format = YuvFormat("420", 10 if self.settings["bits"] == 10 else 8)
        self._still = Still(ffmpeg, format, "libsvtav1", "libdav1d", "obu")
        check_params(self._still, self.settings["params"], options)
        self.preview: SvtAv1Codec | None = None
        if int(str(self.settings["preset"])) < _PREVIEW_PRESET:
            self.preview = SvtAv1Codec({**self.settings, "preset": _PREVIEW_PRESET})

    def encode(self, source: Pixels, quality: Mapping[str, float]) -> bytes:
        """The bare OBUs at a crf from 0.25 to 70 and a lambda_scale from 48 to 384; raises ProgramError."""
        return self._still.encode(source, self._options(quality))

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels of dav1d's samples, upsampled by us; raises ProgramError."""
        return self._still.decode(bitstream)

    def _options(self, quality: Mapping[str, float]) -> tuple[str, ...]:
        pinned = {
            "crf": f"{quality['crf']:g}",
            "avif": 1,
            "lp": 1,
            "tune": _TUNES[str(self.settings["tune"])],
            "lambda-scale-factors": int(quality["lambda_scale"]),
        }
        params = library_params(self.settings["params"], pinned, _BROKEN)
        return ("-preset", str(self.settings["preset"]), "-svtav1-params", params)
