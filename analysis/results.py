"""A study's result: tables in, scores, curves and BD-rates with intervals out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.bdrate import BDRate
from analysis.bootstrap import Bootstrap, Interval, bootstrap, codec_knots
from analysis.bradley_terry import BradleyTerry
from analysis.curves import Curve, Floats
from analysis.elo import ELO_PER_LOGIT, elo
from analysis.errors import AnalysisError, NeverJudgedCodecError, UnknownCodecError, UnknownConditionError
from analysis.judgments import Comparisons, StudyTables, select_comparisons
from analysis.one_quality import compare_codecs
from analysis.rates import (
    MEANS_DIFFER,
    ConditionRates,
    RateBasis,
    RateMean,
    condition_rates,
    default_basis,
    payload_unknown,
)
from analysis.scaling import ScalingModel, Scores


@dataclass(frozen=True, slots=True)
class Options:
    """What the researcher chose; exactly one of `anchor` and `test` is given."""

    anchor: str | None = None
    test: str | None = None
    zero: str | None = None
    rate: RateBasis | None = None
    """What the curves count; None for what the study matched, or files where the payload is not known."""
    rate_mean: RateMean = "geometric"
    replicates: int = 1000
    seed: int = 0
    confidence: float = 0.95
    include_simulated: bool = False

    def __post_init__(self) -> None:
        if (self.anchor is None) == (self.test is None):
            raise AnalysisError("name either an anchor or a test codec: --anchor CODEC or --test CODEC")
        if not 0.5 <= self.confidence < 1.0:
            raise AnalysisError(f"confidence {self.confidence:g} is not between 0.5 and 1")
        if self.replicates < 100:
            raise AnalysisError(f"{self.replicates} replicates are too few for a variance; take at least 100")
        if self.seed < 0:
            raise AnalysisError(f"seed {self.seed} is below zero")


@dataclass(frozen=True, slots=True, eq=False)
class ConditionScore:
    """One condition's Elo with its intervals; rates are NaN for the reference."""

    condition: str
    codec: str
    rate_point: str | None
    target_bpp: float
    bpp_geometric: float
    bpp_arithmetic: float
    judgments: int
    sources: int
    """On how many sources its rate rests; for the reference, on how many it was judged."""
    elo: float
    standard_error: float
    model_standard_error: float
    low: float
    high: float
    low_99: float
    high_99: float


@dataclass(frozen=True, slots=True, eq=False)
class Meeting:
    """Where the upper limit of a codec's interval first reaches the reference; `bpp` is NaN where it never
    does."""

    codec: str
    bpp: float
    at_lowest_rate: bool


@dataclass(frozen=True, slots=True, eq=False)
class CodecComparison:
    """A test codec against an anchor, with its interval in ln rate ratio."""

    anchor: str
    test: str
    rate: BDRate
    other_mean: BDRate
    other_basis: BDRate | None
    """Over the payload where `rate` is over files, and the other way round; None where it is not known."""
    interval: Interval
    censored: Mapping[str, int]
    apart_share: float | None
    """Where the curves share no quality: the share of replicates in which they lie apart on the same side."""
    overlap_spread: tuple[float, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class StudyResult:
    """Everything that the outputs print."""

    tables: StudyTables
    options: Options
    comparisons: Comparisons
    rates: ConditionRates
    model: str
    prior_where_needed: str
    scores: Scores
    resampled: Bootstrap
    zero: str | None
    conditions: tuple[ConditionScore, ...]
    curves: Mapping[str, Curve]
    meetings: tuple[Meeting, ...]
    codec_comparisons: tuple[CodecComparison, ...]
    never_judged: tuple[str, ...] = field(default=())
    payload_unknown: Mapping[str, int] = field(default_factory=dict)
    """For each codec the stimuli whose payload is not known, without which its rates cannot be given."""

    @property
    def other_basis(self) -> RateBasis:
        """The bits that the curves do not count."""
        return "payload" if self.options.rate == "file" else "file"

    @property
    def means_differ(self) -> bool:
        """Whether geometric and arithmetic mean rate of any condition differ enough to print both."""
        pairs = [(c.bpp_geometric, c.bpp_arithmetic) for c in self.conditions if np.isfinite(c.bpp_geometric)]
        return any(arithmetic / geometric - 1.0 > MEANS_DIFFER for geometric, arithmetic in pairs)


def analyse_study(
    tables: StudyTables,
    options: Options,
    model: ScalingModel | None = None,
    progress: Callable[[int], object] = lambda _: None,
) -> StudyResult:
    """Scores, curves and BD-rates of one study under `options`.

    `progress` is told of every finished replicate. Raises an AnalysisError where the study cannot be analysed
    as asked; a comparison of two codecs that cannot be made is a result with its status and bounds.
    """
    model = model or BradleyTerry()
    options = replace(options, rate=options.rate or default_basis(tables))
    rates = condition_rates(tables, options.rate)
    comparisons = select_comparisons(
        tables, left_out=rates.left_out_cells, include_simulated=options.include_simulated
    )
    codecs = rates.codec_conditions(comparisons.conditions)
    pairs = _pairs(tables, options, list(codecs))
    zero = _zero(options, rates, comparisons)
    scores = model.fit(comparisons)
    resampled = bootstrap(
        comparisons,
        rates,
        scores,
        model,
        pairs,
        replicates=options.replicates,
        seed=options.seed,
        rate_mean=options.rate_mean,
        progress=progress,
    )
    other: RateMean = "arithmetic" if options.rate_mean == "geometric" else "geometric"
    curves = _curves(scores, rates, options.rate_mean)
    other_curves = _curves(scores, rates, other)
    unknown = payload_unknown(tables)
    basis_curves = None
    if options.rate == "payload" or unknown.empty:
        other_rates = condition_rates(tables, "file" if options.rate == "payload" else "payload")
        basis_curves = _curves(scores, other_rates, options.rate_mean)
    return StudyResult(
        tables=tables,
        options=options,
        comparisons=comparisons,
        rates=rates,
        model=model.name,
        prior_where_needed=model.prior,
        scores=scores,
        resampled=resampled,
        zero=zero,
        conditions=_condition_scores(scores, comparisons, rates, resampled, zero, options.confidence),
        curves=curves,
        meetings=_meetings(scores, comparisons, rates, resampled, options),
        codec_comparisons=tuple(
            _compare(pair, curves, other_curves, basis_curves, resampled, options.confidence)
            for pair in pairs
        ),
        never_judged=tuple(sorted({*rates.conditions, *rates.never_judged} - set(comparisons.conditions))),
        payload_unknown=dict(Counter(sorted(unknown["codec"]))),
    )


def _pairs(tables: StudyTables, options: Options, codecs: list[str]) -> list[tuple[str, str]]:
    named = options.anchor if options.anchor is not None else options.test
    assert named is not None
    if named not in codecs:
        if named in set(tables.stimuli.loc[tables.stimuli["role"] == "scored", "codec"]):
            raise NeverJudgedCodecError(named, codecs)
        raise UnknownCodecError(named, codecs)
    others = [codec for codec in codecs if codec != named]
    if not others:
        raise AnalysisError(f"{named!r} is the only codec that was judged; a BD-rate compares two")
    return [(named, codec) if options.anchor is not None else (codec, named) for codec in others]


def _zero(options: Options, rates: ConditionRates, comparisons: Comparisons) -> str | None:
    if options.zero is not None:
        if options.zero not in comparisons.conditions:
            raise UnknownConditionError(options.zero, comparisons.conditions)
        return options.zero
    return rates.reference if rates.reference in comparisons.conditions else None


def _curves(scores: Scores, rates: ConditionRates, kind: RateMean) -> dict[str, Curve]:
    knots = codec_knots(scores.theta[None], scores.variance[None], rates.mean(kind), scores.conditions, rates)
    return {codec: rows.curve(0) for codec, rows in knots.items()}


def _contrasts(size: int, zero: int | None) -> Floats:
    # Scores sum to zero, so the identity already is the contrast with the mean. The zero condition itself
    # keeps its distance from the mean: against itself it would have no interval at all.
    contrast = np.eye(size)
    if zero is not None:
        contrast[:, zero] -= 1.0
        contrast[zero] = np.eye(size)[zero]
    return contrast


def _condition_scores(
    scores: Scores,
    comparisons: Comparisons,
    rates: ConditionRates,
    resampled: Bootstrap,
    zero: str | None,
    confidence: float,
) -> tuple[ConditionScore, ...]:
    place = None if zero is None else scores.conditions.index(zero)
    contrast = _contrasts(len(scores.conditions), place)
    value = elo(scores.theta, place)
    errors = resampled.elo_standard_errors(contrast)
    model_errors = ELO_PER_LOGIT * np.sqrt(np.einsum("ci,ij,cj->c", contrast, scores.covariance, contrast))
    half, half_99 = errors * resampled.quantile(confidence), errors * resampled.quantile(0.99)
    counted = np.bincount(
        np.concatenate([comparisons.first, comparisons.second]), minlength=len(scores.conditions)
    )
    rated = {name: i for i, name in enumerate(rates.conditions)}
    cells = np.concatenate([comparisons.first, comparisons.second]) * len(comparisons.sources)
    cells = np.unique(cells + np.tile(comparisons.source, 2))
    judged_on = np.bincount(cells // len(comparisons.sources), minlength=len(scores.conditions))
    geometric, arithmetic = (np.exp(rates.mean(kind)[0]) for kind in ("geometric", "arithmetic"))
    rows = []
    for i, name in enumerate(scores.conditions):
        r = rated.get(name)
        rows.append(
            ConditionScore(
                condition=name,
                codec=name if r is None else rates.codecs[r],
                rate_point=None if r is None else rates.points[r],
                target_bpp=float("nan") if r is None else float(rates.targets[r]),
                bpp_geometric=float("nan") if r is None else float(geometric[r]),
                bpp_arithmetic=float("nan") if r is None else float(arithmetic[r]),
                judgments=int(counted[i]),
                sources=rates.source_counts.get(name, int(judged_on[i])),
                elo=float(value[i]),
                standard_error=float(errors[i]),
                model_standard_error=float(model_errors[i]),
                low=float(value[i] - half[i]),
                high=float(value[i] + half[i]),
                low_99=float(value[i] - half_99[i]),
                high_99=float(value[i] + half_99[i]),
            )
        )
    return tuple(sorted(rows, key=lambda c: (np.isnan(c.bpp_geometric), c.codec, c.bpp_geometric)))


def _meetings(
    scores: Scores, comparisons: Comparisons, rates: ConditionRates, resampled: Bootstrap, options: Options
) -> tuple[Meeting, ...]:
    if rates.reference is None or rates.reference not in comparisons.conditions or not resampled.resampled:
        return ()
    place = scores.conditions.index(rates.reference)
    errors = resampled.elo_standard_errors(_contrasts(len(scores.conditions), place))
    upper = (
        elo(scores.theta, place)
        + errors * resampled.quantile(options.confidence)
        - elo(scores.theta, place)[place]
    )
    log_rate = dict(zip(rates.conditions, rates.mean(options.rate_mean)[0], strict=True))
    found = []
    for codec, conditions in rates.codec_conditions(comparisons.conditions).items():
        u = upper[[scores.conditions.index(name) for name in conditions]]
        x = np.array([log_rate[name] for name in conditions])
        reached = np.flatnonzero(u >= 0)
        if not len(reached):
            found.append(Meeting(codec, float("nan"), False))
        elif reached[0] == 0:
            found.append(Meeting(codec, float(np.exp(x[0])), True))
        else:
            k = int(reached[0])
            share = -u[k - 1] / (u[k] - u[k - 1])
            found.append(Meeting(codec, float(np.exp(x[k - 1] + share * (x[k] - x[k - 1]))), False))
    return tuple(found)


def _compare(
    pair: tuple[str, str],
    curves: Mapping[str, Curve],
    other_curves: Mapping[str, Curve],
    basis_curves: Mapping[str, Curve] | None,
    resampled: Bootstrap,
    confidence: float,
) -> CodecComparison:
    anchor, test = pair
    rate = compare_codecs(curves[anchor], curves[test])
    interval = resampled.log_ratio_interval(pair, rate.log_ratio, confidence)
    open_low, open_high = rate.ratio_low == 0, bool(np.isinf(rate.ratio_high))
    side = 0 if open_low == open_high else -1 if open_low else 1
    return CodecComparison(
        anchor=anchor,
        test=test,
        rate=rate,
        other_mean=compare_codecs(other_curves[anchor], other_curves[test]),
        other_basis=None
        if basis_curves is None
        else compare_codecs(basis_curves[anchor], basis_curves[test]),
        interval=interval,
        censored=resampled.censored(pair),
        apart_share=resampled.apart_share(pair, side) if side else None,
        overlap_spread=resampled.overlap_spread(pair),
    )
