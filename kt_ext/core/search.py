"""A search as a fold over events: scheduler, searcher and history, and which trial is where.

Every change of state is one event, a JSON object. ``ask``, ``tell`` and ``end`` decide and return the event; ``replay``
takes an event of an earlier run, makes the same decision again and checks that it is the same. So a live search, a
simulation and a restart share one path. Nothing here knows of Keras, disks or clocks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kt_ext.core.decision import CheckpointRef, Decision, Done, Observation, Pause, Run, Wait
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.core.searcher import AbstractSearcher, SpaceExhausted
from kt_ext.core.space import Space

Event = dict[str, Any]

RUNNING, PAUSED, DONE, FAILED, QUEUED = "running", "paused", "done", "failed", "queued"


class ReplayDiffers(RuntimeError):
    """The journal records a decision that this scheduler does not make."""


class Search:
    """Scheduler, searcher, history and the whereabouts of each trial.

    Attributes:
        history: every trial's values and observations.
        until: trial id to the epoch it was last sent to.
        where: trial id to ``running``, ``paused``, ``done``, ``failed`` or ``queued`` (to be handed out again).
        number: how many decisions were made; decision n draws from ``EventRandom(seed).at(n)``.
        structural: names of parameters that shape a model's variables; None while nobody has said which do.
        mutable: names of the parameters that may change in mid-training; None: all but the structural ones.
        takeovers: the trials that took over another's state, in order: trial, and the donor with its epoch.
    """

    def __init__(self, scheduler: AbstractScheduler, searcher: AbstractSearcher, seed: int) -> None:
        self.scheduler = scheduler
        self.searcher = searcher
        self.history = History()
        self.until: dict[int, int] = {}
        self.where: dict[int, str] = {}
        self.number = 0
        self.structural: tuple[str, ...] | None = None
        self.mutable: tuple[str, ...] | None = None
        self.takeovers: list[tuple[int, CheckpointRef]] = []
        self._queue: list[int] = []
        self._told: dict[int, CheckpointRef] = {}  # the state that a trial was told to take and has not trained on yet
        self._random = EventRandom(seed)
        self._running: set[int] = set()

    @property
    def running(self) -> int:
        """How many trials are with a worker."""
        return len(self._running)

    @property
    def is_done(self) -> bool:
        """Whether the next free worker would be told that nothing is left to do. Decides nothing."""
        if self._queue or self._running:
            return False
        return isinstance(copy.deepcopy(self.scheduler).suggest(self._random.at(self.number)), Done)

    def restore(self, trial_id: int) -> CheckpointRef | None:
        """The state that the trial goes on from: the one it was told to take, and its own as soon as it reports again.

        None before its first epoch.
        """
        if trial_id in self._told:
            return self._told[trial_id]
        epoch = self.history.epochs_of(trial_id)
        return CheckpointRef(trial_id, epoch) if epoch else None

    def pinned(self, trial_id: int) -> set[int]:
        """The epochs whose states of this trial another may still take over, or was told to."""
        told = (ref for trial, ref in self._told.items() if trial != ref.trial_id)
        return {ref.epoch for ref in (*self.scheduler.pinned(), *told) if ref.trial_id == trial_id}

    # Decisions

    def declare(self, structural: Collection[str], mutable: Collection[str] | None = None) -> Event:
        """Say which parameters shape a model's variables, and which of the others alone may change in mid-training."""
        event: Event = {"e": "declare", "structural": sorted(structural)}
        if mutable is not None:
            event["mutable"] = sorted(mutable)
        return self._apply_declare(event)

    def ask(self, space: Space) -> tuple[list[Event], Run | Wait | Done]:
        """What a free worker does next, and the events to record before it does."""
        if self._queue:
            trial_id = self._queue[0]
            again = Run(trial_id, self.until[trial_id], restore=self.restore(trial_id))
            return [self._apply_again({"e": "again", "trial": trial_id})], again
        events: list[Event] = []
        while True:
            rng = self._random.at(self.number)
            decision = self.scheduler.suggest(rng)
            if not isinstance(decision, Run):
                return events, decision
            if decision.trial_id in self.until:
                decision = self._explored(decision, space, rng)
            elif decision.values is None:
                try:
                    values = dict(self.searcher.propose(self.history, space, rng))
                except SpaceExhausted:
                    if not self.scheduler.repeats:
                        events.append(self._apply_exhaust(decision))
                        continue
                    values = space.sample(rng)
                decision = replace(decision, values=values)
            return [*events, self._apply_ask(decision)], decision

    def tell(self, trial_id: int, epoch: int, objective: float, space: Space) -> tuple[Event, Decision]:
        """The trial reached ``objective`` (minimised, ``inf`` the worst) after ``epoch`` epochs: what it does next.

        Epochs may be left out (not every one is validated). The scheduler is told of each, so that it may count them:
        of one left out with the objective that came after it.

        Raises:
            ValueError: the trial is not running, or has reported this epoch already.
        """
        return self._tell(trial_id, epoch, objective, lambda run, rng: self._explored(run, space, rng))

    def _tell(
        self, trial_id: int, epoch: int, objective: float, explored: Callable[[Run, np.random.Generator], Run]
    ) -> tuple[Event, Decision]:
        if trial_id not in self._running:
            raise ValueError(f"trial {trial_id} is {self.where.get(trial_id, 'unknown')}: only a running trial reports")
        done = self.history.epochs_of(trial_id)
        self.history.record(Observation(trial_id, epoch, objective))
        self._told.pop(trial_id, None)
        for each in range(done + 1, epoch + 1):
            rng = self._next_random()
            decision = self.scheduler.observe(Observation(trial_id, each, objective), rng)
            if not isinstance(decision, Run):
                break
        event: Event = {"e": "tell", "trial": trial_id, "epoch": epoch, "objective": objective}
        if isinstance(decision, Run):
            decision = explored(decision, rng)
            event["do"] = "run"
            if decision.until != self.until[trial_id]:
                event["until"] = self.until[trial_id] = decision.until
            if decision.values is not None:
                event["values"] = dict(decision.values)
                self.history.assign(trial_id, decision.values)
            if decision.restore is not None:
                event["restore"] = [decision.restore.trial_id, decision.restore.epoch]
                self._take_over(trial_id, decision.restore)
        else:
            event["do"] = "pause" if isinstance(decision, Pause) else "stop"
            self._leave(trial_id, PAUSED if isinstance(decision, Pause) else DONE)
        return event, decision

    def end(self, trial_id: int, outcome: str) -> Event:
        """A running trial leaves its worker without a decision of the scheduler.

        Args:
            trial_id: a running trial.
            outcome: ``done`` (it ended itself), ``failed``, or ``queued`` (to be handed out again from where it is).
        """
        return self._apply_end({"e": "end", "trial": trial_id, "as": outcome})

    def requeue_running(self, keep: Collection[int] = ()) -> list[Event]:
        """After a restart: what was running then is handed out again first, in the order of the trials' numbers.

        Those in ``keep`` stay with their workers.
        """
        return [self.end(trial_id, QUEUED) for trial_id in sorted(self._running.difference(keep))]

    # Replay

    def replay(self, event: Event) -> None:
        """Take over one event of an earlier run. Raises ReplayDiffers where the decision comes out otherwise."""
        kind = event["e"]
        if kind == "ask":
            decision = self.scheduler.suggest(self._random.at(self.number))
            restore = CheckpointRef(*event["restore"]) if "restore" in event else None
            recorded = Run(event["trial"], event["until"], event.get("values"), restore)
            made = decision
            if isinstance(made, Run) and made.values is None:  # values came from the searcher, which is not asked again
                made = replace(made, values=recorded.values)
            self._check(event, made == recorded, decision)
            self._apply_ask(recorded)
        elif kind == "exhaust":
            decision = self.scheduler.suggest(self._random.at(self.number))
            self._check(event, isinstance(decision, Run) and decision.trial_id == event["trial"], decision)
            assert isinstance(decision, Run)
            self._apply_exhaust(decision)
        elif kind == "tell":
            # values came from the explorer, which is not asked again
            made_event, answer = self._tell(
                event["trial"],
                event["epoch"],
                event["objective"],
                lambda run, _: replace(run, values=event.get("values")),
            )
            same = all(made_event.get(key) == event.get(key) for key in ("do", "until", "values", "restore"))
            self._check(event, same, answer)
        elif kind == "again":
            self._apply_again(event)
        elif kind == "end":
            self._apply_end(event)
        elif kind == "declare":
            self._apply_declare(event)

    @staticmethod
    def _check(event: Event, same: bool, decision: Decision) -> None:
        if not same:
            raise ReplayDiffers(
                f"the journal records {event}, but this scheduler decides {decision}: it was written with other "
                "settings or by another version; finish the search with those, or start a new project_name"
            )

    # State changes

    def _explored(self, run: Run, space: Space, rng: np.random.Generator) -> Run:
        """With the explorer's values if it takes over another trial's state and the scheduler gave none."""
        explorer = self.scheduler.explorer
        if run.values is not None or explorer is None or not self._is_other(run.trial_id, run.restore):
            return run
        fixed = set(self.structural or ())
        if self.mutable is not None:
            fixed |= {parameter.name for parameter in space.parameters} - set(self.mutable)
        values = explorer.explore(run, self.history, space, fixed, rng)
        return replace(run, values=dict(values))

    @staticmethod
    def _is_other(trial_id: int, restore: CheckpointRef | None) -> bool:
        return restore is not None and restore.trial_id != trial_id

    def _take_over(self, trial_id: int, restore: CheckpointRef) -> None:
        self._told[trial_id] = restore
        if self._is_other(trial_id, restore):
            self.takeovers.append((trial_id, restore))

    def _apply_declare(self, event: Event) -> Event:
        self.structural = tuple(event["structural"])
        self.mutable = tuple(event["mutable"]) if "mutable" in event else None
        return event

    def _next_random(self) -> np.random.Generator:
        self.number += 1
        return self._random.at(self.number - 1)

    def _apply_ask(self, run: Run) -> Event:
        self.number += 1
        event: Event = {"e": "ask", "trial": run.trial_id, "until": run.until}
        if run.trial_id in self.until:
            self.history.resume(run.trial_id)
            if run.values is not None:
                self.history.assign(run.trial_id, run.values)
        else:
            assert run.values is not None
            self.history.start(run.trial_id, run.values)
        if run.values is not None:
            event["values"] = dict(run.values)
        if run.restore is not None:
            event["restore"] = [run.restore.trial_id, run.restore.epoch]
            self._take_over(run.trial_id, run.restore)
        self.until[run.trial_id] = run.until
        self._enter(run.trial_id)
        return event

    def _apply_exhaust(self, run: Run) -> Event:
        self.number += 1
        self.scheduler.forget(run.trial_id)
        self.scheduler.exhaust()
        return {"e": "exhaust", "trial": run.trial_id}

    def _apply_again(self, event: Event) -> Event:
        self._queue.remove(event["trial"])
        self.history.resume(event["trial"])
        self._enter(event["trial"])
        return event

    def _apply_end(self, event: Event) -> Event:
        trial_id, outcome = event["trial"], event["as"]
        self._leave(trial_id, outcome)
        if outcome == QUEUED:
            self._queue.append(trial_id)
        else:
            self._told.pop(trial_id, None)  # nobody needs that state any more
            self.scheduler.forget(trial_id)
        return event

    def _enter(self, trial_id: int) -> None:
        self.where[trial_id] = RUNNING
        self._running.add(trial_id)

    def _leave(self, trial_id: int, where: str) -> None:
        if trial_id not in self._running:
            raise ValueError(f"trial {trial_id} is {self.where.get(trial_id, 'unknown')}: only a running trial ends")
        self.where[trial_id] = where
        self._running.remove(trial_id)
        self.history.end(trial_id)

    # Snapshot

    def state(self) -> dict[str, Any]:
        """The whole state as a JSON object."""
        return {
            "scheduler": self.scheduler.state(),
            "history": self.history.state(),
            "until": list(self.until.items()),
            "where": list(self.where.items()),
            "number": self.number,
            "queue": self._queue,
            "structural": self.structural,
            "mutable": self.mutable,
            "takeovers": [[trial_id, ref.trial_id, ref.epoch] for trial_id, ref in self.takeovers],
            "told": [[trial_id, ref.trial_id, ref.epoch] for trial_id, ref in self._told.items()],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over a ``state()``; the same decisions follow. Raises ValueError for another scheduler's."""
        self.scheduler.load_state(state["scheduler"])
        self.history.load_state(state["history"])
        self.until = dict(state["until"])
        self.where = dict(state["where"])
        self.number = state["number"]
        self._queue = list(state["queue"])
        self.structural = None if state["structural"] is None else tuple(state["structural"])
        self.mutable = None if state["mutable"] is None else tuple(state["mutable"])
        self.takeovers = [(trial_id, CheckpointRef(donor, epoch)) for trial_id, donor, epoch in state["takeovers"]]
        self._told = {trial_id: CheckpointRef(donor, epoch) for trial_id, donor, epoch in state["told"]}
        self._running = {trial_id for trial_id, where in self.where.items() if where == RUNNING}
