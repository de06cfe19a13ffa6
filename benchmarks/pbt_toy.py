"""The toy of the PBT paper (Jaderberg et al., 2017, figure 2): two workers, each of which sees half of the truth.

    python -m benchmarks.pbt_toy

Q(theta) = 1.2 - theta_0^2 - theta_1^2 is to be maximised, but a worker climbs the gradient of its surrogate
1.2 - h_0 theta_0^2 - h_1 theta_1^2. Both start at theta = (0.9, 0.9), with exactly the same score, one with h = (1, 0)
and the other with h = (0, 1): either alone ends at Q = 0.39, and no factor leads away from an h of zero.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.pbt_population import train_population
from kt_ext.core.explorer import AbstractExplorer
from kt_ext.core.space import Float, Parameter, Space
from kt_ext.schedulers import FIFO, PBT, Perturb

SPACE = Space([Parameter("h0", Float(0.0, 1.0)), Parameter("h1", Float(0.0, 1.0))])
STARTS = [{"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0}]
STEPS = 200


def quality(
    seed: int, interval: int = 10, step: float = 0.01, explorer: AbstractExplorer | None = None, grid: bool = False
) -> float:
    """The better Q of the two workers after 200 steps; ``grid`` leaves them alone."""

    def train(theta, values, rng):
        theta = theta - step * 2 * np.array([values["h0"], values["h1"]]) * theta
        return theta, float(np.sum(theta**2) - 1.2)

    scheduler = FIFO(2, STEPS) if grid else PBT(2, STEPS, interval, explorer=explorer)
    return -train_population(scheduler, SPACE, seed, lambda rng, trial: np.full(2, 0.9), train, STARTS).best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--step", type=float, default=0.01)
    arguments = parser.parse_args()
    print(f"{arguments.seeds} seeds, step {arguments.step}; the optimum is 1.2")
    print(f"{'grid search':32} {quality(0, step=arguments.step, grid=True):6.3f}")
    for interval in (1, 5, 10, 20):
        for name, explorer in (("default", None), ("the paper's rule", Perturb()), ("factors", Perturb((0.8, 1.2), 0))):
            found = np.array([quality(seed, interval, arguments.step, explorer) for seed in range(arguments.seeds)])
            print(f"{name + f', every {interval} steps':32} {found.mean():6.3f} mean, {found.min():6.3f} worst")


if __name__ == "__main__":
    main()
