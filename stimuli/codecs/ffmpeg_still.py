"""What the families that run through ffmpeg share: raw samples in, a bare bitstream, and back.

ffmpeg only carries samples here: `stimuli.colour` makes and reads them, and swscale never converts.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stimuli.codecs.base import Pixels
from stimuli.colour import YuvFormat, raw_bytes, rgb_to_planes, y4m_format, y4m_pixels
from stimuli.errors import CodecNotInstalledError, CodecSettingsError
from stimuli.ffmpeg import REMEDY, Ffmpeg, run_ffmpeg
from stimuli.programs import ProgramError

# How the samples are to be read, for the bitstream to say so too.
_COLOUR = (
    *("-color_range", "pc", "-colorspace", "bt709", "-color_primaries", "bt709"),
    *("-color_trc", "iec61966-2-1", "-chroma_sample_location", "left"),
)
# Where each encoder says its version, in the log of an encode.
_VERSIONS = {
    "libaom-av1": ("libaom", r"\[libaom-av1 @ [^\]]*\] v?(\d\S*)"),
    "libsvtav1": ("SVT-AV1", r"SVT-AV1 Encoder Lib v?(\S+)"),
    "libvvenc": ("vvenc", r"libvvenc version: v?(\S+)"),
}


@dataclass(frozen=True, slots=True)
class Still:
    """One picture through one encoder and one decoder of ffmpeg, as a bare bitstream."""

    ffmpeg: Ffmpeg
    format: YuvFormat
    encoder: str
    decoder: str
    muxer: str

    def encode(self, source: Pixels, options: Sequence[str]) -> bytes:
        """The bitstream of a picture, encoded with these options of the encoder; raises ProgramError."""
        height, width = source.shape[:2]
        return run_ffmpeg(
            (
                *("-f", "rawvideo", "-pix_fmt", self.format.pix_fmt, "-s", f"{width}x{height}", "-r", "1"),
                *(*_COLOUR, "-i", "source.yuv", "-c:v", self.encoder, *options),
                *("-frames:v", "1", "-f", self.muxer),
            ),
            {"source.yuv": raw_bytes(rgb_to_planes(source, self.format))},
            "bitstream",
            ffmpeg=self.ffmpeg,
        )

    def decode(self, bitstream: bytes) -> Pixels:
        """The pixels of a bitstream; raises ProgramError, also for samples of another format than encoded."""
        data = run_ffmpeg(
            # Without -pix_fmt: what the decoder gives is what is written, and the file says what it is.
            (
                *("-f", self.muxer, "-c:v", self.decoder, "-i", "bitstream"),
                *("-frames:v", "1", "-strict", "-1", "-f", "yuv4mpegpipe"),
            ),
            {"bitstream": bitstream},
            "decoded.y4m",
            ffmpeg=self.ffmpeg,
        )
        try:
            if (found := y4m_format(data)) != self.format:
                wanted = self.format.pix_fmt
                raise ProgramError(f"the bitstream holds {found.pix_fmt} samples, and {wanted} were encoded")
            return y4m_pixels(data)
        except ValueError as error:
            raise ProgramError(f"ffmpeg decoded to {error}") from None


def padded(pixels: Pixels, multiple: int, least: int) -> Pixels:
    """The picture with its last column and row repeated, to sizes that are multiples and at least `least`."""
    rows, columns = (
        max(-(-side // multiple) * multiple, least) - side for side in (pixels.shape[0], pixels.shape[1])
    )
    return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge") if rows or columns else pixels


def library_params(
    given: object, pinned: Mapping[str, object], broken: Mapping[str, str] | None = None
) -> str:
    """`key=value:key=value` for an encoder: the pinned ones, and then what the setting `params` adds.

    Raises CodecSettingsError for text of another form, for keys that are pinned, and for broken ones with
    their reason.
    """
    refused = dict.fromkeys(
        (name.lower() for name in (*pinned, *_ALWAYS_PINNED)), "this family sets it itself"
    )
    refused |= broken or {}
    text = str(given)
    parts = text.split(":") if text else []
    for part in parts:
        key, equals, value = part.partition("=")
        if (
            not equals
            or not re.fullmatch(r"[A-Za-z][\w-]*", key)
            or not re.fullmatch(r"[\w.+,\[\]-]+", value)
        ):
            raise CodecSettingsError("params", f"must be key=value:key=value, got {text!r}")
        if reason := refused.get(key.lower().replace("_", "-")):
            raise CodecSettingsError("params", f"cannot set {key}: {reason}")
    return ":".join((*(f"{key}={value}" for key, value in pinned.items()), *parts))


# Threads and tiles change the bits, and passes and files have no place in one still picture. Speeds, the
# quantiser and its bounds, and what the samples mean are settings or scales, and would belie them.
_ALWAYS_PINNED = (
    *("threads", "row-mt", "lp", "level-of-parallelism", "maxparallelframes", "wavefrontsynchro", "pin"),
    *("tile-columns", "tile-rows", "tiles", "passes", "pass", "stats", "rcstatsfile", "verbosity"),
    *("cq-level", "crf", "qp", "rc", "end-usage", "target-bitrate", "tbr", "targetbitrate"),
    *("q", "min-qp", "max-qp", "use-q-file", "lossless", "perceptqpa", "mtprofile", "cpu-used", "preset"),
    *("color-range", "internalbitdepth", "hdr"),
    *("limit", "bitstreamfile", "reconfile", "inputfile", "additional"),
)


@lru_cache
def encoder_version(ffmpeg: Ffmpeg, encoder: str, family: str) -> str:
    """Version of the library and of ffmpeg; raises CodecNotInstalledError when ffmpeg lacks the encoder."""
    name, pattern = _VERSIONS[encoder]
    try:
        failed, log = _trial(ffmpeg, encoder, (), "debug")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CodecNotInstalledError(family, f"{ffmpeg.path} cannot be run ({error}); {REMEDY}") from None
    if failed:
        raise CodecNotInstalledError(
            family, f"this {ffmpeg.version} cannot run {encoder}; {REMEDY} --upgrade"
        )
    found = re.search(pattern, log)
    return f"{name} {found[1]}, {ffmpeg.version}" if found else f"{encoder}, {ffmpeg.version}"


def check_params(still: Still, params: object, options: Sequence[str]) -> None:
    """Try the options that a setting `params` made; raises CodecSettingsError with the encoder's own words.

    SVT-AV1 goes on without a key that it does not know, so a warning counts as a refusal.
    """
    if not params:
        return
    failed, log = _trial(still.ffmpeg, still.encoder, options, "warning")
    if failed or "Error parsing option" in log:
        found = re.search(r"(?:\[lib[\w-]+ @ [^\]]*\]|Svt\[error\]:|Parameter Check Error:)\s*(.+)", log)
        reason = found[1].strip() if found else "it gives no reason"
        raise CodecSettingsError("params", f"{params!r} is refused by {still.encoder}: {reason}")


def _trial(ffmpeg: Ffmpeg, encoder: str, options: Sequence[str], level: str) -> tuple[bool, str]:
    """Whether an encode of 64x64 grey failed, and what was logged."""
    source = "color=size=64x64:rate=1:duration=1,format=yuv420p10le"
    done = subprocess.run(
        (
            *(str(ffmpeg.path), "-nostdin", "-hide_banner", "-loglevel", level, "-f", "lavfi", "-i", source),
            *("-c:v", encoder, *options, "-threads", "1", "-frames:v", "1", "-f", "null", "-"),
        ),
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    return done.returncode != 0, done.stderr.decode(errors="replace")
