"""A search that begins with what an earlier one has found."""

from __future__ import annotations

import shutil

import keras_tuner
import numpy as np
import pytest

from kt_ext.core.decision import Observation
from kt_ext.core.history import History
from kt_ext.core.journal import JournalDamaged
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Boolean, Choice, Condition, Float, Int, Parameter, Space
from kt_ext.oracles import SchedulerOracle
from kt_ext.oracles.hyperparameters import own_values
from kt_ext.schedulers import FIFO
from kt_ext.searchers.warm_start import EarlierTrial, WarmStart
from oracles.oracle_driving import (
    LOSS,
    Workers,
    asha,
    by_values,
    decisions,
    journal,
    killed,
    placed,
    small_space,
    without_waiting_for_the_disk,
)


class Looking(AbstractSearcher):
    """Proposes 1, 2, 3, ... and keeps what it was shown: for each trial its values, curve and whether it runs."""

    def __init__(self):
        self.shown = []

    def propose(self, history, space, rng):
        self.shown.append(
            {
                i: (dict(history.values(i)), [c.tolist() for c in history.curve(i)], i in history.pending)
                for i in history.ids
            }
        )
        return {**space.sample(rng), "units": len(history)}


def earlier_search(directory, steps=None, **changed):
    oracle = asha(directory, "earlier", **changed)
    Workers(oracle, by_values).run(**({} if steps is None else {"steps": steps}))
    return oracle


@pytest.mark.parametrize("finished", [True, False])
def test_the_searcher_sees_the_earlier_trials_first_and_the_best_is_tried_first(tmp_path, finished):
    earlier = earlier_search(tmp_path, steps=None if finished else 20)
    if finished:
        earlier.finish()  # else it goes on, with its lock held and without a snapshot
    before = {path.name: path.read_bytes() for path in (tmp_path / "earlier").iterdir() if path.is_file()}
    looking = Looking()
    oracle = asha(tmp_path, searcher=looking, warm_start=str(tmp_path / "earlier"), max_trials=4)
    Workers(oracle, by_values, count=2).run()
    n = len(earlier.trials)
    best = min(earlier.search.history.ids, key=earlier.search.history.best)
    assert own_values(oracle.trials["0"].hyperparameters.values) == earlier.search.history.values(best)
    shown = looking.shown[-1]
    assert [i for i in shown if i < 0] == list(range(-n, 0)) == list(shown)[:n]
    for i in range(n):
        values, curve, running = shown[i - n]
        assert values == earlier.search.history.values(i)
        assert curve == [column.tolist() for column in earlier.search.history.curve(i)]
        assert not running
    own = oracle.search.history
    assert all(shown[i][0] == own.values(i) for i in shown if i >= 0)
    assert any(running for _, _, running in shown.values())  # the other worker's
    assert {path.name: path.read_bytes() for path in (tmp_path / "earlier").iterdir() if path.is_file()} == before


@pytest.mark.parametrize("best", [0, 3])
def test_how_many_of_the_best_are_tried(tmp_path, best):
    earlier = earlier_search(tmp_path)
    oracle = asha(tmp_path, warm_start=tmp_path / "earlier", warm_start_best=best)
    Workers(oracle, by_values).run()
    ranked = sorted(earlier.search.history.ids, key=lambda i: earlier.search.history.best(i)[0])
    expected = [dict(earlier.search.history.values(i)) for i in ranked[:best]]
    found = [own_values(trial.hyperparameters.values) for trial in oracle.trials.values()]
    assert found[:best] == expected
    assert all(values not in [dict(earlier.search.history.values(i)) for i in ranked] for values in found[best:])


def test_several_earlier_searches(tmp_path):
    one, two = earlier_search(tmp_path / "one", max_trials=3), earlier_search(tmp_path / "two", seed=5)
    looking = Looking()
    paths = [tmp_path / "one" / "earlier", tmp_path / "two" / "earlier"]
    Workers(asha(searcher=looking, warm_start=paths, warm_start_best=0, max_trials=1), by_values).run()
    expected = [dict(o.search.history.values(i)) for o in (one, two) for i in o.search.history.ids]
    assert [values for values, _, _ in looking.shown[0].values()] == expected


def test_a_space_that_has_changed():
    earlier = [
        EarlierTrial({"units": 300, "gone": 3, "kind": "a", "depth": 4}, [(1, 5.0), (2, 1.0)]),
        EarlierTrial({"units": 5, "gone": 3, "kind": "z"}, [(1, 2.0)]),
        EarlierTrial({"units": 6}, [(1, np.inf)]),
        EarlierTrial({"gone": 1}, [(1, 0.0)]),  # nothing of it is left
        EarlierTrial({"units": 7}, []),
    ]
    space = Space(
        [
            Parameter("units", Int(1, 100)),
            Parameter("kind", Choice(("a", "b", "c"))),
            Parameter("depth", Int(1, 9), (Condition("kind", ("a",)),)),
            Parameter("new", Float(0.0, 1.0)),
            Parameter("flag", Boolean()),
        ]
    )
    looking, history, found = Looking(), History(), []
    searcher = WarmStart(looking, earlier, best=5)
    for number in range(3):
        values = searcher.propose(history, space, np.random.default_rng(number))
        history.start(number, values)
        found.append(dict(values))
    assert found[0] == {"units": 100, "kind": "a", "depth": 4, "new": 0.5, "flag": True}
    assert found[1] == {"units": 5, "kind": "b", "new": 0.5, "flag": True}
    assert [values for values, _, _ in looking.shown[0].values()][:4] == [
        {"units": 300, "kind": "a", "depth": 4},
        {"units": 5, "kind": "z"},
        {"units": 6},
        {"units": 7},
    ]
    assert [looking.shown[0][-4][1], looking.shown[0][-2][1]] == [[[1, 2], [5.0, 1.0]], [[1], [np.inf]]]


def test_a_trial_counts_as_tried_when_it_has_more_parameters_by_then():
    space = Space([Parameter("units", Int(1, 100))])
    searcher = WarmStart(Looking(), [EarlierTrial({"units": 9}, [(1, 1.0)])])
    history = History()
    history.start(0, searcher.propose(history, space, np.random.default_rng(0)))
    grown = Space([*space.parameters, Parameter("late", Float(0.0, 1.0))])
    history.amend(0, {"units": 9, "late": 0.1})
    assert searcher.propose(history, grown, np.random.default_rng(1))["units"] != 9


def test_it_follows_the_history_as_one_that_is_new():
    space, rng = Space([Parameter("units", Int(1, 100))]), np.random.default_rng(0)
    earlier = [EarlierTrial({"units": 9}, [(1, 1.0)])]
    following = Looking()
    searcher, history = WarmStart(following, earlier), History()
    for number in range(30):
        fresh = Looking()
        assert WarmStart(fresh, earlier).propose(history, space, np.random.default_rng(number)) == searcher.propose(
            history, space, np.random.default_rng(number)
        )
        assert following.shown[-1:] == fresh.shown
        history.start(number, {"units": 9 if number == 0 else int(rng.integers(1, 100))})
        for other in rng.choice(number + 1, 2):
            if rng.random() < 0.5:
                history.record(Observation(int(other), history.epochs_of(int(other)) + 1, float(rng.random())))
            elif rng.random() < 0.5:
                history.assign(int(other), {"units": int(rng.integers(1, 100))})
            elif rng.random() < 0.5:
                history.end(int(other))
            else:
                history.resume(int(other))


def test_a_killed_search_goes_on_and_needs_the_earlier_one_only_for_new_trials(tmp_path, monkeypatch):
    with without_waiting_for_the_disk(monkeypatch):
        earlier_search(tmp_path).finish()
        settings = {"warm_start": str(tmp_path / "earlier"), "warm_start_best": 2}
        whole = asha(tmp_path, "whole", **settings)
        Workers(whole, by_values).run()
        head = journal(tmp_path / "whole")[0]
        assert (head["warm_start"], head["warm_start_best"]) == ([str(tmp_path / "earlier")], 2)
        for lines in range(1, len(journal(tmp_path / "whole")), 4):
            directory = killed(tmp_path / "whole", tmp_path / f"killed{lines}", lines)
            Workers(asha(tmp_path, directory.name, **settings), by_values).run()
            assert decisions(directory) == decisions(tmp_path / "whole")
        shutil.rmtree(tmp_path / "earlier")
        reader = asha(tmp_path, "whole", **settings)
        reader.reload()
        assert reader.get_best_trials()[0].score == whole.get_best_trials()[0].score
        started = max(n for n, e in enumerate(journal(tmp_path / "whole")) if e["e"] == "ask" and "values" in e)
        last = killed(tmp_path / "whole", tmp_path / "last", started + 1)
        Workers(asha(tmp_path, "last", **settings), by_values).run()
        assert decisions(last) == decisions(tmp_path / "whole")


def test_what_cannot_be_used(tmp_path):
    earlier_search(tmp_path)
    (tmp_path / "empty").mkdir()
    for place in ("empty", "absent"):
        oracle = asha(tmp_path, warm_start=str(tmp_path / place))
        with pytest.raises(ValueError, match=rf"^warm_start='.*{place}': no search was begun there; give the project"):
            oracle.create_trial("tuner0")
        assert not (tmp_path / "project").exists()
    objective = keras_tuner.Objective("loss", "max")
    with pytest.raises(ValueError, match=r"^warm_start=.*: that search was for .*\"min\".*, and this one is for .*max"):
        asha(objective=objective, warm_start=str(tmp_path / "earlier")).create_trial("tuner0")
    for wrong in (3, [3]):
        with pytest.raises(TypeError, match=r"^warm_start=.*3.*: must be the project directory of an earlier search"):
            asha(warm_start=wrong)
    with pytest.raises(ValueError, match=r"^warm_start_best=-1: must be an integer >= 0"):
        asha(warm_start_best=-1)


def stock_search(directory, **changed):
    """By Keras Tuner itself: three trials of which each reports its best epoch, counted from 0."""
    settings = {"objective": LOSS, "max_trials": 3, "seed": 1, "hyperparameters": small_space(), **changed}
    oracle = keras_tuner.oracles.RandomSearchOracle(**settings)
    oracle._set_project_dir(str(directory), "stock")
    for number in range(3):
        trial = oracle.create_trial("tuner0")
        oracle.update_trial(trial.trial_id, {"loss": 3.0 - number, "accuracy": 0.5}, step=number)
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    oracle.save()
    return oracle


def test_a_search_of_stock_keras_tuner(tmp_path):
    stock = stock_search(tmp_path)
    looking = Looking()
    oracle = placed(
        SchedulerOracle(
            FIFO(2, 2), looking, LOSS, seed=3, hyperparameters=small_space(), warm_start=tmp_path / "stock"
        ),
        None,
    )
    Workers(oracle, by_values).run()
    assert own_values(oracle.trials["0"].hyperparameters.values) == stock.get_best_trials()[0].hyperparameters.values
    earlier = [one for i, one in looking.shown[0].items() if i < 0]
    assert [curve for _, curve, _ in earlier] == [[[1], [3.0]], [[2], [2.0]], [[3], [1.0]]]
    assert [values for values, _, _ in earlier] == [t.hyperparameters.values for t in stock.trials.values()]


def test_a_search_of_stock_keras_tuner_for_another_objective(tmp_path):
    stock_search(tmp_path)
    for objective, message in [
        (keras_tuner.Objective("loss", "max"), "that search took loss for one to minimise; give one for the same"),
        (keras_tuner.Objective("auc", "max"), "no trial there reports auc; give a search for the same objective"),
    ]:
        with pytest.raises(ValueError, match=f"^warm_start=.*: {message}"):
            asha(objective=objective, warm_start=tmp_path / "stock").create_trial("tuner0")
    two = [LOSS, keras_tuner.Objective("accuracy", "max")]
    with pytest.raises(ValueError, match="has no Pareto ranks"):
        asha(objective=two, multi_objective="pareto", warm_start=tmp_path / "stock").create_trial("tuner0")


def test_an_unreadable_earlier_search_is_not_written_to(tmp_path):
    earlier_search(tmp_path).finish()
    path = tmp_path / "earlier" / "journal.jsonl"
    (tmp_path / "earlier" / "snapshot.json").unlink()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"damaged\n", *lines[2:]]))
    before = path.read_bytes()
    with pytest.raises(JournalDamaged, match="is damaged at byte"):
        asha(warm_start=tmp_path / "earlier").create_trial("tuner0")
    assert path.read_bytes() == before
