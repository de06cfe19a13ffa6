"""Is a trial that is given a chance of 5 % to beat the best one right in 5 % of the cases? A reliability table.

    python benchmarks/extrapolation_calibration.py
    python benchmarks/extrapolation_calibration.py --curves digits

A case is a group of curves: the best objective of some of them, at any epoch, is the one to beat, and another is shown
up to some epoch. ``synthetic`` curves are of families that the estimator's bank does not hold, with noise, and some of
them overfit; ``digits`` are classifiers of scikit-learn on its digits, the error and the log loss on held-out data.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from kt_ext.estimators import CurveEstimator

EDGES = (0.0, 0.005, 0.02, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0)
EPOCHS = 50


def logistic(rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """A plateau, a fall and a plateau."""
    return 1 / (1 + np.exp(-(epochs - rng.uniform(-10, 25)) / 10 ** rng.uniform(0, 1.2)))


def two_speeds(rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """A fast exponential and a slow one."""
    fast = rng.uniform(0.3, 0.95)
    return 1 - fast * np.exp(-epochs / 10 ** rng.uniform(-0.2, 0.8)) - (1 - fast) * np.exp(-epochs / rng.uniform(8, 80))


def arc_tangent(rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    return np.arctan(epochs / 10 ** rng.uniform(-0.3, 1.3))


def random_steps(rng: np.random.Generator, epochs: np.ndarray) -> np.ndarray:
    """Progress in random steps that become smaller."""
    return np.cumsum(rng.gamma(0.6, 1.0, len(epochs)) * np.exp(-epochs / 10 ** rng.uniform(0.3, 1.7)))


FAMILIES: tuple[Callable[[np.random.Generator, np.ndarray], np.ndarray], ...] = (
    logistic,
    two_speeds,
    arc_tangent,
    random_steps,
)


def synthetic_group(rng: np.random.Generator, count: int) -> np.ndarray:
    """Validation losses, shape (count, EPOCHS), of one task: a family, a level of noise, and how hard it is."""
    family = FAMILIES[rng.integers(len(FAMILIES))]
    noise, hardness = 10 ** rng.uniform(-3.5, -1.7), rng.uniform(0.1, 0.7)
    epochs = np.arange(1, EPOCHS + 1.0)
    curves = np.empty((count, EPOCHS))
    for curve in curves:
        progress = family(rng, epochs)
        start, gain = rng.uniform(0.8, 1.0), rng.beta(2, 2) * (1 - hardness)
        curve[:] = start - gain * (progress - progress[0]) / (progress[-1] - progress[0])
        if rng.random() < 0.25:  # it overfits
            curve += rng.uniform(0, 0.2) * np.maximum(epochs / EPOCHS - rng.uniform(0.2, 1), 0)
        curve += noise * rng.normal(size=EPOCHS)
    return curves


def digits_curves(count: int, epochs: int, seed: int) -> np.ndarray:
    """The error and the log loss on held-out digits, shape (2, count, epochs), with random settings."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier

    warnings.filterwarnings("ignore", module="sklearn")
    x, y = load_digits(return_X_y=True)
    x = x / 16.0
    rng = np.random.default_rng(seed)
    curves = np.empty((2, count, epochs))
    for trial in range(count):
        rows = rng.permutation(len(x))
        train, test = rows[:400], rows[400:800]
        if trial % 2:
            model = MLPClassifier(
                (int(rng.integers(4, 48)),),
                learning_rate_init=10 ** rng.uniform(-3.5, -1.0),
                batch_size=int(2 ** rng.integers(4, 8)),
                random_state=trial,
            )
        else:
            eta = 10 ** rng.uniform(-4.0, 0.0)
            model = SGDClassifier("log_loss", learning_rate="constant", eta0=eta, random_state=trial)
        for epoch in range(epochs):
            rows = rng.permutation(train)
            model.partial_fit(x[rows], y[rows], classes=np.arange(10))
            probabilities = np.clip(model.predict_proba(x[test]), 1e-6, 1.0)
            curves[0, trial, epoch] = np.mean(probabilities.argmax(1) != y[test])
            curves[1, trial, epoch] = -np.log(probabilities[np.arange(len(test)), y[test]]).mean()
    return curves


def judge(estimator: CurveEstimator, group: np.ndarray, shown: int) -> tuple[float, bool]:
    """The chance given to the first curve of ``group``, (n, epochs), after ``shown`` epochs; whether it came true."""
    curve, others = group[0], group[1:]
    best = float(min(others.min(), curve[:shown].min()))
    chance = estimator.chance_below(range(1, shown + 1), curve[:shown], len(curve), best)
    return chance, bool(curve[shown:].min() < best)


def shown_and_others(rng: np.random.Generator) -> tuple[int, int]:
    """After how many epochs a curve is judged, and by how many others' best."""
    return int(rng.choice([4, 6, 10, 16, 25])), int(2 ** rng.uniform(0, 5.5))


def synthetic_cases(count: int, seed: int) -> np.ndarray:
    """Chance given and whether it came true, shape (count, 2); each from a group of its own, so independent."""
    estimator, rng = CurveEstimator(), np.random.default_rng(seed)
    cases = []
    for _ in range(count):
        shown, others = shown_and_others(rng)
        cases.append(judge(estimator, synthetic_group(rng, 1 + others), shown))
    return np.array(cases, dtype=float)


def digits_cases(curves: np.ndarray, count: int, seed: int) -> np.ndarray:
    """As ``synthetic_cases``, from groups drawn among ``curves``, shape (metrics, trials, epochs): not independent."""
    estimator, rng = CurveEstimator(), np.random.default_rng(seed)
    cases = []
    for case in range(count):
        shown, others = shown_and_others(rng)
        trials = rng.permutation(curves.shape[1])[: 1 + others]
        cases.append(judge(estimator, curves[case % len(curves), trials], shown))
    return np.array(cases, dtype=float)


def print_table(cases: np.ndarray) -> None:
    print("chance given    cases   mean given   came true")
    for low, high in pairwise(EDGES):
        chosen = cases[(cases[:, 0] >= low) & ((cases[:, 0] < high) | (high == 1.0))]
        if len(chosen):
            given, true = chosen.mean(axis=0)
            print(f"{low:5.3f} - {high:5.3f}  {len(chosen):6d}   {given:10.4f}  {true:10.4f}")
    stopped = cases[:, 0] < 0.05
    print(f"below 0.05: {stopped.mean():.1%} of all; {cases[stopped, 1].mean():.2%} of them would have beaten the best")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--curves", choices=("synthetic", "digits"), default="synthetic")
    parser.add_argument("--cases", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.process_time()
    if arguments.curves == "synthetic":
        cases = synthetic_cases(arguments.cases, arguments.seed)
    else:
        cases = digits_cases(digits_curves(100, 40, arguments.seed), arguments.cases, arguments.seed)
    print_table(cases)
    print(f"CPU {time.process_time() - start:.1f} s")


if __name__ == "__main__":
    main()
