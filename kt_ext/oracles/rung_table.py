"""How many trials reached each rung, the best there, and what the search cost beside a full one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kt_ext.oracles.base import SchedulerOracle

#: Of more rungs than these a display shows some.
MAX_SHOWN = 12


@dataclass(frozen=True)
class RungRow:
    """One rung.

    Attributes:
        epochs: where trials are compared.
        reached: how many trials have trained so far, or further.
        best: the best objective observed at exactly this epoch, in the user's own units; None without a finite one.
    """

    epochs: int
    reached: int
    best: float | None


def rung_rows(oracle: SchedulerOracle) -> list[RungRow]:
    """One row for each rung of the oracle's scheduler, lowest first."""
    history = oracle.search.history
    rows = []
    for epochs in oracle.scheduler.rung_epochs:
        best = history.best_at(epochs)
        shown = None if best is None or best == math.inf else oracle.reader.in_own_units(best)
        rows.append(RungRow(epochs, history.reached(epochs), shown))
    return rows


def shown_rows(oracle: SchedulerOracle) -> list[RungRow]:
    """The rows that a display has room for: of many rungs some, the first and the last among them."""
    rows = rung_rows(oracle)
    if len(rows) <= MAX_SHOWN:
        return rows
    return [rows[round(n * (len(rows) - 1) / (MAX_SHOWN - 1))] for n in range(MAX_SHOWN)]


def summary(oracle: SchedulerOracle) -> str:
    """The table of rungs and the cost of the search, as plain text."""
    name, units = oracle.objective.name, f"{oracle.scheduler.unit}s"
    lines = [f"{'rung':>{4 + len(units)}}  {'trials':>6}  best {name}"]
    lines += [
        f"{row.epochs:>4} {units}  {row.reached:>6}  {'-' if row.best is None else f'{row.best:.5g}'}"
        for row in shown_rows(oracle)
    ]
    history = oracle.search.history
    spent, full = history.total_epochs, len(history) * oracle.scheduler.max_epochs
    share = f" ({spent / full:.0%})" if full else ""
    lines.append(f"{spent} {units} trained; {len(history)} trials in full would take {full}{share}")
    if oracle.mutates:
        lines.append(f"{len(oracle.search.takeovers)} times a member took over another's state; see tuner.lineage()")
    return "\n".join(lines)
