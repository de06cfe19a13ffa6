"""Spaces as ordinary hyperparameters of Keras Tuner: its own oracles, and ours."""

from __future__ import annotations

import json

import keras_tuner
import pytest
from keras_tuner.engine.base_tuner import BaseTuner

from kt_ext import nas
from kt_ext.oracles import ASHAOracle
from nas_spaces import SPACES

LOSS = keras_tuner.Objective("loss", "min")
WORDS = ("chain", "skip, add", "edges", "pairs", "dag", "nb201", "a user's")

ORACLES = {
    "random": lambda: keras_tuner.oracles.RandomSearchOracle(LOSS, max_trials=12, seed=1),
    # One beyond the random ones: its Gaussian process takes seconds for each.
    "bayesian": lambda: keras_tuner.oracles.BayesianOptimizationOracle(LOSS, 9, num_initial_points=8, seed=1),
    "asha": lambda: ASHAOracle(LOSS, max_epochs=4, factor=2, max_trials=12, seed=1),
}
CASES = [(word, oracle) for word in WORDS for oracle in ("random", "asha")] + [("nb201", "bayesian")]
NIGHTLY = [pytest.param(word, "bayesian", marks=pytest.mark.nightly) for word in WORDS if word != "nb201"]


class Recorder(BaseTuner):
    """Trains nothing: a trial's loss is a number made of its architecture."""

    def __init__(self, space: nas.AbstractArchitectureSpace, *args, **kwargs) -> None:
        self.space = space
        self.seen: dict[str, nas.Architecture] = {}
        super().__init__(*args, **kwargs)

    def run_trial(self, trial, *args, **kwargs):
        arch = self.space.register(trial.hyperparameters)
        self.seen[trial.trial_id] = arch
        values = trial.hyperparameters.values
        for step in range(values.get("tuner/initial_epoch", 0), values.get("tuner/epochs", 1)):
            loss = float(self.space.encode(arch).sum()) + 1 / (step + 1)
            self.oracle.update_trial(trial.trial_id, {"loss": loss}, step=step + 1)

    def load_model(self, trial):
        return None


def search(word: str, oracle: str, directory) -> Recorder:
    space = SPACES[word][0]

    def build(hp):
        space.register(hp)
        hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")

    tuner = Recorder(space, ORACLES[oracle](), build, directory=directory, project_name="p")
    tuner.search()
    return tuner


@pytest.mark.parametrize(("word", "oracle"), CASES + NIGHTLY)
def test_oracles_search_it(word, oracle, tmp_path):
    space = SPACES[word][0]
    tuner = search(word, oracle, tmp_path)
    trials = tuner.oracle.trials
    assert len(trials) >= 8
    inactive = 0
    for trial in trials.values():
        values = trial.hyperparameters.values
        arch = space.architecture(values)
        assert arch == tuner.seen[trial.trial_id] == space.architecture(trial.hyperparameters)
        own = {name for name in values if name.startswith(f"{space.name}/")}
        assert own == set(space.values(arch))
        inactive += len(space.genes.parameters) - len(own)
        loaded = keras_tuner.HyperParameters.from_config(json.loads(json.dumps(trial.hyperparameters.get_config())))
        assert space.register(loaded) == arch
        assert set(loaded.values) == set(values)
    assert (inactive > 0) == any(gene.conditions for gene in space.genes.parameters)
    best = tuner.get_best_hyperparameters()[0]
    scores = {trial_id: trial.score for trial_id, trial in trials.items()}
    assert space.register(best.copy()) == tuner.seen[min(scores, key=scores.get)]


@pytest.mark.parametrize("word", SPACES)
def test_all_is_registered_at_once(word):
    space = SPACES[word][0]
    hp = keras_tuner.HyperParameters()
    arch = space.register(hp)
    assert {each.name for each in hp.space} == {f"{space.name}/{gene.name}" for gene in space.genes.parameters}
    assert len(hp.space) == len(space.genes.parameters)
    before = hp.get_config()
    assert space.register(hp) == arch
    assert hp.get_config() == before


def test_two_spaces_stand_side_by_side():
    hp = keras_tuner.HyperParameters()
    left, right = nas.ChainSpace(["conv3x3", "skip"], 3, [4, 8], name="left"), nas.nb201(name="right")
    first, second = left.register(hp), right.register(hp)
    assert left.architecture(hp) == first and right.architecture(hp.values) == second
    assert set(hp.values) == {*left.values(first), *right.values(second)}
