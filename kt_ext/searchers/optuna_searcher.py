"""Any sampler of Optuna as a searcher (Akiba et al., 2019)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kt_ext.core.decision import Value
from kt_ext.core.history import History
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.core.space import Parameter, Space
from kt_ext.searchers.optuna_values import Translation, translation_of
from kt_ext.searchers.random import RandomSearcher

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

# How often the sampler is asked again when its answer was tried before.
ASKS = 16
# So many trials must have reached an epoch for trials to be compared there.
COMPARED = 10


class OptunaSearcher(AbstractSearcher):
    """Hands each proposal to a sampler of Optuna, with all trials so far as a study that is minimised.

    The study is made anew for each proposal, so it always says what the history says:

    * a trial that is with a worker is ``RUNNING``;
    * one that has left and has reached the epoch of comparison is ``COMPLETE`` with its best objective up to it. That
      epoch is the highest that ten of those that have left have reached (all of them, while they are fewer);
    * one that has left before it, or without a finite objective, is ``PRUNED``: TPE ranks these behind, other samplers
      leave them out;
    * the objectives of the epochs are the intermediate values, the step being the epoch.

    Parameters go by their names, with their own values. Where Optuna lacks the kind (logarithmic steps, a reverse
    logarithmic scale, an ordered choice) it sees the value's number, or its place in the unit interval.

    Each proposal is made by a copy of the sampler whose random states are set from ``rng``: if the sampler decides by
    the trials alone (TPE, GP, random), it is a function of history, space and rng. CMA-ES, NSGA-II and QMC note
    further things in the study. These are kept while the searcher lives; after a restart such a sampler begins afresh
    (CMA-ES and NSGA-II with a new first generation, QMC at the start of its sequence, passing over what was tried).

    Args:
        sampler: a ``optuna.samplers.BaseSampler``, e.g. ``TPESampler(multivariate=True, constant_liar=True)``.

    Raises:
        ImportError: Optuna is not installed.
        TypeError: not a sampler.
    """

    def __init__(self, sampler: BaseSampler) -> None:
        try:
            from optuna.samplers import BaseSampler
        except ImportError as error:
            raise ImportError("OptunaSearcher needs Optuna: pip install kt_ext[optuna]") from error
        if not isinstance(sampler, BaseSampler):
            raise TypeError(
                f"sampler={sampler!r} of type {type(sampler).__name__}: must be an instance of "
                "optuna.samplers.BaseSampler, such as optuna.samplers.TPESampler()"
            )
        self.sampler = sampler
        self._random = RandomSearcher()
        self._key: tuple[object, Space] | None = None
        self._translations: list[tuple[str, Translation | None]] = []
        self._study_notes: dict[str, Any] = {}
        self._trial_notes: dict[frozenset[tuple[str, Value]], Mapping[str, Any]] = {}

    def propose(self, history: History, space: Space, rng: np.random.Generator) -> dict[str, Value]:
        """The sampler's untried values, or drawn ones where it keeps repeating itself.

        Raises SpaceExhausted when a finite space has no untried configuration left.
        """
        if self._key != (history.identity, space):
            self._key = (history.identity, space)
            self._translations = _translations(space)
            self._study_notes, self._trial_notes = {}, {}
        study = self._study(history, space, rng)
        for _ in range(ASKS):
            trial = study.ask()
            values = self._suggest(trial, space)
            notes = study.get_trials(deepcopy=False)[-1].system_attrs
            study.tell(trial, state=_states().FAIL)  # so that nothing waits for it: it comes back with the history
            if not history.contains(values):
                self._study_notes = study._storage.get_study_system_attrs(study._study_id)
                self._trial_notes[frozenset(values.items())] = notes
                return values
        return self._random.propose(history, space, rng)

    def _suggest(self, trial: Trial, space: Space) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for parameter, (name, translation) in zip(space.parameters, self._translations, strict=True):
            if parameter.name not in values and parameter.holds(values):
                if translation is None:
                    values[parameter.name] = parameter.domain.at(0)
                else:
                    values[parameter.name] = translation.suggest(trial, name)
        return values

    def _study(self, history: History, space: Space, rng: np.random.Generator) -> Study:
        # A copy, as a sampler remembers the parameters of a study's trials by the trials' numbers.
        sampler = copy.deepcopy(self.sampler)
        reseed(sampler, rng)
        study = _new_study(sampler)
        for name, note in self._study_notes.items():
            study._storage.set_study_system_attr(study._study_id, name, note)
        compared = _epoch_of_comparison(history)
        study.add_trials([self._frozen(history, trial_id, space, compared) for trial_id in history.ids])
        return study

    def _frozen(self, history: History, trial_id: int, space: Space, compared: int) -> FrozenTrial:
        from optuna.trial import create_trial

        values = history.values(trial_id)
        active = set(space.active(values))
        params, distributions = {}, {}
        for parameter, (name, translation) in zip(space.parameters, self._translations, strict=True):
            if translation is not None and parameter in active and _fits(parameter, values):
                params[name] = translation.to_optuna(values[parameter.name])
                distributions[name] = translation.distribution
        epochs, objectives = history.curve(trial_id)
        states, value = _states(), None
        notes: Mapping[str, Any] = {}
        if trial_id in history.pending:
            state = states.RUNNING
        else:
            best = float(objectives[epochs <= compared].min(initial=np.inf))
            complete = history.epochs_of(trial_id) >= compared and np.isfinite(best)
            state, value = (states.COMPLETE, best) if complete else (states.PRUNED, None)
            # Not for running trials: TPE reads more from its notes of those than from their values.
            notes = self._trial_notes.get(frozenset(values.items()), {})
        return create_trial(
            state=state,
            value=value,
            params=params,
            distributions=distributions,
            intermediate_values=dict(zip(epochs.tolist(), objectives.tolist(), strict=True)),
            system_attrs=dict(notes),
        )


def reseed(sampler: BaseSampler, rng: np.random.Generator) -> None:
    """Sets all random states of a sampler, and of those inside it. Its own ``reseed_rng`` takes no seed."""
    from optuna.samplers import BaseSampler

    for part in vars(sampler).values():
        if isinstance(part, BaseSampler):
            reseed(part, rng)
        elif isinstance(getattr(part, "rng", None), np.random.RandomState):
            part.rng.seed(int(rng.integers(2**32)))


def _epoch_of_comparison(history: History) -> int:
    ended = [history.epochs_of(trial_id) for trial_id in history.ids if trial_id not in history.pending]
    reported = sorted((epochs for epochs in ended if epochs), reverse=True)
    return reported[min(COMPARED, len(reported)) - 1] if reported else 0


def _fits(parameter: Parameter, values: Mapping[str, Value]) -> bool:
    return parameter.name in values and parameter.domain.problem(values[parameter.name]) is None


def _translations(space: Space) -> list[tuple[str, Translation | None]]:
    """For each parameter its name in the study and its translation, None where there is nothing to choose."""
    names = [parameter.name for parameter in space.parameters]
    found = []
    for place, parameter in enumerate(space.parameters):
        # Optuna knows a parameter by its name alone; ours may share one under different conditions.
        name = parameter.name
        if names.count(name) > 1:
            name = f"{name}#{names[:place].count(name)}"
        found.append((name, None if parameter.domain.count == 1 else translation_of(parameter.domain)))
    return found


def _states() -> Any:
    from optuna.trial import TrialState

    return TrialState


def _new_study(sampler: BaseSampler) -> Study:
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces each new study
    try:
        return optuna.create_study(sampler=sampler, direction="minimize")
    finally:
        optuna.logging.set_verbosity(verbosity)
