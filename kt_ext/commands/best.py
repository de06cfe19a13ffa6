"""``best DIR``: the values and scores of the best trials."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from kt_ext.commands.search import add_command, follow

if TYPE_CHECKING:
    from kt_ext.commands.search import Commands


def add_best(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "best", "print the values and scores of the best trials", _best)
    parser.add_argument("-n", type=_count, default=5, metavar="N", help="how many (5)")
    parser.add_argument("--json", action="store_true", help="as a list of JSON objects")


def _count(text: str) -> int:
    found = int(text)
    if found < 1:
        raise argparse.ArgumentTypeError(f"-n {text}: must be at least 1")
    return found


def _best(options: argparse.Namespace) -> None:
    from kt_ext.reports import words

    _, record = follow(options.directory)
    best = record.ranked()[: options.n]
    if options.json:
        rows = [
            {
                "trial": trial.name,
                "score": words.judged(record, trial),
                "best_epoch": record.score(trial)[1],
                "values": dict(words.values(record, trial)),
            }
            for trial in best
        ]
        print(json.dumps(rows, indent=2))
    elif not best:
        print("No trial has a finite score yet.")
    else:
        for place, trial in enumerate(best, 1):
            score = words.assignments(words.judged(record, trial))
            print(f"{place}. trial {trial.name}  {score}  {words.unit(record)} {record.score(trial)[1]}")
            print(f"   {words.assignments(words.values(record, trial))}")
