"""Rules that stop hopeless trials, around any scheduler: ``MedianRule(ASHA(27))``, ``Patience(FIFO(20, 50))``."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection
from typing import Any

import numpy as np

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.schedulers.checks import same_configuration


class StoppingRule(AbstractScheduler):
    """Another scheduler, whose trials may also be stopped by their curves.

    The inner scheduler decides first. Where it would let a trial go on, the rule may stop it, and the inner scheduler
    is told (``retire``). Successive halving counts such a trial among the worst of the rung it was on its way to, so
    as many are promoted there as without the rule. A rule that stops trials for doing well sets ``stops_the_good``:
    then the trial is one that ended itself (``forget``).

    Rules nest: in ``Target(MedianRule(ASHA(27)), 0.1)`` ASHA decides, then the median, then the target.

    A subclass gives ``_stops`` and ``_arguments``. It finds each trial's curve in ``_curves``, which is the whole
    state; one that keeps more, to decide faster, derives it in ``_note``, and the same from any order of the trials.

    Schedulers whose trials take over one another's state are refused: such a trial has no curve of its own.

    Attributes:
        inner: the scheduler that decides first.
        stops_the_good: whether a trial is stopped for doing well.

    Raises:
        TypeError: ``scheduler`` is none.
        ValueError: its trials take over one another's state (PBT).
    """

    stops_in_flight = True
    stops_the_good = False

    def __init__(self, scheduler: AbstractScheduler) -> None:
        if not isinstance(scheduler, AbstractScheduler):
            raise TypeError(f"scheduler={scheduler!r}: must be a scheduler such as kt_ext.schedulers.ASHA(27)")
        if scheduler.explorer is not None:
            raise ValueError(
                f"scheduler={type(scheduler).__name__}: its trials take over one another's state, so they have no "
                "curves of their own to judge; use it without a stopping rule, it replaces its worst trials itself"
            )
        self.inner = scheduler
        self.max_trials = scheduler.max_trials
        self.max_epochs = scheduler.max_epochs
        self.rung_epochs = scheduler.rung_epochs
        self.repeats = scheduler.repeats
        self.unit = scheduler.unit
        self._curves: dict[int, list[float]] = {}  # trial -> objective after 1, 2, ... epochs

    @abstractmethod
    def _stops(self, trial_id: int, curve: list[float]) -> bool:
        """Whether the trial ends here. ``curve`` is its own, the last report included; inf is the worst."""

    @abstractmethod
    def _arguments(self) -> dict[str, Any]:
        """The rule's own arguments, as JSON."""

    def _note(self, trial_id: int, curve: list[float]) -> None:
        """Another epoch of ``trial_id``, the last of ``curve``; called after ``_stops``, and again on loading."""

    @property
    def failure(self) -> str | None:  # type: ignore[override]
        return self.inner.failure

    def suggest(self, rng: np.random.Generator) -> Run | Wait | Done:
        decision = self.inner.suggest(rng)
        if isinstance(decision, Run):
            self._refuse_takeover(decision)
        return decision

    def observe(self, observation: Observation, rng: np.random.Generator) -> Run | Pause | Stop:
        decision = self.inner.observe(observation, rng)
        if isinstance(decision, Run):
            self._refuse_takeover(decision)
        trial_id, objective = observation.trial_id, float(observation.objective)
        objective = objective if math.isfinite(objective) else math.inf
        curve = self._curves.setdefault(trial_id, [])
        stops = False
        while len(curve) < observation.epoch:  # an epoch left out counts as the next one reported
            curve.append(objective)
            if len(curve) == observation.epoch and isinstance(decision, Run):
                stops = self._stops(trial_id, curve)
            self._note(trial_id, curve)
        if stops:
            if self.stops_the_good:
                self.inner.forget(trial_id)
            else:
                self.inner.retire(trial_id)
            return Stop(trial_id)
        return decision

    def forget(self, trial_id: int) -> None:
        self.inner.forget(trial_id)  # what it reported stays on record: it did reach it

    def retire(self, trial_id: int) -> None:
        self.inner.retire(trial_id)

    def exhaust(self) -> None:
        self.inner.exhaust()

    def pinned(self) -> Collection[CheckpointRef]:
        return self.inner.pinned()

    def state(self) -> dict[str, Any]:
        inner = self.inner.state()
        # The inner's arguments stand beside the rules, so that whoever raises max_trials finds it at the usual place.
        configuration = self._configuration(inner.pop("configuration"))
        curves = [[trial, [None if math.isinf(y) else y for y in curve]] for trial, curve in self._curves.items()]
        return {"configuration": configuration, "inner": inner, "curves": curves}

    def load_state(self, state: dict[str, Any]) -> None:
        saved = state["configuration"]
        same_configuration(self._configuration(self.inner.state()["configuration"]), saved)
        inner = {name: value for name, value in saved.items() if name != "rules"}
        if len(saved["rules"]) > 1:
            inner["rules"] = saved["rules"][:-1]
        self.inner.load_state({**state["inner"], "configuration": inner})
        self._curves = {}
        self._clear()
        for trial_id, objectives in state["curves"]:
            curve = self._curves[trial_id] = []
            for objective in objectives:
                curve.append(math.inf if objective is None else objective)
                self._note(trial_id, curve)

    def _clear(self) -> None:
        """Forget all that was noted."""

    def _configuration(self, inner: dict[str, Any]) -> dict[str, Any]:
        mine = {"rule": type(self).__name__, **self._arguments()}
        return {**inner, "rules": [*inner.get("rules", []), mine]}

    def _refuse_takeover(self, run: Run) -> None:
        if run.restore is not None and run.restore.trial_id != run.trial_id:
            raise ValueError(
                f"scheduler={type(self.inner).__name__}: sends trial {run.trial_id} on from the state of trial "
                f"{run.restore.trial_id}, so it has no curve of its own to judge; use it without a stopping rule"
            )
