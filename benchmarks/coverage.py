"""How often intervals cover the truth, over simulated studies with a known truth.

python benchmarks/coverage.py --seeds 200 --sources 40 --raters 57

One line is printed a design: the share of 99 % condition intervals that cover the true Elo, and the share of
95 % BD-rate intervals that cover the true BD-rate, which is the same estimator on the true Elo at the rates
of that study.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np

from analysis.bdrate import compare_curves
from analysis.bootstrap import bootstrap, codec_knots
from analysis.bradley_terry import BradleyTerry
from analysis.elo import elo
from analysis.judgments import comparisons_from_rows, tables_from_frames
from analysis.rates import condition_rates
from analysis.simulation import simulate_study, true_theta


@dataclass(frozen=True)
class Covered:
    """Which intervals of one simulated study cover the truth, and the mean width of those of BD-rates in ln
    rate."""

    conditions: np.ndarray
    bd_rates: np.ndarray
    width: float


def cover(seed: int, replicates: int, **design: float) -> Covered:
    """Simulates and analyses one study: 99 % intervals of conditions, 95 % intervals of BD-rates."""
    study = simulate_study(seed, **design)  # type: ignore[arg-type]
    # Checking every cell of a table that was just made would take longer than the analysis.
    few = study.judgments.drop_duplicates("condition_a")
    rates = condition_rates(tables_from_frames(few, study.stimuli))
    comparisons = comparisons_from_rows(study.judgments, "simulated", {})
    model = BradleyTerry()
    scores = model.fit(comparisons)
    anchor, *tests = rates.codec_conditions(comparisons.conditions)
    pairs = [(anchor, test) for test in tests]
    resampled = bootstrap(comparisons, rates, scores, model, pairs, replicates=replicates, seed=seed)
    truth = true_theta(study.elo, comparisons.conditions)
    errors = resampled.elo_standard_errors(np.eye(len(truth)))
    conditions = np.abs(elo(scores.theta) - elo(truth)) <= resampled.quantile(0.99) * errors
    log_rates = rates.mean("geometric")
    estimated, true = (
        codec_knots(theta[None], scores.variance[None], log_rates, comparisons.conditions, rates)
        for theta in (scores.theta, truth)
    )
    covered, widths = [], []
    for pair in pairs:
        estimate, target = (
            compare_curves(knots[pair[0]].curve(0), knots[pair[1]].curve(0)).log_ratio
            for knots in (estimated, true)
        )
        interval = resampled.log_ratio_interval(pair, estimate, 0.95)
        covered.append(interval.low <= target <= interval.high)
        widths.append(interval.high - interval.low)
    return Covered(conditions, np.array(covered), float(np.mean(widths)))


def main() -> None:
    """Runs the seeds of one design and prints its line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=200, help="seeds 0 to N - 1")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--judgments", type=int, default=20_000)
    parser.add_argument("--sources", type=int, default=40)
    parser.add_argument("--raters", type=int, default=57)
    parser.add_argument("--source-effect", type=float, default=0.0, help="standard deviation in Elo")
    parser.add_argument("--rater-effect", type=float, default=0.0, help="standard deviation in Elo")
    arguments = vars(parser.parse_args())
    seeds, replicates = arguments.pop("seeds"), arguments.pop("replicates")
    started = time.process_time()
    runs = [cover(seed, replicates, **arguments) for seed in range(seeds)]
    conditions = np.concatenate([run.conditions for run in runs])
    bd_rates = np.concatenate([run.bd_rates for run in runs])
    design = ", ".join(f"{name} {value:g}" for name, value in arguments.items())
    print(
        f"{design}; {seeds} seeds, {replicates} replicates: "
        f"{100 * conditions.mean():.2f} % of {conditions.size} condition intervals (99 %), "
        f"{100 * bd_rates.mean():.2f} % of {bd_rates.size} BD-rate intervals (95 %), "
        f"mean width {np.mean([run.width for run in runs]):.4f} in ln rate; "
        f"{time.process_time() - started:.0f} s CPU"
    )


if __name__ == "__main__":
    main()
