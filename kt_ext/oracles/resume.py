"""What an oracle writes when a search begins and at intervals, and how it takes a search over again."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from kt_ext._version import __version__
from kt_ext.core.search import RUNNING, Event
from kt_ext.oracles import trials
from kt_ext.oracles.hyperparameters import from_entries, to_space

if TYPE_CHECKING:
    from kt_ext.oracles.base import SchedulerOracle

_log = logging.getLogger("kt_ext")
FORMAT = 1


def header(oracle: SchedulerOracle) -> Event:
    """The first event of a search: what must be the same when it is resumed."""
    if oracle.asked_for is None:
        oracle.asked_for = oracle.hyperparameters.copy()
    oracle.header = {
        "e": "search",
        "format": FORMAT,
        "kt_ext": __version__,
        "seed": oracle.seed,
        "digits": oracle._digits,
        "objective": str(oracle.reader),
        "scheduler": oracle._pristine.state(),
        **may_change(oracle),
        "space": oracle.asked_for.get_config()["space"],
        **({"constraints": constraints} if (constraints := oracle.reader.constraints.to_json()) else {}),
        **oracle.beginning.to_json(),
    }
    return oracle.header


def state(oracle: SchedulerOracle) -> dict[str, Any]:
    """The whole state as a JSON object; with the journal's position it stands for the journal so far."""
    assert oracle.files is not None
    return {
        "header": oracle.header,
        "search": oracle.search.state(),
        "space": oracle.hyperparameters.get_config()["space"],
        "trials": {trial_id: trials.state_of(trial) for trial_id, trial in oracle.trials.items()},
        "end_order": oracle.end_order,
        "run_times": dict(oracle._run_times),
        "handed_out": oracle.handed_out.state(),
        "interrupted": sorted(oracle._interrupted),
        "best": oracle.best,
        "lines": oracle.files.lines,
    }


def load(oracle: SchedulerOracle) -> None:
    """Make ``oracle`` what the journal says. Raises ValueError where the search was begun with other settings."""
    assert oracle.files is not None
    if oracle.asked_for is None:
        oracle.asked_for = oracle.hyperparameters.copy()
    snapshot, after = oracle.files.read()
    events = list(after)
    if snapshot is None and not events:
        return
    head = events.pop(0) if snapshot is None else snapshot["header"]
    _check_same(oracle, head)
    numbers = [event["trial"] for event in events if event["e"] == "ask"]
    numbers += [] if snapshot is None else [int(trial_id) for trial_id in snapshot["trials"]]
    started = max(numbers, default=-1) + 1
    if started > oracle.max_trials:
        raise ValueError(
            f"max_trials={oracle.max_trials}: {started} trials were started already in {oracle.files.directory}; "
            f"give at least {started}"
        )
    with _without_collecting():
        _begin(oracle, head)
        if snapshot is not None:
            _restore(oracle, snapshot)
        for event in events:
            _apply(oracle, event)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Loading makes many objects, which all stay: looking through them for garbage takes two thirds of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _begin(oracle: SchedulerOracle, head: Event) -> None:
    oracle._set_seed(head["seed"])
    oracle._clear()
    oracle._digits = head["digits"]
    oracle.header = head
    oracle.hyperparameters = from_entries(head["space"])
    oracle._begin_with(oracle.hyperparameters)


def _check_same(oracle: SchedulerOracle, head: Event) -> None:
    assert oracle.files is not None and oracle.asked_for is not None
    if head["format"] != FORMAT:
        raise ValueError(
            f"{oracle.files.directory} was written by kt_ext {head['kt_ext']} in format {head['format']}, and kt_ext "
            f"{__version__} reads format {FORMAT}: finish the search with that version, or choose another project_name"
        )
    differences: list[str] = []
    if head["objective"] != str(oracle.reader):
        differences.append(f"objective: {head['objective']} -> {oracle.reader}")
    differences += _changed("constraint", head.get("constraints", {}), oracle.reader.constraints.to_json())
    if oracle.given_seed is not None and head["seed"] != oracle.given_seed:
        differences.append(f"seed: {head['seed']} -> {oracle.given_seed}")
    differences += _changed("scheduler", settings_of(head["scheduler"]), settings_of(oracle._pristine.state()))
    if oracle.asked_for.space:
        begun_with = from_entries(head["space"])
        differences += to_space(begun_with.space).difference(to_space(oracle.asked_for.space))
    if differences:
        raise ValueError(
            f"{oracle.files.directory} holds a search that was begun with other settings (then -> now):\n  "
            + "\n  ".join(differences)
            + "\nGo on with the settings of then, or begin anew with overwrite=True or another project_name."
        )


def changes(oracle: SchedulerOracle) -> Event | None:
    """For the journal: what goes on otherwise than it says; None if nothing does. The user is told of a new searcher.

    A searcher proposes from all trials, whoever proposed them: another may go on, but not unnoticed.
    """
    now = may_change(oracle)
    then = {name: oracle.header.get(name, value) for name, value in now.items()}  # earlier versions wrote none
    if now == then:
        return None
    if now["searcher"] != then["searcher"]:
        assert oracle.files is not None
        _log.warning(
            "%s: the trials so far were proposed by %s, those to come will be by %s. To begin anew instead: "
            "overwrite=True or another project_name.",
            oracle.files.directory,
            then["searcher"],
            now["searcher"],
        )
    oracle.header = {**oracle.header, **now}
    return {"e": "changed", **now}


def may_change(oracle: SchedulerOracle) -> dict[str, Any]:
    """What need not be the same when a search is gone on with, and is on record."""
    return {"max_trials": oracle.max_trials, "searcher": oracle.searcher.on_record}


def settings_of(scheduler_state: Mapping[str, Any]) -> dict[str, Any]:
    """What a fresh scheduler's state says of its arguments; ``max_trials`` may be raised on resume."""
    settings = json.loads(json.dumps(scheduler_state.get("configuration", scheduler_state)))
    settings.pop("max_trials", None)
    return settings


def _changed(what: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = sorted({*then, *now})
    return [f"{what} {n}: {then.get(n)} -> {now.get(n)}" for n in names if then.get(n) != now.get(n)]


def _restore(oracle: SchedulerOracle, snapshot: Mapping[str, Any]) -> None:
    oracle.hyperparameters = from_entries(snapshot["space"])
    oracle._space = None
    configuration = snapshot["search"]["scheduler"].get("configuration", {})
    if "max_trials" in configuration:
        configuration["max_trials"] = oracle.max_trials
    oracle.search.load_state(snapshot["search"])
    for trial_id, trial_state in snapshot["trials"].items():
        trial = trials.from_state(trial_state, trial_id, oracle.hyperparameters, oracle.reader)
        oracle.trials[trial_id] = trial
        oracle.start_order.append(trial_id)
    if oracle.ranks is not None:
        oracle._rank_again()
    oracle.end_order = list(snapshot["end_order"])
    oracle._ended = set(oracle.end_order)
    oracle._run_times.update(snapshot["run_times"])
    if "handed_out" in snapshot:  # earlier versions did not write it
        oracle.handed_out.load_state(snapshot["handed_out"])
        oracle._interrupted = set(snapshot["interrupted"])
    oracle.best = snapshot["best"]
    oracle._saved_lines = snapshot["lines"]
    for trial_id, trial in oracle.trials.items():
        if trial.status == trials.Status.RUNNING and oracle.search.where[int(trial_id)] != RUNNING:
            oracle._finish(trial)  # its worker was told to stop, and had not said that it did


def _apply(oracle: SchedulerOracle, event: Event) -> None:
    kind = event["e"]
    oracle.handed_out.note(event)
    if kind == "space":
        entries = from_entries(event["entries"])
        oracle.hyperparameters.merge(entries.space)
        oracle._space = None
        return
    if kind == "values":
        oracle.search.history.amend(event["trial"], event["values"])
        oracle.trials[oracle.name_of(event["trial"])].hyperparameters.values.update(event["values"])
        return
    if kind == "interrupt":
        oracle._interrupted.add(event["trial"])
        return
    if kind == "changed":
        oracle.header = {**oracle.header, **{name: value for name, value in event.items() if name != "e"}}
        return
    oracle.search.replay(event)
    if kind in ("exhaust", "declare", "given"):
        return
    trial_id = oracle.name_of(event["trial"])
    if kind == "ask" and trial_id not in oracle.trials:
        oracle._new_trial(trial_id, event["values"])
    trial = oracle.trials[trial_id]
    oracle._unwritten.add(trial_id)
    if kind == "tell":
        oracle._take_report(trial, event["metrics"], event["epoch"], event["objective"])
    elif "metrics" in event:
        trials.record_metrics(trial, event["metrics"], 0, oracle.reader)  # it was never trained
    if "failed" in event:
        oracle._run_times[trial_id] += 1
        trial.message = event["failed"]
    elif "lost" in event:
        trial.message = event["lost"]
    if kind == "end":
        oracle._interrupted.discard(event["trial"])
    if kind in ("ask", "again") or event.keys() & {"until", "restore", "values"}:
        oracle._steer(trial, event.get("values"))
    if oracle.search.where[event["trial"]] == RUNNING:
        trial.status = trials.Status.RUNNING
        if kind != "tell":
            trial.message = None
    else:
        oracle._finish(trial)
        oracle._failures_in_a_row = 0  # a new session, a new count
