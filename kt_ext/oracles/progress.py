"""What a search says while it runs, whoever trains, and at its end."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from kt_ext.core.search import PAUSED, QUEUED
from kt_ext.oracles.hyperparameters import own_values
from kt_ext.oracles.printing import write
from kt_ext.oracles.rung_table import summary
from kt_ext.oracles.screen import LogScreen, Screen, SilentScreen
from kt_ext.oracles.trials import Trial

if TYPE_CHECKING:
    from kt_ext.oracles.base import SchedulerOracle

_log = logging.getLogger("kt_ext")


class Progress:
    """One line for each segment of a trial, and at the end the table of rungs.

    ``verbose=0`` is silent. A display that fails says so once, by the logger "kt_ext", and shows no more; the search
    goes on.

    Attributes:
        screen: where the lines go; to be set between two searches.
    """

    def __init__(self, oracle: SchedulerOracle, verbose: int = 1) -> None:
        self.oracle = oracle
        self.verbose = verbose
        self.screen: Screen = LogScreen()
        self._last: dict[str, float] = {}  # of each trial at work its last objective
        self._began = False

    # Keras Tuner keeps its display's clock in oracle.json; ours is in the journal.
    def get_state(self) -> dict[str, Any]:
        """What stock Keras Tuner expects in ``oracle.json``."""
        return {"search_start": None, "trial_start": {}, "trial_number": {}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing is kept here."""

    def on_resume(self) -> None:
        """A search that was begun before goes on."""
        if self.verbose and self.oracle.files is not None:
            history = self.oracle.search.history
            with self._display() as screen:
                screen.say(
                    f"Going on with the search in {self.oracle.files.directory}: "
                    f"{len(history)} trials started, {history.total_epochs} {self.oracle.scheduler.unit}s done"
                )

    def on_trial_begin(self, trial: Trial) -> None:
        """A worker takes a trial."""
        began, self._began = self._began, True
        if self.verbose and not began:
            with self._display() as screen:
                screen.begin()

    def on_report(self, trial: Trial, epoch: int, objective: float) -> None:
        """A trial reported an epoch."""
        if self.verbose:
            self._last[trial.trial_id] = self.oracle.reader.in_own_units(objective)

    def on_trial_end(self, trial: Trial) -> None:
        """A trial left its worker."""
        if not self.verbose:
            return
        with self._display() as screen:
            screen.say(self._line(trial), important=bool(trial.message))
            if trial.message:
                screen.say("    " + trial.message.strip().splitlines()[-1], important=True)
        self._last.pop(trial.trial_id, None)

    def on_search_end(self) -> None:
        """The search is over: why, and the table of rungs. One that was refused never began."""
        with self._display() as screen:
            screen.end()
        began, self._began = self._began, False
        if not self.verbose or not (began or self.oracle.stop_reason):
            return
        with self._display():
            self._write_result()

    @contextmanager
    def _display(self) -> Iterator[Screen]:
        """The screen, for what the oracle shows while others wait for its decision."""
        try:
            yield self.screen
        except Exception:  # whatever it is: nothing that was trained may be lost for a picture
            failed, self.screen = self.screen, SilentScreen()
            with suppress(Exception):  # likewise; but the terminal is to be left as it was found
                failed.end()
            if not isinstance(failed, SilentScreen):
                _log.warning("the search goes on without its display, which failed", exc_info=True)

    def _write_result(self) -> None:
        write(f"\nSearch ended: {self.oracle.stop_reason or 'interrupted'}")
        write(summary(self.oracle))
        best = self.oracle.get_best_trials(1)
        if best and best[0].score is not None:
            score = f"{self.oracle.objective.name} {best[0].score:.5g}"
            write(f"Best trial {best[0].trial_id}: {score} ({_values(best[0])})")
            if self.oracle.ranks is not None:
                write(f"Pareto front: trials {', '.join(trial.trial_id for trial in self.oracle.pareto_front())}")
        elif any(self.oracle.breach(trial) for trial in self.oracle.trials.values()):
            write("No trial keeps the constraints: see the messages in the trials' trial.json")
        else:
            write(f"No trial has a finite {self.oracle.objective.name}: see the messages in the trials' trial.json")
        if self.oracle.files is not None:
            write(f"Files: {self.oracle.files.directory}")

    def _line(self, trial: Trial) -> str:
        number = int(trial.trial_id)
        search = self.oracle.search
        epoch, scheduler = search.history.epochs_of(number), self.oracle.scheduler
        name = self.oracle.objective.name
        value = self._last.get(trial.trial_id)
        shown = f"{name} {_number(value)}" if value is not None else f"no {name}"
        where = search.where[number]
        word = "paused" if where == PAUSED else "to be continued" if where == QUEUED else where
        best = search_best(self.oracle)
        return (
            f"[{self.oracle.clock.seconds:6.0f} s] trial {trial.trial_id}  "
            f"{epoch}/{scheduler.max_epochs} {scheduler.unit}s  {shown}  {word}  (best {best})  {_values(trial)}"
        )


def search_best(oracle: SchedulerOracle) -> str:
    """The best objective so far in its own units, as text."""
    return "-" if oracle.best == float("inf") else f"{oracle.reader.in_own_units(oracle.best):.5g}"


def _number(objective: float) -> str:
    return f"{objective:.5g}" if math.isfinite(objective) else "not finite"


def _values(trial: Trial) -> str:
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in own_values(trial.hyperparameters.values).items()
    )
