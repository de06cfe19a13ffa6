"""Records of searches that nobody ran."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kt_ext.reports.record import SearchRecord
from kt_ext.reports.trial_record import Stretch, TrialRecord


def reported(*trials: Iterable[float], max_epochs: int = 20, directory: Path | str = "x") -> SearchRecord:
    """FIFO with running trials that reported their epochs at these seconds, the last of which is now."""
    record = SearchRecord(Path(directory), objective="loss", directions={"loss": "min"})
    record.scheduler = {"scheduler": "FIFO", "max_trials": len(trials), "max_epochs": max_epochs, "digits": 1}
    for number, times in enumerate(trials):
        trial = TrialRecord(number, str(number), {}, {}, None, until=max_epochs, times=list(times))
        trial.epochs = list(range(1, len(trial.times) + 1))
        trial.objectives, trial.metrics = [1.0 for _ in trial.times], [{} for _ in trial.times]
        trial.stretches.append(Stretch(f"tuner{number}", 0.0, 0, max_epochs))
        record.trials.append(trial)
    reports = sorted((when, trial.number) for trial in record.trials for when in trial.times)
    record.reports = [number for _, number in reports]
    record.seconds = reports[-1][0] if reports else 0.0
    return record
