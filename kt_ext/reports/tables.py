"""A search as tables of pandas: its trials, their reports, and who took over from whom."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from kt_ext.reports.record import SearchRecord, TrialRecord, read

if TYPE_CHECKING:
    import pandas

TRIAL_COLUMNS = ("trial", "status", "why", "score", "best_epoch", "epochs", "worker", "began", "seconds", "parent")
REPORT_COLUMNS = ("trial", "epoch", "seconds", "objective")
TAKEOVER_COLUMNS = ("trial", "epoch", "donor", "score", "donor_score")


def results(source: str | os.PathLike[str] | Any) -> pandas.DataFrame:
    """One row for each trial, best score first, and those that failed or have no score last.

    Args:
        source: a project directory, a tuner, or a ``SearchRecord``; the search may be running.

    Returns:
        Columns: ``trial`` (Keras Tuner's id), ``status`` ("running", "queued", "paused", "done" or "failed"), ``why``
        (in words, why it is not running), ``score`` (the best objective; by Pareto rank that of the epoch it is judged
        by), ``best_epoch`` (0 without a score), ``epochs`` (done), ``worker`` (the last), ``began`` (seconds since the
        search began), ``seconds`` (with workers), ``parent`` (whose weights it began with, if any trial has one), with
        several objectives each metric at the best epoch, and each hyperparameter: its value in the best epoch, missing
        where it is inactive. A hyperparameter named like another column is ``"hp."`` and its name.

    Raises:
        ImportError: pandas is not installed.
        FileNotFoundError, JournalDamaged: as ``kt_ext.reports.record.read``.
    """
    record = read(source)
    ranked = record.ranked()
    placed = {trial.number for trial in ranked}
    trials = [*ranked, *(trial for trial in record.trials if trial.number not in placed)]
    has_parents = any(trial.parent is not None for trial in trials)
    columns = [column for column in TRIAL_COLUMNS if column != "parent" or has_parents]
    several = list(record.directions) if len(record.directions) > 1 else []
    metric_names = _apart(several, "metrics.", columns)
    value_names = _apart(record.names, "hp.", [*columns, *metric_names.values()])
    rows = [_result(record, trial, metric_names, value_names) for trial in trials]
    return _frame(rows, [*columns, *metric_names.values(), *value_names.values()])


def _result(
    record: SearchRecord, trial: TrialRecord, metric_names: Mapping[str, str], value_names: Mapping[str, str]
) -> dict[str, Any]:
    score, best_epoch = record.score(trial)
    at_best = trial.metrics[trial.epochs.index(best_epoch)] if best_epoch else {}
    values = trial.values_at(best_epoch) if best_epoch else trial.values
    last = trial.stretches[-1]
    return {
        "trial": trial.name,
        "status": trial.status,
        "why": trial.why,
        "score": score,
        "best_epoch": best_epoch,
        "epochs": trial.epochs[-1] if trial.epochs else 0,
        "worker": last.worker,
        "began": trial.stretches[0].began,
        "seconds": trial.worked + (record.seconds - last.began if last.ended is None else 0.0),
        "parent": None if trial.parent is None else record.trials[trial.parent].name,
        **{column: at_best.get(name, math.nan) for name, column in metric_names.items()},
        **{value_names[name]: value for name, value in values.items()},
    }


def history(source: str | os.PathLike[str] | Any) -> pandas.DataFrame:
    """One row for each report, in the order in which they came.

    Args:
        source: as in ``results``.

    Returns:
        Columns: ``trial``, ``epoch``, ``seconds`` (since the search began), ``objective`` (NaN if it counted as the
        worst, the Pareto rank where objectives are compared by domination) and each metric. A metric named like another
        column is ``"metrics."`` and its name.

    Raises:
        ImportError, FileNotFoundError, JournalDamaged: as ``results``.
    """
    record = read(source)
    metrics = dict.fromkeys(name for trial in record.trials for report in trial.metrics for name in report)
    names = _apart(metrics, "metrics.", REPORT_COLUMNS)
    rows = []
    for trial, k in record.each_report():
        row = {
            "trial": trial.name,
            "epoch": trial.epochs[k],
            "seconds": trial.times[k],
            "objective": trial.objectives[k],
        }
        rows.append(row | {names[name]: value for name, value in trial.metrics[k].items()})
    return _frame(rows, [*REPORT_COLUMNS, *names.values()])


def takeovers(source: str | os.PathLike[str] | Any) -> pandas.DataFrame:
    """One row for each time that a trial took over another's state or went on with other values; by epoch.

    Args:
        source: as in ``results``.

    Returns:
        Columns: ``trial``, ``epoch`` (done by then), ``donor`` (whose state it took, None for its own), ``score`` and
        ``donor_score`` (the objectives of both at that epoch), and for each hyperparameter ``old.NAME`` and
        ``new.NAME``, the trial's own values before and after, and ``donor.NAME``.

    Raises:
        ImportError, FileNotFoundError, JournalDamaged: as ``results``.
    """
    record = read(source)
    found = [(takeover, trial) for trial in record.trials for takeover in trial.takeovers]
    rows = []
    for takeover, trial in sorted(found, key=lambda pair: (pair[0].epoch, pair[1].number)):
        donor = None if takeover.donor is None else record.trials[takeover.donor]
        row = {
            "trial": trial.name,
            "epoch": takeover.epoch,
            "donor": None if donor is None else donor.name,
            "score": _at(trial, takeover.epoch),
            "donor_score": math.nan if donor is None else _at(donor, takeover.epoch),
        }
        row |= {f"old.{name}": value for name, value in trial.values_at(takeover.epoch).items()}
        if donor is not None:
            row |= {f"donor.{name}": value for name, value in donor.values_at(takeover.epoch).items()}
        rows.append(row | {f"new.{name}": value for name, value in takeover.values.items()})
    values = [f"{when}.{name}" for name in record.names for when in ("old", "donor", "new")]
    return _frame(rows, [*TAKEOVER_COLUMNS, *values])


def _at(trial: TrialRecord, epoch: int) -> float:
    return trial.objectives[trial.epochs.index(epoch)] if epoch in trial.epochs else math.nan


def _apart(names: Collection[str], prefix: str, taken: Collection[str]) -> dict[str, str]:
    """A column for each name: the name itself, behind the prefix where another column is called so."""
    return {name: f"{prefix}{name}" if name in taken else name for name in names}


def _frame(rows: list[dict[str, Any]], columns: list[str]) -> pandas.DataFrame:
    try:
        import pandas
    except ImportError as error:
        raise ImportError("tables need pandas: pip install pandas") from error
    return pandas.DataFrame(rows, columns=columns)
