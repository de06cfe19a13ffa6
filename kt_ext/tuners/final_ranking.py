"""The best few of a search at low fidelity are trained anew at full fidelity, and ranked by that."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher, SpaceExhausted
from kt_ext.core.space import Space
from kt_ext.nas.estimators import rank_correlation
from kt_ext.oracles.hyperparameters import own_values
from kt_ext.schedulers import FIFO
from kt_ext.training.storage import joined
from kt_ext.tuners.scheduler import SchedulerTuner

if TYPE_CHECKING:
    from kt_ext.tuners.nas import NASTuner

PROJECT = "final"
#: More than anybody will rank: the list of initial values ends it.
_MANY = 10_000


class NothingElse(AbstractSearcher):
    """Proposes nothing: only initial values are tried."""

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> Mapping[str, Any]:
        """Raises SpaceExhausted."""
        raise SpaceExhausted("all that was to be ranked has been trained")


class FinalRanking:
    """The second half of a search at low fidelity, in the folder ``final`` of its project directory.

    Args:
        search: the first half.
        hypermodel: at full fidelity.
        epochs: how many epochs each is trained.
        best: how many are.
        arguments: of the tuner that trains them.
    """

    def __init__(self, search: NASTuner, hypermodel: Any, epochs: int, best: int, arguments: Mapping[str, Any]) -> None:
        self._search, self._hypermodel, self._epochs, self._best = search, hypermodel, epochs, best
        kept = ("directory", "project_name", "overwrite", "tuner_id", "logger")
        self._arguments = {name: value for name, value in arguments.items() if name not in kept}
        if self._arguments.get("checkpoint_directory") is not None:  # beside those of the search, not of another's
            place = os.fspath(self._arguments["checkpoint_directory"])
            self._arguments["checkpoint_directory"] = joined(place, search.project_name)
        self.tuner: SchedulerTuner | None = None
        if Path(search.project_dir, PROJECT).exists():
            self.tuner = self._make()

    def run(self, fit_args: tuple[Any, ...], fit_kwargs: Mapping[str, Any], verbose: int | str) -> None:
        """Train the best that were not yet."""
        self.tuner = self._make()
        self.tuner.search(*fit_args, verbose=verbose, **fit_kwargs)

    def _make(self) -> SchedulerTuner:
        oracle = self._search._own_oracle
        values = [own_values(trial.hyperparameters.values) for trial in self._chosen()]
        return SchedulerTuner(
            self._hypermodel,
            FIFO(_MANY, self._epochs),
            NothingElse(),
            oracle.objective,
            initial_values=values,
            constraints=oracle.late_constraints,
            multi_objective="pareto" if oracle.reader.pareto else "sum",
            seed=oracle.seed,
            directory=self._search.project_dir,
            project_name=PROJECT,
            # Checkpoints that lie elsewhere, of a search that was overwritten, go with it.
            overwrite=not Path(self._search.project_dir, PROJECT).exists(),
            **self._arguments,
        )

    def _chosen(self) -> list[Any]:
        trials = self._search._own_oracle.get_best_trials(self._best)
        return [trial for trial in trials if trial.score is not None and math.isfinite(trial.score)]

    @property
    def done(self) -> SchedulerTuner | None:
        """The tuner, if it has trained something."""
        if self.tuner is None or not any(trial.score is not None for trial in self.tuner._own_oracle.trials.values()):
            return None
        return self.tuner

    def correlation(self) -> float:
        """Spearman's coefficient between the scores at low and at full fidelity; NaN for fewer than two."""
        pairs = self._pairs()
        return rank_correlation(*np.array(pairs).T) if pairs else math.nan

    def summary(self) -> str:
        """What the final ranking showed, in a line."""
        pairs = self._pairs()
        agreement = self.correlation()
        said = f"{agreement:.2f}" if math.isfinite(agreement) else "unknown"
        return (
            f"The best {len(pairs)} of the search were trained at full fidelity; rank correlation with their scores at "
            f"low fidelity: {said}"
        )

    def _pairs(self) -> list[tuple[float, float]]:
        """Scores at low and at full fidelity of those that have both."""
        if self.tuner is None:
            return []
        low = {_key(trial): trial.score for trial in self._search._own_oracle.trials.values()}
        found = [(low.get(_key(trial)), trial.score) for trial in self.tuner._own_oracle.trials.values()]
        return [(a, b) for a, b in found if a is not None and b is not None and math.isfinite(b)]


def _key(trial: Any) -> tuple[Any, ...]:
    return tuple(sorted(own_values(trial.hyperparameters.values).items()))
