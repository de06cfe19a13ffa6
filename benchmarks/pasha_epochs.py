"""What PASHA saves and what it costs: epochs and final regret beside ASHA's, on synthetic curves, nothing trained.

    python benchmarks/pasha_epochs.py
    python benchmarks/pasha_epochs.py --trials 27 --max-epochs 27 --seeds 100

Every curve falls from 1 to its trial's limit: limit + (1 - limit) exp(-rate epoch), with noise. The regret of a search
is the limit of the trial that it ranks best at the most epochs it trained any to, less the best limit of all. Each
figure is the mean over the seeds, and the standard deviation between them. "search alone" is PASHA with finish=0.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.core.simulate import simulate
from kt_ext.schedulers import ASHA, FIFO, PASHA

# name: (rate from limits in [0, 0.9] and the generator, standard deviation of the noise of an epoch)
FAMILIES: dict[str, tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], float]] = {
    "one rate, no noise": (lambda limits, rng: np.full(len(limits), 0.1), 0.0),
    "one rate, little noise": (lambda limits, rng: np.full(len(limits), 0.1), 0.005),
    "one rate, much noise": (lambda limits, rng: np.full(len(limits), 0.1), 0.05),
    "rates of any kind: curves cross": (lambda limits, rng: 10 ** rng.uniform(-2, 0, len(limits)), 0.01),
    "the best are slow: low rungs mislead": (lambda limits, rng: 10 ** (2 / 0.9 * limits - 2), 0.01),
}


def search(scheduler: AbstractScheduler, family: str, seed: int, workers: int) -> tuple[int, float, int]:
    """Epochs trained, regret, and the most epochs of any trial."""
    rate_of, deviation = FAMILIES[family]
    rng = np.random.default_rng(seed)
    limits = rng.uniform(0.0, 0.9, scheduler.max_trials)
    rates = rate_of(limits, rng)
    noise = rng.normal(0.0, deviation, (scheduler.max_trials, scheduler.max_epochs + 1))
    seen: dict[int, dict[int, float]] = {}

    def curve(trial_id: int, epoch: int) -> float:
        clean = limits[trial_id] + (1 - limits[trial_id]) * math.exp(-rates[trial_id] * epoch)
        value = float(clean + noise[trial_id, epoch])
        seen.setdefault(epoch, {})[trial_id] = value
        return value

    result = simulate(scheduler, curve, workers=workers, seed=seed, log=False)
    furthest = max(result.epochs.values())
    chosen = min(seen[furthest], key=seen[furthest].__getitem__)
    return result.total_epochs, float(limits[chosen] - limits.min()), furthest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=243)
    parser.add_argument("--max-epochs", type=int, default=81)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=30)
    arguments = parser.parse_args()
    trials, epochs = arguments.trials, arguments.max_epochs
    schedulers: dict[str, Callable[[], AbstractScheduler]] = {
        "every trial in full": lambda: FIFO(trials, epochs),
        "ASHA": lambda: ASHA(epochs, max_trials=trials),
        "PASHA": lambda: PASHA(epochs, max_trials=trials),
        "PASHA, search alone": lambda: PASHA(epochs, max_trials=trials, finish=0),
    }
    print(f"{trials} trials, at most {epochs} epochs, {arguments.workers} workers, {arguments.seeds} seeds")
    for family in FAMILIES:
        print(f"\n{family}\n{'':24}{'epochs':>16}{'regret':>20}{'furthest':>16}")
        for name, make in schedulers.items():
            figures = np.array([search(make(), family, seed, arguments.workers) for seed in range(arguments.seeds)])
            mean, spread = figures.mean(axis=0), figures.std(axis=0)
            print(
                f"{name:24}{mean[0]:9.0f} ± {spread[0]:4.0f}{mean[1]:13.4f} ± {spread[1]:.4f}"
                f"{mean[2]:10.1f} ± {spread[2]:.1f}"
            )


if __name__ == "__main__":
    main()
