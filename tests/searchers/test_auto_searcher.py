"""The searcher for who does not want to choose: which model a space gets."""

from __future__ import annotations

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.space import Boolean, Choice, Condition, Float, Parameter, Space
from kt_ext.searchers import AutoSearcher, ForestSearcher, GPSearcher


def known(space: Space) -> History:
    """Fifteen random trials that have ended: more than either model begins with."""
    history, rng = History(), np.random.default_rng(0)
    for trial_id in range(15):
        history.start(trial_id, space.sample(rng))
        history.record(Observation(trial_id, 1, float(rng.random())))
        history.end(trial_id)
    return history


def choices(count: int) -> Space:
    """One choice of so many values, and a number."""
    return Space([Parameter("c", Choice(tuple(range(count)))), Parameter("x", Float(0.0, 1.0))])


def proposed(searcher, space: Space) -> dict:
    return dict(searcher.propose(known(space), space, np.random.default_rng(1)))


@pytest.mark.parametrize(("count", "cls"), [(5, GPSearcher), (39, GPSearcher), (40, ForestSearcher)])
def test_forty_inputs_are_the_limit(count, cls):
    space = choices(count)
    assert proposed(AutoSearcher(), space) == proposed(cls(), space)
    other = ForestSearcher if cls is GPSearcher else GPSearcher
    assert proposed(AutoSearcher(), space) != proposed(other(), space)


def test_whether_a_parameter_is_active_is_an_input():
    base = choices(36).parameters  # 37
    free = Space([*base, Parameter("b", Boolean())])  # 39
    conditional = Space([*base, Parameter("b", Boolean()), Parameter("y", Float(0, 1), (Condition("b", (True,)),))])
    assert proposed(AutoSearcher(), free) == proposed(GPSearcher(), free)
    assert proposed(AutoSearcher(), conditional) == proposed(ForestSearcher(), conditional)  # 41


def test_a_space_may_grow_beyond_the_limit():
    searcher = AutoSearcher()
    assert proposed(searcher, choices(10)) == proposed(GPSearcher(), choices(10))
    assert proposed(searcher, choices(50)) == proposed(ForestSearcher(), choices(50))


def test_the_seed_is_that_of_the_first_proposals():
    first = [AutoSearcher(seed).propose(History(), choices(5), np.random.default_rng(0)) for seed in (0, 0, 1)]
    assert first[0] == first[1] != first[2]
