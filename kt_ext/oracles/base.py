"""The adapter: any scheduler and any searcher as a true Keras Tuner oracle.

The only translator between the words of ``kt_ext.core`` and Keras Tuner. Decisions travel to the worker in the Trial
that ``create_trial`` and ``update_trial`` return: its status, and in its values ``tuner/epochs`` (train up to),
``tuner/initial_epoch`` (from) and ``tuner/trial_id`` (whose state to go on from).
"""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import keras_tuner

from kt_ext.core.decision import Done, Run, Value, Wait
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.core.search import QUEUED, RUNNING, Search
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Space
from kt_ext.oracles.beginning import Beginning, Directory
from kt_ext.oracles.budget import Budget
from kt_ext.oracles.constraints import Bound
from kt_ext.oracles.handouts import HandOuts
from kt_ext.oracles.hyperparameters import to_space
from kt_ext.oracles.judging import make_reader
from kt_ext.oracles.leaving import LeavingOracle
from kt_ext.oracles.multi_objective import ParetoRanks
from kt_ext.oracles.progress import Progress
from kt_ext.oracles.recorded import exclusive
from kt_ext.oracles.trials import Status, Trial, new_trial, reply
from kt_ext.searchers import make_searcher


class SchedulerOracle(LeavingOracle):
    """A Keras Tuner oracle that decides with a scheduler (who runs, how long) and a searcher (which values).

    It keeps a journal in the project directory: every decision is on disk before it is acted on, and a search that was
    killed goes on with the same decisions. Without a project directory (no tuner has set one) it works in memory only.

    Args:
        scheduler: who runs and how long; it is copied, so one object can configure several oracles.
        searcher: which values new trials get: an ``AbstractSearcher`` or a name. Without a model of the trials so far:
            ``"random"``, ``"sobol"`` or ``"quasi_random"`` (the same), ``"halton"``, ``"grid"``. Learning from them:
            ``"tpe"``, ``"gp"``, ``"forest"``, ``"evolution"``, and ``"elites"`` (for ``Racing``).
        objective: as in Keras Tuner: a metric's name, a ``keras_tuner.Objective``, or a list of them (a signed sum).
        max_total_epochs: the search ends when all trials together have trained so many epochs.
        max_seconds: the search ends after so many seconds; earlier sessions of a resumed search count, pauses do not.
        target: the search ends when the objective reaches this value.
        initial_values: tried first, in this order: a dictionary of hyperparameter values for each trial. What one
            leaves out gets Keras Tuner's default. On resume those not yet tried are tried next: more may be added.
        warm_start: the project directory of an earlier search for the same objective, or several: the searcher counts
            its trials as its own. Read when the search begins and again when it is gone on with.
        warm_start_best: how many of the best of these are trained anew, before the searcher is asked.
        multi_objective: how several objectives become one number: ``"sum"``, as in Keras Tuner, or ``"pareto"``, the
            share of the reports at the same epoch that dominate one; see ``pareto_front``.
        constraints: bounds on metrics, such as ``{"params": 1e6, "val_latency_ms": 5.0, "val_recall": (0.8, None)}``: a
            number is the most that is allowed, a pair the least and the most. They hold at every epoch: one that breaks
            a bound counts as the worst and is never a trial's best. Tuners fill in ``"params"``, the size of the model,
            and do not train one that is too large; every other metric must be in each report.
        hyperparameters, allow_new_entries, tune_new_entries, max_retries_per_trial, max_consecutive_failed_trials:
            as in ``keras_tuner.Oracle``.
        seed: integer from 0 to 2**63 - 1; None draws one and records it, so that a resumed search keeps it.

    Attributes:
        stop_reason: why the search ended, None while it goes on.
        handed_out: who was given each trial, and how often.
        adopt_running: whether trials that were running when the search was interrupted stay with their workers, which
            outlived it, rather than being handed out again. To be set before the first decision.
        best: the best minimised objective so far, ``inf`` without one.
        asked_for: the search space as the hypermodel asked for it before the first trial.

    Raises:
        TypeError, ValueError: an argument is wrong.
    """

    def __init__(
        self,
        scheduler: AbstractScheduler,
        searcher: str | AbstractSearcher = "random",
        objective: Any = None,
        *,
        max_total_epochs: int | None = None,
        max_seconds: float | None = None,
        target: float | None = None,
        initial_values: Sequence[Mapping[str, Value]] | None = None,
        warm_start: Directory | Sequence[Directory] | None = None,
        warm_start_best: int = 1,
        multi_objective: Literal["sum", "pareto"] = "sum",
        constraints: Mapping[str, Bound] | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        seed: int | None = None,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int = 3,
    ) -> None:
        if not isinstance(scheduler, AbstractScheduler):
            raise TypeError(
                f"scheduler={scheduler!r}: must be a kt_ext scheduler such as kt_ext.schedulers.ASHA(max_epochs=9)"
            )
        if seed is not None and (
            isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= int(seed) < 2**63
        ):
            raise ValueError(f"seed={seed!r}: must be an integer from 0 to 2**63 - 1, or None to have one drawn")
        super().__init__(
            objective=objective,
            max_trials=scheduler.max_trials,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.reader = make_reader(self.objective, multi_objective, constraints, target)
        self.budget = Budget(max_total_epochs, max_seconds, target, self.reader.maximise)
        self.stop_reason: str | None = None
        self.adopt_running = False
        self.given_seed = None if seed is None else int(seed)
        self.asked_for: keras_tuner.HyperParameters | None = None
        self._given_searcher = searcher
        self.beginning = Beginning.checked(initial_values, warm_start, warm_start_best)
        self._pristine = copy.deepcopy(scheduler)
        self._display = Progress(self)
        self._set_seed(random.SystemRandom().randint(0, 2**31 - 1) if seed is None else int(seed))
        self._clear()

    def _set_seed(self, seed: int) -> None:
        self.seed = self._seed_state = seed
        self.searcher = self._make_searcher(seed)

    def _make_searcher(self, seed: int) -> AbstractSearcher:
        return make_searcher(self._given_searcher, seed)

    def _clear(self) -> None:
        """No trials, nothing decided."""
        self._forget_writing()
        self.handed_out = HandOuts()
        self.search = Search(copy.deepcopy(self._pristine), self.searcher, self.seed)
        self.trials: dict[str, Trial] = {}
        self.ongoing_trials: dict[str, Trial] = {}
        self.start_order: list[str] = []
        self.end_order: list[str] = []
        self.best = float("inf")
        self.ranks = ParetoRanks() if self.reader.pareto else None
        self._begun = False
        self._ended: set[str] = set()
        self._interrupted: set[int] = set()  # told to stop by a budget
        self._leaving: set[int] = set()  # told to stop by the scheduler; their workers have not said that they did
        self._decided: list[Run] = []  # recorded, for trials that are still leaving the worker before
        self._failures_in_a_row = 0
        self._run_times.clear()
        self._space: Space | None = None
        self._digits = len(str(self.max_trials))

    def _begin_with(self, space: keras_tuner.HyperParameters, read_now: bool = False) -> None:
        """The space is known: the searcher learns what is to come first. Raises what ``Beginning.searcher`` raises."""
        if not self._begun:
            self.search.searcher = self.searcher = self.beginning.searcher(
                self.searcher, space, lambda: self.hyperparameters, self.reader, self._breaches, read_now
            )
            self._begun = True

    def _breaches(self, values: Mapping[str, Value]) -> Sequence[str]:
        """What is known before any training to speak against trying these values, a text for each limit."""
        return ()

    @property
    def scheduler_as_given(self) -> AbstractScheduler:
        """The scheduler before it decided anything."""
        return self._pristine

    @exclusive
    def why_over(self) -> str | None:
        """Why the next ``create_trial`` would find nothing left to train; None if it would not."""
        if self.search.running:
            return None
        return self._why_stop(in_flight=0) or (self._why_done() if self.search.is_done else None)

    @property
    def space(self) -> Space:
        """The search space as it stands: the user's hyperparameters."""
        if self._space is None:
            self._space = to_space(self.hyperparameters.space)
        return self._space

    # What a worker calls

    @exclusive
    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial for a worker: RUNNING with its values, IDLE (ask again later) or STOPPED (the search is over).

        A worker that has a trial and asks again gets the same one, to go on with from its last report.

        Raises:
            ProjectLocked: another process searches in this directory.
            StorageError: the decision could not be recorded; nor will any other be, until ``finish`` or ``reload``.
            ValueError, JournalDamaged, ReplayDiffers: the search in this directory cannot be gone on with.
        """
        self._begin_writing()
        with self._recorded():
            if tuner_id in self.ongoing_trials:
                trial = self.ongoing_trials[tuner_id]
                if self._is_training(trial.trial_id):
                    self._steer(trial)
                    return trial
                self.end_trial(trial)  # its worker was told to stop, and was restarted before it could say so
            self.tuner_ids.add(tuner_id)
            self.stop_reason = self._why_stop(in_flight=self._in_flight)
            if self.stop_reason is not None:
                for postponed in self._decided:
                    self._append(self.search.end(postponed.trial_id, QUEUED))
                self._decided.clear()
                return self._dismiss(tuner_id)
            decision = self._decide(tuner_id)
            if isinstance(decision, Run):
                trial = self._hand_out(decision)
                self.ongoing_trials[tuner_id] = trial
                self._display.on_trial_begin(trial)
                return trial
            if isinstance(decision, Wait):
                return new_trial(self.hyperparameters, {}, "", Status.IDLE)
            self.stop_reason = self._why_done()
            return self._dismiss(tuner_id)

    @exclusive
    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> Trial:
        """Report one epoch; the Trial returned says what to do next: RUNNING (go on) or STOPPED (end the segment).

        Args:
            trial_id: a trial that was handed out. A late report, after the trial was stopped, is answered by STOPPED.
            metrics: metric names to values; the objective's must be among them.
            step: epochs done so far, from 1; where there are constraints, 0 says what is known of the model before its
                first. An epoch reported before is not counted again. Epochs may be left out,
                but not one where trials are compared.

        Raises:
            ValueError: ``trial_id`` is unknown, ``step`` is not an epoch of the segment, or the objective is missing.
            StorageError: as in ``create_trial``.
        """
        if trial_id not in self.trials:
            raise ValueError(f"trial_id={trial_id!r}: no such trial; the trials are numbered as create_trial gave them")
        self._check_in_step()
        trial, number = self.trials[trial_id], int(trial_id)
        if not self._is_training(trial_id):
            return reply(trial, Status.STOPPED)
        metrics = {name: float(value) for name, value in metrics.items()}
        if step == 0 and self.reader.constraints.names and not self.search.history.epochs_of(number):
            return self._before_training(trial, metrics)
        self._check_report(number, metrics, step)
        step = int(step)
        if step <= self.search.history.epochs_of(number):
            return trial
        with self._recorded():
            objective = self._objective_of(step, metrics)
            event, decision = self.search.tell(number, step, objective, self.space)
            event["metrics"] = metrics
            self._append(event)
            self._take_report(trial, metrics, step, objective)
            self._display.on_report(trial, step, objective)
            if not isinstance(decision, Run):
                self._sync()
                self._leaving.add(number)
                return reply(trial, Status.STOPPED)
            if "until" in event or "restore" in event or "values" in event:
                self._sync()
                self._steer(trial, event.get("values"))
            if self._why_stop(in_flight=self._in_flight - 1) is not None:
                self._interrupted.add(number)
                self._append({"e": "interrupt", "trial": number})
                return reply(trial, Status.STOPPED)
            self._say_what_to_keep(trial)
            return trial

    @exclusive
    def end_trial(self, trial: Trial) -> None:
        """A worker is done with a trial, for now or for good. A second call for the same segment is ignored.

        Raises:
            RuntimeError: the trial has new hyperparameters and ``allow_new_entries`` is False.
            StorageError: as in ``create_trial``.
        """
        self._check_in_step()
        tuner_ids = self._workers_of(trial.trial_id)
        if not tuner_ids or not self._takes_reports:
            return
        mine, number = self.trials[trial.trial_id], int(trial.trial_id)
        self.update_space(trial.hyperparameters)
        with self._recorded():
            mine.message = trial.message
            self._take_values(number, mine, trial)
            if number in self._leaving:
                self._leaving.remove(number)
            else:
                self._leave(number, trial.status, trial.message)
            self._let_go(mine, tuner_ids)

    @exclusive
    def update_space(self, hyperparameters: keras_tuner.HyperParameters) -> None:
        """Add hyperparameters that a build asked for and that are new. Raises RuntimeError if none may be added."""
        before = len(self.hyperparameters.space)
        super().update_space(hyperparameters)
        if len(self.hyperparameters.space) > before:
            self._space = None
            if self._files is not None and self._files.writing:
                with self._recorded():
                    self._append({"e": "space", "entries": self.hyperparameters.get_config()["space"][before:]})

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Not used: values come from the searcher by way of ``create_trial``."""
        raise RuntimeError("populate_space: a SchedulerOracle decides in create_trial; give it a searcher instead")

    # The steps of the three

    def _decide(self, tuner_id: str) -> Run | Wait | Done:
        """What a free worker does, on record; a trial that pauses may be wanted before its worker has let go of it."""
        for postponed in self._decided:
            if postponed.trial_id not in self._leaving:
                self._decided.remove(postponed)
                self._append({"e": "given", "trial": postponed.trial_id, "worker": tuner_id})
                self._sync()
                return postponed
        while True:
            events, decision = self.search.ask(self.space)
            is_free = isinstance(decision, Run) and decision.trial_id not in self._leaving
            for event in events:
                handed_out = event["e"] in ("ask", "again")
                self._append({**event, "worker": tuner_id if is_free else None} if handed_out else event)
            self._sync()
            if is_free or not isinstance(decision, Run):
                return decision
            self._decided.append(decision)

    @property
    def _in_flight(self) -> int:
        """Workers that are training an epoch now."""
        return self.search.running - len(self._interrupted) - len(self._decided)

    def _is_training(self, trial_id: str) -> bool:
        """Whether a worker is to train the trial: it was not told to stop, nor was the search taken over since."""
        number = int(trial_id)
        told_to_stop = number in self._interrupted or number in self._leaving
        return self.search.where[number] == RUNNING and not told_to_stop and self._takes_reports

    def _why_stop(self, in_flight: int) -> str | None:
        if self.failing:
            return f"{self._failures_in_a_row} trials failed in a row (max_consecutive_failed_trials)"
        epochs = self.search.history.total_epochs
        return self.budget.reached(epochs=epochs, in_flight=in_flight, seconds=self.clock.seconds, best=self.best)

    def _why_done(self) -> str:
        if self.scheduler.failure is not None:
            return self.scheduler.failure
        if len(self.trials) >= self.max_trials:
            return f"all {len(self.trials)} trials are done (max_trials={self.max_trials})"
        return f"the search space is exhausted: {len(self.trials)} trials tried every configuration"

    def _dismiss(self, tuner_id: str) -> Trial:
        self.tuner_ids.discard(tuner_id)
        return new_trial(self.hyperparameters, {}, "", Status.STOPPED)

    def _check_report(self, number: int, metrics: Mapping[str, float], step: int) -> None:
        if self.reader.missing(metrics):
            raise ValueError(
                f"{self.reader.lacking(metrics)} is missing from the metrics of epoch {step} (found: "
                f"{', '.join(sorted(metrics)) or 'none'}); name a metric that fit reports, e.g. by validation_data"
            )
        done, until = self.search.history.epochs_of(number), self.search.until[number]
        if isinstance(step, bool) or not isinstance(step, Real) or step not in range(1, until + 1):
            raise ValueError(
                f"step={step!r}: must be the number of epochs that trial {self.name_of(number)} has done, an integer "
                f"from 1 to {until}, where it was sent; report the epoch, counted from 1"
            )
        skipped = [rung for rung in self.scheduler.rung_epochs if done < rung < step]
        if skipped:
            raise ValueError(
                f"trial {self.name_of(number)} reported epoch {step} without epoch {skipped[0]}, where trials are "
                "compared; report the objective at every epoch (validation_freq=1)"
            )

    @property
    def failing(self) -> bool:
        """Whether so many trials failed in a row that the search was ended."""
        return self._failures_in_a_row >= self.max_consecutive_failed_trials
