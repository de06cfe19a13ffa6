"""A new trial begins with the weights of another, as far as its architecture allows."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kt_ext.nas.searcher import PARENT
from kt_ext.networks.morph import NotPreserved, inherit
from kt_ext.oracles.hyperparameters import SEED, with_values
from kt_ext.training.callback import restore_model
from kt_ext.tuners.segment import best_checkpoint

if TYPE_CHECKING:
    from kt_ext.tuners.nas import NASTuner

_log = logging.getLogger("kt_ext")


def inherit_weights(tuner: NASTuner, trial: Any, model: keras.Model, only_exact: bool = False) -> None:
    """Give a new trial's model the state of its parent's best epoch, optimizer slots included.

    Exactly, so that it computes the same, where its architecture allows; else what fits, unless ``only_exact``. Without
    a parent, or where that one's checkpoint is gone, the model stays as it was initialised.
    """
    values = trial.hyperparameters.values
    if PARENT not in values:
        return
    parent = f"{int(values[PARENT]):0{len(trial.trial_id)}d}"
    found = best_checkpoint(tuner, SimpleNamespace(trial_id=parent, best_step=None))
    if found is None:
        _log.warning("trial %s: its parent %s has no checkpoint, so it begins from scratch", trial.trial_id, parent)
        return
    hp = with_values(trial.hyperparameters, found.checkpoint.meta["values"])
    parents_model = tuner.build_checked(hp)
    restore_model(parents_model, found.checkpoint)
    networks = [
        tuner.hypermodel.network(tuner.architectures.architecture(each)) for each in (hp, trial.hyperparameters)
    ]
    seed = values.get(SEED, 0)
    try:
        inherit(parents_model, networks[0], model, networks[1], np.random.default_rng(seed))
    except NotPreserved as reason:
        if only_exact:
            return
        done = inherit(parents_model, networks[0], model, networks[1], np.random.default_rng(seed), exact=False)
        _log.info("trial %s takes over %.0f %% of its weights: %s", trial.trial_id, 100 * done.share, reason)
