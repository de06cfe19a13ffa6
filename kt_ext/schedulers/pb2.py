"""The explore step of population based bandits: what improves the objective most, as a Gaussian process sees it.

Parker-Holder, Nguyen, Roberts (2020), "Provably Efficient Online Hyperparameter Optimization with Population-Based
Bandits", https://arxiv.org/abs/2002.02518, Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from kt_ext.core.decision import Run, Value
from kt_ext.core.history import History
from kt_ext.core.space import Boolean, Choice, Space
from kt_ext.schedulers.adaptive import AdaptivePerturb, PacedExplorer
from kt_ext.schedulers.checks import integer

#: Improvements are cut off at this many deviations: a collapse must not hide the differences between the others.
CUT = 3.0


class PB2Explorer(PacedExplorer):
    """Proposes the values with the highest upper confidence bound of the improvement in the next interval.

    They are looked for among ``candidates`` children that ``AdaptivePerturb`` proposes, not in the whole domain as in
    the paper: what improves most at once is not what is best in the end (a rate that falls too early), and where there
    are no data the process knows no better than chance.

    The improvement of each interval, per epoch, is modelled over time and values by a Gaussian process that forgets;
    what other members try in the same interval counts as pending. Values are points of the unit cube, so that
    logarithmic scales, integers and steps keep their meaning; each value of an unordered choice has a coordinate of its
    own; an inactive parameter is at one constant. A collapse counts as the worst improvement seen.

    Args:
        mutable: the parameters that may change; None: all that do not shape the model's variables.
        window: how many of the latest intervals of single members the process is fitted to, >= 8; its cost grows with
            the cube.
        candidates: among how many children the best is looked for, >= 1; with more it is greedier.
        comparisons: how often each member is compared in the whole search; None: as ``PBT`` knows, else often.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        mutable: Iterable[str] | None = None,
        window: int = 80,
        candidates: int = 16,
        comparisons: int | None = None,
    ) -> None:
        self._children = AdaptivePerturb(mutable=mutable, comparisons=comparisons)
        self.mutable = self._children.mutable
        self.window = integer("window", window, at_least=8, remedy="80 is ten intervals of eight members")
        self.candidates = integer("candidates", candidates, at_least=1, remedy="1 leaves nothing to the process")

    def explore(
        self, run: Run, history: History, space: Space, structural: Collection[str], rng: np.random.Generator
    ) -> dict[str, Value]:
        assert run.restore is not None
        intervals = Intervals.of(history, run, self.window)
        if len(intervals.observed) < 2:
            return self._children.explore(run, history, space, structural, rng)

        from kt_ext.schedulers.time_varying import upper_confidence  # loads scikit-learn

        children = [self._children.explore(run, history, space, structural, rng) for _ in range(self.candidates)]
        now = run.restore.epoch / intervals.length
        points = np.array([[at, *features(values, space)] for at, values, _ in intervals.observed])
        pending = np.array([[now, *features(values, space)] for values in intervals.pending])
        bounds = upper_confidence(
            points=points,
            improvements=standardised([improvement for _, _, improvement in intervals.observed]),
            pending=pending.reshape(-1, points.shape[1]),
            candidates=np.array([[now, *features(values, space)] for values in children]),
        )
        return children[int(np.argmax(bounds))]

    def within(self, comparisons: int) -> PB2Explorer:
        children = self._children.within(comparisons)
        return PB2Explorer(self.mutable, self.window, self.candidates, children.comparisons)

    def configuration(self) -> dict[str, Any]:
        return {
            "explorer": "PB2",
            "mutable": None if self.mutable is None else list(self.mutable),
            "window": self.window,
            "candidates": self.candidates,
            "comparisons": self._children.comparisons,
        }


class Intervals(NamedTuple):
    """What is known of single members' intervals.

    Attributes:
        length: epochs of an interval, that from ``run.restore.epoch`` to ``run.until``.
        observed: when it began (in intervals), the values, the improvement per epoch; -inf after a divergence.
        pending: the values with which other members are now in the interval that ``run`` begins.
    """

    length: int
    observed: list[tuple[float, Mapping[str, Value], float]]
    pending: list[Mapping[str, Value]]

    @classmethod
    def of(cls, history: History, run: Run, most: int) -> Intervals:
        """The latest ``most`` observed intervals, latest first."""
        assert run.restore is not None
        now, length = run.restore.epoch, run.until - run.restore.epoch
        curves = {}
        for trial_id in history.ids:
            epochs, objectives = history.curve(trial_id)
            curves[trial_id] = dict(zip(epochs.tolist(), objectives.tolist(), strict=True))
        observed: list[tuple[float, Mapping[str, Value], float]] = []
        for end in range(max(history.epochs_of(trial_id) for trial_id in history.ids) // length, 0, -1):
            end_epoch = now - (now // length - end) * length  # boundaries are counted back from this one
            for trial_id, curve in curves.items():
                before = _score_of_its_state(history, trial_id, end_epoch - length, curve)
                if end_epoch in curve and math.isfinite(before) and len(observed) < most:
                    values = history.values_at(trial_id, end_epoch)
                    observed.append(((end_epoch - length) / length, values, (before - curve[end_epoch]) / length))
        pending = [
            history.values_at(trial_id, now + 1)
            for trial_id in history.ids
            if trial_id != run.trial_id and now <= history.epochs_of(trial_id) < run.until
        ]
        return cls(length, observed, pending)


def _score_of_its_state(history: History, trial_id: int, epoch: int, curve: Mapping[int, float]) -> float:
    """The objective after ``epoch`` of the state from which the trial went on; inf if it is not known.

    Other values since then tell that it took over one of the best states; the history does not tell whose.
    """
    if history.values_at(trial_id, epoch) is history.values_at(trial_id, epoch + 1):
        return curve.get(epoch, math.inf)
    best = history.best_at(epoch)
    return math.inf if best is None else best


def standardised(improvements: list[float]) -> np.ndarray:
    """Less their median, in units of their spread, cut off at ``CUT``; one that is not finite is at the lower end."""
    finite = np.array([one for one in improvements if math.isfinite(one)])
    if not len(finite):
        return np.full(len(improvements), -CUT)
    middle = np.median(finite)
    spread = 1.4826 * np.median(np.abs(finite - middle)) or finite.std() or 1.0
    return np.clip(np.nan_to_num((np.array(improvements) - middle) / spread, nan=-CUT), -CUT, CUT)


def features(values: Mapping[str, Value], space: Space) -> list[float]:
    """A point for each configuration, in the unit cube: see ``PB2Explorer``."""
    point: list[float] = []
    for parameter, unit in zip(space.parameters, space.encode(values).tolist(), strict=True):
        inactive = math.isnan(unit)
        domain = parameter.domain
        if isinstance(domain, Choice) and not domain.ordered:
            # any two are at distance 1, as the ends of a number are
            chosen = None if inactive else domain.index(values[parameter.name])
            point += [math.sqrt(0.5) if index == chosen else 0.0 for index in range(domain.count)]
        elif isinstance(domain, Boolean):
            point.append(0.5 if inactive else float(bool(values[parameter.name])))
        else:
            point.append(0.5 if inactive else unit)
    return point
