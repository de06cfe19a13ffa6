"""Tables of a search: what stands in them, in which order, and on the tuner."""

from __future__ import annotations

import math
import sys

import keras_tuner
import pandas
import pytest

import kt_ext
from kt_ext.oracles.lineage import lineage_rows
from kt_ext.reports.record import read
from kt_ext.reports.tables import history, results, takeovers
from oracles.oracle_driving import LOSS, Workers, asha, by_values
from reports.played import Clock, asha_promotion, failing, pareto, population


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_results_of_a_search_with_a_failure(tmp_path, clock):
    failing(tmp_path, clock)
    table = results(tmp_path / "project")
    assert list(table.columns) == [
        *("trial", "status", "why", "score", "best_epoch", "epochs", "worker", "began", "seconds"),
        *("rate", "units", "kind"),
    ]
    rows = table[["trial", "status", "score", "best_epoch", "epochs", "worker", "began", "seconds"]]
    assert rows.values.tolist() == [
        ["3", "done", 0.53, 3, 3, "tuner0", 8.0, 3.0],
        ["2", "done", 0.5 - 1 / 10 + 3 / 100, 3, 3, "tuner0", 5.0, 3.0],
        ["0", "done", 0.5 - 3 / 10 + 3 / 100, 3, 3, "tuner0", 0.0, 3.0],
        ["1", "failed", 0.5 - 2 / 10 + 1 / 100, 1, 1, "tuner0", 3.0, 2.0],
    ]
    assert table["why"].tolist()[-1] == "failed: memory"


def test_inactive_hyperparameters_are_missing(tmp_path, clock):
    oracle = asha_promotion(tmp_path, clock)
    table = results(tmp_path / "project")
    assert set(table["kind"]) == {"a", "b", "c"}
    assert (table["depth"].isna() == (table["kind"] == "c")).all()
    for row in table.itertuples():
        assert row.units == oracle.trials[row.trial].hyperparameters.values["units"]
    assert table["score"].is_monotonic_increasing


def test_a_running_search_counts_what_goes_on(tmp_path, clock):
    oracle = asha(tmp_path, variant="stopping")
    Workers(oracle, clock.timed(by_values)).run(steps=3)
    table = results(read(tmp_path / "project"))
    assert table[["trial", "status", "why", "epochs", "seconds"]].values.tolist() == [["0", "running", "", 2, 2.0]]
    oracle.finish()


def test_without_a_report(tmp_path, clock):
    oracle = asha(tmp_path)
    Workers(oracle, by_values).run(steps=1)
    table = results(tmp_path / "project")
    assert (table["best_epoch"].tolist(), table["epochs"].tolist()) == ([0], [0])
    assert math.isnan(table["score"][0])
    assert list(history(tmp_path / "project").columns) == ["trial", "epoch", "seconds", "objective"]
    assert len(history(tmp_path / "project")) == len(takeovers(tmp_path / "project")) == 0
    oracle.finish()


def test_several_objectives(tmp_path, clock):
    pareto(tmp_path, clock)
    table = results(tmp_path / "project")
    assert table[["trial", "score", "best_epoch", "loss", "accuracy"]].values.tolist() == [
        ["3", 1 / 5, 3, 4.0, 0.9],
        ["0", 1 / 2, 3, 1.0, 0.6],
        ["2", 1 / 2, 3, 2.0, 0.5],
        ["1", 1 / 3, 1, 2.0, 0.4],
    ]


def test_hyperparameters_and_metrics_named_like_other_columns(tmp_path, clock):
    space = keras_tuner.HyperParameters()
    space.Int("epochs", 1, 9)
    space.Int("worker", 1, 9)
    oracle = asha(tmp_path, hyperparameters=space)
    Workers(oracle, lambda trial, epoch: {"loss": 1.0, "epoch": 7.0}).run()
    oracle.finish()
    table, reports = results(tmp_path / "project"), history(tmp_path / "project")
    assert set(table["worker"]) == {"tuner0"}
    assert [int(row["hp.worker"]) for _, row in table.sort_values("trial").iterrows()] == [
        trial.hyperparameters.values["worker"] for trial in oracle.trials.values()
    ]
    assert set(table["epochs"]) <= {1, 3, 9}
    assert set(reports["metrics.epoch"]) == {7.0}


def test_history_has_a_row_for_each_report(tmp_path, clock):
    failing(tmp_path, clock)
    table = history(tmp_path / "project")
    assert list(table.columns) == ["trial", "epoch", "seconds", "objective", "accuracy", "loss"]
    assert table[["trial", "epoch", "seconds"]].values.tolist() == [
        *(["0", 1, 1.0], ["0", 2, 2.0], ["0", 3, 3.0]),
        *(["1", 1, 4.0],),
        *(["2", 1, 6.0], ["2", 2, 7.0], ["2", 3, 8.0]),
        *(["3", 1, 9.0], ["3", 2, 10.0], ["3", 3, 11.0]),
    ]
    assert (table["objective"] == table["accuracy"]).all()


def test_takeovers_are_the_lineage(tmp_path, clock):
    oracle = population(tmp_path, clock)
    table = takeovers(tmp_path / "project").set_index(["epoch", "trial"])
    rows = lineage_rows(oracle)
    assert len(table) == len(rows) >= 3
    for row in rows:
        mine = table.loc[(row.epoch, row.member)]
        assert mine["donor"] == row.donor
        assert mine["donor_score"] == row.donor_score
        assert mine["score"] == pytest.approx(row.score, nan_ok=True, rel=0)
        for name in ("rate", "units", "kind"):
            assert (mine[f"old.{name}"], mine[f"new.{name}"]) == (row.old_values[name], row.new_values[name])
            assert mine[f"donor.{name}"] == row.donor_values[name]


class Untrained(kt_ext.SchedulerTuner):
    """A tuner whose trials cost nothing."""

    def run_trial(self, trial, *args, **kwargs):
        return [{"loss": trial.hyperparameters.values["x"]}]


def test_a_tuner_has_them_as_methods(tmp_path):
    space = keras_tuner.HyperParameters()
    space.Int("x", 0, 99)
    scheduler = kt_ext.schedulers.FIFO(max_trials=5, max_epochs=1)
    tuner = Untrained(scheduler=scheduler, objective=LOSS, hyperparameters=space, directory=tmp_path, seed=0)
    with pytest.raises(FileNotFoundError, match="search first"):
        tuner.results()
    tuner.search(verbose=0)
    pandas.testing.assert_frame_equal(tuner.results(), results(tuner.project_dir))
    assert tuner.results()["trial"][0] == tuner.oracle.get_best_trials()[0].trial_id
    assert tuner.results()["score"].tolist() == tuner.results()["x"].tolist() == sorted(tuner.results()["x"])
    assert tuner.history()["objective"].tolist() == [float(t.score) for t in tuner.oracle.trials.values()]


def test_without_pandas(tmp_path, clock, monkeypatch):
    failing(tmp_path, clock)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        results(tmp_path / "project")
