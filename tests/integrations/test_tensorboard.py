"""A search's event files, read back with TensorBoard's own reader and its HParams plug-in."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

import kt_ext
from kt_ext.integrations.tensorboard import SearchLog, write
from kt_ext.reports.record import JOURNAL, read
from reports.played import SEARCHES, Clock
from tuners.searches import build, data, run_python


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of each tag of a run."""
    found = EventAccumulator(str(directory), {"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def shown(log_dir: Path) -> dict[str, tuple[dict[str, Any], dict[str, float], int]]:
    """(hyperparameters, last metrics, status) of each trial in TensorBoard's HParams tab."""
    runs = EventMultiplexer()
    runs.AddRunsFromDirectory(str(log_dir))
    runs.Reload()
    request_context = RequestContext()
    context = backend_context.Context(TBContext(data_provider=MultiplexerDataProvider(runs, str(log_dir))))
    asked = api_pb2.GetExperimentRequest(include_metrics=True)
    experiment = get_experiment.Handler(request_context, context, "", asked).run()
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=[api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
        col_params=[{"metric": metric.name} for metric in experiment.metric_infos],
        include_metrics=True,
    )
    groups = list_session_groups.Handler(request_context, context, "", request).run().session_groups
    return {
        group.name: (
            {name: getattr(value, value.WhichOneof("kind")) for name, value in group.hparams.items()},
            {metric.name.tag: metric.value for metric in group.metric_values},
            group.sessions[0].status,
        )
        for group in groups
    }


def approx(pairs: list[tuple[int, float]]) -> Any:
    return [(step, pytest.approx(value, rel=1e-6, nan_ok=True)) for step, value in pairs]


@pytest.mark.parametrize("name", SEARCHES)
def test_every_metric_of_every_epoch(name, tmp_path, clock):
    SEARCHES[name](tmp_path, clock)
    record = read(next(tmp_path.rglob(JOURNAL)).parent)
    assert write(record) == len(record.reports)
    for trial in record.trials:
        found = scalars(record.directory / "tensorboard" / trial.name)
        for metric in {metric for metrics in trial.metrics for metric in metrics}:
            wanted = [(e, m[metric]) for e, m in zip(trial.epochs, trial.metrics, strict=True) if metric in m]
            assert found[metric] == approx(wanted)
        if trial.epochs and not record.pareto:
            assert found["score"][-1] == approx([(trial.epochs[-1], record.score(trial)[0])])[0]
    assert write(record) == 0


def test_a_population_shows_what_changed(tmp_path, clock):
    SEARCHES["population"](tmp_path, clock)
    record = read(next(tmp_path.rglob(JOURNAL)).parent)
    write(record, tmp_path / "logs")
    changed = [trial for trial in record.trials if trial.takeovers]
    assert changed
    for trial in changed:
        found = scalars(tmp_path / "logs" / trial.name)
        for hyperparameter, value in trial.first_values.items():
            if not isinstance(value, str):
                wanted = [(e, float(trial.values_at(e)[hyperparameter])) for e in trial.epochs]
                assert found[f"hyperparameters/{hyperparameter}"] == approx(wanted)
    rates = [scalars(tmp_path / "logs" / trial.name)["hyperparameters/rate"] for trial in changed]
    assert any(len({rate for _, rate in each}) > 1 for each in rates)


def test_hparams_of_every_trial_beside_its_score(tmp_path, clock):
    SEARCHES["failing"](tmp_path, clock)
    record = read(next(tmp_path.rglob(JOURNAL)).parent)
    write(record, tmp_path / "logs")
    table = shown(tmp_path / "logs")
    assert table.keys() == {trial.name for trial in record.trials}
    for trial in record.trials:
        values, metrics, status = table[trial.name]
        assert values == trial.values
        assert metrics["score"] == pytest.approx(record.score(trial)[0], rel=1e-6)
        assert status == (api_pb2.STATUS_FAILURE if trial.status == "failed" else api_pb2.STATUS_SUCCESS)
    assert {trial.status for trial in record.trials} == {"done", "failed"}


def test_conditional_values_are_shown_where_they_are_active(tmp_path, clock):
    SEARCHES["asha_promotion"](tmp_path, clock)
    record = read(next(tmp_path.rglob(JOURNAL)).parent)
    write(record, tmp_path / "logs")
    assert {name: row[0] for name, row in shown(tmp_path / "logs").items()} == {t.name: t.values for t in record.trials}
    assert len({frozenset(trial.values) for trial in record.trials}) > 1


@pytest.mark.parametrize("again", [False, True])  # the same log, or one of a process that was started anew
def test_what_is_new_is_added(again, tmp_path, clock):
    """The journal grows line by line; what TensorBoard has in the end is what it has of the whole."""
    SEARCHES["asha_promotion"](tmp_path, clock)
    whole = next(tmp_path.rglob(JOURNAL))
    write(whole.parent, tmp_path / "whole")
    lines = whole.read_bytes().splitlines(keepends=True)
    growing, logs = tmp_path / "growing", tmp_path / "logs"
    growing.mkdir()
    log, counts = SearchLog(growing, logs), []
    for end in (1, 2, 7, 8, 20, len(lines)):
        (growing / JOURNAL).write_bytes(b"".join(lines[:end]))
        counts.append((SearchLog(growing, logs) if again else log).update())
    assert sum(counts) == len(read(whole.parent).reports)
    assert sum(count > 0 for count in counts) >= 3
    for run in (tmp_path / "whole").iterdir():
        assert scalars(logs / run.name) == scalars(run)
    assert shown(logs) == shown(tmp_path / "whole")


def test_a_running_search_is_followed(tmp_path):
    """A real search with trials that pause and go on; a callback looks at the files while it trains."""
    tuner = kt_ext.ASHATuner(
        build, "val_loss", max_epochs=4, factor=2, max_trials=4, seed=0, directory=str(tmp_path), project_name="p"
    )
    log = SearchLog(tuner, seconds=0.05)
    seen: list[int] = []

    import keras

    class Looks(keras.callbacks.Callback):
        def __deepcopy__(self, memo: Any) -> Any:
            return self

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            log_files = list(log.log_dir.rglob("events*"))
            seen.append(sum(len(scalars(path.parent).get("val_loss", [])) for path in log_files))

    with log:
        tuner.search(**data(), batch_size=50, verbose=0, callbacks=[Looks()])
    assert not [thread for thread in threading.enumerate() if thread.name == "kt_ext-tensorboard"]
    assert any(seen)
    record = read(tuner)
    assert log.log_dir == record.directory / "tensorboard"
    found = {trial.name: scalars(log.log_dir / trial.name) for trial in record.trials}
    for trial in record.trials:
        assert found[trial.name]["val_loss"] == approx(
            list(zip(trial.epochs, (m["val_loss"] for m in trial.metrics), strict=True))
        )
        assert set(found[trial.name]) >= {"loss", "accuracy", "val_loss", "val_accuracy", "score"}
    assert max(len(trial.stretches) for trial in record.trials) > 1
    assert write(tuner) == 0
    assert {name: row[1]["score"] for name, row in shown(log.log_dir).items()} == pytest.approx(
        {trial.name: record.score(trial)[0] for trial in record.trials}, rel=1e-6
    )


def test_a_worker_of_a_cluster_leaves_it_to_the_chief(tmp_path, clock, monkeypatch):
    """All run the same script."""
    SEARCHES["asha_promotion"](tmp_path, clock)
    directory = next(tmp_path.rglob(JOURNAL)).parent
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker-0")
    with SearchLog(directory, tmp_path / "logs"):
        pass
    assert not (tmp_path / "logs").exists()
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    with SearchLog(directory, tmp_path / "logs"):
        pass
    assert list((tmp_path / "logs").iterdir())


def test_an_error_of_the_search_comes_through(tmp_path):
    with pytest.raises(ZeroDivisionError), SearchLog(tmp_path / "never_begun", seconds=0.01):
        raise ZeroDivisionError


def test_arguments(tmp_path):
    with pytest.raises(ValueError, match=r"seconds=0: must be a number > 0"):
        SearchLog(tmp_path, seconds=0)
    with pytest.raises(FileNotFoundError, match=r"journal\.jsonl: there is no such journal; search first"):
        write(tmp_path)


def test_it_needs_no_keras_and_no_tensorflow(tmp_path, clock):
    """On JAX and torch there is none; here none of them can be imported."""
    SEARCHES["asha_promotion"](tmp_path, clock)
    done = run_python(
        """
import sys
import kt_ext  # looks whether the backend can be found
class NoTensorFlow:
    def find_spec(self, name, *args):
        if name.split(".")[0] in ("tensorflow", "keras", "jax", "torch"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, NoTensorFlow())
from kt_ext.integrations.tensorboard import write
print(write(sys.argv[1]))
print([name for name in ("keras", "tensorflow", "keras_tuner") if name in sys.modules])
""",
        str(next(tmp_path.rglob(JOURNAL)).parent),
    )
    reports, loaded = done.stdout.splitlines()
    assert int(reports) > 0
    assert loaded == "[]"
