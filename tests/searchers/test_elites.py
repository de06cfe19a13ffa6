"""Configurations around the elites: who they are, and how far from them."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from kt_ext.core.decision import Observation, Value
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.space import Boolean, Choice, Condition, Fixed, Float, Int, Parameter, Space
from kt_ext.searchers import EliteSearcher, RandomSearcher, make_searcher
from kt_ext.searchers.elites import option_probabilities, ranked, truncated_normal

LINE = Space([Parameter("x", Float(0.0, 10.0))])


def history_of(*trials: tuple[dict[str, Value], list[float]]) -> History:
    history = History()
    for trial_id, (values, objectives) in enumerate(trials):
        history.start(trial_id, values)
        for epoch, objective in enumerate(objectives, start=1):
            history.record(Observation(trial_id, epoch, objective))
        history.end(trial_id)
    return history


def test_elites_have_the_most_reports_and_the_best_mean_ranks():
    history = history_of(
        ({"x": 0.0}, [0.0]),  # the best of all, once
        ({"x": 1.0}, [3.0, 900.0, 5.0]),
        ({"x": 2.0}, [4.0, 1.0, 4.0]),
        ({"x": 3.0}, [1.0, 1000.0, 3.0]),
        ({"x": 4.0}, [0.0, 0.0, math.inf]),
        ({"x": 5.0}, [2.0, 2.0]),
        ({"x": 6.0}, []),
    )
    # Of three reports: ranks (2, 2, 3), (3, 1, 2), (1, 3, 1).
    assert ranked(history, 1) == [3]
    assert ranked(history, 3) == [3, 2, 1]
    # With the fourth the first two count: ranks (3, 3), (4, 1), (1, 4), (2, 2); those of more reports come first.
    assert ranked(history, 4) == [2, 3, 1, 5]
    # With the first trial the first report alone counts: 0, 3, 4, 1, 2.
    assert ranked(history, 9) == [3, 1, 2, 5, 0]
    assert ranked(History(), 2) == []
    assert ranked(history_of(({"x": 0.0}, [math.inf])), 2) == []


def test_trials_of_an_earlier_search_may_have_negative_numbers():
    history = History()
    for trial_id, objective in ((-2, 1.0), (-1, 0.0), (0, 2.0)):
        history.start(trial_id, {"x": float(trial_id)})
        history.record(Observation(trial_id, 1, objective))
    assert ranked(history, 2) == [-1, -2]


def test_the_first_race_is_random():
    history, elites, random = History(), EliteSearcher(trials_per_race=4), RandomSearcher()
    for trial_id in range(4):
        values = elites.propose(history, LINE, EventRandom(0).at(trial_id))
        assert values == random.propose(history, LINE, EventRandom(0).at(trial_id))
        history.start(trial_id, values)
    # Nobody has reported yet: there is no elite.
    assert elites.propose(history, LINE, EventRandom(0).at(4)) == random.propose(history, LINE, EventRandom(0).at(4))


def test_the_spread_shrinks_from_race_to_race():
    """One parameter, four trials in a race: 0.5, 0.125, 0.03125 of the range."""
    for races, deviation in ((1, 0.125), (2, 0.03125), (3, 0.0078125)):
        history = history_of(*[({"x": 5.0}, [0.0])], *[({"x": 1.0}, [])] * (4 * races - 1))
        searcher = EliteSearcher(trials_per_race=4, elites=1)
        random = EventRandom(0)
        drawn = [float(searcher.propose(history, LINE, random.at(n))["x"]) / 10 for n in range(2000)]
        theory = stats.truncnorm(-0.5 / deviation, 0.5 / deviation, 0.5, deviation)
        assert stats.kstest(drawn, theory.cdf).pvalue > 1e-3, races


@pytest.mark.parametrize("middle", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("deviation", [0.5, 0.05, 1e-9])
def test_truncated_normal(middle, deviation):
    theory = stats.truncnorm((0 - middle) / deviation, (1 - middle) / deviation, middle, deviation)
    for uniform in (0.0, 1e-6, 0.25, 0.5, 0.99, 1 - 2**-53):
        value = truncated_normal(middle, deviation, uniform)
        assert 0.0 <= value <= 1.0
        if 0 < uniform < 0.999:
            assert value == pytest.approx(theory.ppf(uniform), abs=1e-6)


def test_probabilities_of_options():
    """Two parameters: three iterations. In race 2 the elite's option gains a third of what the others lose."""
    cap = math.sqrt(0.2)
    assert option_probabilities(4, 1, 0, 2).tolist() == [0.25] * 4
    gained = 0.25 * 2 / 3 + 1 / 3  # 0.5, above the cap
    expected = np.array([0.25 * 2 / 3, min(gained, cap), 0.25 * 2 / 3, 0.25 * 2 / 3])
    assert option_probabilities(4, 1, 1, 2) == pytest.approx(expected / expected.sum())
    later = [option_probabilities(4, 1, races, 2)[1] for races in range(6)]
    assert later == sorted(later) and later[-1] > 0.8
    assert option_probabilities(1, 0, 3, 1).tolist() == [1.0]


def test_options_are_drawn_with_these_probabilities():
    space = Space([Parameter("kind", Choice(("a", "b", "c"))), Parameter("bias", Boolean()), Parameter("f", Fixed(1))])
    history = history_of(({"kind": "b", "bias": True, "f": 1}, [0.0]), ({"kind": "a", "bias": True, "f": 1}, []))
    searcher, random = EliteSearcher(trials_per_race=2, elites=1), EventRandom(0)
    seen = Counter(tuple(searcher.propose(history, space, random.at(n)).values()) for n in range(4000))
    kind, bias = option_probabilities(3, 1, 1, 3), option_probabilities(2, 1, 1, 3)
    expected = {(k, b, 1): kind[i] * bias[j] for i, k in enumerate("abc") for j, b in enumerate((False, True))}
    for tried in (("b", True, 1), ("a", True, 1)):  # what was tried is drawn anew
        del expected[tried]
    assert set(seen) == set(expected)
    frequencies = [seen[values] for values in expected]
    probabilities = np.array(list(expected.values())) / sum(expected.values())
    assert stats.chisquare(frequencies, probabilities * 4000).pvalue > 1e-3


def test_elites_are_drawn_by_rank():
    """3 / 6, 2 / 6 and 1 / 6; with 1,000 trials in a race the spread is nothing."""
    history = history_of(*(({"x": x}, [x]) for x in (2.0, 5.0, 8.0)), *[({"x": 0.0}, [])] * 997)
    searcher, random = EliteSearcher(trials_per_race=1000), EventRandom(1)
    near = Counter(round(float(searcher.propose(history, LINE, random.at(n))["x"])) for n in range(3000))
    assert set(near) == {2, 5, 8}
    assert stats.chisquare([near[2], near[5], near[8]], [1500, 1000, 500]).pvalue > 1e-3


def test_what_the_elite_does_not_have_is_drawn_from_the_whole_range():
    space = Space(
        [
            Parameter("kind", Choice(("plain", "deep"))),
            Parameter("depth", Int(1, 1000), (Condition("kind", ("deep",)),)),
        ]
    )
    history = history_of(({"kind": "plain"}, [0.0]), *[({"kind": "plain"}, [])] * 9)
    searcher, random = EliteSearcher(elites=1), EventRandom(0)
    depths = [searcher.propose(history, space, random.at(n)).get("depth") for n in range(2000)]
    drawn = [depth for depth in depths if depth is not None]
    assert len(drawn) > 400
    assert stats.kstest(np.array(drawn) / 1000, "uniform").pvalue > 1e-3


def test_finds_the_optimum_faster_than_random_search():
    """In three dimensions, 60 trials in races of ten, by the best of them."""
    space = Space([Parameter(name, Float(-1.0, 1.0)) for name in "abc"])

    def best(searcher: EliteSearcher | RandomSearcher, seed: int) -> float:
        history, random = History(), EventRandom(seed)
        for trial_id in range(60):
            values = searcher.propose(history, space, random.at(trial_id))
            history.start(trial_id, values)
            loss = sum((float(value) - 0.3) ** 2 for value in values.values())
            history.record(Observation(trial_id, 1, loss))
            history.end(trial_id)
        return min(history.best(trial_id)[0] for trial_id in history.ids)

    differences = [math.log(best(RandomSearcher(), s)) - math.log(best(EliteSearcher(), s)) for s in range(20)]
    assert stats.ttest_1samp(differences, math.log(2), alternative="greater").pvalue < 0.01


def test_by_name_and_wrong_arguments():
    assert isinstance(make_searcher("elites", 0), EliteSearcher)
    with pytest.raises(ValueError, match=r"trials_per_race=0: must be an integer >= 1"):
        EliteSearcher(trials_per_race=0)
    with pytest.raises(ValueError, match=r"elites=True: must be an integer >= 1"):
        EliteSearcher(elites=True)
