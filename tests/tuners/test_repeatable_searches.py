"""The same seed gives the same search, in one go or in several, and budgets end it where they say."""

from __future__ import annotations

import pytest

from tuners.searches import all_epochs, assert_same_epochs, data, values_of
from tuners.test_keras_tuner_features import asha, searched


def ended(directory, **kwargs):
    """A search of nine trials at rungs of 1 and 3 epochs: 15 epochs or more in all."""
    tuner = asha(**{"max_trials": 9, "directory": str(directory), "project_name": "p", **kwargs})
    tuner.search(**data(), batch_size=32, verbose=0)
    return tuner


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return ended(tmp_path_factory.mktemp("unbroken"))


def test_unbroken(unbroken):
    first, last = unbroken.rung_table()
    assert first.reached == 9 and last.reached >= 3
    assert unbroken.oracle.stop_reason == "all 9 trials are done (max_trials=9)"


def test_same_seed_same_search(unbroken, tmp_path):
    again = ended(tmp_path)
    assert values_of(again) == values_of(unbroken)
    assert_same_epochs(all_epochs(again), all_epochs(unbroken))


@pytest.mark.nightly
def test_seed_zero_is_a_seed(unbroken, tmp_path):
    other = ended(tmp_path, seed=1, max_total_epochs=2)
    ours = values_of(unbroken)
    assert all(values != ours[trial_id] for trial_id, values in values_of(other).items())


def test_each_trial_has_its_own_initial_weights(unbroken):
    epochs = all_epochs(unbroken)
    assert len({trial["loss"][0] for trial in epochs.values()}) == 9


@pytest.mark.slow
def test_a_larger_budget_goes_on_as_if_never_ended(unbroken, tmp_path):
    """Ended between segments, inside one, and by the number of trials."""
    first = ended(tmp_path, max_total_epochs=4, max_trials=5)
    assert first.oracle.stop_reason == "max_total_epochs=4 reached"
    assert first.oracle.search.history.total_epochs == 4
    assert ended(tmp_path, max_total_epochs=11).oracle.search.history.total_epochs == 11
    last = ended(tmp_path)
    assert last.oracle.stop_reason == unbroken.oracle.stop_reason
    assert values_of(last) == values_of(unbroken)
    assert_same_epochs(all_epochs(last), all_epochs(unbroken))
    scores = [(trial.trial_id, trial.score) for trial in unbroken.oracle.get_best_trials(9)]
    assert [(t.trial_id, pytest.approx(t.score, abs=1e-5)) for t in last.oracle.get_best_trials(9)] == scores


def test_searching_again_does_nothing_more(unbroken):
    before = all_epochs(unbroken)
    searched(unbroken)
    assert all_epochs(unbroken) == before


@pytest.mark.slow
def test_max_seconds(project, capsys):
    tuner = asha(max_seconds=1e-3, max_epochs=9, **project)
    tuner.search(**data(), verbose=1)
    assert tuner.oracle.stop_reason == "max_seconds=0.001 reached"
    assert "Search ended: max_seconds=0.001 reached" in capsys.readouterr().out


@pytest.mark.slow
def test_target(project, capsys):
    tuner = asha(objective="val_accuracy", target=0.05, max_epochs=9, **project)
    tuner.search(**data(), verbose=1)
    assert tuner.oracle.search.history.total_epochs == 1
    assert tuner.oracle.stop_reason.startswith("target=0.05 reached with 0.")
    assert f"Search ended: {tuner.oracle.stop_reason}" in capsys.readouterr().out
    assert len(tuner.get_best_models()) == 1
