"""The calls that TFX's executors of a Tuner make, in their order (tfx/components/tuner/executor.py, 1.16 and 1.21)."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
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


def primary_machine(tuner_fn: Callable[[], Any], port: int, worker_id: str, place: Path) -> int:
    """What the executor does on the first machine of a job on Google Cloud: a fork leads, this process trains.

    The fork writes what ``executed`` returns into ``place``. Returns its exit code
    (tfx/extensions/google_cloud_ai_platform/tuner/executor.py).
    """
    chief = multiprocessing.get_context("fork").Process(target=_lead, args=(tuner_fn, port, place))
    chief.start()
    os.environ.update(KERASTUNER_ORACLE_IP="127.0.0.1", KERASTUNER_ORACLE_PORT=str(port), KERASTUNER_TUNER_ID=worker_id)
    result = tuner_fn()
    assert isinstance(result.tuner.tuner_id, str)
    result.tuner.search(**result.fit_kwargs)
    chief.join()
    return int(chief.exitcode or 0)


def _lead(tuner_fn: Callable[[], Any], port: int, place: Path) -> None:
    os.environ.update(KERASTUNER_ORACLE_IP="0.0.0.0", KERASTUNER_ORACLE_PORT=str(port), KERASTUNER_TUNER_ID="chief")
    best, results = executed(tuner_fn())
    (place / "best_hyperparameters.txt").write_text(best)
    (place / "tuner_results.json").write_text(results)
