"""The part of an oracle that speaks to workers: what a trial is told, in its values, and what comes back in them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from kt_ext.core import lineage
from kt_ext.core.decision import Run
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.oracles.hyperparameters import EPOCHS, INITIAL_EPOCH, KEEP, SEED, TRIAL_ID, own_values
from kt_ext.oracles.judging import JudgingOracle
from kt_ext.oracles.recorded import exclusive
from kt_ext.oracles.trials import Status, Trial, new_trial


class InstructingOracle(JudgingOracle):
    """Orders travel in a trial's values: how far to train, from whose state, which checkpoints to keep, new values."""

    _digits: int
    _leaving: set[int]

    @property
    def scheduler(self) -> AbstractScheduler:
        """The scheduler as it stands; deciding is the oracle's."""
        return self.search.scheduler

    @property
    def mutates(self) -> bool:
        """Whether values of trials are changed in mid-training."""
        return self.scheduler.explorer is not None

    @property
    def declared(self) -> bool:
        """Whether it is known which hyperparameters shape the model's variables."""
        return self.search.structural is not None

    @exclusive
    def declare(self, structural: Collection[str], mutable: Collection[str] | None = None) -> None:
        """Say which hyperparameters shape the model's variables and so never change in mid-training.

        Args:
            structural: their names.
            mutable: the names of those that alone may change; None: all that are not structural.
        """
        self._begin_writing()
        with self._recorded():
            self._append(self.search.declare(structural, mutable))
            self._sync()

    def _hand_out(self, decision: Run) -> Trial:
        trial_id = self.name_of(decision.trial_id)
        if trial_id not in self.trials:
            assert decision.values is not None
            self._new_trial(trial_id, decision.values)
        trial = self.trials[trial_id]
        trial.status, trial.message = Status.RUNNING, None
        self._steer(trial, decision.values)
        return trial

    def _new_trial(self, trial_id: str, values: Mapping[str, Any]) -> None:
        seed = (self.seed * 1_000_003 + int(trial_id)) & 0x7FFFFFFF
        self.trials[trial_id] = new_trial(self.hyperparameters, {**values, SEED: seed}, trial_id, Status.RUNNING)
        self.start_order.append(trial_id)

    def _steer(self, trial: Trial, values: Mapping[str, Any] | None = None) -> None:
        """Write the segment's orders, and new values of the user's hyperparameters, into the trial's values."""
        number, orders = int(trial.trial_id), trial.hyperparameters.values
        if values is not None:
            self._put_values(orders, values)
        orders[EPOCHS] = self.search.until[number]
        orders[INITIAL_EPOCH] = self.search.history.epochs_of(number)
        restore = self.search.restore(number)
        if restore is not None:
            orders[TRIAL_ID] = self.name_of(restore.trial_id)
        self._say_what_to_keep(trial)

    def _put_values(self, orders: dict[str, Any], values: Mapping[str, Any]) -> None:
        known = {entry.name for entry in self.hyperparameters.space}  # others showed only in training
        for name in (own_values(orders).keys() - values.keys()) & known:
            del orders[name]  # no longer active
        orders.update(values)

    def _say_what_to_keep(self, trial: Trial) -> None:
        """Which of its checkpoints the trial's worker must not remove; the word is left out where it never is said."""
        epochs, orders = self.kept_epochs(trial.trial_id), trial.hyperparameters.values
        if epochs or KEEP in orders:
            orders[KEEP] = json.dumps(sorted(epochs))

    def kept_epochs(self, trial_id: str) -> set[int]:
        """The epochs whose checkpoints of a trial others may yet take over, and the best if its worker cannot tell."""
        best = self.best_of(int(trial_id))[1] if self.ranks is not None else 0
        return self.search.pinned(int(trial_id)) | ({best} if best else set())

    def schedule(self, trial_id: str, epoch: int | None = None) -> lineage.Schedule:
        """The values that led to a trial's state after ``epoch`` epochs; None: its best epoch.

        Raises ValueError if the trial has not got there.
        """
        number = int(trial_id)
        epoch = self.best_of(number)[1] if epoch is None else epoch
        if not 1 <= epoch <= self.search.history.epochs_of(number):
            raise ValueError(
                f"epoch={epoch}: trial {trial_id} has done {self.search.history.epochs_of(number)} epochs; choose one "
                "of them, from 1 on"
            )
        seeds = {int(trial.trial_id): trial.hyperparameters.values[SEED] for trial in self.trials.values()}
        return lineage.schedule(self.search, number, epoch, seeds)

    def name_of(self, number: int) -> str:
        """Keras Tuner's trial id: the number padded to the width that ``max_trials`` had when the search began."""
        return f"{number:0{self._digits}d}"

    def _take_values(self, number: int, mine: Trial, theirs: Trial) -> None:
        """Values that appeared while building or fitting come back with the worker's copy: record them."""
        hp, history = mine.hyperparameters, self.search.history
        if number in self._leaving and history.values_at(number, history.epochs_of(number)) != history.values(number):
            return  # it was given others since, for its next worker, which this one does not know of
        if hp is not theirs.hyperparameters:
            hp.merge(theirs.hyperparameters.space, overwrite=False)
            hp.values.update(own_values(theirs.hyperparameters.values))
            # Keras Tuner's wire adds the defaults of all that would be active if their parents had their defaults.
            for name in {entry.name for entry in hp.space if not hp.is_active(entry.name)}:
                hp.values.pop(name, None)
        sent = history.values(number)
        values = {**own_values(hp.values), **{name: sent[name] for name in sent.keys() - own_values(sent).keys()}}
        if values != sent:
            history.amend(number, values)
            self._append({"e": "values", "trial": number, "values": values})
