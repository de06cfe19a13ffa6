"""The Gaussian process searcher: what it learns from, where it sends workers, and that it beats random search."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

import kt_ext.searchers.gaussian_process
from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.searcher import SpaceExhausted
from kt_ext.core.space import Boolean, Choice, Condition, Float, Int, Parameter, Space
from kt_ext.searchers import GPSearcher, RandomSearcher, make_searcher
from searchers.searching import BRANCHES, FUNCTIONS, SMOOTH, best, branch, search, sphere

LINE = Space([Parameter("x", Float(0.0, 1.0))])


def cube(dimensions: int) -> Space:
    return Space([Parameter(f"x{place}", Float(0.0, 1.0)) for place in range(dimensions)])


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_ten_times_better_than_random_on_a_bowl(dimensions):
    """Of another optimum and other slopes for each seed."""
    for seed in range(3):
        rng = np.random.default_rng([seed, 9])
        optimum, slopes = rng.uniform(0.1, 0.9, dimensions), rng.uniform(0.5, 2.0, dimensions)

        def bowl(values, optimum=optimum, slopes=slopes):
            return float(slopes @ (np.array(list(values.values())) - optimum) ** 2)

        ours = best(search(GPSearcher(seed=seed), cube(dimensions), bowl, 35, seed))
        assert ours < best(search(RandomSearcher(), cube(dimensions), bowl, 35, seed)) / 10


@pytest.mark.parametrize("function", FUNCTIONS)
def test_better_than_random_on_each_of_three_seeds(function):
    """Choices and a conditional space among them."""
    space, objective = FUNCTIONS[function]
    for seed in range(3):
        ours = best(search(GPSearcher(seed=seed), space, objective, 40, seed))
        assert ours < best(search(RandomSearcher(), space, objective, 40, seed)) / 1.5


def test_noise_does_not_lead_it_astray():
    rng = np.random.default_rng(0)
    history = search(GPSearcher(), LINE, lambda v: (v["x"] - 0.7) ** 2 + 0.02 * rng.standard_normal(), 40)
    assert abs(np.median([history.values(trial_id)["x"] for trial_id in history.ids[-10:]]) - 0.7) < 0.1


def test_the_first_trials_are_quasi_random():
    sobol = search(make_searcher("sobol", 3), SMOOTH, sphere, 14)
    ours = search(GPSearcher(n_startup=6, seed=3), SMOOTH, sphere, 14)
    same = [a == b for a, b in zip(ours.configurations, sobol.configurations, strict=True)]
    assert same == [True] * 6 + [False] * 8


def line(objective_at: dict[int, object], pending: tuple[float, ...] = (), trials: int = 20) -> History:
    """Trials on a line, each reporting ``objective_at[epoch](x)``, and some that run."""
    history = History()
    for trial_id in range(trials):
        x = (trial_id + 0.5) / trials
        history.start(trial_id, {"x": x})
        for epoch, objective in objective_at.items():
            history.record(Observation(trial_id, epoch, objective(x)))  # type: ignore[operator]
        history.end(trial_id)
    for trial_id, x in enumerate(pending, trials):
        history.start(trial_id, {"x": x})
    return history


def proposals(history: History, number: int, **settings: int) -> np.ndarray:
    searcher, rng = GPSearcher(**settings), np.random.default_rng(0)
    return np.array([searcher.propose(history, LINE, rng)["x"] for _ in range(number)])


def test_what_counts_is_the_highest_epoch():
    """After one epoch 0.2 looks best; only the ninth shows that 0.8 is."""
    misleading = line({1: lambda x: 5 + abs(x - 0.2), 9: lambda x: abs(x - 0.8)})
    assert np.abs(proposals(misleading, 5) - 0.8).max() < 0.1


def test_trials_that_were_stopped_early_are_learned_from():
    """Three at the highest epoch say nothing of where; the many of one epoch say 0.2."""
    history = line({1: lambda x: 5 + 4 * (x - 0.2) ** 2})
    for trial_id in (3, 10, 16):
        history.resume(trial_id)
        history.record(Observation(trial_id, 9, 2 + 4 * (history.values(trial_id)["x"] - 0.2) ** 2))
        history.end(trial_id)
    assert np.abs(proposals(history, 5) - 0.2).max() < 0.1


def test_many_workers_are_sent_to_different_places():
    searcher, history, random = GPSearcher(), search(GPSearcher(), SMOOTH, sphere, 12), EventRandom(1)
    alone = [searcher.propose(history, SMOOTH, random.at(trial_id)) for trial_id in range(12, 20)]
    for trial_id in range(12, 20):
        history.start(trial_id, searcher.propose(history, SMOOTH, random.at(trial_id)))
    crowd = [history.values(trial_id) for trial_id in range(12, 20)]

    def apart(proposed) -> list[float]:
        points = np.array([SMOOTH.encode(values) for values in proposed])
        return [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(points, 2)]

    assert np.mean(apart(crowd)) > 2 * np.mean(apart(alone))
    assert min(apart(crowd)) > 2 * min(apart(alone))


def test_infinite_objectives_are_the_worst():
    history = line({1: lambda x: math.inf if x < 0.5 else 1 + x})
    assert (proposals(history, 5) > 0.45).all()


@pytest.mark.parametrize("objective", [0.1, math.inf])
@pytest.mark.parametrize("kernel_samples", [0, 2])
def test_objectives_that_are_all_the_same(objective, kernel_samples):
    """Nothing is known but where nobody was."""
    history = History()
    for trial_id in range(12):
        history.start(trial_id, {"x": 0.05 * trial_id if trial_id < 11 else 1.0})
        history.record(Observation(trial_id, 1, objective))
        history.end(trial_id)
    with np.errstate(all="raise", under="ignore"):
        (x,) = proposals(history, 1, kernel_samples=kernel_samples)
    assert 0.55 < x <= 1.0


def test_averaged_over_kernels():
    plain, averaged = (search(GPSearcher(kernel_samples=number), SMOOTH, sphere, 25) for number in (0, 3))
    assert list(plain.configurations)[:10] == list(averaged.configurations)[:10]
    assert list(plain.configurations) != list(averaged.configurations)
    assert best(averaged) < best(search(RandomSearcher(), SMOOTH, sphere, 25)) / 3


def test_a_finite_space_is_exhausted():
    space = Space([Parameter("n", Int(1, 6)), Parameter("b", Boolean()), Parameter("c", Choice(("u", "v")))])
    history = search(GPSearcher(n_startup=4), space, lambda v: v["n"] + (v["c"] == "u"), 24)
    assert len(history.configurations) == 24
    with pytest.raises(SpaceExhausted, match="all 24"):
        GPSearcher(n_startup=4).propose(history, space, np.random.default_rng(0))


def test_what_is_known_holds_when_the_space_grows():
    searcher, history, random = GPSearcher(), search(GPSearcher(), SMOOTH, sphere, 30), EventRandom(1)
    searcher.propose(history, SMOOTH, random.at(30))
    seen: list[float] = []
    grown = Space([*SMOOTH.parameters, Parameter("more", Choice(("u", "v"))), Parameter("x9", Float(0.0, 1.0))])
    for trial_id in range(30, 36):
        values = searcher.propose(history, grown, random.at(trial_id))
        grown.validate(values)
        seen.append(sphere(values))
        history.start(trial_id, values)
        history.record(Observation(trial_id, 1, sphere(values)))
        history.end(trial_id)
    assert np.median(seen) < 0.1  # at random: 0.8


def fresh(history: History) -> History:
    """As after a restart."""
    loaded = History()
    loaded.load_state(json.loads(json.dumps(history.state())))
    return loaded


@pytest.mark.parametrize("kernel_samples", [0, 2])
def test_a_proposal_depends_on_its_arguments_alone(kernel_samples):
    """Trials pause, resume, end and run on, of one epoch and of nine: after a restart all goes on the same."""
    searcher, history, random = GPSearcher(n_startup=5, kernel_samples=kernel_samples), History(), EventRandom(0)
    rng = np.random.default_rng(1)
    for event in range(90):
        running = sorted(history.pending)
        if len(running) < 4 and rng.random() < 0.5:
            values = searcher.propose(history, BRANCHES, random.at(event))
            if event % 3 == 0:
                again = GPSearcher(n_startup=5, kernel_samples=kernel_samples)
                assert again.propose(fresh(history), BRANCHES, random.at(event)) == values
            history.start(len(history), values)
        elif running:
            trial_id = running[int(rng.integers(len(running)))]
            epoch = history.epochs_of(trial_id) + 1
            history.record(Observation(trial_id, epoch, branch(history.values(trial_id)) + 1 / epoch))
            if rng.random() < 0.4:
                history.end(trial_id)
        if rng.random() < 0.1 and len(history):
            history.resume(int(rng.integers(len(history))))
    assert len(history) > 20 and len(history.observations()[0]) > 30


def test_with_a_thousand_observations_too():
    searcher, history, rng = GPSearcher(max_rows=60), History(), np.random.default_rng(0)
    for trial_id in range(700):
        history.start(trial_id, BRANCHES.sample(rng))
        for epoch in range(1, 2 + trial_id % 3):
            history.record(Observation(trial_id, epoch, branch(history.values(trial_id)) + 1 / epoch))
        history.end(trial_id)
        if trial_id in (5, 20, 250, 251, 500):
            searcher.propose(history, BRANCHES, np.random.default_rng(trial_id))
    assert len(history.observations()[0]) > 1000
    proposed = [
        each.propose(history, BRANCHES, np.random.default_rng(9)) for each in (searcher, GPSearcher(max_rows=60))
    ]
    assert proposed[0] == proposed[1]


def test_values_that_showed_only_in_training_are_fitted_to_anew():
    """A searcher that has fitted its kernel before proposes as one that never knew the earlier values."""
    searcher, history = GPSearcher(), search(GPSearcher(), SMOOTH, sphere, 12)
    searcher.propose(history, SMOOTH, np.random.default_rng(0))
    history.amend(3, {f"x{place}": 0.99 for place in range(4)})
    proposed = [each.propose(history, SMOOTH, np.random.default_rng(0)) for each in (searcher, GPSearcher())]
    assert proposed[0] == proposed[1]


def test_the_kernel_is_fitted_less_and_less_often(monkeypatch):
    sizes = []
    fit = kt_ext.searchers.gaussian_process.fit

    def counted(inputs, targets, groups):
        sizes.append(len(inputs))
        return fit(inputs, targets, groups)

    monkeypatch.setattr(kt_ext.searchers.gaussian_process, "fit", counted)
    search(GPSearcher(), LINE, lambda values: values["x"] ** 2, 60)
    assert sizes == [10, 14, 19, 25, 33, 43, 56]


def test_a_parameter_without_a_choice_changes_nothing():
    constant = Space([*LINE.parameters, Parameter("one", Int(1, 1)), Parameter("b", Choice(("only",)))])
    plain = search(GPSearcher(), LINE, lambda values: values["x"] ** 2, 14)
    with_constants = search(GPSearcher(), constant, lambda values: values["x"] ** 2, 14)
    assert [len(values) for values in with_constants.configurations] == [3] * 14
    assert best(with_constants) < 0.001 and best(plain) < 0.001


def test_inactive_parameters_do_not_disturb():
    """Most of the space is inactive at a time, and never more than one branch."""
    parameters = [Parameter("m", Choice(tuple("abcdef")))]
    parameters += [Parameter(m, Float(0.0, 1.0), (Condition("m", (m,)),)) for m in "abcdef"]
    history = search(GPSearcher(), Space(parameters), lambda v: "cafbed".index(v["m"]) / 5 + (v[v["m"]] - 0.3) ** 2, 40)
    assert best(history) < 0.01


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_startup": 1}, "n_startup=1: must be an integer >= 2"),
        ({"kernel_samples": -1}, "kernel_samples=-1: must be an integer >= 0"),
        ({"n_candidates": 0}, "n_candidates=0: must be an integer >= 1"),
        ({"max_rows": 9}, "max_rows=9: must be an integer >= 10"),
        ({"n_startup": 2.5}, "n_startup=2.5: must be an integer >= 2"),
        ({"kernel_samples": True}, "kernel_samples=True: must be an integer >= 0"),
        ({"seed": -1}, "seed=-1: must be an integer >= 0"),
    ],
)
def test_wrong_arguments(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        GPSearcher(**settings)
