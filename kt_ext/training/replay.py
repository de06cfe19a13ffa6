"""Trains one new model along the schedule that a population found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import keras
import keras_tuner

from kt_ext.core.decision import Value
from kt_ext.core.lineage import Schedule, Stretch
from kt_ext.training import live
from kt_ext.training.seeds import GENERATOR, reseeded
from kt_ext.training.signature import signature
from kt_ext.training.state import get_state, set_state


class ScheduleReplay(keras.callbacks.Callback):
    """Changes a model's hyperparameters while it trains, as they changed on the way to the winner of a search:

        schedule = tuner.best_schedule()
        keras.utils.set_random_seed(schedule.seed)        # the winner's initial weights
        model = build(kt_ext.hyperparameters(schedule.values))
        model.fit(x, y, epochs=schedule.epochs, callbacks=[kt_ext.ScheduleReplay(schedule)])

    The random numbers of dropout follow the winner's, too. With the same data in the same order it ends at the winner's
    weights, up to rounding. A value that the model's step cannot be told in mid-training is an error at its begin.

    Args:
        schedule: of ``tuner.best_schedule()``, or of ``kt_ext.schedule_from(hyperparameters)``.
        build: the function that builds the model. Only needed for a schedule that went through a Keras Tuner trial,
            which knows the values of the hyperparameters but not where in the model they are.

    Raises:
        ValueError: when the training begins: the schedule is not one of this model, or its values cannot be changed
            while it trains.
    """

    def __init__(self, schedule: Schedule, build: Callable[[Any], keras.Model] | None = None) -> None:
        super().__init__()
        if not isinstance(schedule, Schedule):
            raise TypeError(
                f"schedule={schedule!r}: must be a kt_ext.Schedule, from tuner.best_schedule() or kt_ext.schedule_from"
            )
        self.schedule = schedule
        self._build = build
        self._live: live.LiveValues | None = None

    def set_model(self, model: keras.Model) -> None:
        """Make the numbers that change live; Keras calls this before it makes the train function."""
        super().set_model(model)
        if self._live is not None:
            return
        self.schedule = self._with_live_values()
        first = self.schedule.stretches[0].live
        own = live.values(model)
        assert first is not None
        if own.keys() != first.keys():
            unlike = sorted(own.keys() ^ first.keys())
            raise ValueError(
                f"schedule: is of another model: {', '.join(unlike)} is in one and not in the other; build the model "
                "with schedule.values"
            )
        model.train_function = None
        self._live = live.install(model)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Set the numbers of the stretch that begins here."""
        for before, stretch in zip((None, *self.schedule.stretches), self.schedule.stretches, strict=False):
            if stretch.begin == epoch or (stretch.begin < epoch < stretch.end and self._live_differs(stretch)):
                self._begin(stretch, before)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Give the model back with plain numbers."""
        if self._live is not None:
            self._live.detach()
            self._live = None

    def _live_differs(self, stretch: Stretch) -> bool:
        assert self._live is not None and stretch.live is not None
        return self._live.get() != stretch.live

    def _begin(self, stretch: Stretch, before: Stretch | None) -> None:
        assert self._live is not None and stretch.live is not None
        if before is not None and before.member != stretch.member and stretch.begin > 0:
            state = get_state(self.model)
            if any(name.endswith(GENERATOR) for name in state):
                set_state(self.model, reseeded(state, stretch.seed, stretch.begin))
        self._live.set(stretch.live)

    def _with_live_values(self) -> Schedule:
        if all(stretch.live is not None for stretch in self.schedule.stretches):
            return self.schedule
        build = self._build
        if build is None:
            raise ValueError(
                "schedule: says which hyperparameters change, but not where they are in the model; give "
                "ScheduleReplay(schedule, build=...) the function that builds it"
            )
        return fill_in(self.schedule, lambda values: build(hyperparameters(values)))


def hyperparameters(values: Mapping[str, Value]) -> keras_tuner.HyperParameters:
    """Keras Tuner's hyperparameters with these values, to call ``build(hp)`` with."""
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    return hp


def fill_in(schedule: Schedule, build: Callable[[Mapping[str, Value]], keras.Model]) -> Schedule:
    """The schedule with the numbers of the model's live hyperparameters, read from models that are built for it.

    Raises ValueError if a hyperparameter that changes along the way does something else to the model, or nothing.
    """
    first = build(schedule.values)
    text, numbers = signature(first), live.values(first)
    others: dict[str, Value] = {}
    for stretch in schedule.stretches:
        others |= {n: v for n, v in stretch.values.items() if n not in schedule.values or schedule.values[n] != v}
    for name, value in others.items():
        model = build({**schedule.values, name: value})
        if signature(model) != text or live.values(model).keys() != numbers.keys() or live.values(model) == numbers:
            raise ValueError(
                f"schedule: {name} changes along the way, and that cannot be told to a model while it trains; train "
                "each stretch of the schedule with a model of its own, given the weights of the one before"
            )
    return Schedule(tuple(replace(one, live=live.values(build(one.values))) for one in schedule.stretches))
