"""Published reconstructions beside every wheel codec in one study, from study.toml to a BD-rate table.

python benchmarks/codec_study.py RECONSTRUCTIONS --folder codec-study

RECONSTRUCTIONS holds a folder a scene, each with reference.png and a PNG a codec, and bpp.csv with the
columns source, codec and bpp. The codecs of the wheels are matched to shares of the rate of one of those
codecs, scene by scene. Raters are simulated, and labelled so. Each command is printed, for anybody to type.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import subprocess
import sys
from pathlib import Path

CODECS = ("jpeg", "mozjpeg", "webp", "jpeg2000", "jpegxl", "avif", "av1", "svtav1", "heic", "vvc")
SHARES = (0.5, 1.0, 2.0, 4.0)


def write_study(given: argparse.Namespace) -> None:
    """study.toml in the folder; its pictures stay where they are."""
    place = given.reconstructions.resolve()
    with (place / "bpp.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    scenes = sorted({row["source"] for row in rows})
    published = sorted({row["codec"] for row in rows})
    lacking = {
        codec: len(scenes) - len({row["source"] for row in rows if row["codec"] == codec})
        for codec in published
    }
    parts = [
        'name = "codec-study"',
        f"targets = {list(SHARES)}",
        f'match = "{given.match}"',
        f"fast = {str(given.fast).lower()}",
        # A miss leaves its scene out for all codecs, and there are few scenes.
        "tolerance = 0.02",
        "",
    ]
    for scene in scenes:
        picture = (place / scene / "reference.png").as_posix()
        parts += ["[[sources]]", f'name = "{scene}"', f'file = "{picture}"', "show = [640, 512]", ""]
    for codec in published:
        name = f"{codec}-published" if codec in CODECS else codec
        parts += ["[[codecs]]", f'name = "{name}"', 'family = "reconstructions"', f'codec = "{codec}"']
        parts += [f'folder = "{place.as_posix()}"', "targets = [1.0]", "crop = true"]
        parts += ["optional = true", ""] if lacking[codec] else [""]
    for codec in CODECS:
        parts += ["[[codecs]]", f'name = "{codec}"', ""]
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "study.toml").write_text("\n".join(parts), encoding="utf-8")


def main() -> int:
    """Write the study and run the commands; the status of the first that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("reconstructions", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("codec-study"))
    parser.add_argument("--match", default="pico", help="whose rates are shared")
    parser.add_argument("--anchor", default="vvc")
    parser.add_argument("--fast", action="store_true", help="the fast presets of all codecs")
    given = parser.parse_args()
    write_study(given)
    folder = str(given.folder)
    for words in (
        ["check", folder],
        ["encode", folder],
        ["verify", folder],
        ["rd", folder, "--anchor", given.anchor],
        ["simulate", folder],
        ["analyze", folder, "--anchor", given.anchor, "--include-simulated"],
    ):
        print(f"$ matchrate {shlex.join(words)}", flush=True)
        done = subprocess.run([sys.executable, "-m", "study_app", *words], check=False)
        if done.returncode != 0:
            return done.returncode
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
