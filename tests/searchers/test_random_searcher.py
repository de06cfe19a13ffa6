"""Random search draws as the domains say, and a nearly exhausted space uniformly among what is left."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kt_ext.core.history import History
from kt_ext.core.searcher import SpaceExhausted
from kt_ext.core.space import Boolean, Choice, Condition, Float, Int, Parameter, Space
from kt_ext.searchers import RandomSearcher
from kt_ext.searchers.untried import Untried


class Counting:
    """A Generator that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self._rng = np.random.default_rng(0)

    def random(self, size: int | None = None) -> object:
        self.asked += 1
        return self._rng.random(size)


def test_the_first_draw_is_the_space_s_own():
    space = Space([Parameter("a", Float(0, 1)), Parameter("b", Int(1, 9))])
    expected = space.sample(np.random.default_rng(5))
    assert RandomSearcher().propose(History(), space, np.random.default_rng(5)) == expected


def test_the_last_of_many_is_found_with_few_draws():
    space, history = Space([Parameter("n", Int(0, 9999))]), History()
    for trial_id in range(10_000):
        if trial_id != 1234:
            history.start(trial_id, {"n": trial_id})
    rng = Counting()
    assert RandomSearcher().propose(history, space, rng) == {"n": 1234}
    assert rng.asked <= 65
    history.start(1234, {"n": 1234})
    with pytest.raises(SpaceExhausted, match="all 10000 configurations of the space have been tried"):
        RandomSearcher().propose(history, space, rng)


def test_untried_configurations_are_equally_likely():
    space, history, rng = Space([Parameter("n", Int(0, 9))]), History(), np.random.default_rng(0)
    for trial_id, n in enumerate((0, 1, 5, 9)):
        history.start(trial_id, {"n": n})
    history.start(9, {"n": 77})  # from before the bounds were changed
    untried = Untried()
    counts = Counter(untried.pick(history, space, rng)["n"] for _ in range(6000))
    assert set(counts) == {2, 3, 4, 6, 7, 8}
    # 1000 each; the standard deviation is 29
    assert all(850 < count < 1150 for count in counts.values())


def test_untried_needs_a_finite_space():
    with pytest.raises(ValueError, match="space of 1 parameters: must be finite"):
        Untried().pick(History(), Space([Parameter("a", Float(0, 1))]), np.random.default_rng(0))


def test_untried_follows_the_history_that_it_is_given():
    space, rng, untried = Space([Parameter("a", Boolean())]), np.random.default_rng(0), Untried()
    full, empty = History(), History()
    full.start(0, {"a": True})
    assert untried.pick(full, space, rng) == {"a": False}
    full.start(1, {"a": False})
    with pytest.raises(SpaceExhausted):
        untried.pick(full, space, rng)
    assert untried.pick(empty, space, rng)["a"] in (True, False)
    full.load_state(empty.state())
    assert untried.pick(full, space, rng)["a"] in (True, False)


def test_a_repetition_is_accepted_where_the_rest_is_out_of_reach():
    """An infinite space whose continuous part is hardly ever drawn: the search goes on rather than hang."""
    space = Space(
        [
            Parameter("a", Choice(("common",) * 10**5 + ("rare",))),
            Parameter("b", Float(0, 1), (Condition("a", ("rare",)),)),
        ]
    )
    history = History()
    history.start(0, {"a": "common"})
    assert RandomSearcher().propose(history, space, np.random.default_rng(0)) == {"a": "common"}
