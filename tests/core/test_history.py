"""The history: what is known of the trials, and that it survives a restart."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History


def small() -> History:
    history = History()
    history.start(0, {"a": 1})
    history.start(1, {"a": 2})
    for trial_id, epoch, objective in [(0, 1, 0.5), (1, 1, math.inf), (0, 2, 0.7), (1, 3, 0.4), (0, 3, 0.5)]:
        history.record(Observation(trial_id, epoch, objective))
    history.end(1)
    return history


def test_what_is_known():
    history = small()
    assert len(history) == 2
    assert list(history.ids) == [0, 1]
    assert history.values(1) == {"a": 2}
    assert history.pending == {0}
    assert [history.epochs_of(trial_id) for trial_id in (0, 1)] == [3, 3]
    assert history.total_epochs == 6
    assert history.best(0) == (0.5, 1)  # the first epoch that reached it
    assert history.best(1) == (0.4, 3)
    assert [history.reached(epoch) for epoch in range(6)] == [2, 2, 2, 2, 0, 0]
    assert [history.best_at(epoch) for epoch in range(5)] == [None, 0.5, 0.7, 0.4, None]
    epochs, objectives = history.curve(1)
    assert epochs.tolist() == [1, 3] and objectives.tolist() == [math.inf, 0.4]
    trial_ids, epochs, objectives = history.observations()
    assert trial_ids.tolist() == [0, 1, 0, 1, 0]
    assert epochs.tolist() == [1, 1, 2, 3, 3]
    assert objectives.tolist() == [0.5, math.inf, 0.7, 0.4, 0.5]


def test_before_the_first_report():
    history = History()
    history.start(5, {})
    assert (history.epochs_of(5), history.best(5), history.best_at(1), history.reached(1)) == (
        0,
        (math.inf, 0),
        None,
        0,
    )
    assert [column.shape for column in (*history.curve(5), *history.observations())] == [(0,)] * 5


def test_infinity_alone_is_still_a_report():
    history = History()
    history.start(0, {})
    history.record(Observation(0, 2, math.inf))
    assert (history.best(0), history.best_at(2)) == ((math.inf, 2), math.inf)


def test_pending():
    history = small()
    history.end(0)
    history.end(0)
    assert history.pending == set()
    history.resume(1)
    history.resume(0)
    assert list(history.pending) == [1, 0]


def test_contains_is_exact():
    history = History()
    history.start(0, {"a": 0.1 + 0.2, "b": "x"})
    assert history.contains({"b": "x", "a": 0.1 + 0.2})
    for other in ({"a": 0.3, "b": "x"}, {"a": 0.1 + 0.2}, {"a": 0.1 + 0.2, "b": "x", "c": 1}, {}):
        assert not history.contains(other)


def test_assigned_values_replace_and_are_remembered():
    history = small()
    history.assign(0, {"a": 3})
    history.assign(0, {"a": 3})
    assert history.values(0) == {"a": 3}
    assert [history.contains({"a": a}) for a in (1, 2, 3, 4)] == [True, True, True, False]
    assert list(history.configurations) == [{"a": 1}, {"a": 2}, {"a": 3}]
    loaded = History()
    loaded.load_state(json.loads(json.dumps(history.state())))
    assert loaded.values(0) == {"a": 3} and loaded.contains({"a": 1})
    assert len(loaded.configurations) == 3


def trained(history: History, trial_id: int, *epochs: int) -> None:
    for epoch in epochs:
        history.record(Observation(trial_id, epoch, 0.5))


def test_values_at_an_epoch_are_those_it_was_trained_with():
    history = History()
    history.start(0, {"a": 1})
    trained(history, 0, 1, 2)
    history.assign(0, {"a": 2})
    trained(history, 0, 3)
    history.assign(0, {"a": 3})
    history.assign(0, {"a": 4})  # decided again before it trained
    trained(history, 0, 5)
    history.assign(0, {"a": 4})
    expected = [1, 1, 2, 4, 4, 4]
    loaded = History()
    loaded.load_state(json.loads(json.dumps(history.state())))
    for one in (history, loaded):
        assert [one.values_at(0, epoch)["a"] for epoch in range(1, 7)] == expected
    with pytest.raises(KeyError):
        history.values_at(1, 1)


def test_amended_values_held_since_the_trial_last_went_on():
    history = History()
    history.start(0, {"a": 1})
    trained(history, 0, 1)
    history.amend(0, {"a": 1, "b": 0})
    assert history.values_at(0, 1) == {"a": 1, "b": 0}
    trained(history, 0, 2)
    history.assign(0, {"a": 2})
    trained(history, 0, 3)
    history.amend(0, {"a": 2, "c": 0})
    loaded = History()
    loaded.load_state(json.loads(json.dumps(history.state())))
    for one in (history, loaded):
        assert [one.values_at(0, epoch) for epoch in (1, 2, 3, 4)] == [{"a": 1, "b": 0}] * 2 + [{"a": 2, "c": 0}] * 2
        assert one.values(0) == {"a": 2, "c": 0}
        assert one.contains({"a": 1}) and one.contains({"a": 2})


def test_what_is_handed_out_cannot_change_the_history():
    history = History()
    given = {"a": 1}
    history.start(0, given)
    given["a"] = 2
    assert history.values(0) == {"a": 1}
    with pytest.raises(TypeError):
        history.values(0)["a"] = 3
    history.record(Observation(0, 1, 0.5))
    with pytest.raises(ValueError, match="read-only"):
        history.observations()[2][0] = 0.0
    before = history.observations()[1]
    for epoch in range(2, 200):
        history.record(Observation(0, epoch, 0.5))
    assert before.tolist() == [1]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda h: h.start(1, {}), "trial_id=1: was started before"),
        (lambda h: h.record(Observation(0, 3, 0.1)), "epoch=3 of trial 0: must be after its last, 3"),
        (lambda h: h.record(Observation(0, 2, 0.1)), "epoch=2 of trial 0: must be after its last, 3"),
        (lambda h: h.record(Observation(0, 4, math.nan)), "objective=nan of trial 0: must be finite or inf"),
        (lambda h: h.record(Observation(0, 4, -math.inf)), "objective=-inf of trial 0: must be finite or inf"),
        (lambda h: h.record(Observation(9, 1, 0.1)), "trial_id=9: was never started"),
        (lambda h: h.end(9), "trial_id=9: was never started"),
        (lambda h: h.resume(9), "trial_id=9: was never started"),
        (lambda h: h.assign(9, {}), "trial_id=9: was never started"),
        (lambda h: h.amend(9, {}), "trial_id=9: was never started"),
    ],
)
def test_what_is_refused_changes_nothing(act, message):
    history = small()
    before = history.state()
    with pytest.raises(ValueError, match=message):
        act(history)
    assert history.state() == before


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_counting_anew(seed):
    """Against sums and minima over the list of all reports, after a restart half way."""
    rng = np.random.default_rng(seed)
    history, reports, last = History(), [], {}
    for step in range(300):
        if step == 150:
            state = json.loads(json.dumps(history.state(), allow_nan=False))
            history = History()
            history.load_state(state)
            assert history.state() == state
        if not last or rng.random() < 0.1:
            history.start(len(last), {"a": len(last)})
            last[len(last)] = 0
            continue
        trial_id = int(rng.integers(len(last)))
        epoch = last[trial_id] + int(rng.integers(1, 4))
        objective = math.inf if rng.random() < 0.1 else float(rng.integers(5))
        history.record(Observation(trial_id, epoch, objective))
        reports.append((trial_id, epoch, objective))
        last[trial_id] = epoch

    assert [history.epochs_of(trial_id) for trial_id in last] == list(last.values())
    assert history.total_epochs == sum(last.values())
    assert list(zip(*(column.tolist() for column in history.observations()), strict=True)) == reports
    for epoch in range(max(last.values()) + 2):
        assert history.reached(epoch) == sum(done >= epoch for done in last.values())
        assert history.best_at(epoch) == min((o for _, e, o in reports if e == epoch), default=None)
    for trial_id in last:
        own = [(o, e) for t, e, o in reports if t == trial_id]
        assert history.best(trial_id) == min(own, default=(math.inf, 0))
        epochs, objectives = history.curve(trial_id)
        assert list(zip(objectives.tolist(), epochs.tolist(), strict=True)) == own


def test_loading_replaces_what_was_there_and_says_so():
    history = small()
    identity = history.identity
    history.start(2, {})
    assert history.identity is identity
    history.load_state(History().state())
    assert history.identity is not identity
    assert (len(history), history.total_epochs, history.reached(0), history.reached(1)) == (0, 0, 0, 0)
    assert not history.contains({"a": 1}) and history.pending == set()
