"""The calls that TFX's Tuner component makes, in its order (tfx/components/tuner/executor.py, TFX 1.16 and 1.21)."""

from __future__ import annotations

import json
from typing import Any

from keras_tuner.engine.trial import TrialStatus


def executed(result: Any) -> tuple[str, str]:
    """(best_hyperparameters.txt, tuner_results.json) of a ``TunerFnResult``."""
    tuner = result.tuner
    tuner.search_space_summary()
    assert isinstance(tuner.tuner_id, str)
    tuner.search(**result.fit_kwargs)
    tuner.results_summary()
    best = tuner.get_best_hyperparameters()[0].get_config()
    rows = [
        {"trial_id": trial.trial_id, "score": trial.score, **trial.hyperparameters.values}
        for trial in tuner.oracle.get_best_trials(tuner.oracle.max_trials)
        if trial.status == TrialStatus.COMPLETED
    ]
    return json.dumps(best), json.dumps(rows)
