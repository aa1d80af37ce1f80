"""What the search for a bitrate costs and how near it comes, codec by codec, beside plain bisection.

python benchmarks/matching.py --extra-sources ../pictures --targets 0.15 0.25 0.4 0.7

Sources are the demo's photographs, which ship in wheels, and the PNG files that are given. As in a study,
the first source of each codec makes the prior of the others. Every encode is real, and kept under --folder:
run again to resume. Bisection halves the coarse scale and then the fine one, each target by itself.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stimuli.codecs.base import FAST, Codec, Pixels, Scale
from stimuli.codecs.registry import make_codec
from stimuli.errors import CodecNotInstalledError, StimuliError
from stimuli.matching import Failed, FailedTry, Match, Point, Prior, match_targets, prior_from
from stimuli.parallel import run_jobs, worker_count
from stimuli.pictures import load_picture
from stimuli.tries import Try, TryCache, pixels_key, try_key
from study_app.demo_study import write_demo_study

CODECS = ("jpeg", "mozjpeg", "webp", "jpeg2000", "jpegxl", "avif", "av1", "svtav1", "heic", "vvc")
#: Settings other than a family's defaults: the slower presets of vvenc cost five times as much and move
#: the sizes by about 1 %.
SETTINGS: dict[str, dict[str, object]] = {"vvc": {"preset": "medium"}}
#: CPU seconds an encode up to which `--bisection fast` bisects.
CHEAP = 0.5
#: Encodes that bisection may spend on a target.
MOST_BISECTIONS = 40


@dataclass(frozen=True, slots=True)
class Job:
    """One source and codec, with the prior that another source made."""

    folder: Path
    source: Path
    name: str
    crop: int | None
    family: str
    fast: bool
    targets: tuple[float, ...]
    tolerance: float
    prior: Prior | None
    bisection: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a job; `bisected` is the encodes a target that bisection took, where it was run."""

    family: str
    source: str
    matches: tuple[Match | Failed, ...]
    seconds: float
    preview_seconds: float
    bisected: tuple[int, ...]
    prior: Prior | None


class Sizes:
    """Sizes of one source with one codec, encoded once and kept; counts the CPU seconds of what was asked."""

    def __init__(self, job: Job, codec: Codec, pixels: Pixels) -> None:
        self._cache = TryCache(job.folder / "tries")
        self._family, self._codec, self._pixels = job.family, codec, pixels
        self._key = pixels_key(pixels)
        self.tries: dict[Point, int] = {}
        self.seconds = 0.0

    def __call__(self, point: Point) -> int:
        quality = {scale.name: value for scale, value in zip(self._codec.scales, point, strict=True)}
        key = try_key(self._key, self._family, self._codec, quality)
        kept = self._cache.load_try(key)
        if kept is None:
            start = _cpu_seconds()
            try:
                bitstream = self._codec.encode(self._pixels.copy(), quality)
            except Exception as error:
                raise FailedTry(f"{type(error).__name__}: {error}") from None
            kept = Try(bitstream, _cpu_seconds() - start)
            self._cache.keep_try(key, kept)
        self.seconds += kept.encode_s
        self.tries[point] = len(kept.bitstream)
        return len(kept.bitstream)


def run_job(job: Job) -> Result:
    """Search all the targets of a source, then bisect them where that is asked for."""
    pixels = load_picture(job.source)
    if job.crop is not None:
        top, left = (max(0, (side - job.crop) // 2) for side in pixels.shape[:2])
        pixels = np.ascontiguousarray(pixels[top : top + job.crop, left : left + job.crop])
    codec = codec_of(job.family, job.fast, job.folder)
    area = pixels.shape[0] * pixels.shape[1]
    targets = [target * area / 8 for target in job.targets]
    real = Sizes(job, codec, pixels)
    quicker = getattr(codec, "preview", None)
    quick = None if quicker is None else Sizes(job, quicker, pixels)
    prior = None if job.prior is None else job.prior.at(area)
    matches = match_targets(codec.scales, targets, job.tolerance, real, prior=prior, preview=quick)
    seconds, own = real.seconds, prior_from(codec.scales, dict(real.tries), area)
    cheap = seconds <= CHEAP * len(real.tries)
    bisected: tuple[int, ...] = ()
    if job.bisection == "all" or (job.bisection == "fast" and cheap):
        bisected = tuple(bisect(codec.scales, target, job.tolerance, real) for target in targets)
    spent = 0.0 if quick is None else quick.seconds
    return Result(job.family, job.name, matches, seconds, spent, bisected, own)


def bisect(scales: Sequence[Scale], target: float, tolerance: float, size: Callable[[Point], int]) -> int:
    """Encodes until plain bisection of the coarse scale, then of the fine one, is within the tolerance.

    It begins with the two ends of the range, and ends without success where neighbours enclose the target.
    """
    seen: dict[Point, int] = {}

    def at(point: Point) -> float:
        seen[point] = size(point)
        return seen[point] / target - 1

    def halve(scale: Scale, point: Callable[[float], Point]) -> float:
        low, high = scale.smallest, scale.largest
        errors = {value: at(point(value)) for value in (low, high)}
        while min(map(abs, errors.values())) > tolerance and len(seen) < MOST_BISECTIONS:
            middle = scale.value_at((scale.coordinate(low) + scale.coordinate(high)) / 2)
            if middle in errors or errors[low] > 0 or errors[high] < 0:
                break
            errors[middle] = at(point(middle))
            low, high = (middle, high) if errors[middle] < 0 else (low, middle)
        return min(errors, key=lambda value: abs(errors[value]))

    rest = tuple(scale.first for scale in scales[1:])
    best = halve(scales[0], lambda value: (value, *rest))
    if rest and abs(seen[(best, *rest)] / target - 1) > tolerance:
        halve(scales[1], lambda value: (best, value))
    return len(seen)


def codec_of(family: str, fast: bool, folder: Path) -> Codec:
    """The codec with the settings of this benchmark; `fast` are the family's own quicker ones."""
    if fast:
        return make_codec(family, {FAST: True}, folder)
    return make_codec(family, SETTINGS.get(family, {}), folder)


def pictures(folders: Sequence[Path]) -> dict[str, Path]:
    """PNG files by name: files as given, of a folder its `reference.png` (or those one below) or all."""
    found: dict[str, Path] = {}
    for path in folders:
        below = sorted(path.glob("*/reference.png"))
        if path.is_file():
            found[path.stem] = path
        elif (path / "reference.png").is_file():
            found[path.name] = path / "reference.png"
        else:
            found |= {file.parent.name: file for file in below}
            found |= {file.stem: file for file in sorted(path.glob("*.png"))}
    return found


def row(family: str, results: Sequence[Result], tolerance: float) -> dict[str, object]:
    """The line of one codec, or of all."""
    every = [match for result in results for match in result.matches]
    matches = [match for match in every if isinstance(match, Match)]
    misses = [abs(match.residual) for match in matches if match.reachable]
    bisected = [count for result in results for count in result.bisected]
    return {
        "codec": family,
        "stimuli": len(every),
        "failed": len(every) - len(matches),
        "reachable": len(misses),
        "matched": sum(miss <= tolerance for miss in misses),
        "within_2_percent": sum(miss <= 0.02 for miss in misses),
        "largest_residual": max(misses, default=0.0),
        "encodes": sum(match.encodes for match in every) / len(every),
        "previews": sum(match.previews for match in every) / len(every),
        "cpu_seconds": sum(result.seconds for result in results),
        "preview_cpu_seconds": sum(result.preview_seconds for result in results),
        "bisection": sum(bisected) / len(bisected) if bisected else None,
        "bisected": len(bisected),
    }


def show(rows: Sequence[dict[str, object]], tolerance: float) -> None:
    """The table on standard output."""
    titles = ("stimuli", "failed", "reachable", f"in {100 * tolerance:g} %", "in 2 %", "largest", "encodes")
    heads = (*titles, "previews", "CPU s", "+ previews", "bisection")
    print(f"{'':10s}" + "".join(f"{title:>11s}" for title in heads))
    for line in rows:
        counts = (line[key] for key in ("stimuli", "failed", "reachable", "matched", "within_2_percent"))
        largest = f"{100 * float(str(line['largest_residual'])):.2f} %"
        numbers = [f"{line['encodes']:.2f}", f"{line['previews']:.2f}", f"{line['cpu_seconds']:.1f}"]
        numbers += [f"{line['preview_cpu_seconds']:.1f}"]
        bisection = "-" if line["bisection"] is None else f"{line['bisection']:.2f}"
        if line["bisected"] not in (0, line["stimuli"]):
            bisection += f" ({line['bisected']})"
        cells = [*map(str, counts), largest, *numbers, bisection]
        print(f"{line['codec']:10s}" + "".join(f"{cell:>11s}" for cell in cells), flush=True)


def jobs_of(
    arguments: argparse.Namespace, families: Sequence[str], sources: dict[str, Path]
) -> dict[str, list[Job]]:
    """For every codec a job a source, still without priors."""
    return {
        family: [
            Job(
                arguments.folder,
                path,
                name,
                arguments.crop,
                family,
                arguments.fast,
                tuple(arguments.targets),
                arguments.tolerance,
                None,
                arguments.bisection,
            )
            for name, path in sources.items()
        ]
        for family in families
    }


def main() -> None:
    """Runs every codec on every source and prints a line a codec."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--sources", type=Path, nargs="*", help="PNG files or folders instead of the demo's photographs")
    add("--extra-sources", type=Path, nargs="*", default=[], help="PNG files or folders beside them")
    add("--targets", type=float, nargs="+", default=[0.15, 0.25, 0.4, 0.7], help="in bits per pixel")
    add("--tolerance", type=float, default=0.01)
    add("--codecs", nargs="+", default=CODECS, help="families; those that are not installed are passed over")
    add("--workers", type=int, help="processes; one a processor by default")
    add("--fast", action="store_true", help="the fast settings of every codec")
    add("--crop", type=int, help="only the middle of each source, so many pixels wide and high")
    add("--no-prior", action="store_true", help="search every source without what the first one taught")
    add("--bisection", choices=("none", "fast", "all"), default="fast")
    add("--folder", type=Path, default=Path(tempfile.gettempdir()) / "matchrate-matching")
    add("--json", type=Path, help="write the rows and every stimulus there too")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.sources is None:
        write_demo_study(arguments.folder / "demo")
        arguments.sources = [arguments.folder / "demo" / "sources"]
    sources = pictures([*arguments.sources, *arguments.extra_sources])
    families = []
    for family in arguments.codecs:
        try:
            codec_of(family, arguments.fast, arguments.folder)
        except CodecNotInstalledError as error:
            print(f"passed over: {error}")
        except StimuliError as error:
            parser.error(str(error))
        else:
            families.append(family)
    if not sources or not families:
        parser.error("nothing to do: no PNG file was found, or no codec is installed")
    waiting = jobs_of(arguments, families, sources)
    results: dict[str, list[Result]] = {family: [] for family in families}
    started = time.perf_counter()
    with tqdm(total=len(families) * len(sources), unit="source") as bar:

        def run(jobs: list[Job]) -> None:
            for _, result in run_jobs(run_job, jobs, worker_count(arguments.workers)):
                results[result.family].append(result)
                bar.update()

        if not arguments.no_prior:
            run([jobs.pop(0) for jobs in waiting.values()])
        priors = {family: done[0].prior for family, done in results.items() if done}
        run([replace(job, prior=priors.get(job.family)) for jobs in waiting.values() for job in jobs])
    rows = [row(family, results[family], arguments.tolerance) for family in families]
    rows.append(row("all", [result for done in results.values() for result in done], arguments.tolerance))
    print(
        f"{len(sources)} sources, targets {' '.join(f'{target:g}' for target in arguments.targets)} bpp"
        f"{', fast settings' if arguments.fast else ''}{f', crop {arguments.crop}' if arguments.crop else ''}"
        f"; {time.perf_counter() - started:.0f} s. Encodes, previews and bisection's encodes are a stimulus."
    )
    if arguments.bisection == "fast":
        print(f"Bisection was run where an encode takes up to {CHEAP:g} CPU seconds; (n) counts its stimuli.")
    show(rows, arguments.tolerance)
    if arguments.json is not None:
        every = [asdict(result) for done in results.values() for result in done]
        arguments.json.write_text(json.dumps({"rows": rows, "results": every}, indent=1) + "\n")


def _cpu_seconds() -> float:
    """CPU time of this process and of the programs that it ran to their end."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


if __name__ == "__main__":
    main()
