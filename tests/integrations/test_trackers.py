"""MLflow and Weights & Biases by their own Keras callbacks, offline: a run for each trial, paused ones too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import kt_ext
from kt_ext.oracles.hyperparameters import own_values
from kt_ext.reports.record import SearchRecord, read
from tuners.searches import build, data

pytestmark = pytest.mark.slow


def searched(tuner_class: type[Any], directory: Path) -> SearchRecord:
    """A search in which a trial was paused and went on."""
    settings = {"max_epochs": 4, "factor": 2, "max_trials": 4, "seed": 0}
    tuner = tuner_class(build, "val_loss", directory=str(directory), project_name="search", **settings)
    tuner.search(**data(), batch_size=50, verbose=0)
    record = read(tuner)
    assert max(len(trial.stretches) for trial in record.trials) > 1
    return record


def test_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("mlflow.keras")
    monkeypatch.chdir(tmp_path)  # MLflow makes a folder where it is
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("digits")

    class Tracked(kt_ext.ASHATuner):
        def run_trial(self, trial: Any, *args: Any, callbacks: Any = None, **kwargs: Any) -> Any:
            known = mlflow.search_runs(filter_string=f"tags.trial = '{trial.trial_id}'", output_format="list")
            with mlflow.start_run(run_id=known[0].info.run_id if known else None, tags={"trial": trial.trial_id}):
                if not known:
                    mlflow.log_params(own_values(trial.hyperparameters.values))
                logger = mlflow.keras.MlflowCallback()
                return super().run_trial(trial, *args, callbacks=[*(callbacks or []), logger], **kwargs)

    record = searched(Tracked, tmp_path)
    runs = {run.data.tags["trial"]: run for run in mlflow.search_runs(output_format="list")}
    assert runs.keys() == {trial.name for trial in record.trials}
    client = mlflow.MlflowClient()
    for trial in record.trials:
        run = runs[trial.name]
        history = sorted(client.get_metric_history(run.info.run_id, "val_loss"), key=lambda metric: metric.step)
        assert [metric.step for metric in history] == [epoch - 1 for epoch in trial.epochs]
        assert [metric.value for metric in history] == pytest.approx([each["val_loss"] for each in trial.metrics])
        assert float(run.data.params["learning_rate"]) == pytest.approx(trial.values["learning_rate"])


def test_weights_and_biases(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    from wandb.integration.keras import WandbMetricsLogger

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    logged: dict[str, list[float]] = {}
    runs: dict[str, set[str]] = {}

    class Tracked(kt_ext.ASHATuner):
        def run_trial(self, trial: Any, *args: Any, callbacks: Any = None, **kwargs: Any) -> Any:
            values = own_values(trial.hyperparameters.values)
            with wandb.init(project="digits", id=f"search-{trial.trial_id}", resume="allow", config=values) as run:
                log = run.log
                runs.setdefault(trial.trial_id, set()).add(run.id)

                def remembered(metrics: Any, *a: Any, **k: Any) -> Any:
                    logged.setdefault(trial.trial_id, []).extend(
                        value for name, value in metrics.items() if name == "epoch/val_loss"
                    )
                    return log(metrics, *a, **k)

                monkeypatch.setattr(wandb, "log", remembered)
                return super().run_trial(trial, *args, callbacks=[*(callbacks or []), WandbMetricsLogger()], **kwargs)

    record = searched(Tracked, tmp_path)
    assert logged == {trial.name: pytest.approx([m["val_loss"] for m in trial.metrics]) for trial in record.trials}
    assert runs == {trial.name: {f"search-{trial.name}"} for trial in record.trials}
    assert list(tmp_path.glob("wandb/offline-run-*"))
