"""The part of an oracle that lets go of trials: a worker ends one, is lost, or makes no progress."""

from __future__ import annotations

import math
from collections.abc import Mapping

from kt_ext.core.search import DONE, FAILED, QUEUED
from kt_ext.oracles.hyperparameters import KEEP, SCHEDULE
from kt_ext.oracles.orders import InstructingOracle
from kt_ext.oracles.recorded import exclusive
from kt_ext.oracles.trials import Status, Trial, record_metrics, reply

#: A trial that lost so many workers without a new epoch in between is not given to another.
MAX_LOSSES = 3


class LeavingOracle(InstructingOracle):
    """What becomes of a trial that leaves its worker."""

    _interrupted: set[int]
    _ended: set[str]
    _failures_in_a_row: int

    def attempt(self, trial_id: str) -> int:
        """How often the trial was handed out, all sessions counted. Raises ValueError for an unknown one."""
        if trial_id not in self.trials:
            raise ValueError(f"trial_id={trial_id!r}: no such trial; the trials are numbered as create_trial gave them")
        return self.handed_out.attempt(int(trial_id))

    @exclusive
    def release(self, trial_id: str, reason: str) -> None:
        """The trial's worker is lost: it is handed out again, from its last reported epoch on.

        A trial that lost three workers in a row without a new epoch becomes FAILED: it may be what kills them. One that
        was told to stop is ended as by ``end_trial``; one that is with no worker stays where it is.

        Args:
            trial_id: a trial.
            reason: what happened, for the journal and the trial's message.

        Raises:
            StorageError: as in ``create_trial``.
        """
        self._take_back(trial_id, reason, hung=False)

    @exclusive
    def fail(self, trial_id: str, reason: str) -> None:
        """The trial makes no progress: it becomes FAILED, or is tried again up to ``max_retries_per_trial`` times.

        Otherwise as ``release``.
        """
        self._take_back(trial_id, reason, hung=True)

    def _take_back(self, trial_id: str, reason: str, hung: bool) -> None:
        self._check_in_step()
        tuner_ids = self._workers_of(trial_id)
        if not tuner_ids or not self._takes_reports:
            return
        trial, number = self.trials[trial_id], int(trial_id)
        with self._recorded():
            trial.message = reason
            if number in self._leaving:
                self._leaving.remove(number)
                trial.message = None
            elif number in self._interrupted:
                self._leave(number, Status.COMPLETED, None)
                trial.message = None
            elif hung:
                self._leave(number, Status.INVALID, reason, lost=reason)
            else:
                reasons = [*self.handed_out.reasons(number), reason]
                if len(reasons) < MAX_LOSSES:
                    self._append({**self.search.end(number, QUEUED), "lost": reason})
                else:
                    trial.message = (
                        f"its workers were lost {len(reasons)} times in a row without a new epoch, so it is not tried "
                        f"again: {'; '.join(reasons)}"
                    )
                    self._leave(number, Status.FAILED, trial.message, lost=reason)
            self.tuner_ids.difference_update(tuner_ids)
            self._let_go(trial, tuner_ids)

    def _workers_of(self, trial_id: str) -> list[str]:
        return [tuner_id for tuner_id, trial in self.ongoing_trials.items() if trial.trial_id == trial_id]

    def _let_go(self, trial: Trial, tuner_ids: list[str]) -> None:
        self._finish(trial)
        self._write_trial(trial)
        self._display.on_trial_end(trial)
        # Last: the chief leaves when nobody is at work any more.
        for tuner_id in tuner_ids:
            del self.ongoing_trials[tuner_id]
        # The state grows with the journal: written whenever that has doubled, it costs O(1) for each line.
        if self._files is not None and self._files.lines >= 2 * self._saved_lines + 50:
            self.save()

    def _leave(self, number: int, status: str, message: str | None, **also: str) -> None:
        """A running trial came back without having been told to pause or stop."""
        if number in self._interrupted:
            self._interrupted.remove(number)
            self._append(self.search.end(number, QUEUED))
        elif status == Status.COMPLETED:
            self._append(self.search.end(number, DONE))  # it ended itself, e.g. by a callback of the user's
        elif status == Status.INVALID and self._failures(number) < self.max_retries_per_trial:
            self._run_times[self.name_of(number)] += 1
            self._append({**self.search.end(number, QUEUED), "failed": message, **also})
        else:
            self._run_times[self.name_of(number)] += 1
            self._append({**self.search.end(number, FAILED), "failed": message, **also})

    def _before_training(self, trial: Trial, metrics: Mapping[str, float]) -> Trial:
        """What is known of a model before its first epoch: one that breaks a bound is not trained, but did not fail."""
        if not self.reader.constraints.breaches(metrics):
            return trial
        number = int(trial.trial_id)
        with self._recorded():
            self._append({**self.search.end(number, DONE), "metrics": dict(metrics)})
            self._sync()
            record_metrics(trial, metrics, 0, self.reader)
            self._leaving.add(number)
            return reply(trial, Status.STOPPED)

    def _failures(self, number: int) -> int:
        return self._run_times[self.name_of(number)]

    def _finish(self, trial: Trial) -> None:
        """Status and score of a trial that left its worker."""
        number = int(trial.trial_id)
        where = self.search.where[number]
        self.score_trial(trial)
        if where == FAILED:
            trial.status = Status.FAILED
            self._failures_in_a_row += 1
        elif trial.score is not None:
            # Keras Tuner leaves any other status out of its list of best trials, a paused one's score included.
            trial.status = Status.COMPLETED
            if not math.isfinite(trial.score):
                trial.message = self.breach(trial)
        elif where == QUEUED:
            trial.status = Status.INVALID  # it will be handed out again
        else:
            trial.status = Status.FAILED
            trained = self.search.history.epochs_of(number) > 0
            trial.message = (
                f"{self.objective.name} was never finite: the training diverged"
                if trained
                else f"the trial ended without reporting {self.objective.name}"
            )
        if self.mutates and trial.score is not None and math.isfinite(trial.score):
            values = trial.hyperparameters.values
            values[SCHEDULE] = self.schedule(trial.trial_id).to_json()
            if where == DONE:  # it needs its present values no more, but those that made its score
                self._put_values(values, self.search.history.values_at(number, trial.best_step))
                values.pop(KEEP, None)
        if where == QUEUED:
            return
        if trial.status == Status.COMPLETED:
            self._failures_in_a_row = 0
        if trial.trial_id not in self._ended:
            self._ended.add(trial.trial_id)
            self.end_order.append(trial.trial_id)
