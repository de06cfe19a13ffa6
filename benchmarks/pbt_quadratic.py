"""A noisy quadratic whose best learning rate falls over time, under constant rates, schedules, PBT and PB2.

    python -m benchmarks.pbt_quadratic
    python -m benchmarks.pbt_quadratic --seeds 10 --pb2

SGD on 1/2 sum(lambda_i theta_i^2) in 40 dimensions, lambda from 1 to 1/100 in equal ratios, gradients with noise of
variance 1.05^2 lambda_i, theta_i drawn from N(0, 2.5^2); 40 intervals of 25 steps; 8 members. The score is -log10 of
the exact risk, so ranks are not noisy; only the training is. 25 steps at a constant rate are drawn at once from their
exact distribution. The rate is searched in [1e-3, 1] on a logarithmic scale.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from benchmarks.pbt_population import train_population
from kt_ext.core.explorer import AbstractExplorer
from kt_ext.core.space import Float, Parameter, Space
from kt_ext.schedulers import PBT, PB2Explorer, Perturb

CURVATURES = np.geomspace(1.0, 0.01, 40)
NOISE, START, INTERVALS, STEPS, MEMBERS = 1.05, 2.5, 40, 25, 8
SPACE = Space([Parameter("rate", Float(1e-3, 1.0, scale="log"))])


def start(rng: np.random.Generator, trial: int) -> np.ndarray:
    return rng.normal(0.0, START, len(CURVATURES))


def train(theta: np.ndarray, values, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """25 steps of SGD, and log10 of the risk."""
    shrink = 1.0 - values["rate"] * CURVATURES
    variance = values["rate"] ** 2 * NOISE**2 * CURVATURES * (1 - shrink ** (2 * STEPS)) / (1 - shrink**2)
    theta = shrink**STEPS * theta + np.sqrt(variance) * rng.standard_normal(len(theta))
    return theta, math.log10(0.5 * float(np.sum(CURVATURES * theta**2)))


class Copy(Perturb):
    """Exploit alone: the donor's values as they are."""

    def explore(self, run, history, space, structural, rng):
        return dict(history.values_at(run.restore.trial_id, run.restore.epoch))


def population(seed: int, interval: int = 1, explorer: AbstractExplorer | None = None) -> float:
    """The best score of PBT's members at the end."""
    return -train_population(PBT(MEMBERS, INTERVALS, interval, explorer=explorer), SPACE, seed, start, train).best


def scheduled(seed: int, rate: Callable[[int], float]) -> list[float]:
    """The scores of eight runs with a rate for each interval."""
    scores = []
    for trial in range(MEMBERS):
        theta = start(np.random.default_rng([seed, trial, 0]), trial)
        for interval in range(INTERVALS):
            theta, loss = train(theta, {"rate": rate(interval)}, np.random.default_rng([seed, trial, interval + 1]))
        scores.append(-loss)
    return scores


def polynomial(first: float, last: float, power: float) -> Callable[[int], float]:
    return lambda interval: first * (last + (1 - last) * (1 - interval / INTERVALS)) ** power


def row(title: str, scores: list[float]) -> None:
    found = np.array(scores)
    print(
        f"{title:48} {found.mean():6.3f} +- {found.std(ddof=1) / math.sqrt(len(found)):.3f}, worst {found.min():6.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--pb2", action="store_true", help="also PB2, which takes minutes")
    arguments = parser.parse_args()
    seeds = range(arguments.seeds)
    print(f"{arguments.seeds} seeds, +- is the standard error")

    def constant(rate: float) -> list[float]:
        return [max(scheduled(seed, polynomial(rate, 1.0, 1.0))) for seed in seeds]

    rate = max(np.geomspace(0.01, 1.0, 13).tolist(), key=lambda rate: np.mean(constant(rate)))
    row(f"best constant rate ({rate:.3f}), best of 8", constant(rate))
    shapes = [(first, last, power) for first in (0.3, 0.6, 1.0) for last in (0.1, 0.2, 0.3) for power in (2, 3, 4)]
    best = max(shapes, key=lambda shape: np.mean([scheduled(seed, polynomial(*shape)) for seed in range(8)]))
    runs = [scheduled(seed, polynomial(*best)) for seed in seeds]
    row(f"best schedule of {len(shapes)}, alone", [float(np.mean(scores)) for scores in runs])
    row(f"best schedule of {len(shapes)}, best of 8", [max(scores) for scores in runs])
    row("exploit without explore", [population(seed, 1, Copy()) for seed in seeds])
    for interval in (1, 2, 4):
        row(f"PBT, every {interval}", [population(seed, interval) for seed in seeds])
        row(f"the paper's rule, every {interval}", [population(seed, interval, Perturb()) for seed in seeds])
        without = Perturb(resample_probability=0.0)
        row(
            f"the paper's rule without resampling, every {interval}",
            [population(seed, interval, without) for seed in seeds],
        )
        if arguments.pb2:
            row(f"PB2, every {interval}", [population(seed, interval, PB2Explorer()) for seed in seeds])


if __name__ == "__main__":
    main()
