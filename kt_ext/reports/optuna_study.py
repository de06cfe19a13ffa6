"""A search as a study of Optuna, for its dashboard, its pictures and its importances."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from kt_ext.core.decision import Value
from kt_ext.reports.record import JOURNAL, SearchRecord, TrialRecord, read

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, TrialState


def to_optuna_study(
    source: str | os.PathLike[str] | Any,
    storage: str | BaseStorage | None = None,
    study_name: str | None = None,
    pruned: bool = True,
) -> Study:
    """A study that holds every trial of the search, in the same order.

    A trial's value is its score: the best objective over its epochs, in the user's units; by Pareto rank the values are
    the objective's metrics at the epoch that it is judged by. Its parameters are those of that epoch, active ones only;
    its intermediate values are the objectives by epoch (none by Pareto rank, as Optuna has none then). User attributes:
    ``trial`` (Keras Tuner's id), ``status``, ``why``, ``worker``, ``epochs``, ``best_epoch``, and ``parent`` if it has
    one. Times are those of the search as if it had not been interrupted, its last event being when the journal was
    written last.

    Args:
        source: a project directory, a tuner, or a ``SearchRecord``; the search may be running.
        storage: where the study is written, e.g. ``"sqlite:///study.db"``, which the command ``optuna-dashboard
            sqlite:///study.db`` (``pip install optuna-dashboard``) then shows at http://127.0.0.1:8080; None: into
            memory.
        study_name: its name there; None: that of the project's directory.
        pruned: whether trials that were paused or stopped early are PRUNED, as Optuna calls them, and so no part of its
            best trial, importances and most of its pictures. False: they are COMPLETE with the score that they have,
            as one wants to see the importances of a search that stops most trials early.
            Otherwise trials are COMPLETE, FAIL (without a finite score too) or RUNNING (queued ones too).

    Raises:
        ImportError: Optuna is not installed.
        ValueError: the storage has a study of this name.
        FileNotFoundError, JournalDamaged: as ``kt_ext.reports.record.read``.
    """
    try:
        import optuna
    except ImportError as error:
        raise ImportError("a study of Optuna needs it: pip install optuna") from error
    record = read(source)
    name = record.directory.resolve().name if study_name is None else study_name
    ways = list(record.directions.values()) if record.pareto else ["max" if record.maximise else "min"]
    directions = [
        optuna.study.StudyDirection.MAXIMIZE if way == "max" else optuna.study.StudyDirection.MINIMIZE for way in ways
    ]
    distributions = distributions_of(record)
    with _quietly():
        try:
            study = optuna.create_study(study_name=name, storage=storage, directions=directions)
        except optuna.exceptions.DuplicatedStudyError as error:
            raise ValueError(
                f"study_name={name!r}: {storage} has a study of this name; give another study_name, or "
                "optuna.delete_study(...) that one first"
            ) from error
        study.set_metric_names(list(record.directions) if record.pareto else [objective_name(record)])
        begun = _ended(record) - timedelta(seconds=record.seconds)
        study.add_trials([_frozen(record, trial, distributions, begun, pruned) for trial in record.trials])
    return study


def objective_name(record: SearchRecord) -> str:
    """The objective as a label."""
    if record.pareto:
        return f"Pareto rank of {record.objective}"
    return record.objective if len(record.directions) == 1 else f"signed sum of {record.objective}"


def distributions_of(record: SearchRecord) -> dict[str, BaseDistribution]:
    """A distribution for each hyperparameter that a trial has a value of.

    Numbers keep their range, but no steps save those of integers on a linear scale: Optuna has none of a log scale, and
    rounds those of floats otherwise. All else is categorical. Where a name stands for several domains, under several
    conditions, numbers of one kind get the widest range and all else the values that were tried.
    """
    from optuna.distributions import CategoricalDistribution

    entries: dict[str, list[Mapping[str, Any]]] = {}
    for entry in record.space:
        entries.setdefault(entry["config"]["name"], []).append(entry)
    found: dict[str, BaseDistribution] = {}
    for name, tried in _tried(record).items():
        mine = entries.get(name, [])
        kinds = {entry["class_name"] for entry in mine}
        if kinds in ({"Float"}, {"Int"}):
            found[name] = _range(kinds.pop(), [entry["config"] for entry in mine], tried)
        elif len(mine) == 1 and mine[0]["class_name"] == "Choice":
            found[name] = CategoricalDistribution(mine[0]["config"]["values"])
        elif len(mine) == 1 and mine[0]["class_name"] == "Boolean":
            found[name] = CategoricalDistribution((False, True))
        else:
            found[name] = CategoricalDistribution(tried)
    return found


def _range(kind: str, configs: list[Mapping[str, Any]], tried: list[Any]) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    low = min(*(config["min_value"] for config in configs), *tried)  # a stepped value may be a rounding error outside
    high = max(*(config["max_value"] for config in configs), *tried)
    log = all(config["sampling"] == "log" for config in configs)
    if kind == "Float":
        return FloatDistribution(low, high, log)
    step = configs[0]["step"] if len(configs) == 1 and configs[0]["sampling"] in (None, "linear") else None
    return IntDistribution(low, low + (high - low) // (step or 1) * (step or 1), log, step or 1)


def _tried(record: SearchRecord) -> dict[str, list[Value]]:
    """The values of each hyperparameter in the order in which they were tried, each once."""
    tried: dict[str, list[Value]] = {name: [] for name in record.names}
    for trial in record.trials:
        for values in (trial.first_values, *(takeover.values for takeover in trial.takeovers), trial.values):
            for name, value in values.items():
                tried[name].append(value)
    return {name: list(dict.fromkeys(values)) for name, values in tried.items() if values}


def _frozen(
    record: SearchRecord,
    trial: TrialRecord,
    distributions: Mapping[str, BaseDistribution],
    begun: datetime,
    pruned: bool,
) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    score, best_epoch = record.score(trial)
    state = _state(trial, bool(best_epoch), pruned)
    values = None
    if best_epoch and state != TrialState.FAIL:
        at_best = trial.metrics[trial.epochs.index(best_epoch)]
        values = [at_best[name] for name in record.directions] if record.pareto else [score]
    params = dict(trial.values_at(best_epoch) if best_epoch else trial.values)
    attributes = {
        "trial": trial.name,
        "status": trial.status,
        "why": trial.why,
        "worker": trial.stretches[-1].worker,
        "epochs": trial.epochs[-1] if trial.epochs else 0,
        "best_epoch": best_epoch,
    }
    if trial.parent is not None:
        attributes["parent"] = record.trials[trial.parent].name
    frozen = create_trial(
        state=state,
        values=values,
        params=params,
        distributions={name: distributions[name] for name in params},
        user_attrs=attributes,
        intermediate_values={} if record.pareto else dict(zip(trial.epochs, trial.objectives, strict=True)),
    )
    frozen.datetime_start = begun + timedelta(seconds=trial.stretches[0].began)
    if state.is_finished():
        last = trial.stretches[-1].ended
        frozen.datetime_complete = begun + timedelta(seconds=record.seconds if last is None else last)
    return frozen


def _state(trial: TrialRecord, has_score: bool, pruned: bool) -> TrialState:
    from optuna.trial import TrialState

    if trial.status in ("running", "queued") and (pruned or not has_score):
        return TrialState.RUNNING
    if pruned and (trial.status == "paused" or (trial.stopped and has_score)):
        return TrialState.PRUNED
    return TrialState.COMPLETE if has_score and trial.status != "failed" else TrialState.FAIL


def _ended(record: SearchRecord) -> datetime:
    """When the journal was written last, in local time without a zone, as Optuna has it."""
    return datetime.fromtimestamp((record.directory / JOURNAL).stat().st_mtime)


@contextmanager
def _quietly() -> Iterator[None]:
    """Optuna does not announce the study, nor that metric names are a new feature."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
