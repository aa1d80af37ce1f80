"""The batched bootstrap beside a loop over choix, on the same resampled raters.

python benchmarks/bootstrap.py --judgments 74925 --raters 610 --codecs 11 --rates 8

Both refit the scores under the same draws of whole raters. The loop is run for fewer replicates, and both are
given in CPU seconds a replicate; the largest difference between the two in Elo is printed with them.
"""

from __future__ import annotations

import argparse
import time

import choix
import numpy as np

from analysis.bradley_terry import BradleyTerry
from analysis.elo import elo
from analysis.judgments import Comparisons, comparisons_from_rows
from analysis.simulation import simulate_study


def study(arguments: argparse.Namespace) -> Comparisons:
    """A simulated study of the size that was asked for."""
    savings = {f"codec{i}": 1.0 + 0.15 * i for i in range(arguments.codecs)}
    ladder = tuple(np.geomspace(0.1, 0.5, arguments.rates).tolist())
    made = simulate_study(
        arguments.seed,
        savings=savings,
        ladder=ladder,
        sources=arguments.sources,
        raters=arguments.raters,
        judgments=arguments.judgments,
    )
    return comparisons_from_rows(made.judgments, "simulated", {})


def choix_replicate(comparisons: Comparisons, counts: np.ndarray, dense: bool) -> np.ndarray:
    """One replicate as a user of choix writes it: the drawn rows, then a fit."""
    rows = np.repeat(np.arange(len(comparisons)), counts[comparisons.rater].astype(int))
    won = comparisons.score[rows] == 1
    winner = np.where(won, comparisons.first[rows], comparisons.second[rows])
    loser = np.where(won, comparisons.second[rows], comparisons.first[rows])
    size = len(comparisons.conditions)
    if dense:
        matrix = np.zeros((size, size))
        np.add.at(matrix, (winner, loser), 1.0)
        return np.asarray(choix.ilsr_pairwise_dense(matrix, alpha=0.0))
    return np.asarray(choix.ilsr_pairwise(size, list(zip(winner, loser, strict=True)), alpha=0.0))


def main() -> None:
    """Prints one line for each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--judgments", type=int, default=74_925)
    parser.add_argument("--raters", type=int, default=610)
    parser.add_argument("--sources", type=int, default=40)
    parser.add_argument("--codecs", type=int, default=11)
    parser.add_argument("--rates", type=int, default=8)
    parser.add_argument("--replicates", type=int, default=1000, help="of the batched bootstrap")
    parser.add_argument("--loops", type=int, default=10, help="replicates of each loop over choix")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    comparisons = study(arguments)
    model = BradleyTerry()
    scores = model.fit(comparisons)
    number = len(comparisons.raters)
    rng = np.random.default_rng(arguments.seed)
    counts = rng.multinomial(number, np.full(number, 1 / number), arguments.replicates).astype(float)
    started = time.process_time()
    chunks = [
        model.refit(comparisons, comparisons.rater, counts[k : k + 100], scores).theta
        for k in range(0, len(counts), 100)
    ]
    ours = (time.process_time() - started) / arguments.replicates
    theta = np.concatenate(chunks)
    print(
        f"{len(comparisons)} judgments, {number} raters, {len(comparisons.conditions)} conditions; "
        f"matchrate: {1000 * ours:.2f} ms CPU a replicate ({arguments.replicates} replicates)"
    )
    for name, dense in (("ilsr_pairwise", False), ("ilsr_pairwise_dense", True)):
        started = time.process_time()
        fits = np.array([choix_replicate(comparisons, counts[k], dense) for k in range(arguments.loops)])
        each = (time.process_time() - started) / arguments.loops
        apart = np.abs(elo(fits) - elo(theta[: arguments.loops])).max()
        print(
            f"a loop over choix.{name}: {1000 * each:.2f} ms CPU a replicate ({arguments.loops} replicates), "
            f"{each / ours:.1f} times as long; largest difference {apart:.1g} Elo"
        )


if __name__ == "__main__":
    main()
