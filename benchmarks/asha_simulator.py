"""What an ASHA decision costs: many simulated trials on many simulated workers, synthetic curves, nothing trained.

    python benchmarks/asha_simulator.py
    python benchmarks/asha_simulator.py --trials 10000 --workers 100 --variant stopping

"busy while starting" is the share of worker time spent on training up to the start of the last new trial; "busy over
all" includes the drain at the end, when the last trials climb their rungs while most workers have nothing left to do.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np

from kt_ext.core.simulate import simulate
from kt_ext.schedulers import ASHA


def exponential_curves(trials: int, seed: int) -> Callable[[int, int], float]:
    """Validation losses that fall from 1 to a trial's own limit at its own rate."""
    rng = np.random.default_rng(seed)
    limits = rng.uniform(0.0, 0.9, trials).tolist()
    rates = (10 ** rng.uniform(-2.0, 0.0, trials)).tolist()
    return lambda trial_id, epoch: limits[trial_id] + (1 - limits[trial_id]) * math.exp(-rates[trial_id] * epoch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--max-epochs", type=int, default=81)
    parser.add_argument("--factor", type=int, default=3)
    parser.add_argument("--brackets", type=int, default=1)
    parser.add_argument("--variant", choices=("promotion", "stopping"), default="promotion")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    scheduler = ASHA(
        arguments.max_epochs,
        factor=arguments.factor,
        brackets=arguments.brackets,
        max_trials=arguments.trials,
        variant=arguments.variant,
    )
    objective = exponential_curves(arguments.trials, arguments.seed)
    seconds = np.random.default_rng(arguments.seed + 1).uniform(0.5, 1.5, arguments.trials).tolist()

    start = time.process_time()
    result = simulate(
        scheduler,
        objective,
        workers=arguments.workers,
        seed=arguments.seed,
        epoch_seconds=seconds.__getitem__,
        log=False,
    )
    cpu_seconds = time.process_time() - start

    trials = len(result.epochs)
    print(f"{trials:,} trials, {result.total_epochs:,} epochs, {arguments.workers:,} workers, {arguments.variant}")
    print(f"CPU                  {cpu_seconds:8.2f} s  ({cpu_seconds / trials * 1e6:.1f} us per trial)")
    print(f"simulated time       {result.end_seconds:8.1f} s")
    print(f"busy while starting  {result.busy_while_starting:8.2%}")
    print(f"busy over all        {result.busy:8.2%}")
    print(f"trained to the end   {sum(epochs == arguments.max_epochs for epochs in result.epochs.values()):8,} trials")


if __name__ == "__main__":
    main()
