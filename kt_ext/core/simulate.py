"""A search on a simulated clock: the real scheduler, n workers that take no processor time, and synthetic curves."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from kt_ext.core.decision import Decision, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.history import History
from kt_ext.core.random import EventRandom
from kt_ext.core.scheduler import AbstractScheduler
from kt_ext.core.search import FAILED, Search
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Space


@dataclass(frozen=True)
class Logged:
    """At ``seconds``, ``worker`` was told ``decision``; None: its trial failed."""

    seconds: float
    worker: int
    decision: Decision | None


@dataclass(frozen=True)
class Simulation:
    """What happened in a simulated search.

    Attributes:
        log: each decision but Wait, in order; empty when it was not asked for.
        epochs: trial id to the number of epochs trained for it, a failed epoch included.
        total_epochs: the sum of ``epochs``.
        end_seconds: the simulated clock at the end.
        busy: the share of all worker seconds, from 0 to ``end_seconds``, that went into training. The drain belongs to
            it: at the end few trials are left and most workers have nothing to do.
        busy_while_starting: the same share from 0 to the moment the last new trial was started, so without the drain:
            how far the scheduler kept workers waiting while there was work to be had. 1.0 if all started at 0.
        suggestions: how often a free worker asked what to do.
        finished: whether the scheduler said Done; False: ``max_seconds`` came first.
    """

    log: list[Logged]
    epochs: dict[int, int]
    total_epochs: int
    end_seconds: float
    busy: float
    busy_while_starting: float
    suggestions: int
    finished: bool


def simulate(
    scheduler: AbstractScheduler,
    objective: Callable[[int, int], float],
    *,
    workers: int,
    seed: int = 0,
    epoch_seconds: float | Callable[[int], float] = 1.0,
    failures: Callable[[int, int], bool] | None = None,
    max_seconds: float | None = None,
    log: bool = True,
    searcher: AbstractSearcher | None = None,
    space: Space | None = None,
    history: History | None = None,
) -> Simulation:
    """Runs ``scheduler`` until it is Done, each epoch of each worker being one event on the simulated clock.

    Events at the same moment come in the order in which they were scheduled, so a simulation is a function of its
    arguments. A worker that was told Wait is asked again after each report of another. As in a real search, decision n
    draws from ``EventRandom(seed).at(n)``, and Wait and Done do not count.

    With a searcher new trials get values, and ``objective`` finds them as ``history.values(trial_id)`` in the empty
    History that it was made with. Without one the scheduler runs alone, which is several times faster.

    Args:
        scheduler: a fresh scheduler.
        objective: trial id and epochs done (from 1) to the objective, minimised; NaN and infinities are the worst.
        workers: how many train at a time, >= 1.
        seed: integer >= 0.
        epoch_seconds: how long one epoch takes, > 0; or trial id to that.
        failures: trial id and epoch to whether the trial fails in that epoch: the time is spent, nothing is reported
            and the scheduler is told to forget it. None: nothing fails.
        max_seconds: the clock at which the simulation is cut off; None: never.
        log: whether to keep every decision; take False for big runs.
        searcher: proposes the values of new trials; None: they have none.
        space: the search space; goes with ``searcher``.
        history: empty, filled as the search goes; goes with ``searcher``.

    Raises:
        ValueError: an argument is out of range.
        RuntimeError: the scheduler breaks its contract (it waits for nobody, is done while trials run, or sends
            a trial to an epoch that it has passed).
    """
    if workers < 1:
        raise ValueError(f"workers={workers!r}: must be an integer >= 1; give the number of simultaneous trials")
    if seed < 0:
        raise ValueError(f"seed={seed!r}: must be an integer >= 0; 0 is a seed like any other")
    if not callable(epoch_seconds) and not epoch_seconds > 0:
        raise ValueError(f"epoch_seconds={epoch_seconds!r}: must be > 0; use 1.0 to count time in epochs")
    if max_seconds is not None and not max_seconds >= 0:
        raise ValueError(f"max_seconds={max_seconds!r}: must be >= 0; use None to run until the scheduler is done")

    search: _Alone | _WithValues
    if searcher is not None and space is not None and history is not None:
        search = _WithValues(scheduler, searcher, space, history, seed)
    elif searcher is None and space is None and history is None:
        search = _Alone(scheduler, seed)
    else:
        raise ValueError(
            f"searcher={searcher!r}, space={space!r}, history={history!r}: must be given together; "
            "give all three for trials with values, or none"
        )
    events: list[tuple[float, int, int, int, int]] = []  # a heap of (clock, order, worker, trial, epoch)
    order = 0
    idle = deque(range(workers))
    clock = 0.0
    idle_seconds = idle_at_last_start = last_start = 0.0
    epochs: dict[int, int] = {}
    kept: list[Logged] = []
    suggestions = 0

    def train(worker: int, run: Run, done: int) -> None:
        """Schedules the end of the next epoch of a worker whose trial has done ``done`` epochs."""
        nonlocal order
        if run.until <= done:
            raise RuntimeError(f"{run}: sends a trial that has done {done} epochs to an epoch that is not beyond them")
        seconds = epoch_seconds(run.trial_id) if callable(epoch_seconds) else epoch_seconds
        heappush(events, (clock + seconds, order, worker, run.trial_id, done + 1))
        order += 1

    while True:
        # Give the free workers work. One Wait speaks for all of them: nothing changes until the next report.
        while idle:
            suggestions += 1
            decision = search.ask()
            if not isinstance(decision, Run) and isinstance(decision, Wait) != bool(events):
                raise RuntimeError(
                    f"{type(scheduler).__name__}: says {decision} while {len(events)} trials are running"
                )
            if isinstance(decision, Wait):
                break
            if log:
                kept.append(Logged(clock, idle[0], decision))
            if isinstance(decision, Done):
                break
            worker = idle.popleft()
            if decision.trial_id not in epochs:
                epochs[decision.trial_id] = 0
                last_start, idle_at_last_start = clock, idle_seconds
            train(worker, decision, decision.restore.epoch if decision.restore else 0)
        if not events:
            break
        if max_seconds is not None and events[0][0] > max_seconds:
            idle_seconds += len(idle) * (max_seconds - clock)
            clock = max_seconds
            break

        now, _, worker, trial_id, epoch = heappop(events)
        idle_seconds += len(idle) * (now - clock)
        clock = now
        epochs[trial_id] += 1
        if failures is not None and failures(trial_id, epoch):
            search.fail(trial_id)
            answer: Decision | None = None
        else:
            value = objective(trial_id, epoch)
            answer = search.tell(trial_id, epoch, value if math.isfinite(value) else math.inf)
        if log:
            kept.append(Logged(clock, worker, answer))
        if isinstance(answer, Run):
            train(worker, answer, answer.restore.epoch if answer.restore else epoch)
        else:
            idle.append(worker)

    return Simulation(
        log=kept,
        epochs=epochs,
        total_epochs=sum(epochs.values()),
        end_seconds=clock,
        busy=_share(idle_seconds, workers * clock),
        busy_while_starting=_share(idle_at_last_start, workers * last_start),
        suggestions=suggestions,
        finished=not events,
    )


class _Alone:
    """A scheduler without a searcher, asked by decision number as ``Search`` does it."""

    def __init__(self, scheduler: AbstractScheduler, seed: int) -> None:
        self._scheduler = scheduler
        self._random = EventRandom(seed)
        self._number = 0

    def ask(self) -> Run | Wait | Done:
        decision = self._scheduler.suggest(self._random.at(self._number))
        self._number += isinstance(decision, Run)
        return decision

    def tell(self, trial_id: int, epoch: int, objective: float) -> Run | Pause | Stop:
        number = self._number
        self._number += 1
        return self._scheduler.observe(Observation(trial_id, epoch, objective), self._random.at(number))

    def fail(self, trial_id: int) -> None:
        self._scheduler.forget(trial_id)


class _WithValues:
    """A whole search, whose history is the caller's."""

    def __init__(
        self, scheduler: AbstractScheduler, searcher: AbstractSearcher, space: Space, history: History, seed: int
    ) -> None:
        self._search = Search(scheduler, searcher, seed)
        self._search.history = history
        self._space = space

    def ask(self) -> Run | Wait | Done:
        return self._search.ask(self._space)[1]

    def tell(self, trial_id: int, epoch: int, objective: float) -> Decision:
        return self._search.tell(trial_id, epoch, objective, self._space)[1]

    def fail(self, trial_id: int) -> None:
        self._search.end(trial_id, FAILED)


def _share(idle_seconds: float, worker_seconds: float) -> float:
    return 1.0 - idle_seconds / worker_seconds if worker_seconds else 1.0
