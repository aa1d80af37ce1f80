"""Two tables into comparisons: the contract is checked, and what does not count is counted.

Columns, types, units and allowed values stand in `analysis.contract`; `inputs` finds the tables and
`validation` types their cells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.contract import (
    JUDGMENT_COLUMNS,
    JUDGMENT_NAMES,
    REFERENCE_CONDITION,
    STIMULUS_COLUMNS,
    STIMULUS_NAMES,
)
from analysis.errors import (
    MalformedTableError,
    MixedJudgmentsError,
    NothingToAnalyseError,
    SeveralStudiesError,
    UnknownCodecError,
    UnknownStudyError,
)
from analysis.inputs import RawTable, read_raw_tables
from analysis.validation import refuse_rows, typed_table

Clusters = Literal["raters", "sources", "cells"]
Evidence = Literal["real", "simulated", "mixed"]


@dataclass(frozen=True, slots=True, eq=False)
class StudyTables:
    """The two tables of one study, typed, checked, in canonical order, and their SHA-256."""

    study: str
    origin: str
    judgments: pd.DataFrame
    stimuli: pd.DataFrame
    sha256: str


@dataclass(frozen=True, slots=True, eq=False)
class Comparisons:
    """The judgments that count, as arrays of one length.

    `first` and `second` index `conditions`, `source` indexes `sources`, `rater` indexes `raters`; `score` is
    1 where the first condition won, 0 where the second did and 1/2 for a tie.
    """

    conditions: tuple[str, ...]
    sources: tuple[str, ...]
    raters: tuple[str, ...]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    score: NDArray[np.float64]
    source: NDArray[np.intp]
    rater: NDArray[np.intp]
    evidence: Evidence = "real"
    exclusions: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.score)

    def clusters(self, kind: Clusters) -> tuple[NDArray[np.intp], int]:
        """The cluster of each comparison and the number of clusters; a cell is one rater on one source."""
        if kind == "raters":
            return self.rater, len(self.raters)
        if kind == "sources":
            return self.source, len(self.sources)
        cells, index = np.unique(self.rater * len(self.sources) + self.source, return_inverse=True)
        return index.astype(np.intp), len(cells)

    def wins(self) -> NDArray[np.float64]:
        """Entry (i, j) is how often condition i was preferred to j, a tie being half a win for each."""
        size = len(self.conditions)
        matrix = np.zeros((size, size))
        np.add.at(matrix, (self.first, self.second), self.score)
        np.add.at(matrix, (self.second, self.first), 1.0 - self.score)
        return matrix


def read_judgments(
    place: str | Path, study: str | None = None, *, include_simulated: bool = False
) -> Comparisons:
    """The comparisons of one study: `read_tables`, then `select_comparisons`."""
    return select_comparisons(read_tables(place, study), include_simulated=include_simulated)


def read_tables(place: str | Path, study: str | None = None, codec: str | None = None) -> StudyTables:
    """The tables of one study from an export folder, a study folder or a Postgres address.

    Raises an AnalysisError that names the place, the row and the column of whatever breaks the contract, and
    UnknownCodecError where `codec` is given and is none of the scored stimuli.
    """
    raw_judgments, raw_stimuli = read_raw_tables(place, study)
    return check_tables(raw_judgments, raw_stimuli, study, codec)


def check_tables(
    raw_judgments: RawTable, raw_stimuli: RawTable, study: str | None = None, codec: str | None = None
) -> StudyTables:
    """Typed and checked tables out of raw ones; the rows of other studies are passed over."""
    if raw_judgments.frame.empty and study is None:
        # Before anybody has rated, only the stimuli can say whose they are.
        _, study = _one_study(raw_stimuli, None)
    raw_judgments, name = _one_study(raw_judgments, study)
    raw_stimuli = _same_study(raw_stimuli, name)
    stimuli = typed_table(raw_stimuli, STIMULUS_COLUMNS, {"status": "given"})
    if "role" not in raw_stimuli.frame.columns:
        stimuli["role"] = np.where(stimuli["condition"] == REFERENCE_CONDITION, "reference", "scored")
    _check_stimuli(raw_stimuli, stimuli)
    # Before the judgments: a codec that is misspelt stays so when somebody has rated.
    codecs = sorted(set(stimuli.loc[stimuli["role"] == "scored", "codec"]))
    if codec is not None and codecs and codec not in codecs:
        raise UnknownCodecError(codec, codecs)
    judgments = typed_table(
        raw_judgments,
        JUDGMENT_COLUMNS,
        {"study": name, "revision": 0, "kind": "scored"},
        no_rows="holds no judgments yet: nobody has rated this study; run it again after somebody has rated",
    )
    if "trial" not in raw_judgments.frame.columns:
        judgments["trial"] = judgments["judgment_id"]
    _check_judgments(raw_judgments, judgments, stimuli)
    judgments = judgments.sort_values("judgment_id").reset_index(drop=True)
    stimuli = stimuli.sort_values(["condition", "source"]).reset_index(drop=True)
    return StudyTables(name, raw_judgments.name, judgments, stimuli, _sha256(judgments, stimuli))


def tables_from_frames(
    judgments: pd.DataFrame, stimuli: pd.DataFrame, study: str | None = None
) -> StudyTables:
    """Checked tables out of data frames with the contract's columns; rows are counted from 1."""

    def raw(frame: pd.DataFrame, name: str) -> RawTable:
        numbered = frame.astype(object)
        numbered.index = pd.RangeIndex(1, len(frame) + 1)
        return RawTable(numbered, name, "row")

    return check_tables(raw(judgments, "judgments"), raw(stimuli, "stimuli"), study)


def _one_study(raw: RawTable, study: str | None) -> tuple[RawTable, str]:
    if "study" not in raw.frame.columns or raw.frame.empty:
        return raw, study or "study"
    column = raw.frame["study"].to_numpy(dtype=object)
    refuse_rows(raw, "study", np.asarray(pd.isna(column)) | (column == ""), lambda _: "is empty")
    studies = sorted({str(value) for value in column})
    if study is None:
        if len(studies) > 1:
            raise SeveralStudiesError(studies)
        return raw, studies[0]
    if study not in studies:
        raise UnknownStudyError(study, studies)
    return _restricted(raw, np.array([str(value) == study for value in column])), study


def _same_study(raw: RawTable, study: str) -> RawTable:
    # The contract's stimuli table belongs to one study; the database view says to which.
    if "study" not in raw.frame.columns or raw.frame.empty:
        return raw
    kept = np.array([str(value) == study for value in raw.frame["study"]], dtype=bool)
    if not kept.any():
        raise MalformedTableError(raw.name, f"holds no rows of study {study!r}")
    return _restricted(raw, kept)


def _restricted(raw: RawTable, kept: NDArray[np.bool_]) -> RawTable:
    return RawTable(raw.frame[kept], raw.name, raw.row_word)


def _check_stimuli(raw: RawTable, stimuli: pd.DataFrame) -> None:
    rated = (stimuli["role"] == "scored").to_numpy()
    refuse_rows(
        raw, "bpp", rated & stimuli["bpp"].isna().to_numpy(), lambda _: "is empty for a scored stimulus"
    )
    twice = stimuli.duplicated(["source", "condition"]).to_numpy()

    def again(i: int) -> str:
        row = stimuli.iloc[i]
        return f"source {row['source']!r} stands twice under condition {row['condition']!r}"

    refuse_rows(raw, "condition", twice, again)
    for column in ("codec", "role"):
        # A condition is one codec at one rate point, on every source; what that is in bpp may differ.
        usual = stimuli.groupby("condition")[column].transform("first")
        other = ((stimuli[column] != usual) & ~(stimuli[column].isna() & usual.isna())).to_numpy()

        def differs(i: int, column: str = column, usual: pd.Series = usual) -> str:
            condition = stimuli["condition"].iloc[i]
            return (
                f"{stimuli[column].iloc[i]!r} where condition {condition!r} has {usual.iloc[i]!r} elsewhere"
            )

        refuse_rows(raw, column, other, differs)
    bases = sorted(set(stimuli["rate"].dropna()))
    if len(bases) > 1:
        another = (stimuli["rate"].notna() & (stimuli["rate"] != bases[0])).to_numpy()
        refuse_rows(raw, "rate", another, lambda _: f"{bases[1]!r} where other stimuli have {bases[0]!r}")


def _check_judgments(raw: RawTable, judgments: pd.DataFrame, stimuli: pd.DataFrame) -> None:
    twice = judgments.duplicated("judgment_id").to_numpy()
    refuse_rows(raw, "judgment_id", twice, lambda i: f"{judgments['judgment_id'].iloc[i]!r} stands twice")
    again = judgments.duplicated(["trial", "revision"]).to_numpy()

    def same_trial(i: int) -> str:
        return f"trial {judgments['trial'].iloc[i]!r} has revision {judgments['revision'].iloc[i]:.0f} twice"

    refuse_rows(raw, "revision", again, same_trial)
    scored = (judgments["kind"] == "scored").to_numpy()
    itself = scored & (judgments["condition_a"] == judgments["condition_b"]).to_numpy()
    refuse_rows(
        raw, "condition_b", itself, lambda i: f"{judgments['condition_b'].iloc[i]!r} is compared with itself"
    )
    shown = stimuli[stimuli["role"].isin(["scored", "reference"])]
    known = set(shown["condition"])
    cells = pd.MultiIndex.from_frame(shown[["source", "condition"]])
    for column in ("condition_a", "condition_b"):
        unknown = scored & ~judgments[column].isin(known).to_numpy()

        def absent(i: int, column: str = column) -> str:
            return f"condition {judgments[column].iloc[i]!r} is not in the stimuli table"

        refuse_rows(raw, column, unknown, absent)
        missing = scored & ~pd.MultiIndex.from_frame(judgments[["source", column]]).isin(cells)

        def unmade(i: int, column: str = column) -> str:
            row = judgments.iloc[i]
            return f"the stimuli table has no source {row['source']!r} under condition {row[column]!r}"

        refuse_rows(raw, "source", missing, unmade)


def _sha256(judgments: pd.DataFrame, stimuli: pd.DataFrame) -> str:
    # The typed tables and not the files, so that CSV, Parquet and Postgres give one hash for one content.
    digest = hashlib.sha256()
    for frame, names in ((judgments, JUDGMENT_NAMES), (stimuli, STIMULUS_NAMES)):
        digest.update(frame[list(names)].to_csv(index=False, lineterminator="\n").encode())
    return digest.hexdigest()


def select_comparisons(
    tables: StudyTables,
    *,
    left_out: frozenset[tuple[str, str]] = frozenset(),
    include_simulated: bool = False,
) -> Comparisons:
    """The scored judgments that count: the last revision of each trial, not excluded, not in a left-out cell.

    `left_out` holds pairs of source and condition. `exclusions` of the result counts the rest by rule. Raises
    NothingToAnalyseError when nothing is left and MixedJudgmentsError unless `include_simulated`.
    """
    rows = tables.judgments
    exclusions: dict[str, int] = {}

    def drop(rule: str, bad: pd.Series) -> None:
        nonlocal rows
        if bad.any():
            exclusions[rule] = exclusions.get(rule, 0) + int(bad.sum())
        rows = rows[~bad]

    drop(
        "superseded by a later answer", rows["revision"] < rows.groupby("trial")["revision"].transform("max")
    )
    for kind in sorted(set(rows["kind"]) - {"scored"}):
        drop(f"kind {kind}", rows["kind"] == kind)
    named = rows["exclusion"].where(rows["exclusion"].notna(), "no rule named")
    for rule in sorted(set(named[rows["is_excluded"]])):
        drop(rule, rows["is_excluded"] & (named.loc[rows.index] == rule))
    if left_out:
        out = pd.MultiIndex.from_tuples(sorted(left_out))
        touched = pd.Series(False, index=rows.index)
        for column in ("condition_a", "condition_b"):
            touched |= pd.MultiIndex.from_frame(rows[["source", column]]).isin(out)
        drop("source missing at the rate point", touched)
    if rows.empty:
        counted = "; ".join(f"{rule}: {count}" for rule, count in exclusions.items()) or "the table is empty"
        raise NothingToAnalyseError(f"{tables.origin}: no judgment is left to analyse ({counted})")
    simulated = int(rows["is_simulated"].sum())
    if 0 < simulated < len(rows) and not include_simulated:
        raise MixedJudgmentsError(simulated, len(rows) - simulated)
    evidence: Evidence = "real" if simulated == 0 else "simulated" if simulated == len(rows) else "mixed"
    return comparisons_from_rows(rows, evidence, exclusions)


def comparisons_from_rows(
    rows: pd.DataFrame, evidence: Evidence, exclusions: Mapping[str, int]
) -> Comparisons:
    """Arrays out of rows of the judgments table; names are in sorted order."""
    both = pd.concat([rows["condition_a"], rows["condition_b"]])
    codes, conditions = pd.factorize(both, sort=True)
    source, sources = pd.factorize(rows["source"], sort=True)
    rater, raters = pd.factorize(rows["rater"], sort=True)
    score = rows["choice"].map({"a": 1.0, "b": 0.0, "tie": 0.5}).to_numpy(dtype=np.float64)
    return Comparisons(
        conditions=tuple(conditions),
        sources=tuple(sources),
        raters=tuple(raters),
        first=codes[: len(rows)].astype(np.intp),
        second=codes[len(rows) :].astype(np.intp),
        score=np.asarray(score, dtype=np.float64),
        source=source.astype(np.intp),
        rater=rater.astype(np.intp),
        evidence=evidence,
        exclusions=dict(exclusions),
    )
