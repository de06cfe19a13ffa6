"""FIFO: exact decisions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kt_ext.core.decision import Done, Observation, Run, Stop, Wait
from kt_ext.schedulers import FIFO

RNG = np.random.default_rng(0)


def test_trials_in_order_each_to_the_end():
    fifo = FIFO(max_trials=2, max_epochs=2)
    assert [fifo.suggest(RNG) for _ in range(3)] == [Run(0, until=2), Run(1, until=2), Wait()]
    assert fifo.observe(Observation(1, 1, 0.1), RNG) == Run(1, until=2)
    assert fifo.observe(Observation(1, 2, 0.1), RNG) == Stop(1)
    assert fifo.suggest(RNG) == Wait()
    assert fifo.observe(Observation(0, 1, math.inf), RNG) == Run(0, until=2)  # never stopped early
    assert fifo.observe(Observation(0, 2, math.inf), RNG) == Stop(0)
    assert fifo.suggest(RNG) == Done()


def test_a_failed_trial_is_not_run_again():
    fifo = FIFO(max_trials=1, max_epochs=2)
    assert fifo.suggest(RNG) == Run(0, until=2)
    fifo.forget(0)
    assert fifo.suggest(RNG) == Done()


def test_attributes():
    fifo = FIFO(max_trials=3, max_epochs=5)
    assert (fifo.max_trials, fifo.max_epochs, fifo.rung_epochs, fifo.stops_in_flight) == (3, 5, (5,), False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5), "max_trials=0: must be an integer >= 1; give the number of trials to train"),
        ((None, 5), "max_trials=None: must be an integer >= 1; give the number of trials to train"),
        ((True, 5), "max_trials=True: must be an integer >= 1; give the number of trials to train"),
        ((3, 2.0), "max_epochs=2.0: must be an integer >= 1; give the epochs to train each trial"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError) as caught:
        FIFO(*arguments)
    assert str(caught.value) == message


def test_numpy_integers_are_integers_and_the_state_is_plain():
    fifo = FIFO(np.int64(3), np.int32(5))
    assert type(fifo.state()["configuration"]["max_trials"]) is int
    assert type(fifo.state()["configuration"]["max_epochs"]) is int


def test_another_configuration_is_named():
    with pytest.raises(ValueError, match="max_epochs=5 was saved, this one has 6"):
        FIFO(3, 6).load_state(FIFO(3, 5).state())
