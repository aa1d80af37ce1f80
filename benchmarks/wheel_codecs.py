"""One study of every codec that installs from wheels, encoded twice: figures a codec, and one manifest.

python benchmarks/wheel_codecs.py --extra-sources ../pictures --targets 0.15 0.25 0.4 0.7

Sources are the demo's photographs, which ship in wheels, and the pictures that are given. The study is
encoded with --workers processes and once more, in a folder of its own, with one process; the two manifests
must agree in all but their times. Kept under --folder: run again to resume.
"""

from __future__ import annotations

import argparse
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from stimuli.encoding import encode_study
from stimuli.manifest import Manifest
from stimuli.study import Stimulus, read_study
from study_app.demo_study import write_demo_study

CODECS = ("jpeg", "mozjpeg", "webp", "jpeg2000", "jpegxl", "avif", "av1", "svtav1", "heic", "vvc")
#: The slower presets of vvenc cost five times as much and move the sizes by about 1 %.
SETTINGS = {"vvc": 'preset = "medium"'}


def write_study(folder: Path, extra: list[Path], targets: list[float], fast: bool) -> Path:
    """A study.toml with its sources in `folder`, where there is none yet."""
    sources = folder / "sources"
    if not (folder / "study.toml").exists():
        write_demo_study(folder)
        for path in extra:
            for picture in sorted(path.rglob("reference.png")) or sorted(path.glob("*.png")):
                name = picture.parent.name if picture.stem == "reference" else picture.stem
                shutil.copy(picture, sources / f"{name}.png")
        codecs = "\n".join(f'[[codecs]]\nname = "{name}"\n{SETTINGS.get(name, "")}\n' for name in CODECS)
        (folder / "study.toml").write_text(
            f'name = "wheel-codecs"\ntargets = {targets}\nfast = {str(fast).lower()}\nmetrics = []\n'
            f'[sources]\nfolder = "sources"\n{codecs}',
            encoding="utf-8",
        )
    return folder


def without_times(manifest: Manifest) -> Manifest:
    """The manifest as any other run must give it."""
    stimuli = tuple(replace(stimulus, encode_s=None, decode_s=None) for stimulus in manifest.stimuli)
    return replace(manifest, stimuli=stimuli)


def print_table(manifest: Manifest) -> None:
    """A row a codec and one for all."""
    by_codec: dict[str, list[Stimulus]] = defaultdict(list)
    for stimulus in manifest.stimuli:
        by_codec[stimulus.codec].append(stimulus)
    print(
        "| codec | stimuli | reachable | within 1 % | within 2 % | largest residual | encodes a stimulus "
        "| previews a stimulus | CPU s an encode |\n|---|---|---|---|---|---|---|---|---|"
    )
    for name, stimuli in [*by_codec.items(), ("all", list(manifest.stimuli))]:
        reachable = [stimulus for stimulus in stimuli if stimulus.reachable]
        residuals = [abs(stimulus.residual) for stimulus in reachable]
        print(
            f"| {name} | {len(stimuli)} | {len(reachable)} | {sum(r <= 0.01 for r in residuals)} "
            f"| {sum(r <= 0.02 for r in residuals)} | {100 * max(residuals, default=0):.2f} % "
            f"| {sum(s.encodes for s in stimuli) / len(stimuli):.2f} "
            f"| {sum(s.previews for s in stimuli) / len(stimuli):.2f} "
            f"| {sum(s.encode_s or 0 for s in stimuli) / len(stimuli):.2f} |"
        )


def main() -> int:
    """Run the benchmark; 1 when the manifests differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("wheel-codecs"))
    parser.add_argument("--extra-sources", type=Path, nargs="*", default=[], help="folders of PNG files")
    parser.add_argument("--targets", type=float, nargs="+", default=[0.15, 0.25, 0.4, 0.7], help="in bpp")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fast", action="store_true", help="the fast presets of all codecs")
    parser.add_argument("--once", action="store_true", help="do not encode a second time")
    given = parser.parse_args()
    manifests = []
    for name, workers in (("several", given.workers), ("one", 1))[: 1 if given.once else 2]:
        folder = write_study(given.folder / name, given.extra_sources, given.targets, given.fast)
        manifests.append(encode_study(read_study(folder), workers=workers))
        if len(manifests) == 1:
            machine = manifests[0].machine
            print(f"{len(manifests[0].sources)} sources, targets {given.targets} bpp, {machine.processor}")
            print_table(manifests[0])
            for stimulus in manifests[0].mismatched():
                print(stimulus.describe())
            for failure in manifests[0].failures:
                print(failure)
    if given.once:
        return 0
    same = without_times(manifests[0]) == without_times(manifests[1])
    words = "the same" if same else "NOT the same"
    print(f"{given.workers} processes and one: {words} manifest but for times")
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
