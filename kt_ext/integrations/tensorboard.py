"""A search in TensorBoard, on every Keras backend: written from its journal, while it runs or afterwards.

::

    with kt_ext.integrations.tensorboard.SearchLog(tuner):  # into the project directory, kept up to date by a thread
        tuner.search(x, y, validation_data=(xv, yv))

    kt_ext.integrations.tensorboard.write("runs/project", "logs/project")  # once, of any search, finished or running

Nothing of the training takes part, so it is the same for worker processes, clusters, and trials that pause and go on.
Each trial is a run of TensorBoard's, with

- its hyperparameters as it began, in the HParams tab, beside ``score``, its best objective so far;
- every metric of every epoch, epochs from 1;
- of a population each number among its hyperparameters over the epochs, as ``hyperparameters/NAME``.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from kt_ext.integrations.tensorboard_run import Run, ended, reported, started
from kt_ext.reports.record import JOURNAL, SearchRecord, TrialRecord, read

_SHARE = 20  # the thread is at work for one part in so many of its time at most: a long journal is read less often


def write(source: str | os.PathLike[str] | Any, log_dir: str | os.PathLike[str] | None = None) -> int:
    """Write what TensorBoard does not have yet of a search.

    Args:
        source: a project directory, a tuner, or a ``kt_ext.reports.record.SearchRecord``.
        log_dir: for ``tensorboard --logdir``; what is there already is not written again. None: ``tensorboard`` in the
            project directory.

    Returns:
        How many reports (epochs of trials) were written.

    Raises:
        FileNotFoundError, JournalDamaged: as ``kt_ext.reports.record.read``.
        ImportError: TensorBoard is not installed.
    """
    return SearchLog(source, log_dir).update()


class SearchLog:
    """A search's events for TensorBoard, kept up to date while it is used as a context: ``with SearchLog(tuner): ...``.

    Args:
        source, log_dir: as in ``write``.
        seconds: from one look at the journal to the next, > 0.

    Raises:
        ValueError: ``seconds`` is not a positive number.
        ImportError: TensorBoard is not installed.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | Any,
        log_dir: str | os.PathLike[str] | None = None,
        seconds: float = 5.0,
    ) -> None:
        if not seconds > 0:
            raise ValueError(f"seconds={seconds!r}: must be a number > 0, seconds from one look to the next")
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise ImportError("events for TensorBoard need it: pip install tensorboard") from error
        self._source = source
        self.log_dir = Path(log_dir) if log_dir is not None else _project(source) / "tensorboard"
        self.seconds = seconds
        self._runs: dict[str, Run] = {}  # by trial
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def update(self) -> int:
        """Write what is new; see ``write``, also for what is returned and raised."""
        record = read(self._source)
        begun = (record.directory / JOURNAL).stat().st_mtime - record.seconds
        return sum(self._write_trial(record, trial, begun) for trial in record.trials)

    def _write_trial(self, record: SearchRecord, trial: TrialRecord, begun: float) -> int:
        """``begun``: the time at which the search would have begun if it had not been interrupted."""
        if trial.name not in self._runs:
            self._runs[trial.name] = Run(self.log_dir / trial.name)
        run = self._runs[trial.name]
        if not run.started:
            start = begun + (trial.stretches[0].began if trial.stretches else record.seconds)
            run.add(started(trial, start), 0, start)
            run.started = True
        new = [k for k, epoch in enumerate(trial.epochs) if epoch > run.epoch]
        for k in new:
            run.add(reported(record, trial, k), trial.epochs[k], begun + trial.times[k])
            run.epoch = trial.epochs[k]
        if trial.status in ("done", "failed") and not run.ended:
            last = trial.stretches[-1].ended if trial.stretches else None
            end = begun + (record.seconds if last is None else last)
            run.add(ended(trial, end), run.epoch, end)
            run.ended = True
        run.flush()
        return len(new)

    def __enter__(self) -> SearchLog:
        if _is_worker():
            return self
        self._stop.clear()
        self._thread = threading.Thread(target=self._follow, name="kt_ext-tensorboard", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
            self._update_begun()

    def _follow(self) -> None:
        took = 0.0
        while not self._stop.wait(max(self.seconds, _SHARE * took)):
            start = time.monotonic()
            self._update_begun()
            took = time.monotonic() - start

    def _update_begun(self) -> None:
        try:
            self.update()
        except FileNotFoundError:
            return  # nothing was searched yet


def _project(source: str | os.PathLike[str] | Any) -> Path:
    if isinstance(source, (str, os.PathLike)):
        return Path(source)
    return Path(source.directory if isinstance(source, SearchRecord) else source.project_dir)


def _is_worker() -> bool:
    """Whether this process runs the same script as a chief, which keeps the journal and writes what is in it."""
    return "KERASTUNER_ORACLE_IP" in os.environ and not os.environ.get("KERASTUNER_TUNER_ID", "").startswith("chief")
