"""Architecture search by way of Keras Tuner's calls: every strategy, none trained."""

from __future__ import annotations

import json
from typing import Any

import keras_tuner
import pytest

from kt_ext import nas
from kt_ext.nas.searcher import AbstractScreen
from kt_ext.oracles import ArchitectureOracle, EvolutionOracle, LocalSearchOracle, PredictorOracle
from kt_ext.oracles.hyperparameters import own_values
from oracles.oracle_driving import LOSS, Workers, placed, without_waiting_for_the_disk

STRATEGIES: dict[str, Any] = {
    "random": "random",
    "grid": "grid",
    "evolution": nas.Evolution(population=4),
    "local_search": nas.LocalSearch(n_startup=3),
    "predictor": nas.Predictor(n_startup=5),
    "bayesian": "bayesian",
    "controller": nas.Controller(batch=3),
    "morphism": nas.Morphism(population=4),
}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    without_waiting_for_the_disk(monkeypatch)


def chain() -> Any:
    return nas.ChainSpace(["conv1x1", "conv3x3"], max_depth=3, widths=[4, 8])


def oracle_of(strategy: Any, directory: Any = None, **changed: Any) -> ArchitectureOracle:
    settings = {"objective": LOSS, "max_trials": 14, "max_epochs": 1, "seed": 3, **changed}
    return placed(ArchitectureOracle(chain(), strategy, **settings), directory, "project")


def curve(trial: Any, epoch: int) -> dict[str, float]:
    """The more 3x3 convolutions the better, and the wider."""
    values = own_values(trial.hyperparameters.values)
    good = sum(value == "conv3x3" for value in values.values())
    wide = sum(value for value in values.values() if isinstance(value, int))
    return {"loss": 10.0 - good - wide / 100}


def values_of(oracle: ArchitectureOracle) -> list[dict[str, Any]]:
    return [own_values(trial.hyperparameters.values) for trial in oracle.trials.values()]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "controller" else []) for name in STRATEGIES]
)
def test_after_a_restart_the_same_proposals_follow(name, tmp_path):
    whole = oracle_of(STRATEGIES[name], tmp_path / "whole")
    Workers(whole, curve).run()
    assert len(whole.trials) == 14
    space = whole.architectures
    keys = {space.canonical(space.architecture(values)) for values in values_of(whole)}
    assert len(keys) == 14

    first = oracle_of(STRATEGIES[name], tmp_path / "broken", max_total_epochs=8)
    Workers(first, curve).run()
    first.finish()
    again = oracle_of(STRATEGIES[name], tmp_path / "broken")
    again.reload()
    Workers(again, curve).run()
    assert values_of(again) == values_of(whole)
    json.dumps([trial.hyperparameters.values for trial in again.trials.values()])


class Shallow(AbstractScreen):
    """The fewer layers the better."""

    candidates = 4

    def score(self, arch: Any) -> float:
        return -float(arch.values["depth"])


def test_proposals_are_screened_after_a_restart_too(tmp_path):
    whole = oracle_of("random", tmp_path / "whole")
    whole.screen(Shallow())
    Workers(whole, curve).run()
    first = oracle_of("random", tmp_path / "broken", max_total_epochs=3)
    first.screen(Shallow())
    Workers(first, curve).run()
    first.finish()
    again = oracle_of("random", tmp_path / "broken")
    again.reload()
    again.screen(Shallow())
    Workers(again, curve).run()
    assert values_of(again) == values_of(whole)
    unscreened = oracle_of("random")
    Workers(unscreened, curve).run()
    assert values_of(unscreened) != values_of(whole)


@pytest.mark.parametrize("name", ["evolution", "local_search", "morphism"])
def test_three_workers_never_train_the_same(name):
    oracle = oracle_of(STRATEGIES[name], max_trials=20)
    Workers(oracle, curve, count=3).run()
    space = oracle.architectures
    keys = {space.canonical(space.architecture(values)) for values in values_of(oracle)}
    assert len(keys) == len(oracle.trials) == 20


def test_a_small_space_is_tried_as_a_whole():
    space = nas.ChainSpace(["conv1x1", "conv3x3"], max_depth=2, widths=[4])
    oracle = ArchitectureOracle(space, "evolution", LOSS, 100, 0, max_epochs=1)
    oracle.verbose = 0
    Workers(oracle, curve).run()
    assert len(oracle.trials) == 2 + 4
    assert "exhausted" in oracle.stop_reason


def test_limits_hold_for_what_is_tried_first(tmp_path):
    measures = {"depth": lambda arch: arch.values["depth"]}
    settings = {"constraints": {"depth": 2}, "measures": measures}
    deep = {"arch/depth": 3}
    with pytest.raises(ValueError, match=r"initial_values\[1\]: depth=3 is not <= 2 by constraints=; leave it out"):
        oracle_of("random", initial_values=[{"arch/depth": 1}, deep], **settings).create_trial("tuner0")

    earlier = oracle_of("random", tmp_path)
    Workers(earlier, curve).run()
    earlier.finish()
    assert any(values["arch/depth"] == 3 for values in values_of(earlier))
    for best in (2, 14):
        oracle = oracle_of("random", warm_start=tmp_path / "project", warm_start_best=best, **settings)
        Workers(oracle, curve).run()
        depths = [values["arch/depth"] for values in values_of(oracle)]
        assert len(depths) == 14
        assert max(depths) == 2


def test_limits_are_kept_before_training():
    space = chain()
    measures = {"params": lambda arch: float(space.params(arch, (8, 8, 1)))}
    oracle = oracle_of("evolution", constraints={"params": 600}, measures=measures, max_trials=12)
    Workers(oracle, curve).run()
    assert oracle.trials
    for values in values_of(oracle):
        assert space.params(space.architecture(values), (8, 8, 1)) <= 600


def test_a_constraint_without_a_measure_is_one_on_metrics():
    oracle = oracle_of("random", constraints={"latency": 5.0}, max_trials=2)
    with pytest.raises(ValueError, match="latency"):
        Workers(oracle, curve).run()


def test_only_active_values():
    oracle = oracle_of("random")
    Workers(oracle, curve).run()
    for trial in oracle.trials.values():
        depth = trial.hyperparameters.values["arch/depth"]
        layers = {name.split("/")[1] for name in own_values(trial.hyperparameters.values)} - {"depth"}
        assert len(layers) == depth


@pytest.mark.parametrize(
    ("oracle_class", "argument"),
    [(EvolutionOracle, {"population": 5}), (LocalSearchOracle, {"n_startup": 2}), (PredictorOracle, {"n_startup": 4})],
)
def test_an_oracle_for_each_strategy(oracle_class, argument):
    oracle = oracle_class(chain(), LOSS, 6, 0, max_epochs=1, **argument)
    assert isinstance(oracle, keras_tuner.Oracle)
    ((name, value),) = argument.items()
    assert getattr(oracle.strategy, name) == value
    oracle.verbose = 0
    Workers(oracle, curve).run()
    assert len(oracle.trials) == 6


def test_wrong_arguments():
    with pytest.raises(TypeError, match="space=None: must be a kt_ext space"):
        ArchitectureOracle(None, "random", LOSS)
    with pytest.raises(TypeError, match="strategy='random': EvolutionOracle has its own"):
        EvolutionOracle(chain(), LOSS, strategy="random")
    with pytest.raises(TypeError, match="searcher='gp': architectures come from strategy="):
        oracle_of("random", searcher="gp")
