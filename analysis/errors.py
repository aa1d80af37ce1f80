"""The errors of this floor: each message names the table, row or component and the next step."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path


def listed(names: Sequence[object], most: int = 6) -> str:
    """The names in one line, shortened after `most` of them."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def counted(number: int, one: str, many: str = "") -> str:
    """A number and its noun: 1 rater, 2 raters; `many` is the plural where it is not `one` and an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


class AnalysisError(Exception):
    """Root of every error that `analysis` raises on purpose; its text is one line for a person."""


class InputNotFoundError(AnalysisError):
    """The input is neither an export folder, nor a study folder with an export, nor a database address."""

    def __init__(self, place: str | Path, why: str) -> None:
        self.place, self.why = str(place), why
        super().__init__(f"{place}: {why}")


class DatabaseRefusedError(AnalysisError):
    """Postgres could not be read; the password never stands in the message."""

    def __init__(self, address: str, why: str) -> None:
        self.address, self.why = address, why
        super().__init__(f"{address}: {why}")


class MalformedTableError(AnalysisError):
    """A table as a whole cannot be read: no header, no rows, a column is missing."""

    def __init__(self, table: str, why: str) -> None:
        self.table, self.why = table, why
        super().__init__(f"{table}: {why}")


class MalformedRowError(AnalysisError):
    """One row of a table breaks the contract; `row` counts as the file does."""

    def __init__(self, table: str, row: str, column: str, why: str, others: int = 0) -> None:
        self.table, self.row, self.column, self.why, self.others = table, row, column, why, others
        more = f" ({others} more rows alike)" if others > 1 else " (1 more row alike)" if others else ""
        super().__init__(f"{table}, {row}, column {column}: {why}{more}")


class UnknownStudyError(AnalysisError):
    """The named study is not in the input."""

    def __init__(self, study: str, studies: Sequence[str]) -> None:
        self.study, self.studies = study, tuple(studies)
        super().__init__(
            f"no study {study!r} here; there is {listed(studies) or 'none'}: name one with --study"
        )


class SeveralStudiesError(AnalysisError):
    """The input holds several studies and none was named."""

    def __init__(self, studies: Sequence[str]) -> None:
        self.studies = tuple(studies)
        super().__init__(f"the input holds {len(studies)} studies ({listed(studies)}): name one with --study")


class MixedJudgmentsError(AnalysisError):
    """Simulated and real judgments stand together."""

    def __init__(self, simulated: int, real: int) -> None:
        self.simulated, self.real = simulated, real
        super().__init__(
            f"{counted(simulated, 'simulated judgment')} {'stands' if simulated == 1 else 'stand'} among "
            f"{counted(real, 'real one')}: pass --include-simulated to analyse them together, and every "
            "output will say so"
        )


class NothingToAnalyseError(AnalysisError):
    """No judgment or no rate is left after the rules."""


class DisconnectedGraphError(AnalysisError):
    """The conditions fall into groups that were never compared with each other."""

    def __init__(self, components: Sequence[Sequence[str]]) -> None:
        self.components = tuple(tuple(component) for component in components)
        named = " | ".join(listed(component) for component in self.components)
        super().__init__(
            f"the judgments fall into {len(self.components)} groups of conditions that were never compared "
            f"with each other, so no common scale exists: {named}; collect pairs across the groups"
        )


class UnknownCodecError(AnalysisError):
    """A codec that was named on the command line is not in the study."""

    def __init__(self, codec: str, codecs: Sequence[str]) -> None:
        self.codec, self.codecs = codec, tuple(codecs)
        by_fold = {name.casefold(): name for name in codecs}
        close = get_close_matches(codec.casefold(), by_fold, n=1)
        hint = f": did you mean {by_fold[close[0]]}?" if close else ""
        super().__init__(f"no codec {codec!r} in this study; there is {listed(codecs, 20)}{hint}")


class NeverJudgedCodecError(AnalysisError):
    """A codec that was named on the command line is in the study, and no judgment that counts names it."""

    def __init__(self, codec: str, judged: Sequence[str]) -> None:
        self.codec, self.judged = codec, tuple(judged)
        super().__init__(
            f"no judgment that counts names the codec {codec!r}; compare another of {listed(judged, 20)}, or "
            "run it again after somebody has rated it"
        )


class UnknownConditionError(AnalysisError):
    """A condition that was named on the command line has no score."""

    def __init__(self, condition: str, conditions: Sequence[str]) -> None:
        self.condition, self.conditions = condition, tuple(conditions)
        super().__init__(f"no condition {condition!r} was judged; there is {listed(conditions, 12)}")


class BadCurveError(AnalysisError):
    """Rates and qualities that are no curve."""


class InsufficientOverlapError(AnalysisError):
    """Two curves share too little quality for a BD-rate; `low` and `high` bound the rate ratio."""

    def __init__(self, overlap: float, low: float, high: float) -> None:
        self.overlap, self.low, self.high = overlap, low, high
        super().__init__(
            f"the curves share {overlap:.0%} of the narrower quality range, and a BD-rate needs 25 %; "
            f"the rate ratio lies between {low:.3g} and {high:.3g}: add rate points where they meet"
        )


class NotConvergedError(AnalysisError):
    """Newton's method did not reach the maximum; this says that the data are extreme."""

    def __init__(self, fits: int) -> None:
        self.fits = fits
        super().__init__(f"{counted(fits, 'Bradley-Terry fit')} did not converge: report this data set")
