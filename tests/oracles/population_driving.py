"""Plays the workers of a population against its oracle, with checkpoints in a shared directory that is a dict.

A state is the list of what trained it: a (member, units) for each epoch. So it says whether the lineage that an oracle
records is what happened, and a worker that takes over a state which was removed is found out.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from keras_tuner.src.engine.trial import Trial

from kt_ext.core.search import DONE, FAILED
from kt_ext.oracles import PBTOracle, SchedulerOracle
from kt_ext.oracles.hyperparameters import EPOCHS, INITIAL_EPOCH, KEEP, TRIAL_ID, own_values, take_orders
from oracles.oracle_driving import LOSS, over_the_wire, placed, small_space

State = tuple[tuple[int, int], ...]  # the member that trained each epoch, and its units then
Crash = Callable[[int, int], bool]  # a member and the epoch it is about to train


class Checkpoint(NamedTuple):
    """A member's state after as many epochs as it is long, and the losses of all its own epochs."""

    state: State
    losses: tuple[float, ...]


Disk = dict[int, dict[int, Checkpoint]]  # by member and epoch


def pbt(directory: Path | None = None, name: str = "project", **changed: Any) -> PBTOracle:
    """Five members of 7 epochs that are compared every second one, silent; arguments may be changed."""
    settings: dict[str, Any] = {
        "objective": LOSS,
        "population_size": 5,
        "max_epochs": 7,
        "perturbation_interval": 2,
        "quantile_fraction": 0.4,
        "seed": 3,
        "hyperparameters": small_space(),
    }
    return placed(PBTOracle(**{**settings, **changed}), directory, name)


def loss_of(state: State, diverging: bool = True) -> float:
    """The more units over all its epochs, the lower; member 4 diverges in its third epoch if it trains it itself."""
    if diverging and state[2:3] and state[2][0] == 4 and 4 in [member for member, _ in state[:2]]:
        return float("nan")
    return 100.0 / sum(units for _, units in state) + 1.0 / len(state)


class Population:
    """``count`` workers that obey as our tuners do, each turn being one call of the oracle or one file of the disk.

    Args:
        oracle: a new one, or one that goes on with a search.
        count: how many workers.
        wire: whether trials are copied on their way, as between machines.
        order: who takes the next turn, at random; None: one after the other.
        disk: what an earlier session left.
        crash: whether an epoch fails instead of being trained.

    Attributes:
        reports: (member, epoch) of every report.
        trained: the state after every epoch trained, by (member, epoch) with multiplicity.
        taken_over: (member, donor, epoch) of every state that was taken over.
        writes: for each change of the disk, the lines that the journal had, and the disk afterwards.
    """

    def __init__(
        self,
        oracle: Any,
        count: int = 1,
        wire: bool = False,
        order: np.random.Generator | None = None,
        disk: Disk | None = None,
        crash: Crash = lambda member, epoch: False,
    ) -> None:
        self.oracle, self.wire, self._order, self._crash = oracle, wire, order, crash
        self.disk: Disk = {} if disk is None else copy.deepcopy(disk)
        self.reports: list[tuple[int, int]] = []
        self.trained: list[tuple[int, State]] = []
        self.taken_over: list[tuple[int, int, int]] = []
        self.writes: list[tuple[int, Disk]] = [(0, copy.deepcopy(self.disk))]
        self._turns: list[Iterator[None]] = [self._work(f"tuner{worker}") for worker in range(count)]

    def step(self) -> bool:
        """A worker takes its turn; False when all have been dismissed."""
        while self._turns:
            work = self._turns.pop(0 if self._order is None else int(self._order.integers(len(self._turns))))
            if next(work, "dismissed") is None:
                self._turns.append(work)
                return True
        for trial_id in self.oracle.trials:
            self._prune(trial_id)
        return False

    def run(self) -> Population:
        """Go on until all are dismissed."""
        for _ in range(100_000):
            if not self.step():
                return self
        raise AssertionError("the search does not end")

    def disk_at(self, lines: int, late: bool) -> Disk:
        """The disk of a process that was killed when the journal had so many lines: at once, or as late as can be."""
        return [disk for at, disk in self.writes if at < lines or (late and at == lines)][-1] if lines else {}

    def _work(self, name: str) -> Iterator[None]:
        while True:
            trial = self.oracle.create_trial(name)
            if trial.status == "STOPPED":
                return
            yield
            if trial.status == "IDLE":
                continue
            trial = over_the_wire(trial) if self.wire else trial
            try:
                yield from self._train(trial)
                trial.status = "COMPLETED"
            except InterruptedError as crash:
                trial.status, trial.message = "INVALID", str(crash)
            self.oracle.end_trial(over_the_wire(trial) if self.wire else trial)
            self._prune(trial.trial_id)
            yield

    def _train(self, trial: Trial) -> Iterator[None]:
        """Segment by segment, until the oracle ends it or has nothing more to say."""
        member, values = int(trial.trial_id), trial.hyperparameters.values
        while True:
            orders = values[EPOCHS], values[INITIAL_EPOCH], values.get(TRIAL_ID)
            mine = self._take_up(member, *orders)
            for epoch in range(values[INITIAL_EPOCH] + 1, values[EPOCHS] + 1):
                if epoch > len(mine.losses):
                    if self._crash(member, epoch):
                        raise InterruptedError(f"crash in epoch {epoch}")
                    state = (*mine.state, (member, values["units"]))
                    mine = Checkpoint(state, (*mine.losses, loss_of(state)))
                    self.trained.append((member, state))
                    self._save(member, mine, json.loads(values.get(KEEP, "[]")))
                    yield
                answer = self.oracle.update_trial(trial.trial_id, {"loss": mine.losses[epoch - 1]}, step=epoch)
                self.reports.append((member, epoch))
                if self.wire:
                    take_orders(trial.hyperparameters, over_the_wire(answer).hyperparameters)
                    values = trial.hyperparameters.values
                yield
                if answer.status == "STOPPED":
                    return
                if values[INITIAL_EPOCH] != orders[1]:
                    break
            if (values[EPOCHS], values[INITIAL_EPOCH], values.get(TRIAL_ID)) == orders:
                return

    def _take_up(self, member: int, until: int, known: int, source: str | None) -> Checkpoint:
        own = self.disk.get(member, {})
        last = own[max(own)] if own else Checkpoint((), ())
        donor = member if source is None else int(source)
        assert known <= len(last.losses) <= until, "its own checkpoint is there"
        if donor == member or len(last.losses) > known:  # it trained on from the donor's state already
            return last
        self.taken_over.append((member, donor, known))
        assert known in self.disk.get(donor, {}), f"the donor's checkpoint was removed: {donor} after {known} epochs"
        return Checkpoint(self.disk[donor][known].state, last.losses)

    def _save(self, member: int, checkpoint: Checkpoint, kept: list[int]) -> None:
        epoch = len(checkpoint.losses)
        earlier = sorted(self.disk.setdefault(member, {}))
        self.disk[member][epoch] = checkpoint
        self._keep(member, [epoch, *earlier[-1:]], kept)

    def _prune(self, trial_id: str) -> None:
        if self.oracle.search.where[int(trial_id)] in (DONE, FAILED):
            self._keep(int(trial_id), [], self.oracle.kept_epochs(trial_id))

    def _keep(self, member: int, last: list[int], kept: Any) -> None:
        """Remove what nobody wants: all but the best, the last two and what the oracle says."""
        own = self.disk.get(member, {})
        if own:
            losses = own[max(own)].losses
            best = min(own, key=lambda epoch: (not np.isfinite(losses[epoch - 1]), losses[epoch - 1], epoch))
            self.disk[member] = {e: own[e] for e in own if e == best or e in last or e in kept}
        lines = 0 if self.oracle.files is None else self.oracle.files.lines
        self.writes.append((lines, copy.deepcopy(self.disk)))


def schedule_of(oracle: SchedulerOracle, trial_id: str, epoch: int) -> State:
    """The state that the oracle says a trial had."""
    return tuple(
        (stretch.member, int(stretch.values["units"]))
        for stretch in oracle.schedule(trial_id, epoch).stretches
        for _ in range(stretch.begin, stretch.end)
    )


def assert_lineage_is_what_was_trained(oracle: SchedulerOracle, population: Population) -> None:
    """Each state trained is the one that the oracle's lineage tells of."""
    for member, state in population.trained:
        if len(state) <= oracle.search.history.epochs_of(member):
            assert schedule_of(oracle, oracle.name_of(member), len(state)) == state


def values_of(oracle: SchedulerOracle) -> dict[str, Any]:
    """Each trial's status, score, best step, values as they ended, and metrics; not where its last segment began."""
    return {
        trial_id: (
            trial.status,
            trial.score,
            trial.best_step,
            own_values(trial.hyperparameters.values),
            trial.hyperparameters.values.get("kt_ext/schedule"),
            str(trial.metrics.get_config()),
        )
        for trial_id, trial in sorted(oracle.trials.items())
    }
