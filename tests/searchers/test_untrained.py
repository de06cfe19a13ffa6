"""Trials that were never trained, since their models broke a constraint: searchers learn where not to go."""

from __future__ import annotations

import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.space import Float, Int, Parameter, Space
from kt_ext.searchers import make_searcher

SPACE = Space([Parameter("units", Int(1, 512)), Parameter("rate", Float(1e-4, 1e-1, scale="log"))])


@pytest.mark.parametrize("name", ["tpe", "gp", "forest", "evolution"])
def test_few_proposals_are_infeasible(name):
    """Models of more than 128 units, three of four, are not trained, though larger ones look ever better."""
    searcher, history, random = make_searcher(name, 0), History(), EventRandom(0)
    trained = []
    for trial_id in range(60):
        values = dict(searcher.propose(history, SPACE, random.at(trial_id)))
        history.start(trial_id, values)
        trained.append(values["units"] <= 128)
        if trained[-1]:
            history.record(Observation(trial_id, 1, 1.0 - values["units"] / 512))
        history.end(trial_id)
    assert sum(trained[30:]) >= 12  # by chance 7 or 8
