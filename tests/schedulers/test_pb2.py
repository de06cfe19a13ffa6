"""PB2's explorer: the formulas of its process against plain sums, its data, and where it leads."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from kt_ext.core.decision import CheckpointRef, Observation, Run
from kt_ext.core.history import History
from kt_ext.core.space import Boolean, Choice, Condition, Float, Int, Parameter, Space
from kt_ext.schedulers import PBT, AdaptivePerturb, PB2Explorer
from kt_ext.schedulers.pb2 import CUT, Intervals, features, standardised
from kt_ext.schedulers.time_varying import TimeVarying, upper_confidence

RATE = Space([Parameter("rate", Float(1e-4, 1.0, scale="log"))])


def kernel(one, other, length_scale, omega) -> float:
    """k((t, x), (t', x')), as in the paper's section 3.2."""
    squared = sum((a - b) ** 2 for a, b in zip(one[1:], other[1:], strict=True))
    return math.exp(-squared / (2 * length_scale**2)) * (1 - omega) ** (abs(one[0] - other[0]) / 2)


def random_points(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.integers(0, 10, count), rng.random((count, 3))])


def test_the_kernel_is_the_papers():
    X, Y = random_points(7, 0), random_points(5, 1)
    K = TimeVarying(0.3, 0.2)(X, Y)
    expected = [[kernel(x, y, 0.3, 0.2) for y in Y] for x in X]
    assert pytest.approx(np.array(expected), rel=1e-12) == K
    assert TimeVarying(0.3, 0.2).diag(X).tolist() == [1.0] * 7


def test_the_gradient_is_by_the_log_of_each_parameter():
    X = random_points(6, 2)
    one = TimeVarying(0.3, 0.2)
    K, gradient = one(X, eval_gradient=True)
    assert gradient.shape == (6, 6, 2)
    for place in range(2):
        step = 1e-6 * np.eye(2)[place]
        ahead, behind = (one.clone_with_theta(one.theta + sign * step)(X) for sign in (1, -1))
        assert pytest.approx((ahead - behind) / 2e-6, abs=1e-8) == gradient[:, :, place]
    assert pytest.approx(one(X)) == K


def test_the_bound_is_mean_and_deviation_by_plain_algebra(monkeypatch):
    """With the hyperparameters as they start: the formulas of Gaussian process regression, solved directly."""
    from kt_ext.schedulers import time_varying

    monkeypatch.setattr(time_varying, "_optimise", lambda objective, theta, bounds: (theta, 0.0))
    X, pending, candidates = random_points(12, 3), random_points(3, 4), random_points(9, 5)
    y = np.random.default_rng(6).normal(size=12)

    def gram(A, B):
        return np.array([[kernel(a, b, 0.5, 0.1) for b in B] for a in A])

    mean = gram(candidates, X) @ np.linalg.solve(gram(X, X) + 0.1 * np.eye(12), y)
    both = np.vstack([X, pending])
    cross = gram(candidates, both)
    variance = 1.0 - np.sum(cross.T * np.linalg.solve(gram(both, both) + 0.1 * np.eye(15), cross.T), axis=0)
    expected = mean + math.sqrt(0.2 + math.log(0.4 * 12)) * np.sqrt(variance)
    assert upper_confidence(X, y, pending, candidates) == pytest.approx(expected, rel=1e-6)


def test_what_others_try_is_less_inviting():
    X = np.column_stack([np.zeros(8), np.linspace(0, 0.3, 8)])
    candidates = np.array([[1.0, 0.9], [1.0, 0.6]])
    free = upper_confidence(X, np.sin(X[:, 1]), np.empty((0, 2)), candidates)
    taken = upper_confidence(X, np.sin(X[:, 1]), candidates[:1], candidates)
    assert taken[0] < free[0] - 0.1
    assert taken[0] - free[0] < taken[1] - free[1]


def test_features_of_every_kind():
    on = (Condition("on", (True,)),)
    space = Space(
        [
            Parameter("rate", Float(1e-4, 1.0, scale="log")),
            Parameter("on", Boolean()),
            Parameter("layers", Int(1, 4), on),
            Parameter("kind", Choice(("a", "b", "c")), on),
            Parameter("width", Choice((4, 1, 2, 8), ordered=True)),
        ]
    )
    half = math.sqrt(0.5)
    values = {"rate": 1e-2, "on": True, "layers": 2, "kind": "b", "width": 4}
    assert features(values, space) == pytest.approx([0.5, 1.0, 0.375, 0.0, half, 0.0, 0.125])
    assert features({"rate": 1.0, "on": False, "width": 8}, space) == pytest.approx([1, 0, 0.5, 0, 0, 0, 0.875])


def test_improvements_are_cut_off_and_a_collapse_is_the_worst():
    cut = standardised([1.0, 2.0, 3.0, 1000.0, -math.inf, math.nan])
    assert cut.tolist() == pytest.approx([-1.5 / 1.4826, -0.5 / 1.4826, 0.5 / 1.4826, CUT, -CUT, -CUT], rel=1e-6)
    assert standardised([-math.inf, -math.inf]).tolist() == [-CUT, -CUT]
    assert standardised([2.0, 2.0, 2.0]).tolist() == [0.0, 0.0, 0.0]
    assert standardised([2.0, 2.0, 2.0, 5.0])[3] == pytest.approx(3 / np.std([2, 2, 2, 5]))


def searched() -> History:
    """Three members, intervals of two epochs; member 2 took over a state after epoch 2."""
    history = History()
    for trial_id, rate in enumerate((0.1, 0.01, 0.001)):
        history.start(trial_id, {"rate": rate})
    scores = {0: [9.0, 8.0, 7.0, 6.0], 1: [9.0, 9.0, 9.0, math.inf], 2: [9.0, 10.0]}
    for trial_id, curve in scores.items():
        for epoch, score in enumerate(curve, 1):
            history.record(Observation(trial_id, epoch, score))
    history.assign(2, {"rate": 0.5})
    for epoch, score in ((3, 8.0), (4, 5.0)):
        history.record(Observation(2, epoch, score))
    return history


def test_improvements_per_epoch_and_what_is_pending():
    """From the state that the member went on from, which for member 2 was the best one after epoch 2, with 8.0."""
    history = searched()
    history.assign(0, {"rate": 0.2})  # takes over now, and is on its way
    found = Intervals.of(history, Run(1, until=6, restore=CheckpointRef(2, 4)), most=80)
    assert found.length == 2
    assert found.observed == [
        (1.0, {"rate": 0.1}, 1.0),
        (1.0, {"rate": 0.01}, -math.inf),
        (1.0, {"rate": 0.5}, 1.5),
    ]
    assert found.pending == [{"rate": 0.2}, {"rate": 0.5}]
    assert len(Intervals.of(history, Run(1, until=6, restore=CheckpointRef(2, 4)), most=2).observed) == 2


def test_without_data_it_perturbs():
    history = History()
    for trial_id in range(2):
        history.start(trial_id, {"rate": 0.01})
        history.record(Observation(trial_id, 1, 1.0))
    run = Run(1, until=2, restore=CheckpointRef(0, 1))
    for seed in range(20):
        one, other = (
            explorer.explore(run, history, RATE, (), np.random.default_rng(seed))
            for explorer in (PB2Explorer(comparisons=9), AdaptivePerturb(comparisons=9))
        )
        assert one == other


def test_it_leads_to_where_the_improvements_are():
    """Progress is largest at a unit of 0.75, a rate of 0.1; the donor is at 0.5: all go up."""
    history = History()
    rng = np.random.default_rng(0)
    for trial_id in range(8):
        history.start(trial_id, RATE.sample(rng))
    scores = np.zeros(8)
    for epoch in range(1, 9):
        for trial_id in range(8):
            unit = RATE.encode(history.values(trial_id))[0]
            scores[trial_id] -= math.exp(-((unit - 0.75) ** 2) / 0.02) + 0.02 * rng.normal()
            history.record(Observation(trial_id, epoch, scores[trial_id]))
            if epoch < 8 and trial_id < 2:
                history.assign(trial_id, RATE.sample(rng))
    history.start(8, {"rate": 0.01})
    run = Run(7, until=9, restore=CheckpointRef(8, 8))
    found = [PB2Explorer().explore(run, history, RATE, (), np.random.default_rng(n)) for n in range(10)]
    units = np.array([RATE.encode(child)[0] for child in found])
    assert (units > 0.5).all()
    chance = [AdaptivePerturb().explore(run, history, RATE, (), np.random.default_rng(n))["rate"] for n in range(10)]
    assert min(chance) < 0.01 < max(chance)


def test_pbt_tells_how_many_comparisons_there_are():
    explorer = PBT(8, 41, explorer=PB2Explorer(["rate"], 20, 5)).explorer
    assert explorer.configuration() == PB2Explorer(["rate"], 20, 5, comparisons=40).configuration()


def test_arguments():
    with pytest.raises(ValueError, match="window=7: must be an integer >= 8"):
        PB2Explorer(window=7)
    with pytest.raises(ValueError, match="candidates=0: must be an integer >= 1"):
        PB2Explorer(candidates=0)


def test_importing_the_schedulers_loads_neither_scipy_nor_sklearn():
    program = "import sys, kt_ext.schedulers; print(sorted({'scipy', 'sklearn', 'keras'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert shown.stdout.strip() == "[]"
