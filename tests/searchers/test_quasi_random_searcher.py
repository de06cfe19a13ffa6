"""Quasi-random search gives each trial its point of the sequence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.stats import qmc

from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.space import Boolean, Float, Int, Parameter, Space
from kt_ext.searchers import QuasiRandomSearcher

UNIT = Space([Parameter(name, Float(0, 1)) for name in "abc"])
ENGINES = {"sobol": qmc.Sobol, "halton": qmc.Halton}


def points(searcher: QuasiRandomSearcher, number: int) -> np.ndarray:
    history, random = History(), EventRandom(0)
    for trial_id in range(number):
        history.start(trial_id, searcher.propose(history, UNIT, random.at(trial_id)))
    return np.array([list(history.values(trial_id).values()) for trial_id in history.ids])


@pytest.mark.parametrize("sequence", ["sobol", "halton"])
def test_the_kth_trial_gets_the_kth_point(sequence):
    expected = ENGINES[sequence](3, scramble=True, seed=np.random.default_rng(7)).random(256)
    np.testing.assert_array_equal(points(QuasiRandomSearcher(sequence, seed=7), 256), expected)


@pytest.mark.parametrize("sequence", ["sobol", "halton"])
@pytest.mark.parametrize("positions", [(200, 3, 64, 63, 500), (0, 199, 198)])
def test_any_order_of_positions(sequence, positions):
    """Another history, longer or shorter, is answered as by a new searcher."""
    expected = ENGINES[sequence](3, scramble=True, seed=np.random.default_rng(0)).random(512)
    searcher = QuasiRandomSearcher(sequence)
    for position in positions:
        history = History()
        for trial_id in range(position):
            history.start(trial_id, {"a": trial_id})
        values = searcher.propose(history, UNIT, EventRandom(0).at(0))
        np.testing.assert_array_equal(list(values.values()), expected[position])


def test_sobol_is_balanced():
    """Of 64 points each octant of the cube holds exactly 8, which independent draws hardly ever give."""
    halves = (points(QuasiRandomSearcher("sobol", seed=1), 64) >= 0.5) @ [4, 2, 1]
    assert np.bincount(halves, minlength=8).tolist() == [8] * 8


def test_no_warning_about_powers_of_two():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points(QuasiRandomSearcher("sobol"), 100)


def test_a_tried_point_falls_to_the_next_one():
    space = Space([Parameter("n", Int(0, 3)), Parameter("flip", Boolean())])
    unit = qmc.Sobol(2, scramble=True, seed=np.random.default_rng(0)).random(64)
    expected: list[dict] = []
    history, searcher, random = History(), QuasiRandomSearcher(), EventRandom(0)
    for trial_id in range(8):
        expected.append(next(v for v in map(space.decode, unit[trial_id:]) if v not in expected))
        history.start(trial_id, searcher.propose(history, space, random.at(trial_id)))
    assert [history.values(trial_id) for trial_id in history.ids] == expected


def test_a_wrong_argument_is_refused():
    with pytest.raises(ValueError, match="sequence='lattice': must be one of sobol, halton"):
        QuasiRandomSearcher("lattice")
    with pytest.raises(ValueError, match="seed=-1: must be an integer >= 0"):
        QuasiRandomSearcher(seed=-1)
