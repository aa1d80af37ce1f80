"""The command line of `analyze-study`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.inputs import is_database_address, without_password
from analysis.results import Options
from analysis.timings import Timing, find_timings, read_timings


def parser(prog: str = "analyze-study", usage: str | None = None) -> argparse.ArgumentParser:
    """The parser; --anchor and --test exclude each other, and one is needed.

    Errors speak of `prog` with its `usage`, where another program hands its options on.
    """
    made = argparse.ArgumentParser(
        prog=prog,
        usage=usage,
        description="Elo scores, BD-rates with intervals and a report from the judgments of one study.",
    )
    made.add_argument(
        "input",
        metavar="INPUT",
        help="an export folder, a study folder (its newest export) or a postgresql:// address",
    )
    made.add_argument("--study", metavar="NAME", help="needed when the input holds several studies")
    compared = made.add_mutually_exclusive_group(required=True)
    compared.add_argument("--anchor", metavar="CODEC", help="compare every codec against this one")
    compared.add_argument("--test", metavar="CODEC", help="compare this codec against every other")
    made.add_argument("-o", "--output", metavar="DIR", help="where outputs go (a study folder has report/)")
    made.add_argument(
        "--zero",
        metavar="CONDITION",
        help="the condition fixed at Elo 1500 (default: the original if it was shown, else the mean)",
    )
    made.add_argument(
        "--rate",
        choices=("file", "payload"),
        help="bits of the file, or without its container (default: what the study matched)",
    )
    made.add_argument(
        "--rate-mean",
        choices=("geometric", "arithmetic"),
        default="geometric",
        help="mean of bpp over sources",
    )
    made.add_argument(
        "--timings",
        metavar="FILE",
        help="CPU seconds a megapixel of codecs timed elsewhere (default: timings.csv of the study)",
    )
    made.add_argument(
        "--reference",
        metavar="CODEC",
        help="the codec that times are relative to (default: the one that --anchor or --test names)",
    )
    made.add_argument(
        "--replicates", type=int, default=1000, metavar="N", help="resamplings of each kind (1000)"
    )
    made.add_argument("--seed", type=int, default=0, metavar="N", help="of the resampling (0)")
    made.add_argument("--confidence", type=float, default=0.95, metavar="P", help="of the intervals (0.95)")
    made.add_argument(
        "--include-simulated",
        action="store_true",
        help="analyse simulated and real judgments together, labelled",
    )
    return made


def options_from(arguments: argparse.Namespace) -> Options:
    """The analysis options. Raises AnalysisError for values that make no sense."""
    return Options(
        anchor=arguments.anchor,
        test=arguments.test,
        zero=arguments.zero,
        rate=arguments.rate,
        rate_mean=arguments.rate_mean,
        replicates=arguments.replicates,
        seed=arguments.seed,
        confidence=arguments.confidence,
        include_simulated=arguments.include_simulated,
    )


def timings_from(arguments: argparse.Namespace) -> tuple[Timing, ...]:
    """The times of codecs that --timings names, else those of the study's own timings.csv."""
    if arguments.timings is not None:
        return read_timings(Path(arguments.timings))
    path = None if is_database_address(arguments.input) else find_timings(arguments.input)
    return () if path is None else read_timings(path)


def output_folder(arguments: argparse.Namespace) -> Path:
    """Where outputs go: -o, else `report/` in a study folder."""
    try:
        if arguments.output is not None:
            folder = Path(arguments.output)
            if folder.exists() and not folder.is_dir():
                raise AnalysisError(f"{folder}: is a file; name a folder with -o")
            return folder
        if not is_database_address(arguments.input) and (Path(arguments.input) / "exports").is_dir():
            return Path(arguments.input) / "report"
    except OSError as error:
        place = arguments.input if arguments.output is None else arguments.output
        raise AnalysisError(f"{place}: cannot be read: {error.strerror}") from error
    raise AnalysisError("name the folder for the outputs: -o DIR")


def command_line(arguments: argparse.Namespace, options: Options, folder: Path) -> list[str]:
    """The command that repeats this analysis, with every setting that bears on the numbers and no
    password."""
    shown = without_password(arguments.input) if is_database_address(arguments.input) else arguments.input
    words = ["analyze-study", shown]
    for name, value in (
        ("--study", arguments.study),
        ("--anchor", options.anchor),
        ("--test", options.test),
        ("-o", folder),
        ("--zero", options.zero),
        ("--rate", options.rate),
        ("--rate-mean", options.rate_mean),
        ("--timings", arguments.timings),
        ("--reference", arguments.reference),
        ("--replicates", options.replicates),
        ("--seed", options.seed),
        ("--confidence", options.confidence),
    ):
        if value is not None:
            # As a word of its own, a codec called -a would be taken for an option.
            words += [f"{name}={value}"] if str(value).startswith("-") else [name, str(value)]
    if options.include_simulated:
        words.append("--include-simulated")
    return [shlex.quote(printable(word)) for word in words]


def printable(text: str) -> str:
    """Text that UTF-8 can hold: bytes of a path that are no UTF-8 are written as \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
