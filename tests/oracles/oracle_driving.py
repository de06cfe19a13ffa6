"""Plays workers against any oracle, one call at a time, without training anything."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import keras_tuner
from keras_tuner.src.engine.trial import Trial

from kt_ext.core.journal import Journal
from kt_ext.oracles import ASHAOracle, SchedulerOracle
from kt_ext.oracles.hyperparameters import EPOCHS, INITIAL_EPOCH, TRIAL_ID, own_values

LOSS = keras_tuner.Objective("loss", "min")
Curve = Callable[[Trial, int], Any]  # a trial and its epoch to the metrics, or an exception to crash with


class HandOut(NamedTuple):
    """A segment that a worker was given: epochs ``initial + 1`` to ``until``, from the state of trial ``source``."""

    trial_id: str
    initial: int
    until: int
    source: str | None


def hand_out(trial: Trial) -> HandOut:
    """What a worker reads from a trial that it is given."""
    values = trial.hyperparameters.values
    return HandOut(trial.trial_id, values[INITIAL_EPOCH], values[EPOCHS], values.get(TRIAL_ID))


def over_the_wire(trial: Trial) -> Trial:
    """The trial as a worker on another machine sees it."""
    return Trial.from_proto(trial.to_proto())


class Workers:
    """``count`` workers that take turns, each turn being one call of the oracle.

    Attributes:
        handed_out: every segment, in order.
        reports: every report as (trial id, epoch, status of the answer), in order.
        idle: how often a worker was told to wait.
    """

    def __init__(self, oracle: Any, curve: Curve, count: int = 1, wire: bool = False) -> None:
        self.oracle, self.curve, self.wire = oracle, curve, wire
        self.handed_out: list[HandOut] = []
        self.reports: list[tuple[str, int, str]] = []
        self.idle = 0
        self._free = [f"tuner{worker}" for worker in range(count)]
        self._turns: list[tuple[str, Iterator[None]]] = [(name, self._work(name)) for name in self._free]

    def step(self) -> bool:
        """The next worker takes its turn; False when all have been dismissed."""
        while self._turns:
            name, work = self._turns.pop(0)
            if next(work, "dismissed") is None:
                self._turns.append((name, work))
                return True
        return False

    def run(self, steps: int = 100_000) -> Workers:
        """Go on until all are dismissed, or for so many turns."""
        for _ in range(steps):
            if not self.step():
                return self
        assert steps < 100_000, "the search does not end"
        return self

    def _work(self, name: str) -> Iterator[None]:
        while True:
            trial = self.oracle.create_trial(name)
            if trial.status == "STOPPED":
                return
            if trial.status == "IDLE":
                self.idle += 1
                yield
                continue
            trial = over_the_wire(trial) if self.wire else trial
            segment = hand_out(trial)
            self.handed_out.append(segment)
            yield
            crash = None
            for epoch in range(segment.initial + 1, segment.until + 1):
                metrics = self.curve(trial, epoch)
                if isinstance(metrics, Exception):
                    crash = metrics
                    break
                answer = self.oracle.update_trial(trial.trial_id, metrics, step=epoch)
                self.reports.append((trial.trial_id, epoch, answer.status))
                yield
                if answer.status == "STOPPED":
                    break
            trial.status, trial.message = ("COMPLETED", None) if crash is None else ("INVALID", str(crash))
            self.oracle.end_trial(over_the_wire(trial) if self.wire else trial)
            yield


def small_space() -> keras_tuner.HyperParameters:
    """Three hyperparameters, infinitely many configurations."""
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Int("units", 1, 100)
    hp.Choice("kind", ["a", "b", "c"])
    return hp


def branching_space() -> keras_tuner.HyperParameters:
    """The small space with one more that is active at times."""
    hp = small_space()
    with hp.conditional_scope("kind", ["a", "b"]):
        hp.Int("depth", 1, 9)
    return hp


def by_values(trial: Trial, epoch: int) -> dict[str, float]:
    """A curve that depends on the values alone: it falls, and the larger ``units`` the further. Trial 4 diverges."""
    if int(trial.trial_id) == 4 and epoch > 1:
        return {"loss": float("nan"), "accuracy": 0.0}
    units = trial.hyperparameters.values["units"]
    return {"loss": 100.0 / units + 1.0 / epoch, "accuracy": units / 100}


def asha(directory: Path | None = None, name: str = "project", **changed: Any) -> ASHAOracle:
    """ASHA on rungs 1, 3, 9 with 9 trials, silent; arguments may be changed."""
    settings: dict[str, Any] = {
        "objective": LOSS,
        "max_epochs": 9,
        "max_trials": 9,
        "seed": 3,
        "hyperparameters": small_space(),
    }
    oracle = ASHAOracle(**{**settings, **changed})
    return placed(oracle, directory, name)


def placed(oracle: SchedulerOracle, directory: Path | None, name: str = "project") -> Any:
    """The oracle, silent, in a directory if one is given."""
    oracle.verbose = 0
    if directory is not None:
        oracle._set_project_dir(str(directory), name)
    return oracle


def journal(project: Path) -> list[dict[str, Any]]:
    """The events of a project, without their times and without a torn last one."""
    events = [event for _, event in Journal.read(project / "journal.jsonl")]
    for event in events:
        del event["t"]
    return events


def decisions(project: Path) -> list[dict[str, Any]]:
    """The decisions of a project and what they were made on: all but the traces of interruptions."""
    return [event for event in journal(project) if event["e"] in ("ask", "tell", "exhaust")]


def outcome(oracle: SchedulerOracle) -> dict[str, Any]:
    """All that a search found: for each trial its status, score, values, steering values included, and metrics."""
    return {
        trial_id: {
            "status": trial.status,
            "score": trial.score,
            "best_step": trial.best_step,
            "message": trial.message,
            "values": dict(trial.hyperparameters.values),
            "own": own_values(trial.hyperparameters.values),
            "metrics": str(trial.metrics.get_config()),  # text, since NaN is not equal to itself
        }
        for trial_id, trial in sorted(oracle.trials.items())
    }


def killed(project: Path, to: Path, lines: int | None = None, torn: bool = False) -> Path:
    """What a kill leaves of a running search: a copy of its project whose journal has ``lines`` lines."""
    shutil.copytree(project, to)
    (to / "kt_ext.lock").unlink(missing_ok=True)
    if lines is not None:
        whole = (project / "journal.jsonl").read_bytes().splitlines(keepends=True)
        half = whole[lines][: len(whole[lines]) // 2] if torn and lines < len(whole) else b""
        (to / "journal.jsonl").write_bytes(b"".join(whole[:lines]) + half)
    return to


@contextmanager
def without_waiting_for_the_disk(monkeypatch: Any) -> Iterator[None]:
    """Nothing is synced: a kill of the process, which these tests play, loses nothing by it."""
    with monkeypatch.context() as patch:
        patch.setattr("kt_ext.core.journal._sync_data", lambda fd: None)
        patch.setattr("kt_ext.core.durable.os.fsync", lambda fd: None)
        yield
