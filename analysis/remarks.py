"""What a reader must know before the numbers, one sentence each."""

from __future__ import annotations

from collections import Counter

from analysis.bootstrap import FEW_CLUSTERS
from analysis.errors import counted, listed
from analysis.ladders import ladder_advice
from analysis.rates import study_basis
from analysis.results import CodecComparison, StudyResult

#: Under so many judgments for each judged condition, in the mean, nothing is found.
FEW_JUDGMENTS = 10


def remarks(result: StudyResult) -> list[str]:
    """What a reader must know before the numbers, `too_few` first."""
    thin = too_few(result)
    said: list[str] = [] if thin is None else [thin]
    scores, resampled = result.scores, result.resampled
    if scores.prior:
        groups = " > ".join("{" + listed(group, 4) + "}" for group in scores.separated[:6])
        more = f" and {counted(len(scores.separated) - 6, 'more group')}" if len(scores.separated) > 6 else ""
        said.append(
            "Some conditions won (or lost) every comparison with the others, so maximum likelihood has no "
            f"finite answer; scores rest on a prior ({scores.prior}). From best to worst, each group never "
            f"lost to one after it: {groups}{more}."
        )
    said += _cluster_warnings(result)
    used = {kind: r.prior_used for kind, r in resampled.resampled.items() if r.prior_used}
    if used and not scores.prior:
        counts = ", ".join(f"{count} over {kind}" for kind, count in used.items())
        said.append(
            f"Of {resampled.replicates} replicates each, those in which some conditions won (or lost) every "
            f"comparison with the others were fitted with a prior ({result.prior_where_needed}): {counts}."
        )
    single = [codec for codec, curve in result.curves.items() if len(curve.quality) + curve.violations == 1]
    if single:
        said.append(
            f"A BD-rate needs at least two rate points, and there is a single one of {listed(single, 12)}: "
            "savings are given at that one quality where the other curve reaches it, and only bounds "
            "elsewhere."
        )
    for codec, curve in result.curves.items():
        points = len(curve.quality) + curve.violations
        if curve.violations and len(curve.quality) == 1:
            said.append(
                f"{codec}: quality does not rise with rate, so its {points} rate points are one knot."
            )
        elif curve.violations:
            were = "was" if curve.violations == 1 else "were"
            pooled = f"{curve.violations} of {points} rate points {were} pooled"
            said.append(f"{codec}: {pooled}, as Elo fell while rate rose.")
    said += [sentence for c in result.codec_comparisons for sentence in _comparison_warnings(c, result)]
    if result.payload_unknown:
        number = sum(result.payload_unknown.values())
        codecs = listed(list(result.payload_unknown), 12)
        said.append(
            f"The payload of {counted(number, 'stimulus', 'stimuli')} is not known ({codecs}), so there is "
            "no BD-rate over rates of the payload."
        )
    if result.options.rate == "payload" and study_basis(result.tables) == "file":
        said.append("Rates are those of the payload, without containers; targets are those of whole files.")
    if result.options.rate == "file" and study_basis(result.tables) == "payload":
        said.append("Rates are those of whole files, containers included; targets are those of payloads.")
    if result.rates.mismatched:
        off = counted(result.rates.mismatched, "stimulus is", "stimuli are")
        said.append(f"{off} more than 2 % off the target rate; curves use the real rates.")
    if result.rates.left_out:
        said.append(_left_out(result))
    if result.never_judged:
        said.append(f"Never judged and therefore not scored: {listed(result.never_judged)}.")
    return said


def too_few(result: StudyResult) -> str | None:
    """That the judgments or the raters are too few for any finding; None where they are not.

    Each judgment counts for both of its conditions.
    """
    comparisons = result.comparisons
    number, conditions = len(comparisons), len(comparisons.conditions)
    judgments, raters = counted(number, "judgment"), counted(len(comparisons.raters), "rater")
    if 2 * number < FEW_JUDGMENTS * conditions:
        said = f"Only {judgments} by {raters}: too few for any finding."
    elif len(comparisons.raters) < 2:
        said = f"{judgments} by only {raters}: too few raters for any finding."
    else:
        return None
    if missing := len(result.never_judged):
        scored = set(result.rates.conditions) | set(result.rates.never_judged)
        total = len(scored | set(comparisons.conditions))
        were = "was" if missing == 1 else "were"
        said += f" {missing} of {counted(total, 'condition')} {were} never judged."
    return said


def _left_out(result: StudyResult) -> str:
    cells, total = result.rates.left_out, len(result.rates.sources)
    lost = Counter(cell.rate_point for cell in cells)
    rests = [f"{point} rests on {total - number}" for point, number in lost.items()]
    lack, were = ("pair", "lacks"), "was"
    if len(cells) > 1:
        lack, were = ("pairs", "lack"), "were"
    return (
        f"{len(cells)} {lack[0]} of source and rate point {lack[1]} a stimulus of some codec and {were} left "
        f"out for all codecs: of {counted(total, 'source')}, {listed(rests, 12)}."
    )


def _cluster_warnings(result: StudyResult) -> list[str]:
    counts = {"raters": len(result.comparisons.raters), "sources": len(result.comparisons.sources)}
    said = []
    for kind, count in counts.items():
        if count == 1:
            said.append(f"Only one {kind[:-1]}: the intervals say nothing about other {kind}.")
        elif count < FEW_CLUSTERS:
            said.append(
                f"Only {count} {kind}: with fewer than {FEW_CLUSTERS} clusters, intervals are a rough guide "
                f"to other {kind}."
            )
    if all(count == 1 for count in counts.values()):
        said.append("One rater on one source: no interval can be given.")
    return said


def _comparison_warnings(comparison: CodecComparison, result: StudyResult) -> list[str]:
    curves = (result.curves[comparison.anchor], result.curves[comparison.test])
    advice = ladder_advice(comparison.anchor, comparison.test, curves, comparison.rate)
    more = "" if advice is None else f" {advice}"
    name, rate = f"{comparison.test} against {comparison.anchor}", comparison.rate
    if rate.status == "flagged":
        shared = f"the curves share only {100 * rate.overlap:.0f} % of the narrower one's Elo range"
        return [f"{name}: {shared}.{more}"]
    if rate.status == "refused":
        shared = f"the curves share {100 * rate.overlap:.0f} % of the narrower one's Elo range"
        return [f"{name}: {shared}, and a BD-rate needs 25 %; only bounds are given.{more}"]
    if rate.status == "no_overlap":
        return [f"{name}: the curves share no Elo; only bounds are given.{more}"]
    if rate.status in ("ok", "one_quality") and any(comparison.censored.values()):
        censored = sum(comparison.censored.values())
        count = "counts" if censored == 1 else "count"
        return [f"{name}: {counted(censored, 'replicate')} shared no Elo and {count} as censored."]
    return []
