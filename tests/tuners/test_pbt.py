"""A population on one process: who takes over what from whom, and what it costs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import kt_ext
from kt_ext.training.seeds import GENERATOR
from tuners.populations import directory_of, lineage, population, searched
from tuners.searches import ONE_TRAIN_TRACE, all_epochs, build, counting, data

SLOTS = {
    "learning_rate": "optimizer.learning_rate",
    "weight_decay": "optimizer.weight_decay",
    "dropout": "layers.1.rate",
}
DOMAINS = {"learning_rate": (1e-4, 1e-1), "weight_decay": (1e-5, 1e-1), "dropout": (0.05, 0.5)}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return str(tmp_path_factory.mktemp("pbt"))


@pytest.fixture(scope="module")
def search(directory):
    """(tuner, watcher, counts) of a search of 4 members, 8 epochs and 3 comparisons."""
    with counting() as counts:
        tuner = population(counts.counted(build), directory=directory)
        watcher = searched(tuner)
    return tuner, watcher, counts


def test_every_member_trains_every_epoch_once(search):
    tuner, watcher, _ = search
    assert Counter(watcher.epochs) == {"0": 8, "1": 8, "2": 8, "3": 8}
    assert tuner.oracle.search.history.total_epochs == 32
    assert all(len(epochs["val_loss"]) == 8 for epochs in all_epochs(tuner).values())


def test_the_worst_takes_over_from_the_best(search):
    tuner, _, _ = search
    losses = {member: epochs["val_loss"] for member, epochs in all_epochs(tuner).items()}
    expected = []
    for epoch in (2, 4, 6):
        ranking = sorted(losses, key=lambda member: losses[member][epoch - 1])
        expected.append((epoch, ranking[-1], ranking[0]))
    assert lineage(tuner) == expected
    for row in tuner.lineage():
        assert row.score == pytest.approx(losses[row.member][row.epoch - 1])
        assert row.donor_score == pytest.approx(losses[row.donor][row.epoch - 1])


def test_one_trace_and_no_rebuild(search):
    _, _, counts = search
    assert counts.train_steps == ONE_TRAIN_TRACE
    assert counts.test_steps == 1
    # one to see the space, two for each of three hyperparameters to see what it shapes, one for each member
    assert counts.builds == 1 + 6 + 4


def test_exploit_copies_the_whole_state(search):
    """Weights, optimizer slots and step count are those of the donor's file; generators and hyperparameters are not."""
    tuner, watcher, _ = search
    begins = [begin for begin in watcher.begins if begin.donor_state is not None]
    assert [(begin.done, begin.member) for begin in begins] == [(e, m) for e, m, _ in lineage(tuner)]
    for begin in begins:
        assert begin.state.keys() == begin.donor_state.keys()
        changed = {n for n, array in begin.state.items() if not np.array_equal(array, begin.donor_state[n])}
        assert all(name.endswith((GENERATOR, "learning_rate")) for name in changed)
        assert {name.rsplit("/", 1)[-1] for name in changed} == {GENERATOR, "learning_rate"}
        (steps,) = [name for name in begin.state if name.endswith("iteration")]
        assert begin.state[steps] == begin.done * 4  # 200 samples in batches of 50
        assert any(np.any(array) for name, array in begin.state.items() if "momentum" in name)


def test_going_on_alone_keeps_the_values(search):
    """Two fits of a member that exploits nobody have the same numbers."""
    _, watcher, _ = search
    alone = [begin for begin in watcher.begins if begin.done and begin.donor_state is None]
    assert len(alone) == 3 * 3
    before = {(begin.member, begin.done): begin for begin in watcher.begins}
    for begin in alone:
        assert begin.live == before[begin.member, begin.done - 2].live


def test_new_values_are_the_donors_perturbed(search):
    tuner, _, _ = search
    for row in tuner.lineage():
        assert row.new_values.keys() == row.donor_values.keys() == set(SLOTS)
        for name, (low, high) in DOMAINS.items():
            assert low <= row.new_values[name] <= high
            assert row.new_values[name] != row.donor_values[name]


@pytest.mark.slow
def test_perturbation_alone_multiplies(tmp_path):
    tuner = population(
        directory=str(tmp_path), resample_probability=0.0, perturbation_factors=(0.5, 2.0), max_epochs=2,
        perturbation_interval=1,
    )  # fmt: skip
    searched(tuner)
    (row,) = tuner.lineage()
    for name, (low, high) in DOMAINS.items():
        old, new = row.donor_values[name], row.new_values[name]
        assert new == pytest.approx(old / 2) or new == pytest.approx(2 * old) or new in (low, high)


def test_the_step_reads_the_new_values(search):
    """Those of the optimizer's variable and of the live floats, at the begin and in the steps."""
    tuner, watcher, _ = search
    rows = {(row.member, row.epoch): row for row in tuner.lineage()}
    for begin in watcher.begins:
        row = rows.get((begin.member, begin.done))
        if row is not None:
            assert begin.values == row.new_values
        for name, slot in SLOTS.items():
            assert begin.live[slot] == pytest.approx(begin.values[name], rel=1e-6)
    by_begin = [values for begin in watcher.begins for values in (begin.live, begin.live)]  # two epochs in each fit
    assert watcher.step_values == by_begin


def test_members_that_took_over_draw_their_own_masks(search):
    """Seed generators: two members that go on from one state must not drop the same units."""
    _, watcher, _ = search
    seeds = set()
    for begin in watcher.begins:
        seeds |= {array.tobytes() for name, array in begin.state.items() if name.endswith(GENERATOR)}
    assert len(seeds) == len(watcher.begins)


def test_few_checkpoints(search):
    tuner, watcher, _ = search
    assert len(watcher.checkpoints) > 16
    for on_disk, allowed in watcher.checkpoints:
        assert on_disk <= allowed
    for member in tuner.oracle.trials:
        (left,) = directory_of(tuner, member).iterdir()
        best = tuner.oracle.search.history.best(int(member))[1]
        assert left.name == f"epoch-{best:05d}.ckpt"


def test_best_model_has_the_best_score(search):
    tuner, _, _ = search
    best = min(min(epochs["val_loss"]) for epochs in all_epochs(tuner).values())
    assert tuner.oracle.get_best_trials()[0].score == pytest.approx(best)
    (x, y) = data()["validation_data"]
    assert tuner.get_best_models()[0].evaluate(x, y, verbose=0, return_dict=True)["loss"] == pytest.approx(
        best, rel=1e-4
    )


def test_lineage_survives_a_restart(search, directory):
    tuner, _, _ = search
    again = population(directory=directory)
    assert again.lineage() == tuner.lineage()
    assert again.best_schedule() == tuner.best_schedule()
    watcher = searched(again)
    assert watcher.epochs == []


def test_same_seed_same_search(search, tmp_path):
    tuner, _, _ = search
    again = population(directory=str(tmp_path))
    searched(again)
    assert lineage(again) == lineage(tuner)
    assert [row.new_values for row in again.lineage()] == [row.new_values for row in tuner.lineage()]
    for member, epochs in all_epochs(again).items():
        assert epochs["val_loss"] == pytest.approx(all_epochs(tuner)[member]["val_loss"], rel=1e-4)


@pytest.mark.nightly
def test_unshared_models_give_the_same_search(search, tmp_path):
    """What is copied, set and drawn anew does not hang on the model that is shared."""
    tuner, _, _ = search
    unshared = population(directory=str(tmp_path), share_models=False, max_total_epochs=18)
    watcher = searched(unshared)
    assert lineage(unshared) == lineage(tuner)[: len(lineage(unshared))] != []
    for member, epochs in all_epochs(unshared).items():
        known = all_epochs(tuner)[member]["val_loss"][: len(epochs["val_loss"])]
        assert epochs["val_loss"] == pytest.approx(known, rel=1e-4)
    assert [begin.values for begin in watcher.begins] == [b.values for b in search[1].begins[: len(watcher.begins)]]


@pytest.mark.slow
def test_a_budget_and_going_on(search, tmp_path):
    tuner, _, _ = search
    trained = []
    for budget in (3, 22, None):
        one = population(directory=str(tmp_path), max_total_epochs=budget)
        trained += searched(one).epochs
        assert one.oracle.search.history.total_epochs == (budget or 32)
    assert Counter(trained) == {"0": 8, "1": 8, "2": 8, "3": 8}
    assert lineage(one) == lineage(tuner)
    for member, epochs in all_epochs(one).items():
        assert epochs["val_loss"] == pytest.approx(all_epochs(tuner)[member]["val_loss"], rel=1e-4)


@pytest.mark.slow
def test_target(tmp_path):
    tuner = population(directory=str(tmp_path), objective="val_accuracy", target=0.01)
    searched(tuner)
    assert tuner.oracle.search.history.total_epochs == 1
    assert tuner.oracle.stop_reason.startswith("target=0.01 reached")
    going_on = population(directory=str(tmp_path), objective="val_accuracy", max_epochs=8)
    searched(going_on)
    assert going_on.oracle.search.history.total_epochs == 32
    assert len(going_on.lineage()) == 3


@pytest.mark.slow
def test_a_population_of_one(tmp_path):
    tuner = population(directory=str(tmp_path), population_size=1, max_epochs=3, perturbation_interval=1)
    assert len(searched(tuner).epochs) == 3
    assert tuner.lineage() == []
    assert tuner.best_schedule().epochs <= 3


@pytest.mark.nightly
def test_an_interval_longer_than_the_training_never_compares(tmp_path):
    tuner = population(directory=str(tmp_path), max_epochs=2, perturbation_interval=5)
    assert Counter(searched(tuner).epochs) == {"0": 2, "1": 2, "2": 2, "3": 2}
    assert tuner.lineage() == []


@pytest.mark.nightly
def test_grid_with_fewer_configurations_than_members(tmp_path):
    """The members beyond the grid repeat values, with other initial weights."""

    def build_choice(hp):
        model = build(hp=_fixed())
        model.optimizer.learning_rate = hp.Choice("learning_rate", [0.01, 0.03])
        return model

    tuner = population(build_choice, directory=str(tmp_path), searcher="grid", max_epochs=2, perturbation_interval=1)
    watcher = searched(tuner)
    assert Counter(watcher.epochs) == {"0": 2, "1": 2, "2": 2, "3": 2}
    assert {begin.values["learning_rate"] for begin in watcher.begins if begin.done == 0} == {0.01, 0.03}
    assert len({epochs["loss"][0] for epochs in all_epochs(tuner).values()}) == 4


def _fixed():
    return kt_ext.hyperparameters({})


@pytest.mark.slow
def test_two_executions(tmp_path):
    """Each execution of a member takes over the donor's execution of the same number."""
    tuner = population(directory=str(tmp_path), executions_per_trial=2, max_epochs=4)
    watcher = searched(tuner)
    assert Counter(watcher.epochs) == {"0": 8, "1": 8, "2": 8, "3": 8}
    ((epoch, member, _),) = lineage(tuner)
    taken = [begin for begin in watcher.begins if (begin.member, begin.done) == (member, epoch)]
    assert len(taken) == 2
    kernels = [next(array for name, array in begin.state.items() if name.endswith("kernel")) for begin in taken]
    assert not np.array_equal(*kernels)
    first = next(array for name, array in taken[0].donor_state.items() if name.endswith("kernel"))
    assert np.array_equal(kernels[0], first)
    for one in all_epochs(tuner).values():
        assert len(one["val_loss"]) == 4


@pytest.mark.slow
def test_a_donor_whose_checkpoint_is_gone(tmp_path, caplog):
    """The member goes on from its own state, with the new values, and says so."""
    first = population(directory=str(tmp_path), max_total_epochs=9)  # the last to come to epoch 2 went on at once
    searched(first)
    losses = {member: epochs["val_loss"][1] for member, epochs in all_epochs(first).items()}
    best, worst = min(losses, key=losses.__getitem__), max(losses, key=losses.__getitem__)
    assert first.oracle.search.history.epochs_of(int(best)) == 3
    (directory_of(first, best) / "epoch-00002.ckpt").unlink()
    going_on = population(directory=str(tmp_path))
    watcher = searched(going_on, watch_donor=False)
    assert f"trial {worst}: cannot take over the state of trial {best} after epoch 2" in caplog.text
    (begin,) = [begin for begin in watcher.begins if (begin.member, begin.done) == (worst, 2)]
    assert begin.values == next(row.new_values for row in going_on.lineage() if row.epoch == 2)
    assert begin.live[SLOTS["dropout"]] == begin.values["dropout"]
    assert begin.live[SLOTS["learning_rate"]] == pytest.approx(begin.values["learning_rate"])
    assert going_on.oracle.search.history.total_epochs == 32
