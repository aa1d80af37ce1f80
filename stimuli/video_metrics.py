"""MS-SSIM, VMAF-neg and XPSNR by the filters of ffmpeg, each on a video of one frame.

Both pictures go in as YUV 4:4:4 of 10 bits, BT.709, in the range of video (Y from 64 to 940), because VMAF's
model was trained on that range and the peak of XPSNR is that of the sample's depth. Chroma is not
subsampled, so nothing but the codec lowers a value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import numpy as np

from stimuli.colour import Plane, YuvFormat, raw_bytes, rgb_to_planes
from stimuli.errors import MetricError
from stimuli.ffmpeg import find_ffmpeg, run_ffmpeg
from stimuli.pictures import Pixels
from stimuli.programs import ProgramError

#: Counts the changes of this file that change values.
_REVISION = 1
_FORMAT = YuvFormat("444", 10)
#: Seconds for one call; a picture of 80 million pixels takes one minute.
_TIMEOUT = 900.0
_PICTURE, _REFERENCE = "picture.yuv", "reference.yuv"
_VMAF = "vmaf_v0.6.1neg"


def video_metric_version(name: str) -> str:
    """What a value depends on: ffmpeg's version, the model and this file."""
    model = f", {_VMAF}" if name == "vmaf_neg" else ""
    return f"{find_ffmpeg().version}{model}, revision {_REVISION}"


def video_metrics(reference: Pixels, picture: Pixels, names: Sequence[str]) -> dict[str, float]:
    """The named ones of `ms_ssim`, `vmaf_neg` and `xpsnr`; raises MetricError when ffmpeg fails.

    XPSNR may be infinite. The pictures must have the sides that `stimuli.metrics` demands.
    """
    height, width = picture.shape[:2]
    found: dict[str, float] = {}
    if set(names) & {"ms_ssim", "vmaf_neg"}:
        files = {_PICTURE: _yuv(picture, height), _REFERENCE: _yuv(reference, height)}
        feature = ":feature='name=float_ms_ssim'" if "ms_ssim" in names else ""
        options = f"log_fmt=json:n_threads=1:model='version={_VMAF}'{feature}"
        written = _filtered(f"libvmaf=log_path=%s:{options}", (_PICTURE, _REFERENCE), files, width, height)
        found |= _read(written, _libvmaf_values)
    if "xpsnr" in names:
        # The order of its inputs is the reverse: the weights are those of the first.
        lines = _xpsnr_lines(width, height)
        files = {_PICTURE: _yuv(picture, lines), _REFERENCE: _yuv(reference, lines)}
        written = _filtered("xpsnr=stats_file=%s", (_REFERENCE, _PICTURE), files, width, lines)
        found |= _read(written, _xpsnr_value)
    return {name: found[name] for name in names}


def _filtered(graph: str, inputs: tuple[str, str], files: dict[str, bytes], width: int, height: int) -> bytes:
    """What a filter of two inputs writes into its log; the frames themselves go nowhere."""
    raw = ("-f", "rawvideo", "-pix_fmt", _FORMAT.pix_fmt, "-s", f"{width}x{height}", "-r", "1")
    arguments = [word for name in inputs for word in (*raw, "-i", name)]
    log = "values.log"
    try:
        return run_ffmpeg(
            [*arguments, "-lavfi", graph % log, "-frames:v", "1", "-f", "null"],
            files,
            log,
            timeout=_TIMEOUT,
        )
    except ProgramError as error:
        raise MetricError(graph.partition("=")[0], f"failed: {error}") from None


def _read(written: bytes, values: Callable[[str], dict[str, float]]) -> dict[str, float]:
    text = written.decode(errors="replace")
    try:
        return values(text)
    except (ValueError, LookupError, TypeError):
        raise MetricError("ffmpeg", f"wrote something else than values: {text[:80]!r}") from None


def _libvmaf_values(text: str) -> dict[str, float]:
    (frame,) = json.loads(text)["frames"]
    names = {"ms_ssim": "float_ms_ssim", "vmaf_neg": "vmaf"}
    return {name: float(frame["metrics"][key]) for name, key in names.items() if key in frame["metrics"]}


def _xpsnr_value(text: str) -> dict[str, float]:
    """The least of the three planes, which is the one number that the filter's documentation asks for."""
    # n:    1  XPSNR y: 39.3338  XPSNR u: 48.0668  XPSNR v: 47.2732
    words = text.splitlines()[0].split()
    values = [float(words[words.index(plane) + 1]) for plane in ("y:", "u:", "v:")]
    if any(math.isnan(value) for value in values):
        raise ValueError
    return {"xpsnr": min(values)}


def _xpsnr_lines(width: int, height: int) -> int:
    """The height at which XPSNR is measured: the picture's, or one line more.

    The filter sees a last row of blocks that is one line high as 7 to 12 dB worse than it is. Its blocks have
    this side (Helmrich 2020: 128 pixels at 3840x2160, in steps of 4).
    """
    lines = height
    while (block := 4 * int(32 * math.sqrt(width * lines / (3840 * 2160)) + 0.5)) and lines % block == 1:
        lines += 1
    return lines


def _yuv(pixels: Pixels, lines: int) -> bytes:
    """One picture as raw samples: the planes of `stimuli.colour`, squeezed into the range of video.

    Its last line is repeated up to the number of `lines`.
    """
    padded = np.pad(pixels, ((0, lines - len(pixels)), (0, 0), (0, 0)), mode="edge")
    y, cb, cr = rgb_to_planes(padded, _FORMAT)
    middle = 1 << (_FORMAT.bits - 1)
    cb, cr = (_squeezed(plane, middle, middle, 896) for plane in (cb, cr))
    return raw_bytes((_squeezed(y, 0, 64, 876), cb, cr))


def _squeezed(plane: Plane, zero: int, to: int, span: int) -> Plane:
    """Samples whose `zero` becomes `to` and whose whole range becomes `span`; halves are rounded up."""
    whole = _FORMAT.largest
    scaled = (2 * span * (plane.astype(np.int64) - zero) + whole) // (2 * whole)
    return (scaled + to).astype(_FORMAT.dtype)
