"""One trial's events for TensorBoard: what they say, and the files they are in. Loads TensorBoard when used only."""

from __future__ import annotations

import math
import time
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING

from kt_ext.reports.record import SearchRecord
from kt_ext.reports.trial_record import TrialRecord

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

SCORE, RANK, VALUES = "score", "pareto_rank", "hyperparameters/"


def started(trial: TrialRecord, when: float) -> Summary:
    """A trial's hyperparameters as it began, for the HParams tab; ``when`` in seconds since 1970.

    Without an experiment's description beside them, TensorBoard lists the hyperparameters and metrics that it finds,
    also those that were registered late.
    """
    # Not plugins.hparams.summary, which imports TensorFlow.
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    return hparams_pb(trial.first_values, trial_id=trial.name, start_time_secs=when)


def reported(record: SearchRecord, trial: TrialRecord, k: int) -> Summary:
    """The k-th report: all metrics, the best objective so far, and of a population the numbers that it trained with."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    scalars = dict(trial.metrics[k])
    if record.pareto:
        scalars[RANK] = trial.objectives[k]
    else:
        so_far = [objective for objective in trial.objectives[: k + 1] if math.isfinite(objective)]
        scalars[SCORE] = (max if record.maximise else min)(so_far, default=math.nan)
    if "population_size" in record.scheduler:
        values = trial.values_at(trial.epochs[k])
        scalars |= {VALUES + name: float(value) for name, value in values.items() if isinstance(value, Real)}
    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()])


def ended(trial: TrialRecord, when: float) -> Summary:
    """That the trial is done, or has failed; ``when`` in seconds since 1970."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    status = api_pb2.STATUS_FAILURE if trial.status == "failed" else api_pb2.STATUS_SUCCESS
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=when)
    return Summary(
        value=[
            Summary.Value(
                tag=metadata.SESSION_END_INFO_TAG,
                metadata=metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=info)),
                tensor=metadata.NULL_TENSOR,
            )
        ]
    )


class Run:
    """A run of TensorBoard's: what it has from before, and a way to add to it.

    All that is added is appended to one file, which is not kept open: thousands of trials may be paused at a time, and
    TensorBoard reads the files of a run by their names, whose order tells nothing of files that are a second apart.

    Attributes:
        started, ended: whether the trial's hyperparameters and its end are written.
        epoch: the last that is.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path: Path | None = None
        self._pending: list[Event] = []
        self.started = self.ended = False
        self.epoch = 0
        self._earlier = len(list(directory.glob("events.out.tfevents.*")))
        if self._earlier:
            self._look()

    def _look(self) -> None:
        from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator
        from tensorboard.plugins.hparams import metadata

        # The last value of each metric is enough.
        found = EventAccumulator(str(self._directory), {SCALARS: 1}, purge_orphaned_data=False).Reload()
        self.started = metadata.SESSION_START_INFO_TAG in found.summary_metadata
        self.ended = metadata.SESSION_END_INFO_TAG in found.summary_metadata
        self.epoch = max((found.Scalars(tag)[-1].step for tag in found.Tags()[SCALARS]), default=0)

    def add(self, summary: Summary, step: int, wall_time: float) -> None:
        """Add a summary of this step; ``wall_time`` in seconds since 1970."""
        from tensorboard.compat.proto.event_pb2 import Event

        self._pending.append(Event(wall_time=wall_time, step=step, summary=summary))

    def flush(self) -> None:
        """Append what was added."""
        if not self._pending:
            return
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self._path is None:  # never one of another process's, whose last record may be torn
            now = time.time()
            self._path = self._directory / f"events.out.tfevents.{int(now):010d}.{self._earlier:06d}.kt_ext"
            self._pending.insert(0, Event(wall_time=now, file_version="brain.Event:2"))
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            records = RecordWriter(file)
            for event in self._pending:
                records.write(event.SerializeToString())
        self._pending.clear()
