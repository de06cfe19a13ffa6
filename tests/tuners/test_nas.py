"""Architecture search in real searches on digits."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import kt_ext
from kt_ext import nas
from kt_ext.nas.moves import kind_of_move
from kt_ext.oracles.hyperparameters import own_values
from kt_ext.schedulers import ASHA
from tuners.searches import all_epochs, data

SHAPE = (8, 8, 1)


def images() -> dict[str, Any]:
    """The digits of ``data`` as images."""
    flat = data()
    x, y = flat["validation_data"]
    return {"x": flat["x"].reshape(-1, *SHAPE), "y": flat["y"], "validation_data": (x.reshape(-1, *SHAPE), y)}


def chain(max_depth: int = 3, widths: tuple[int, ...] = (4, 8)) -> Any:
    return nas.ChainSpace(["conv1x1", "conv3x3"], max_depth=max_depth, widths=list(widths))


def model_of(space: Any, **arguments: Any) -> Any:
    return space.hypermodel(SHAPE, nas.classifier(10), **arguments)


def tuner_of(directory: Any, space: Any = None, **changed: Any) -> Any:
    settings = {"objective": "val_loss", "max_trials": 4, "max_epochs": 1, "seed": 0, "directory": str(directory)}
    hypermodel = model_of(chain() if space is None else space)
    return kt_ext.NASTuner(hypermodel, **{"strategy": "random", **settings, **changed})


def search(tuner: Any, **changed: Any) -> Any:
    tuner.search(**{**images(), "batch_size": 50, "verbose": 0, **changed})
    return tuner


def scores(tuner: Any) -> dict[str, float]:
    return {trial_id: trial.score for trial_id, trial in tuner.oracle.trials.items()}


def test_a_whole_search_and_the_best_model(tmp_path):
    tuner = search(tuner_of(tmp_path, max_trials=4, strategy="evolution"))
    found = [tuner.architectures.architecture(trial.hyperparameters) for trial in tuner.oracle.trials.values()]
    assert len({tuner.architectures.canonical(arch) for arch in found}) == 4
    best = tuner.best_architecture()
    assert best in found
    model = tuner.get_best_models()[0]
    assert model.count_params() == tuner.architectures.params(best, SHAPE, nas.classifier(10))
    score = min(scores(tuner).values())
    assert model.evaluate(*images()["validation_data"], verbose=0)[0] == pytest.approx(score, rel=1e-4)


@pytest.mark.tensorflow
@pytest.mark.nightly
def test_no_trial_is_spent_on_an_architecture_that_is_too_large(tmp_path):
    head = nas.classifier(10)
    space = chain()
    sizes = [space.params(space.random(np.random.default_rng(seed)), SHAPE, head) for seed in range(200)]
    limit = float(np.quantile(sizes, 0.3))
    tuner = search(tuner_of(tmp_path, max_trials=5, constraints={"params": limit}))
    values = [trial.hyperparameters for trial in tuner.oracle.trials.values()]
    assert len(values) == 5
    assert all(space.params(space.architecture(each), SHAPE, head) <= limit for each in values)
    assert all(trial.score is not None for trial in tuner.oracle.trials.values())


@pytest.mark.nightly
def test_a_limit_of_ones_own(tmp_path):
    hypermodel = model_of(chain(), measures={"depth": lambda arch: arch.values["depth"]})
    tuner = kt_ext.NASTuner(
        hypermodel, "random", "val_loss", 3, 1, constraints={"depth": (2, 2)}, seed=0, directory=str(tmp_path)
    )
    search(tuner)
    assert {trial.hyperparameters.values["arch/depth"] for trial in tuner.oracle.trials.values()} == {2}


def test_a_limit_that_none_keeps_is_said_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match=r"constraints=.*params.*none of 500 random architectures.*params is from \d+"):
        tuner_of(tmp_path, constraints={"params": 10})
    assert not list(tmp_path.iterdir())


@pytest.mark.nightly
def test_bounds_on_metrics_are_kept_beside(tmp_path):
    tuner = search(tuner_of(tmp_path, constraints={"params": 1e6, "val_accuracy": (2.0, None)}))
    assert all(np.isinf(trial.score) for trial in tuner.oracle.trials.values())


@pytest.mark.nightly
def test_other_hyperparameters_are_searched_beside(tmp_path):
    hypermodel = model_of(
        chain(), optimizer=lambda hp: keras.optimizers.SGD(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log"))
    )
    tuner = kt_ext.NASTuner(hypermodel, "evolution", "val_loss", 5, 1, others="tpe", seed=0, directory=str(tmp_path))
    search(tuner)
    rates = {own_values(trial.hyperparameters.values)["learning_rate"] for trial in tuner.oracle.trials.values()}
    assert len(rates) == 5
    model = tuner.get_best_models()[0]
    best = tuner.get_best_hyperparameters()[0]["learning_rate"]
    assert float(model.optimizer.learning_rate.numpy()) == pytest.approx(best, rel=1e-5)


@pytest.mark.nightly
def test_with_asha(tmp_path):
    tuner = search(tuner_of(tmp_path, max_trials=None, max_epochs=None, scheduler=ASHA(4, factor=2, max_trials=6)))
    lengths = sorted(len(metrics["val_loss"]) for metrics in all_epochs(tuner).values())
    assert len(lengths) == 6
    assert lengths[0] == 1
    assert lengths[-1] == 4


@pytest.mark.nightly
def test_gone_on_with_by_another_tuner(tmp_path):
    whole = search(tuner_of(tmp_path / "whole", max_trials=6, max_epochs=1, strategy="evolution"))
    search(tuner_of(tmp_path / "broken", max_trials=6, strategy="evolution", max_total_epochs=3))
    after = search(tuner_of(tmp_path / "broken", max_trials=6, strategy="evolution"))
    assert [own_values(t.hyperparameters.values) for t in after.oracle.trials.values()] == [
        own_values(t.hyperparameters.values) for t in whole.oracle.trials.values()
    ]
    assert after.best_architecture() == whole.best_architecture()


class TestInheritance:
    def standing_still(self, directory: Any, **changed: Any) -> Any:
        """Nothing is learned, so a score tells what weights a trial began with."""
        hypermodel = model_of(chain(widths=(4, 8, 12)), optimizer=keras.optimizers.SGD(0.0))
        settings = {"max_trials": 8, "max_epochs": 1, "seed": 0, "directory": str(directory), **changed}
        return kt_ext.NASTuner(hypermodel, objective="val_loss", **settings)

    @pytest.mark.tensorflow
    @pytest.mark.slow
    def test_a_child_by_morphism_begins_as_its_parent(self, tmp_path):
        begun: list[float] = []

        class Begin(keras.callbacks.Callback):
            def on_train_begin(self, logs=None):
                begun.append(self.model.evaluate(*images()["validation_data"], verbose=0)[0])

            def __deepcopy__(self, memo):
                return self

        tuner = search(self.standing_still(tmp_path, strategy=nas.Morphism(population=2)), callbacks=[Begin()])
        trials = tuner.oracle.trials
        parents = {i: trial.hyperparameters.values.get("kt_ext/parent") for i, trial in trials.items()}
        children = {child: str(parent) for child, parent in parents.items() if parent is not None}
        assert len(children) == 6
        laid = {
            i: tuner.hypermodel.network(tuner.architectures.architecture(t.hyperparameters)) for i, t in trials.items()
        }
        kept = {child: parent for child, parent in children.items() if kind_of_move(laid[parent], laid[child])}
        assert len(kept) >= 3  # a parent that has grown as far as it can is mutated instead
        for child, parent in kept.items():
            assert begun[int(child)] == pytest.approx(trials[parent].score, rel=1e-5)

    @pytest.mark.nightly
    def test_the_nearest_parent(self, tmp_path):
        tuner = search(self.standing_still(tmp_path, strategy="random", estimator="inherit"))
        trials = tuner.oracle.trials
        parents = {i: t.hyperparameters.values.get("kt_ext/parent") for i, t in trials.items()}
        assert parents["0"] is None
        space = tuner.architectures
        for child, parent in list(parents.items())[1:]:
            arch = space.architecture(trials[child].hyperparameters)
            distances = {
                other: space.distance(arch, space.architecture(trials[other].hyperparameters))
                for other in trials
                if int(other) < int(child)
            }
            assert distances[str(parent)] == min(distances.values())

    @pytest.mark.nightly
    def test_a_parent_whose_checkpoint_is_gone(self, tmp_path, caplog):
        settings = {"strategy": nas.Morphism(population=2)}
        search(self.standing_still(tmp_path, max_total_epochs=2, **settings))
        for checkpoint in tmp_path.rglob("*.ckpt"):
            checkpoint.unlink()
        search(self.standing_still(tmp_path, max_trials=3, **settings))
        assert "has no checkpoint, so it begins from scratch" in caplog.text


class TestLowFidelity:
    @pytest.mark.slow
    def test_the_best_are_trained_in_full(self, tmp_path, capsys):
        low = nas.LowFidelity(data=0.5, resolution=0.5, filters=0.5, epochs=1, best=2)
        tuner = search(tuner_of(tmp_path, max_epochs=2, estimator=low), verbose=1)
        assert all(len(metrics["val_loss"]) == 1 for metrics in all_epochs(tuner).values())
        final = tuner.final
        assert all(len(metrics["val_loss"]) == 2 for metrics in all_epochs(final).values())
        chosen = [own_values(trial.hyperparameters.values) for trial in tuner.oracle.get_best_trials(2)]
        ranked = [own_values(trial.hyperparameters.values) for trial in final.oracle.trials.values()]
        assert ranked == chosen
        model = tuner.get_best_models()[0]
        assert model.input_shape == (None, *SHAPE)
        best = tuner.best_architecture()
        assert model.count_params() == tuner.architectures.params(best, SHAPE, nas.classifier(10))
        assert own_values(tuner.get_best_hyperparameters()[0].values) in chosen
        assert abs(tuner.rank_correlation) == pytest.approx(1)
        assert "rank correlation with their scores at low fidelity" in capsys.readouterr().out

        again = tuner_of(tmp_path, max_epochs=2, estimator=low)
        assert again.best_architecture() == best
        search(again)  # nothing is left to do
        assert scores(again.final) == scores(final)

    @pytest.mark.nightly
    def test_checkpoints_elsewhere_and_overwritten(self, tmp_path):
        place = tmp_path / "checkpoints"
        low = nas.LowFidelity(data=0.5, best=1)
        for overwrite in (False, True):
            settings = {"estimator": low, "checkpoint_directory": str(place), "overwrite": overwrite}
            tuner = search(tuner_of(tmp_path / "runs", max_trials=2, **settings))
            assert len(tuner.final.oracle.trials) == 1
            tuner.get_best_models()
        (written,) = place.rglob("final/**/*.ckpt")
        assert written.is_relative_to(place / "untitled_project" / "final")

    def test_data_that_have_no_fewer(self, tmp_path):
        tuner = tuner_of(tmp_path, estimator=nas.LowFidelity(data=0.5))
        with pytest.raises(ValueError, match="with data_fn"):
            tuner.search(data_fn=images)
        assert not tuner.oracle.trials


@pytest.mark.slow
def test_zero_cost_trains_the_best_of_several_proposals(tmp_path):
    tuner = search(tuner_of(tmp_path, max_trials=2, estimator=nas.ZeroCost("synflow", candidates=3)))
    assert len(tuner.oracle.trials) == 2
    proposing = tuner.oracle._proposing
    first = tuner.architectures.architecture(tuner.oracle.trials["0"].hyperparameters)
    scored = list(proposing._scores.items())[:3]
    assert max(scored, key=lambda each: each[1])[0] == first.genes


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"strategy": "annealing"}, r"strategy='annealing': must be one of random, grid, evolution"),
        ({"estimator": "cheap"}, r"estimator='cheap': must be one of full, low_fidelity"),
        ({"scheduler": ASHA(9)}, r"max_trials=4, max_epochs=1.*the scheduler has its own"),
        ({"searcher": "gp"}, r"searcher"),
    ],
)
def test_wrong_arguments(tmp_path, changed, message):
    with pytest.raises((TypeError, ValueError), match=message):
        tuner_of(tmp_path, **changed)


def test_a_hypermodel_that_is_none_of_a_space(tmp_path):
    with pytest.raises(TypeError, match=r"hypermodel=.*must be what the hypermodel\(\) of a space gives"):
        kt_ext.NASTuner(lambda hp: None, objective="val_loss", directory=str(tmp_path))


@pytest.mark.slow
def test_on_two_processes(tmp_path):
    tuner = search(tuner_of(tmp_path, max_trials=6, strategy=nas.Morphism(population=2), workers=2))
    assert all(trial.score is not None for trial in tuner.oracle.trials.values())
    assert any("kt_ext/parent" in trial.hyperparameters.values for trial in tuner.oracle.trials.values())
    tuner.get_best_models()


@pytest.mark.nightly
def test_low_fidelity_on_two_processes(tmp_path):
    tuner = search(tuner_of(tmp_path, estimator=nas.LowFidelity(data=0.5, best=2), workers=2))
    assert len(tuner.final.oracle.trials) == 2
