"""Is everything still as the manifest says: files, pictures, bitstreams, sources and the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from stimuli.artefacts import Found, SourceJob, StimulusJob, artefact_of, check_files
from stimuli.codecs_here import codec_here, guard_limits, versions_here
from stimuli.consistency import manifest_reasons
from stimuli.errors import ManifestError
from stimuli.files import is_whole
from stimuli.machine import this_machine
from stimuli.manifest import Deviation, Manifest, manifest_path, read_manifest
from stimuli.parallel import Crash, worker_count
from stimuli.reproduction import encode_all_again
from stimuli.robustness import Checked, Verification, codec_row
from stimuli.tries import TryCache
from stimuli.workforce import Workforce, open_workforce


def verify_study(
    folder: Path,
    *,
    encode: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = True,
    isolated: bool = True,
) -> Verification:
    """Hash every file of a study again, decode every bitstream again, and check the figures.

    Pictures are compared by their pixels, so that another version of zlib is no deviation. With `encode`
    every stimulus is also encoded again at its recorded quality, whatever the cache of tries holds. Workers
    are those of `encode_study`: a codec that crashes or hangs costs a line.
    """
    name = manifest_path(folder).relative_to(folder).as_posix()
    try:
        manifest = read_manifest(folder)
    except ManifestError as error:
        return Verification(None, None, this_machine(), (), (), (Deviation(name, error.reason),))
    deviations = [Deviation(name, reason) for reason in manifest_reasons(folder, manifest)]
    here = {codec.name: codec_here(folder, codec) for codec in manifest.codecs}
    deviations += [
        Deviation(f"codec {name}", f"cannot be run here: {found.reason}")
        for name, found in here.items()
        if found.reason is not None
    ]
    timeout, memory = guard_limits(folder)
    with open_workforce(
        worker_count(workers),
        scheduler=scheduler,
        folder=folder / "stimuli",
        probe=partial(versions_here, folder, manifest.codecs),
        timeout=timeout,
        memory=memory,
        isolated=isolated,
    ) as force:
        runnable = frozenset(name for name, found in here.items() if found.reason is None)
        found = _check_all(folder, manifest, runnable, force, progress)
        checked = [check for _, check in found if check is not None]
        deviations += [deviation for deviations_of, _ in found for deviation in deviations_of]
        if encode:
            again = encode_all_again(folder, manifest, runnable, force, progress)
            checked = [
                replace(check, encoded=again.get((stimulus.source, stimulus.condition)))
                for check, stimulus in zip(checked, manifest.stimuli, strict=True)
            ]
            deviations += [
                Deviation(f"{stimulus.source} {stimulus.condition}", str(check.encoded))
                for check, stimulus in zip(checked, manifest.stimuli, strict=True)
                if check.encoded is not None and not check.encoded.same
            ]
    deviations += _unused_deviations(folder, manifest)
    rows = tuple(
        codec_row(
            codec.name,
            codec.version,
            here[codec.name].version,
            [check for check in checked if check.codec == codec.name],
            encoded=encode,
        )
        for codec in manifest.codecs
    )
    notes = tuple(f"codec {name}: {found.note}" for name, found in here.items() if found.note is not None)
    return Verification(
        manifest.study.name, manifest.machine, this_machine(), notes, rows, tuple(dict.fromkeys(deviations))
    )


def _check_all(
    folder: Path, manifest: Manifest, runnable: frozenset[str], force: Workforce, progress: bool
) -> list[tuple[tuple[Deviation, ...], Checked | None]]:
    """What was found of every source, and then of every stimulus, in manifest order."""
    sources = {source.name: source for source in manifest.sources}
    codecs = {codec.name: codec for codec in manifest.codecs}
    points = {condition.name: condition.rate_point for condition in manifest.conditions}
    ladders: Mapping[str, tuple[tuple[float, int], ...]] = {
        codec.name: tuple((c.target, c.rate_point) for c in manifest.conditions if c.codec == codec.name)
        for codec in manifest.codecs
    }
    jobs: list[SourceJob | StimulusJob] = [SourceJob(folder, source) for source in manifest.sources]
    for s in manifest.stimuli:
        points_of = ladders[s.codec]
        decode = s.codec in runnable
        jobs.append(
            StimulusJob(
                folder, s, sources[s.source], codecs[s.codec], points[s.condition], points_of, decode=decode
            )
        )
    found: dict[int, Found] = {}
    with tqdm(total=len(jobs), desc="verify", unit="picture", disable=not progress) as bar:
        for i, result in force.run(check_files, jobs):
            found[i] = _after_crash(jobs[i], result) if isinstance(result, Crash) else result
            bar.update()
    return [(found[i].deviations, found[i].checked) for i in range(len(jobs))]


def _after_crash(job: SourceJob | StimulusJob, crash: Crash) -> Found:
    """The line about a job that ended its worker, and what can be told of its files without the codec."""
    doing = "reading" if isinstance(job, SourceJob) or job.stimulus.bitstream is None else "decoding"
    line = Deviation(artefact_of(job), f"{doing} it failed: {crash.reason}")
    if isinstance(job, SourceJob):
        return Found((line,))
    files = check_files(replace(job, decode=False))
    return Found((*files.deviations, line), files.checked)


def _unused_deviations(folder: Path, manifest: Manifest) -> Iterator[Deviation]:
    """Check what no stimulus uses: the cache of tries, and files of earlier runs, which keep their hash."""
    for path in TryCache(folder / "stimuli" / "tries").damaged():
        yield Deviation(path.relative_to(folder).as_posix(), "is damaged; delete it, it costs time only")
    used = {f"{sha256}.png" for s in manifest.stimuli for sha256 in (s.picture_sha256, s.shown_sha256)}
    used |= {f"{sha256}.png" for s in manifest.sources for sha256 in (s.picture_sha256, s.shown_sha256)}
    used |= {stimulus.bitstream for stimulus in manifest.stimuli if stimulus.bitstream is not None}
    for kind in ("bitstreams", "pictures"):
        for path in sorted((folder / "stimuli" / kind).glob("*")):
            if path.name not in used and not is_whole(path, path.stem):
                reason = "is used by no stimulus and not named by its SHA-256; delete it"
                yield Deviation(path.relative_to(folder).as_posix(), reason)
