"""The part of an oracle that judges: what a report is worth to the scheduler, a trial's best epoch, the best trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kt_ext.oracles.constraints import Bound, Constraints
from kt_ext.oracles.multi_objective import ParetoRanks
from kt_ext.oracles.objective import ObjectiveReader
from kt_ext.oracles.recorded import RecordedOracle, exclusive
from kt_ext.oracles.trials import Status, Trial, metrics_by_epoch, record_metrics, score


def make_reader(
    objective: Any, multi_objective: str, constraints: Mapping[str, Bound] | None, target: float | None
) -> ObjectiveReader:
    """The reader of a search's objective. Raises TypeError, ValueError where the arguments do not go together."""
    if multi_objective not in ("sum", "pareto"):
        raise ValueError(f"multi_objective={multi_objective!r}: must be 'sum' or 'pareto'")
    pareto = multi_objective == "pareto"
    if pareto and not hasattr(objective, "name_to_direction"):
        raise ValueError(
            f"multi_objective='pareto' with {objective}: needs a list of objectives, such as ['val_loss', "
            "keras_tuner.Objective('params', 'min')]; leave it out for a single one"
        )
    if pareto and target is not None:
        raise ValueError(
            f"target={target!r}: several objectives have no one value to reach with multi_objective='pareto'; end the "
            "search by max_total_epochs or max_seconds"
        )
    return ObjectiveReader(objective, Constraints(constraints), pareto)


class JudgingOracle(RecordedOracle):
    """What reports and trials are worth.

    Attributes:
        reader: reads the objective from reported metrics.
        ranks: all reports, where they are compared by domination; else None.
        best: the best minimised objective so far, ``inf`` without one.
    """

    reader: ObjectiveReader
    ranks: ParetoRanks | None
    best: float

    def _objective_of(self, epoch: int, metrics: Mapping[str, float]) -> float:
        """What the scheduler and the searcher see of a report."""
        if self.ranks is None:
            return self.reader.minimised(metrics)
        return self.ranks.rank(epoch, self.reader.vector(metrics))

    def _take_report(self, trial: Trial, metrics: Mapping[str, float], epoch: int, objective: float) -> None:
        """Add a report, live or on record, to what is known."""
        record_metrics(trial, metrics, epoch, self.reader, objective)
        if self.ranks is not None:
            self.ranks.note(int(trial.trial_id), epoch, self.reader.vector(metrics), objective)
        self.best = min(self.best, self.merit(int(trial.trial_id)))

    def _rank_again(self) -> None:
        """After a snapshot was restored: all reports with the ranks that they were given."""
        for trial in self.trials.values():
            number, metrics = int(trial.trial_id), metrics_by_epoch(trial, self.reader.wanted)
            for epoch, objective in zip(*map(list, self.search.history.curve(number)), strict=True):
                assert self.ranks is not None
                self.ranks.note(number, int(epoch), self.reader.vector(metrics[epoch]), float(objective))

    def best_of(self, number: int) -> tuple[float, int]:
        """The objective of the epoch that a trial is judged by, and that epoch; (inf, 0) without a report."""
        if self.ranks is None:
            return self.search.history.best(number)
        judged = self.ranks.judged(number)
        return (math.inf, 0) if judged is None else (judged.rank, judged.epoch)

    def merit(self, number: int) -> float:
        """What a trial may claim for ``best`` as it stands: the minimised objective of its best epoch."""
        return self.best_of(number)[0]

    def score_trial(self, trial: Trial) -> None:
        """The best finite objective of the epochs so far, and its epoch; NaN and infinities count as the worst.

        A trial none of whose epochs keeps all bounds has the worst score there is, an infinite one.
        """
        score(trial, self.best_of(int(trial.trial_id)), self.reader)
        if trial.score is None and self.breach(trial) is not None:
            trial.score = self.reader.in_own_units(math.inf)

    def breach(self, trial: Trial) -> str | None:
        """Which bounds the trial broke last, and when; None if it broke none."""
        for epoch, metrics in sorted(metrics_by_epoch(trial, self.reader.constraints.names).items(), reverse=True):
            breaches = ", ".join(self.reader.constraints.breaches(metrics))
            if breaches:
                when = f"at epoch {epoch}" if epoch else "so it was not trained"
                return f"infeasible by the constraints, {when}: {breaches}"
        return None

    @exclusive
    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The best trials so far, best first; infeasible ones are left out.

        With ``multi_objective="pareto"`` those that fewer others dominate come first, the Pareto front before all, and
        of equally many those with the better score. If there are fewer than ``num_trials``, those follow that have no
        score, as in Keras Tuner.
        """
        scored = self._scored()
        if self.ranks is None:
            ranked = sorted(scored, key=lambda trial: -trial.score if self.reader.maximise else trial.score)
        else:
            by = self.ranks.dominators([int(trial.trial_id) for trial in scored])
            ranked = sorted(scored, key=lambda trial: (by[int(trial.trial_id)], trial.score))
        if len(ranked) < num_trials:
            ranked += [trial for trial in self.trials.values() if trial.status != Status.COMPLETED]
        return ranked[:num_trials]

    @exclusive
    def pareto_front(self) -> list[Trial]:
        """The trials that no other dominates, those of the best score first.

        Each trial is judged by one epoch, its ``best_step``, which none of its other epochs dominates; trials that are
        with a worker and infeasible ones are left out.

        Raises ValueError for a search whose objectives are not compared by domination.
        """
        if self.ranks is None:
            raise ValueError(
                f"multi_objective='sum': {self.reader.objective} is one number and has no Pareto front; give a list of "
                "objectives and multi_objective='pareto' to the search"
            )
        by = self.ranks.dominators([int(trial.trial_id) for trial in self._scored()])
        front = [trial for trial in self._scored() if by[int(trial.trial_id)] == 0]
        return sorted(front, key=lambda trial: trial.score)

    def _scored(self) -> list[Trial]:
        return [
            trial
            for trial in self.trials.values()
            if trial.status == Status.COMPLETED and trial.score is not None and math.isfinite(trial.score)
        ]
