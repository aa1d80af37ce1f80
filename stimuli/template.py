"""The commented study.toml that `matchrate init` writes."""

from __future__ import annotations

import re
from pathlib import Path

from stimuli.errors import TemplateError
from stimuli.files import write_atomic

_TEMPLATE = '''\
# A study of Matchrate. Put the original pictures into sources/, change what follows, then run:
#   matchrate check .    tells everything that is wrong with this file or the pictures
#   matchrate encode .   encodes every picture with every codec at every target

name = "@NAME@"
title = "@NAME@"
question = "Which of the two pictures is closer to the original?"
instructions = """
You will see an original picture and two compressed versions of it in the same place.
Switch between them as often as you like, then choose the version that is closer to the original.
"""

# Rate points in bits per pixel of the whole file. Spread them at least three times the savings that you
# expect the best codec to have: `matchrate check` says which to add.
targets = [0.16, 0.4, 1.0]
expected_savings = 2
# How far a file may miss its target: 0.01 is 1 %. What misses is left out for all codecs at that source and
# rate point, unless allow_mismatch is true.
tolerance = 0.01
allow_mismatch = false
# What a target means: "each" source meets it; or the whole set does, with one quality for all; or targets are
# shares of the rate that a codec below takes at a quality.
# match = "set-mean"
# match = "avif quality 60"
# Bits of the "file", or of its "payload" without the container.
# rate = "payload"
# Objective metrics of every stimulus: "psnr" and "ssimulacra2" without this line.
# metrics = ["psnr", "ssimulacra2", "ms_ssim", "vmaf_neg", "xpsnr"]
# Quicker settings for every codec that has them, for a trial.
# fast = true

# Trials that one rater answers in one sitting.
session_length = 40
# Everything that is drawn at random is drawn from this number.
seed = 1
# Processes that encode (without this line, one a processor), seconds for one encode, MB for one process.
# workers = 2
# timeout = 1800
# memory = 4000

[sources]
folder = "sources"               # PNG, TIFF, PPM or JPEG; or: files = ["a.png", "b.tif"]
# dataset = "kodak"              # the collection, a column of the results
# At most this much of a picture is shown, so that it fits beside the original on a laptop; the whole picture
# is still encoded.
show = [640, 512]
# place = "centre"               # or "random", drawn from the seed
# [sources.crops]                # or said picture by picture: left, top, width, height
# kodim01 = [100, 0, 512, 512]

# [sources.targets]              # rates of its own for a source, one at each of the targets
# kodim01 = [0.4, 0.8, 1.6]

[pairing]
same_rate = true                 # two codecs at one rate point
adjacent_within = true           # one codec at neighbouring rate points
adjacent_across = true           # two codecs at neighbouring rate points
include_reference = false        # the original as a hidden condition

# Each codec has a name of its own, and a family (the name, when left out). `matchrate codecs` lists them with
# their settings. A codec may have targets of its own.
[[codecs]]
name = "jpeg"
subsampling = "4:2:0"

[[codecs]]
name = "webp"

[[codecs]]
name = "avif"
speed = 4                        # 0 is slow and small, 10 fast and large; 2 when left out

# [[codecs]]
# name = "heic"                  # `make install` brought its library; else: pip install pillow-heif

# [[codecs]]
# name = "jpegxl"                # `make install` brought its library; else: pip install pillow-jxl-plugin
# effort = 9
# targets = [0.25, 0.5]

# [[codecs]]
# name = "vvc"                   # `make install` brought its library; else: pip install imageio-ffmpeg
# preset = "medium"              # "slower" when left out, six times as slow

# [[codecs]]
# name = "av2"                   # a recipe: its programs avmenc and avmdec are looked for on PATH

# [[codecs]]
# name = "mine"                  # your own program
# family = "command"
# encode = ["./mycodec", "enc", "{input}", "{output}", "-q", "{quality}"]
# decode = ["./mycodec", "dec", "{input}", "{output}"]
# quality = { range = [0, 63], step = 1, direction = "down" }
# version = "1.0"

# [[codecs]]
# name = "published"             # pictures that somebody else decoded, and bpp.csv: source,codec,bpp
# family = "reconstructions"
# folder = "reconstructions"
# pattern = "{source}/{codec}.png"
# table = "bpp.csv"
# crop = true                    # another size than the source by a border: compare the common part
# optional = true                # a missing picture leaves no source out for the other codecs
'''


def write_template(folder: Path) -> Path:
    """Write a commented study.toml and an empty sources/ into a folder; gives the path of the study.toml.

    Raises TemplateError when the folder already has a study.toml or cannot be written.
    """
    file = folder / "study.toml"
    if file.exists():
        raise TemplateError(file, "exists already; it is left as it is, name another folder")
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", folder.resolve().name).strip(".-_") or "my-study"
    try:
        (folder / "sources").mkdir(parents=True, exist_ok=True)
        write_atomic(file, _TEMPLATE.replace("@NAME@", name).encode())
    except OSError as error:
        raise TemplateError(folder, f"cannot be written ({error.strerror or error})") from None
    return file
