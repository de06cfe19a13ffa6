"""What a search knows before its first trial: values to try first, and earlier searches."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras_tuner

from kt_ext.core.decision import Value
from kt_ext.core.searcher import AbstractSearcher
from kt_ext.oracles.earlier import read_earlier
from kt_ext.oracles.hyperparameters import to_space, with_values
from kt_ext.oracles.objective import ObjectiveReader
from kt_ext.searchers.initial import InitialValues
from kt_ext.searchers.warm_start import EarlierTrial, WarmStart

Directory = str | os.PathLike[str]


@dataclass(frozen=True)
class Beginning:
    """What comes before the searcher's own proposals.

    Attributes:
        initial_values: hyperparameter values to be tried first, as the user gave them.
        warm_start: the directories of earlier searches.
        best: how many of the best of these are tried.
    """

    initial_values: tuple[Mapping[str, Value], ...] = ()
    warm_start: tuple[str, ...] = ()
    best: int = 1

    @classmethod
    def checked(
        cls,
        initial_values: Sequence[Mapping[str, Value]] | None,
        warm_start: Directory | Sequence[Directory] | None,
        warm_start_best: int,
    ) -> Beginning:
        """From a user's arguments. Raises TypeError, ValueError where one is wrong whatever the space is."""
        if initial_values is not None and (
            isinstance(initial_values, (str, Mapping)) or not all(isinstance(each, Mapping) for each in initial_values)
        ):
            raise TypeError(
                f"initial_values={initial_values!r}: must be a list of dictionaries, one for each trial, such as "
                "[{'units': 32}], or None"
            )
        if isinstance(warm_start, (str, os.PathLike)):
            warm_start = [warm_start]
        if warm_start is not None and not (
            isinstance(warm_start, Iterable) and all(isinstance(each, (str, os.PathLike)) for each in warm_start)
        ):
            raise TypeError(
                f"warm_start={warm_start!r}: must be the project directory of an earlier search, a list of them or None"
            )
        if isinstance(warm_start_best, bool) or not isinstance(warm_start_best, int) or warm_start_best < 0:
            raise ValueError(
                f"warm_start_best={warm_start_best!r}: must be an integer >= 0; 0 only informs the searcher"
            )
        values = tuple(dict(each) for each in initial_values or ())
        return cls(values, tuple(os.fspath(each) for each in warm_start or ()), warm_start_best)

    def searcher(
        self,
        searcher: AbstractSearcher,
        space: keras_tuner.HyperParameters,
        space_now: Callable[[], keras_tuner.HyperParameters],
        reader: ObjectiveReader,
        breaches: Callable[[Mapping[str, Value]], Sequence[str]],
        read_now: bool = False,
    ) -> AbstractSearcher:
        """The searcher with all that comes before it.

        Args:
            searcher: asked for what follows.
            space: the search space, as it was before the first trial.
            space_now: the space as it stands when something is proposed.
            reader: the objective, that of the earlier searches too.
            breaches: which limits values do not keep, a text for each; such values are not tried.
            read_now: whether to read the earlier searches at once, rather than when they are needed.

        Raises:
            ValueError: initial values are not in the space or beyond a limit, or an earlier search cannot be used.
            JournalDamaged, StorageError: that of an earlier search cannot be read.
        """
        if self.warm_start:
            read = functools.partial(_read_all, self.warm_start, reader)
            searcher = WarmStart(searcher, read() if read_now else read, self.best, lambda values: not breaches(values))
        if self.initial_values:
            values = self.completed(space)
            for place, said in enumerate(map(breaches, values)):
                if said:
                    raise ValueError(
                        f"initial_values[{place}]: {', '.join(said)} by constraints=; leave it out, or widen them"
                    )
            searcher = InitialValues(searcher, values, lambda given: _with_defaults(space_now(), given))
        return searcher

    def completed(self, space: keras_tuner.HyperParameters) -> list[dict[str, Value]]:
        """The initial values with Keras Tuner's default for each active parameter that they leave out.

        Raises ValueError for values that are not in the space.
        """
        domains = to_space(space.space)
        whole = []
        for place, given in enumerate(self.initial_values):
            values = _with_defaults(space, given)
            try:
                domains.validate(values)
            except ValueError as error:
                known = ", ".join(dict.fromkeys(parameter.name for parameter in domains.parameters))
                raise ValueError(f"initial_values[{place}]: {error} (the parameters: {known or 'none'})") from None
            whole.append(values)
        return whole

    def to_json(self) -> dict[str, Any]:
        """What is on record of it; on resume that which is given then counts."""
        record: dict[str, Any] = {}
        if self.initial_values:
            record["initial_values"] = [dict(values) for values in self.initial_values]
        if self.warm_start:
            record["warm_start"], record["warm_start_best"] = list(self.warm_start), self.best
        return record


def _with_defaults(space: keras_tuner.HyperParameters, given: Mapping[str, Value]) -> dict[str, Value]:
    """The given values, and the defaults of the other parameters that are active under all of them."""
    filled = with_values(space, given)
    entries = list(space.space)
    while entries:
        active = [entry for entry in entries if filled.is_active(entry)]
        if not active:
            break
        for entry in active:  # a child that stands before its parent has its turn in the next round
            filled.values.setdefault(entry.name, entry.default)
        entries = [entry for entry in entries if entry not in active]
    return filled.values


def _read_all(directories: Sequence[str], reader: ObjectiveReader) -> list[EarlierTrial]:
    return [trial for directory in directories for trial in read_earlier(directory, reader)]
