"""The command `analyze-study`: judgments and stimuli in, BD-rates and a report out.

Runs as the console script, as `python -m analysis.analyze_study` and as `python analysis/analyze_study.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if not __package__:
    # Run as a file, Python puts this folder first on the path: the package would be missing, and its modules
    # would stand in the way of others of the same name.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from analysis.errors import AnalysisError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one analysis and returns the exit status: 0, or 2 after one line that says what is wrong."""
    try:
        return _analyse(argv)
    except AnalysisError as error:
        print(f"analyze-study: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("analyze-study: interrupted; nothing was written", file=sys.stderr)
        return 130


def _analyse(argv: Sequence[str] | None) -> int:
    # Imported here: pandas and SciPy take a second or two, in which Ctrl-C must be one line as well.
    from tqdm import tqdm

    from analysis.arguments import command_line, options_from, output_folder, parser, timings_from
    from analysis.document import results_document
    from analysis.judgments import read_tables
    from analysis.report import write_outputs
    from analysis.results import analyse_study
    from analysis.timings import study_timings

    arguments = parser().parse_args(argv)
    options = options_from(arguments)
    folder = output_folder(arguments)
    given = timings_from(arguments)
    tables = read_tables(arguments.input, arguments.study, options.anchor or options.test)
    total = 3 * options.replicates
    with tqdm(
        total=total, desc="resampling", unit="fit", disable=not sys.stderr.isatty(), leave=False
    ) as bar:
        result = analyse_study(tables, options, progress=bar.update)
    reference = arguments.reference or options.anchor or options.test or ""
    timings = study_timings(tables, list(result.curves), given, reference)
    document = results_document(result, command_line(arguments, result.options, folder), timings)
    report = write_outputs(document, folder)
    try:
        _say(document, report)
    except BrokenPipeError:
        # Whoever read has seen enough, and the outputs are written; Python would complain once more when it
        # closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _say(document: Mapping[str, Any], report: Path) -> None:
    from analysis.arguments import printable
    from analysis.publication import table_text

    if document["label"]:
        print(document["label"])
    # Above the table: nobody reads on after a number.
    if document["too_few"]:
        print(f"note: {document['too_few']}")
    print(table_text(document))
    for warning in document["warnings"]:
        if warning != document["too_few"]:
            print(f"note: {warning}")
    print(f"report: {printable(str(report))}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
