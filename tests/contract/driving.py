"""Drives a scheduler through a random search, one call at a time, and writes down every call and its answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kt_ext.core.decision import Decision, Observation, Run
from kt_ext.core.random import EventRandom


@dataclass(frozen=True)
class Call:
    """One call of the scheduler and its answer; decision ``number`` draws from the stream of that number."""

    method: str  # suggest, observe, forget or exhaust
    argument: Any = None
    number: int = 0
    answer: Decision | None = None


def call(scheduler: Any, random: EventRandom, made: Call) -> Decision | None:
    """Makes the call of ``made`` on another scheduler and returns its answer."""
    if made.method == "suggest":
        return scheduler.suggest(random.at(made.number))
    if made.method == "observe":
        return scheduler.observe(made.argument, random.at(made.number))
    if made.method == "forget":
        return scheduler.forget(made.argument)
    return scheduler.exhaust()


def drive(
    scheduler: Any,
    seed: int,
    *,
    workers: int = 4,
    levels: int = 6,
    diverging: float = 0.03,
    failing: float = 0.03,
    exhaust_at: int | None = None,
    max_calls: int = 20_000,
) -> list[Call]:
    """All calls of one search to its end, the first Done; at most ``max_calls``.

    At each step a random worker acts: a free one asks, a busy one reports an epoch, or fails. So reports arrive out of
    order. Decisions are numbered as in a real search: Wait and Done do not count.

    Args:
        scheduler: anything with suggest, observe, forget and exhaust.
        seed: of the scheduler's streams and of the events.
        workers: how many trials may run at a time.
        levels: objectives are integers below it, so ties abound; 0: uniform on [0, 1).
        diverging: the probability that an epoch ends in nan, inf or -inf.
        failing: the probability that an epoch fails instead of being reported.
        exhaust_at: the step at which exhaust is called.
        max_calls: where to give up.
    """
    random = EventRandom(seed)
    events = np.random.default_rng([seed, 1])
    holds: list[Run | None] = [None] * workers
    done: list[int] = [0] * workers
    calls: list[Call] = []
    number = 0
    step = 0
    while len(calls) < max_calls:
        if step == exhaust_at:
            scheduler.exhaust()
            calls.append(Call("exhaust"))
        step += 1
        worker = int(events.integers(workers))
        run = holds[worker]
        answer: Decision | None
        if run is None:
            answer = scheduler.suggest(random.at(number))
            calls.append(Call("suggest", None, number, answer))
            if isinstance(answer, Run):
                done[worker] = answer.restore.epoch if answer.restore else 0
                holds[worker] = answer
                number += 1
            elif type(answer).__name__ == "Done":
                break
        elif events.random() < failing:
            scheduler.forget(run.trial_id)
            calls.append(Call("forget", run.trial_id))
            holds[worker] = None
        else:
            if events.random() < diverging:
                objective = [math.nan, math.inf, -math.inf][events.integers(3)]
            else:
                objective = float(events.integers(levels)) if levels else events.random()
            done[worker] += 1
            observation = Observation(run.trial_id, done[worker], objective)
            answer = scheduler.observe(observation, random.at(number))
            calls.append(Call("observe", observation, number, answer))
            number += 1
            if isinstance(answer, Run):
                holds[worker] = answer
                done[worker] = answer.restore.epoch if answer.restore else done[worker]
            else:
                holds[worker] = None
    return calls
