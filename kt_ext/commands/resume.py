"""``resume DIR``: where a search stands, and how it goes on."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from kt_ext.commands.search import add_command, follow, leader, silence

if TYPE_CHECKING:
    from kt_ext.commands.search import Commands
    from kt_ext.reports.record import SearchRecord

HOW = (
    "To go on, run the same script again, with the same directory, project_name, scheduler, objective and seed, and "
    "without overwrite=True.\nThe model and the data are not in the directory, so that no other command can do it."
)
FURTHER = "To search further, raise what ended it, max_trials, max_total_epochs or max_seconds, in the script first."


def add_resume(commands: Commands) -> None:
    """Add the command."""
    add_command(commands, "resume", "say where a search stands and how it goes on; changes nothing", _resume)


def _resume(options: argparse.Namespace) -> None:
    from kt_ext.reports import words
    from kt_ext.reports.watch import view

    _, record = follow(options.directory)
    holder = leader(record)
    for line in view(record, holder, silence(record), (10_000, 10_000)):
        print(line)
    print()
    if holder is not None:
        print(f"It runs, since {holder['since']}: {holder['command']}. There is nothing to resume.")
        return
    interrupted = [trial for trial in record.trials if trial.status in ("running", "queued")]
    most = words.most_trials(record)
    for trial in interrupted:
        done = trial.epochs[-1] if trial.epochs else 0
        print(f"Trial {trial.name} goes on after {words.counted(done, words.unit(record))}, up to {trial.until}.")
    if not interrupted:
        print("No trial was cut short.")
    if most is not None and len(record.trials) < most:
        print(f"{words.counted(most - len(record.trials), 'trial')} of {most} were not started.")
    last = _last_command(record)
    if last:
        print(f"The last process was killed; it was: {last}")
    print(HOW)
    print(FURTHER)


def _last_command(record: SearchRecord) -> str:
    """What a process that did not give the directory back was started with; empty where all did."""
    from kt_ext.reports.record import LOCK

    try:
        written: dict[str, Any] = json.loads((record.directory / LOCK).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return ""
    return str(written.get("command", ""))
