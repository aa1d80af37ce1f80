"""The rate of each condition: the mean over the sources that all compared codecs share at its rate point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import NothingToAnalyseError, counted
from analysis.judgments import StudyTables
from analysis.rate_points import common_target, rate_points

RateMean = Literal["geometric", "arithmetic"]
#: Bits of the whole file, or of the payload without its container.
RateBasis = Literal["file", "payload"]
#: The two means are both printed where they differ by more than this share.
MEANS_DIFFER = 0.005
#: A stimulus further than this from its target is counted in the report.
MISMATCH = 0.02


@dataclass(frozen=True, slots=True)
class Cell:
    """A source that is left out of a rate point, and the codecs that lack it there."""

    source: str
    rate_point: str
    lacking: tuple[str, ...]
    """Every codec with that rate point, where the tables hold no stimulus of the source there at all."""
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ConditionRates:
    """ln bpp of conditions x sources, NaN where the cell does not count."""

    conditions: tuple[str, ...]
    codecs: tuple[str, ...]
    targets: NDArray[np.float64]
    """The target in bpp that all sources of a condition share; NaN where each has its own, or none has."""
    points: tuple[str, ...]
    """The label of each condition's rate point, the same for all codecs that have it."""
    sources: tuple[str, ...]
    log_bpp: NDArray[np.float64]
    left_out: tuple[Cell, ...] = ()
    reference: str | None = None
    """The hidden original, which has no rate."""
    mismatched: int = 0
    """Stimuli whose rate, as the study matched it, is further than 2 % from their own target."""
    never_judged: tuple[str, ...] = ()
    """Conditions of codecs that no judgment names: they are not compared, so they leave no source out."""

    @property
    def left_out_cells(self) -> frozenset[tuple[str, str]]:
        """Pairs of source and condition whose judgments do not count."""
        return frozenset((cell.source, condition) for cell in self.left_out for condition in cell.conditions)

    @property
    def source_counts(self) -> Mapping[str, int]:
        """On how many sources the rate of each condition rests."""
        counted = np.isfinite(self.log_bpp).sum(axis=1)
        return dict(zip(self.conditions, counted.tolist(), strict=True))

    def mean(self, kind: RateMean, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """The logarithm of each condition's rate, replicates x conditions.

        `geometric` is the mean of ln bpp, `arithmetic` the ln of the mean bpp. `weights` is replicates x
        sources; a condition none of whose sources has weight in a replicate keeps its rate over all of them.
        """
        counted = np.isfinite(self.log_bpp)
        bpp = np.where(counted, self.log_bpp if kind == "geometric" else np.exp(self.log_bpp), 0.0)
        w = np.ones((1, len(self.sources))) if weights is None else weights
        total = np.einsum("bs,ks->bk", w, counted.astype(float))
        plain = bpp.sum(axis=1) / counted.sum(axis=1)
        mean = np.where(total > 0, np.einsum("bs,ks->bk", w, bpp) / np.where(total > 0, total, 1.0), plain)
        return np.asarray(mean if kind == "geometric" else np.log(mean))

    def codec_conditions(self, judged: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """For each codec its judged conditions, in the order of rising rate."""
        rate = dict(zip(self.conditions, self.mean("geometric")[0], strict=True))
        by_codec: dict[str, list[str]] = {}
        for condition, codec in zip(self.conditions, self.codecs, strict=True):
            if condition in set(judged):
                by_codec.setdefault(codec, []).append(condition)
        return {codec: tuple(sorted(by_codec[codec], key=rate.__getitem__)) for codec in sorted(by_codec)}


def study_basis(tables: StudyTables) -> RateBasis:
    """What the study matched and counts: what its table says, else the whole file."""
    return "payload" if (tables.stimuli["rate"] == "payload").any() else "file"


def default_basis(tables: StudyTables) -> RateBasis:
    """What curves count unless somebody chose: the study's basis, or files where the payload is not known."""
    return study_basis(tables) if payload_unknown(tables).empty else "file"


def condition_rates(tables: StudyTables, basis: RateBasis | None = None) -> ConditionRates:
    """Rates of the scored conditions over shared sources, by default in the bits of `default_basis`.

    A source counts at a rate point only if every codec with that rate point has a stimulus of it there, and
    if every codec has a stimulus of it at all. A stimulus that missed its target and was never judged counts
    as lacking; a codec of which nothing was ever judged is not asked. Raises NothingToAnalyseError when a
    condition keeps no source, or `basis` is payload and a stimulus has no payload bytes.
    """
    stimuli = tables.stimuli
    scored = stimuli[stimuli["role"] == "scored"]
    if scored.empty:
        raise NothingToAnalyseError(f"{tables.origin}: the stimuli table has no row with role scored")
    basis = basis or default_basis(tables)
    reference = stimuli.loc[stimuli["role"] == "reference", "condition"]
    sources = tuple(sorted(set(stimuli.loc[stimuli["role"].isin(["scored", "reference"]), "source"])))
    compared = scored["codec"].isin(_judged_codecs(tables, scored))
    never_judged = tuple(sorted(set(scored.loc[~compared, "condition"])))
    scored = scored[compared]
    by_condition = scored.drop_duplicates("condition").set_index("condition").sort_index()
    conditions = tuple(by_condition.index)
    codecs = tuple(by_condition["codec"])
    row, column = ({name: i for i, name in enumerate(names)} for names in (conditions, sources))

    def grid(rows: pd.DataFrame, values: pd.Series | NDArray[np.float64]) -> NDArray[np.float64]:
        made = np.full((len(conditions), len(sources)), np.nan)
        made[rows["condition"].map(row), rows["source"].map(column)] = values
        return made

    targets = grid(scored, scored["target_bpp"].astype(float))
    points = rate_points(conditions, codecs, targets)
    present = scored[~_never_shown(tables, scored)]
    # A stimulus is judged against its target in the bits that the study matched, whatever curves count.
    missed = np.abs(grid(present, _matched_bpp(tables, present)) / targets - 1.0) > MISMATCH
    bpp = present["bpp"].to_numpy(dtype=float) if basis == "file" else _payload_bpp(tables, present)
    log_bpp = grid(present, np.log(bpp))
    left_out = _left_out(conditions, codecs, points, sources, log_bpp)
    for cell in left_out:
        log_bpp[[row[condition] for condition in cell.conditions], column[cell.source]] = np.nan
    empty = ~np.isfinite(log_bpp).any(axis=1)
    if empty.any():
        name = conditions[int(np.flatnonzero(empty)[0])]
        raise NothingToAnalyseError(
            f"{tables.origin}: condition {name!r} shares no source with the other codecs at its rate point; "
            "remove it from the stimuli and the judgments, or add the missing stimuli"
        )
    used = np.isfinite(log_bpp)
    return ConditionRates(
        conditions=conditions,
        codecs=codecs,
        targets=np.array([common_target(own) for own in targets]),
        points=points,
        sources=sources,
        log_bpp=log_bpp,
        left_out=left_out,
        reference=None if reference.empty else str(reference.iloc[0]),
        mismatched=int((missed & used).sum()),
        never_judged=never_judged,
    )


def payload_unknown(tables: StudyTables) -> pd.DataFrame:
    """The scored stimuli whose payload is not known: rates of it cannot be given."""
    scored = tables.stimuli[tables.stimuli["role"] == "scored"]
    scored = scored[scored["codec"].isin(_judged_codecs(tables, scored))]
    return scored[~(_payload_or_nan(scored) > 0)]


def _payload_or_nan(rows: pd.DataFrame) -> NDArray[np.float64]:
    return (8 * rows["payload_bytes"] / (rows["width"] * rows["height"])).to_numpy(dtype=float)


def _matched_bpp(tables: StudyTables, rows: pd.DataFrame) -> NDArray[np.float64]:
    """The rate that each stimulus was matched by; a given picture is known by its bpp alone."""
    bpp = rows["bpp"].to_numpy(dtype=float)
    if study_basis(tables) == "file":
        return bpp
    payload = _payload_or_nan(rows)
    return np.where(payload > 0, payload, bpp)


def _payload_bpp(tables: StudyTables, present: pd.DataFrame) -> NDArray[np.float64]:
    bpp = _payload_or_nan(present)
    unknown = np.flatnonzero(~(bpp > 0))
    if len(unknown):
        first = present.iloc[int(unknown[0])]
        raise NothingToAnalyseError(
            f"{tables.origin}: the stimuli table has no payload_bytes, width or height of source "
            f"{first['source']!r} under condition {first['condition']!r} "
            f"({counted(len(unknown), 'such stimulus', 'such stimuli')}); "
            "rates of the whole file need none of them: --rate file"
        )
    return bpp


def _judged_codecs(tables: StudyTables, scored: pd.DataFrame) -> set[str]:
    """Codecs that a scored judgment names, excluded or not; all of them where there is none."""
    rows = tables.judgments
    rows = rows[rows["kind"] == "scored"]
    judged = set(rows["condition_a"]) | set(rows["condition_b"])
    codecs = set(scored["codec"])
    return set(scored.loc[scored["condition"].isin(judged), "codec"]) or codecs


def _never_shown(tables: StudyTables, scored: pd.DataFrame) -> NDArray[np.bool_]:
    rows = tables.judgments
    seen = pd.concat(
        [rows[["source", c]].rename(columns={c: "condition"}) for c in ("condition_a", "condition_b")]
    ).drop_duplicates()
    shown = pd.MultiIndex.from_frame(scored[["source", "condition"]]).isin(pd.MultiIndex.from_frame(seen))
    missed = scored["status"].isin(["near", "unreachable_low", "unreachable_high"]).to_numpy()
    return np.asarray(missed & ~shown, dtype=bool)


def _left_out(
    conditions: tuple[str, ...],
    codecs: tuple[str, ...],
    points: tuple[str, ...],
    sources: tuple[str, ...],
    log_bpp: NDArray[np.float64],
) -> tuple[Cell, ...]:
    made = np.isfinite(log_bpp)
    has_source = {
        codec: set(np.flatnonzero(made[[c == codec for c in codecs]].any(axis=0))) for codec in set(codecs)
    }
    by_point: dict[str, list[int]] = {}
    for i, point in enumerate(points):
        by_point.setdefault(point, []).append(i)
    cells = []
    for point, members in by_point.items():
        for s, source in enumerate(sources):
            # Only the codecs that have this rate point are asked: ladders may differ.
            lacking = {codecs[i] for i in members if not made[i, s]}
            lacking |= {codec for codec, has in has_source.items() if s not in has}
            if lacking:
                named = tuple(conditions[i] for i in members if made[i, s])
                cells.append(Cell(source, point, tuple(sorted(lacking)), named))
    return tuple(cells)
