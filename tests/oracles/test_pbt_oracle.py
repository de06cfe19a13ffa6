"""PBTOracle: arguments reach the scheduler and its explorer, and the lineage is told in the user's units."""

from __future__ import annotations

import json
import math

import keras_tuner
import pytest

import kt_ext
from kt_ext.oracles import PBTOracle
from kt_ext.oracles.hyperparameters import SCHEDULE
from kt_ext.oracles.lineage import lineage_rows, schedule_from
from kt_ext.schedulers import PBT, AdaptivePerturb, Perturb


def space() -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 0.1, 1.0)
    hp.Int("units", 1, 9)
    return hp


def oracle(**kwargs) -> PBTOracle:
    defaults = {
        "objective": keras_tuner.Objective("score", "max"), "population_size": 4, "max_epochs": 4, "seed": 0,
        "perturbation_interval": 2, "hyperparameters": space(),
    }  # fmt: skip
    return PBTOracle(**{**defaults, **kwargs})


def driven(one: PBTOracle, score) -> PBTOracle:
    """One worker that reports ``score(member, epoch)`` until the search is over."""
    one.declare(["units"])
    while (trial := one.create_trial("w")).status != "STOPPED":
        while True:
            epoch = one.search.history.epochs_of(int(trial.trial_id)) + 1
            answer = one.update_trial(trial.trial_id, {"score": score(int(trial.trial_id), epoch)}, epoch)
            if answer.status == "STOPPED":
                break
        trial.status = "COMPLETED"
        one.end_trial(trial)
    return one


@pytest.fixture
def done() -> PBTOracle:
    """Member 3 is best, and member 0 worst."""
    return driven(oracle(), lambda member, epoch: member + epoch / 10)


def test_arguments():
    made = oracle(
        population_size=5, max_epochs=30, perturbation_interval=3, burn_in=6, quantile_fraction=0.5, exploit="ttest",
        synchronous=True, resample_probability=0.5, perturbation_factors=(0.5, 2.0), mutable=["rate"],
    ).scheduler  # fmt: skip
    explorer = AdaptivePerturb((0.5, 2.0), 0.5, ["rate"])
    assert made.state() == PBT(5, 30, 3, 6, 0.5, "ttest", True, explorer).state()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("population_size", 0),
        ("max_epochs", 0),
        ("perturbation_interval", 0),
        ("burn_in", -1),
        ("quantile_fraction", 0.6),
        ("exploit", "best"),
        ("synchronous", "yes"),
        ("resample_probability", 1.5),
        ("perturbation_factors", (0.0, 1.2)),
    ],
)
def test_wrong_arguments(name, value):
    with pytest.raises(ValueError, match=name):
        oracle(**{name: value})


def test_lineage_in_own_units(done):
    (row,) = lineage_rows(done)
    assert (row.epoch, row.member, row.donor) == (2, "0", "3")
    assert (row.score, row.donor_score) == (0.2, 3.2)
    history = done.search.history
    assert row.old_values == history.values_at(0, 2)
    assert row.donor_values == history.values_at(3, 2)
    assert row.new_values == history.values_at(0, 3) == history.values(0)
    assert row.new_values["units"] == row.donor_values["units"]
    assert row.new_values["rate"] != row.donor_values["rate"]


def test_a_diverged_members_score_is_nan():
    made = driven(oracle(), lambda member, epoch: math.nan if (member, epoch) == (1, 2) else member)
    (row,) = lineage_rows(made)
    assert (row.member, row.donor) == ("1", "3")
    assert math.isnan(row.score)


def test_an_exploiter_keeps_its_number_and_its_metrics(done):
    trial = done.trials["0"]
    assert trial.status == "COMPLETED"
    assert [o.value for o in trial.metrics.get_history("score")] == [[0.1], [0.2], [0.3], [0.4]]
    assert done.search.history.total_epochs == 16
    assert [t.trial_id for t in done.get_best_trials(4)] == ["3", "2", "1", "0"]


def test_the_schedule_travels_with_the_values(done):
    """By Keras Tuner's config and by its wire; the best trial's leads to its best epoch."""
    hp = done.trials["0"].hyperparameters
    expected = done.schedule("0")
    assert [(s.begin, s.end, s.member) for s in expected.stretches] == [(0, 2, 3), (2, 4, 0)]
    assert expected.values == done.search.history.values_at(3, 1)
    assert kt_ext.schedule_from(hp) == expected
    config = json.loads(json.dumps(hp.get_config()))
    assert schedule_from(keras_tuner.HyperParameters.from_config(config)) == expected
    assert schedule_from(keras_tuner.HyperParameters.from_proto(hp.to_proto())) == expected
    assert schedule_from(dict(hp.values)) == expected


def test_the_schedule_is_no_hyperparameter(done):
    assert SCHEDULE not in {entry.name for entry in done.get_space().space}
    assert all(not name.startswith("kt_ext/") for name in done.search.history.values(0))


def test_no_schedule():
    with pytest.raises(ValueError, match="hold no 'kt_ext/schedule'; give those of a trial of PBTTuner"):
        schedule_from(space())


def test_schedule_of_an_epoch_that_was_not(done):
    with pytest.raises(ValueError, match="epoch=5: trial 3 has done 4 epochs"):
        done.schedule("3", 5)


def test_a_directory_remembers(tmp_path):
    """Lineage, schedules and what was declared survive; other settings are refused."""

    def in_directory(**kwargs) -> PBTOracle:
        made = oracle(**kwargs)
        made._set_project_dir(str(tmp_path), "p")
        return made

    first = driven(in_directory(), lambda member, epoch: member + epoch / 10)
    first.finish()
    again = in_directory()
    again.reload()
    assert lineage_rows(again) == lineage_rows(first)
    assert again.schedule("0") == first.schedule("0")
    assert again.declared and again.search.structural == ("units",)
    other = in_directory(resample_probability=0.5)
    with pytest.raises(ValueError, match=r"explorer.*0\.25.*0\.5"):
        other.reload()


def test_an_explorer_of_ones_own():
    made = oracle(explorer=Perturb((0.9, 1.1), 0.0)).scheduler
    assert made.state()["configuration"]["explorer"]["explorer"] == "Perturb"
    with pytest.raises(ValueError, match=r"has its own settings; give resample_probability"):
        oracle(explorer=Perturb(), mutable=["rate"])
