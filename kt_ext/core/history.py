"""All trials of a search and all that was observed of them, held as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any

import numpy as np

from kt_ext.core.decision import Observation, Value


class History:
    """Trials in the order of their start, with their values and observations.

    Every operation costs O(1), amortised over the epochs trained; ``curve`` costs O(its length).

    Attributes:
        identity: stays the same object until ``load_state``, so that what was derived from the first k configurations
            may be kept as long as it does.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.identity = object()
        self._ids: list[int] = []
        self._values: dict[int, Mapping[str, Value]] = {}
        self._replaced: list[tuple[int, int, Mapping[str, Value]]] = []  # trial, up to which epoch, values
        self._earlier: dict[int, list[tuple[int, Mapping[str, Value]]]] = {}
        self._configurations: list[Mapping[str, Value]] = []
        self._seen: set[frozenset[tuple[str, Value]]] = set()
        self._pending: dict[int, None] = {}
        self._trial_ids = _Column(np.int64)
        self._epochs = _Column(np.int64)
        self._objectives = _Column(np.float64)
        self._rows: dict[int, list[int]] = {}
        self._last_epoch: dict[int, int] = {}
        self._best: dict[int, tuple[float, int]] = {}
        self._reached: list[int] = [0]
        self._best_at: dict[int, float] = {}
        self._total_epochs = 0

    def start(self, trial_id: int, values: Mapping[str, Value]) -> None:
        """A new trial begins with ``values``; it is pending until ``end``. Raises ValueError for a known id."""
        if trial_id in self._values:
            raise ValueError(f"trial_id={trial_id}: was started before; give each trial its own id, or resume() it")
        self._ids.append(trial_id)
        self._values[trial_id] = self._see(values)
        self._pending[trial_id] = None
        self._rows[trial_id] = []
        self._last_epoch[trial_id] = 0
        self._best[trial_id] = (math.inf, 0)
        self._reached[0] += 1

    def assign(self, trial_id: int, values: Mapping[str, Value]) -> None:
        """The trial goes on with other ``values``; those before still count as seen.

        Raises ValueError for an unknown trial.
        """
        self._check_known(trial_id)
        if values != self._values[trial_id]:
            self._replace(trial_id, self._last_epoch[trial_id], self._values[trial_id])
            self._values[trial_id] = self._see(values)

    def amend(self, trial_id: int, values: Mapping[str, Value]) -> None:
        """The trial's ``values`` since it last went on turn out to be these: some showed only in training.

        Raises ValueError for an unknown trial.
        """
        self._check_known(trial_id)
        if values != self._values[trial_id]:
            earlier = self._earlier.get(trial_id)
            self._replace(trial_id, earlier[-1][0] if earlier else 0, self._values[trial_id])
            self._values[trial_id] = self._see(values)

    def _replace(self, trial_id: int, epoch: int, values: Mapping[str, Value]) -> None:
        self._replaced.append((trial_id, epoch, values))
        self._earlier.setdefault(trial_id, []).append((epoch, values))

    def _see(self, values: Mapping[str, Value]) -> Mapping[str, Value]:
        copy = MappingProxyType(dict(values))
        key = frozenset(copy.items())
        if key not in self._seen:
            self._seen.add(key)
            self._configurations.append(copy)
        return copy

    def record(self, observation: Observation) -> None:
        """Adds an observation.

        Raises ValueError for an unknown trial, an epoch that is not after the trial's last one, and an objective that
        is NaN or minus infinity.
        """
        trial_id, epoch, objective = observation.trial_id, observation.epoch, float(observation.objective)
        self._check_known(trial_id)
        last = self._last_epoch[trial_id]
        if epoch <= last:
            raise ValueError(f"epoch={epoch} of trial {trial_id}: must be after its last, {last}; report each once")
        if math.isnan(objective) or objective == -math.inf:
            raise ValueError(f"objective={objective} of trial {trial_id}: must be finite or inf; use inf as the worst")
        self._rows[trial_id].append(len(self._epochs))
        self._trial_ids.append(trial_id)
        self._epochs.append(epoch)
        self._objectives.append(objective)

        self._last_epoch[trial_id] = epoch
        self._total_epochs += epoch - last
        if epoch >= len(self._reached):
            self._reached.extend([0] * (epoch + 1 - len(self._reached)))
        for between in range(last + 1, epoch + 1):
            self._reached[between] += 1
        if last == 0 or objective < self._best[trial_id][0]:
            self._best[trial_id] = (objective, epoch)
        self._best_at[epoch] = min(objective, self._best_at.get(epoch, math.inf))

    def end(self, trial_id: int) -> None:
        """The trial is no longer pending; without effect if it was not. Raises ValueError for an unknown trial."""
        self._check_known(trial_id)
        self._pending.pop(trial_id, None)

    def resume(self, trial_id: int) -> None:
        """The trial is pending again. Raises ValueError for an unknown trial."""
        self._check_known(trial_id)
        self._pending[trial_id] = None

    def _check_known(self, trial_id: int) -> None:
        if trial_id not in self._values:
            raise ValueError(f"trial_id={trial_id}: was never started; call start() first")

    def __len__(self) -> int:
        """The number of trials started."""
        return len(self._ids)

    @property
    def ids(self) -> Sequence[int]:
        """Trial ids in the order of their start; a live list, not to be changed."""
        return self._ids

    @property
    def pending(self) -> Set[int]:
        """Ids of the trials that are running; a live view, read-only."""
        return self._pending.keys()

    @property
    def total_epochs(self) -> int:
        """Epochs done by all trials together."""
        return self._total_epochs

    def values(self, trial_id: int) -> Mapping[str, Value]:
        """The trial's values, read-only. Raises KeyError for an unknown trial."""
        return self._values[trial_id]

    def values_at(self, trial_id: int, epoch: int) -> Mapping[str, Value]:
        """The values with which the trial trained its epoch ``epoch``, or would if it has not got there.

        Raises KeyError for an unknown trial.
        """
        for until, values in self._earlier.get(trial_id, ()):
            if epoch <= until:
                return values
        return self._values[trial_id]

    @property
    def configurations(self) -> Sequence[Mapping[str, Value]]:
        """All distinct values that trials have or had, each once; a live list that only grows, not to be changed."""
        return self._configurations

    def contains(self, values: Mapping[str, Value]) -> bool:
        """Whether some trial has or had exactly these values."""
        return frozenset(values.items()) in self._seen

    def epochs_of(self, trial_id: int) -> int:
        """Epochs that the trial has done, 0 before its first report. Raises KeyError for an unknown trial."""
        return self._last_epoch[trial_id]

    def best(self, trial_id: int) -> tuple[float, int]:
        """The trial's best objective and the first epoch that reached it, (inf, 0) before its first report."""
        return self._best[trial_id]

    def curve(self, trial_id: int) -> tuple[np.ndarray, np.ndarray]:
        """The trial's reported epochs, ascending, and their objectives, both of shape (k,)."""
        rows = self._rows[trial_id]
        return self._epochs.view()[rows], self._objectives.view()[rows]

    def observations(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Trial ids, epochs and objectives of all observations in order of arrival, read-only, each of shape (n,)."""
        return self._trial_ids.view(), self._epochs.view(), self._objectives.view()

    def reached(self, epoch: int) -> int:
        """How many trials have done at least ``epoch`` epochs."""
        return self._reached[epoch] if epoch < len(self._reached) else 0

    def best_at(self, epoch: int) -> float | None:
        """The best objective reported at exactly ``epoch``, None if there is no report."""
        return self._best_at.get(epoch)

    def state(self) -> dict[str, Any]:
        """The history as a JSON object, in columns. An infinite objective is null."""
        trial_ids, epochs, objectives = self.observations()
        return {
            "ids": list(self._ids),
            "values": [dict(self._values[trial_id]) for trial_id in self._ids],
            "replaced": [[trial_id, epoch, dict(values)] for trial_id, epoch, values in self._replaced],
            "pending": list(self._pending),
            "observations": {
                "trial_ids": trial_ids.tolist(),
                "epochs": epochs.tolist(),
                "objectives": [None if objective == math.inf else objective for objective in objectives.tolist()],
            },
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes over a ``state()`` in place of what was held."""
        self._clear()
        for trial_id, values in zip(state["ids"], state["values"], strict=True):
            self.start(trial_id, values)
        for trial_id, epoch, values in state["replaced"]:
            self._replace(trial_id, epoch, self._see(values))
        self._pending = dict.fromkeys(state["pending"])
        seen = state["observations"]
        self._trial_ids = _Column(np.int64, seen["trial_ids"])
        self._epochs = _Column(np.int64, seen["epochs"])
        self._objectives = _Column(np.float64, [math.inf if o is None else o for o in seen["objectives"]])
        self._index(seen["trial_ids"], seen["epochs"], self._objectives.view().tolist())

    def _index(self, trial_ids: Sequence[int], epochs: Sequence[int], objectives: Sequence[float]) -> None:
        """What ``record`` keeps beside the columns, for many observations at once."""
        for row, (trial_id, epoch, objective) in enumerate(zip(trial_ids, epochs, objectives, strict=True)):
            rows = self._rows[trial_id]
            if not rows or objective < self._best[trial_id][0]:
                self._best[trial_id] = (objective, epoch)
            rows.append(row)
            self._last_epoch[trial_id] = epoch
            if objective < self._best_at.setdefault(epoch, objective):
                self._best_at[epoch] = objective
        ends = np.bincount(np.fromiter(self._last_epoch.values(), np.int64, len(self._last_epoch)), minlength=1)
        self._reached = ends[::-1].cumsum()[::-1].tolist()
        self._total_epochs = sum(self._last_epoch.values())


class _Column:
    """A numpy array that grows at its end, at amortised O(1)."""

    def __init__(self, dtype: type[np.generic], items: Sequence[float] = ()) -> None:
        self._length = len(items)
        self._array = np.empty(max(64, self._length), dtype)
        self._array[: self._length] = items

    def __len__(self) -> int:
        return self._length

    def append(self, item: float) -> None:
        if self._length == len(self._array):
            self._array = np.concatenate([self._array, np.empty_like(self._array)])
        self._array[self._length] = item
        self._length += 1

    def view(self) -> np.ndarray:
        view = self._array[: self._length]
        view.flags.writeable = False
        return view
