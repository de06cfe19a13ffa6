"""Who took over from whom, in the user's own units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras_tuner

from kt_ext.core.decision import Value
from kt_ext.core.lineage import Schedule, describe, takeovers
from kt_ext.oracles.hyperparameters import SCHEDULE

if TYPE_CHECKING:
    from kt_ext.oracles.base import SchedulerOracle


@dataclass(frozen=True)
class LineageRow:
    """One exploit: after ``epoch`` epochs ``member`` took over the state of ``donor``. A list of these is a table.

    Attributes:
        epoch: epochs that both had done.
        member: the trial that took over.
        donor: the trial whose state it took.
        old_values: the member's values up to this epoch.
        donor_values: the donor's values up to this epoch.
        new_values: the member's values from then on: the donor's, those that may change perturbed.
        score: the member's objective at this epoch, NaN if it was not finite.
        donor_score: the donor's.
    """

    epoch: int
    member: str
    donor: str
    old_values: Mapping[str, Value]
    donor_values: Mapping[str, Value]
    new_values: Mapping[str, Value]
    score: float
    donor_score: float


class Lineage(list[LineageRow]):
    """Rows that print as a table; ``pandas.DataFrame(lineage)`` makes a frame of them."""

    def __str__(self) -> str:
        cells = [("epoch", "member", "donor", "score", "donor's", "goes on with")]
        cells += [
            (str(r.epoch), r.member, r.donor, f"{r.score:.5g}", f"{r.donor_score:.5g}", describe(r.new_values))
            for r in self
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(c.rjust(w) for c, w in zip(row[:-1], widths, strict=False)) for row in cells]
        return "\n".join(f"{line}  {row[-1]}" for line, row in zip(lines, cells, strict=True))


def lineage_rows(oracle: SchedulerOracle) -> Lineage:
    """Every exploit of the oracle's search so far, in order."""
    return Lineage(
        LineageRow(
            epoch=one.epoch,
            member=oracle.name_of(one.member),
            donor=oracle.name_of(one.donor),
            old_values=dict(one.old_values),
            donor_values=dict(one.donor_values),
            new_values=dict(one.new_values),
            score=float("nan") if one.score == float("inf") else oracle.reader.in_own_units(one.score),
            donor_score=oracle.reader.in_own_units(one.donor_score),
        )
        for one in takeovers(oracle.search)
    )


def schedule_from(hyperparameters: keras_tuner.HyperParameters | Mapping[str, Any]) -> Schedule:
    """The schedule that a population's search left in a trial's hyperparameters, e.g. in ``get_best_hyperparameters``.

    Args:
        hyperparameters: they may have gone through ``get_config`` and ``from_config``; their ``values`` will do, too.

    Raises:
        ValueError: there is none.
    """
    values = hyperparameters if isinstance(hyperparameters, Mapping) else hyperparameters.values
    if SCHEDULE not in values:
        raise ValueError(
            f"hyperparameters: hold no {SCHEDULE!r}; give those of a trial of PBTTuner or PB2Tuner that was trained, "
            "such as tuner.get_best_hyperparameters()[0]"
        )
    return Schedule.from_json(values[SCHEDULE])
