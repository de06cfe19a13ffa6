"""Why a trial is not with a worker, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def why_paused(scheduler: Mapping[str, Any], epoch: int) -> str:
    """Why a trial was paused after ``epoch`` epochs by a scheduler of these settings."""
    if scheduler.get("scheduler") == "PBT":
        return f"paused after epoch {epoch}, where the members take turns and are compared"
    if scheduler.get("variant") == "decisive":
        return f"paused after epoch {epoch}, where too few trials had been to judge it"
    if "factor" in scheduler:
        return f"paused after epoch {epoch}, not among the best 1/{scheduler['factor']} there so far"
    return f"paused after epoch {epoch}"


def is_whole(scheduler: Mapping[str, Any], epoch: int, until: int) -> bool:
    """Whether a trial that was sent to ``until`` and stopped after ``epoch`` epochs had trained all that there is."""
    return epoch == scheduler.get("max_epochs", scheduler.get("max_instances", until))


def why_stopped(scheduler: Mapping[str, Any], epoch: int, until: int, bad: str = "") -> str:
    """Why a trial was told to stop after ``epoch`` epochs.

    Args:
        scheduler: its settings.
        epoch: epochs done.
        until: the epoch that the trial was sent to.
        bad: what was wrong with its last report; empty if that was of use.
    """
    if is_whole(scheduler, epoch, until):
        return f"trained to the end, where {bad}" if bad else "trained to the end"
    if bad:
        return f"stopped after epoch {epoch}: {bad}"
    rules = [rule["rule"] for rule in scheduler.get("rules", ())]
    if scheduler.get("scheduler") == "Racing":
        rules.append("dropped from the race")
    if scheduler.get("variant") in ("stopping", "decisive") and "factor" in scheduler:
        rules.append(f"not among the best 1/{scheduler['factor']} there")
    return f"stopped after epoch {epoch}: {' or '.join(rules)}" if rules else f"stopped after epoch {epoch}"


def why_ended(event: Mapping[str, Any], trained: bool) -> str:
    """Why a trial left its worker without a decision of the scheduler.

    Args:
        event: the journal's ``end``.
        trained: whether it had reported an epoch.
    """
    said = (event.get("failed") or event.get("lost") or "").strip()
    last = said.splitlines()[-1] if said else ""
    if event["as"] == "failed":
        return f"failed: {last}" if last else "failed"
    if event["as"] == "queued":
        return f"waits to be tried again: {last}" if last else "was interrupted, and waits to go on"
    if "metrics" in event:
        return "not trained: a constraint was broken"
    return "ended itself" if trained else "ended before its first epoch"
