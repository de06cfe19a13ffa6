"""Scores of architectures that were not trained, by which the best of several proposals is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner
import numpy as np

from kt_ext.nas.estimators import ZeroCost
from kt_ext.nas.searcher import AbstractScreen
from kt_ext.nas.space import Architecture
from kt_ext.networks.hypermodel import ArchitectureHyperModel
from kt_ext.networks.zero_cost import score
from kt_ext.tuners.models import seeded


class ZeroCostScreen(AbstractScreen):
    """Builds an architecture and scores it, with the same minibatch and the same random numbers for all.

    Args:
        hypermodel: builds it.
        settings: the measure, how many candidates, and the size of the minibatch.
        fit_args, fit_kwargs: of ``search``: x and y as arrays, or for "synflow" anything.
        seed: integer >= 0.

    Attributes:
        candidates: how many architectures are scored for each trial.

    Raises:
        ValueError: the measure needs data, and there are no arrays.
    """

    def __init__(
        self,
        hypermodel: ArchitectureHyperModel,
        settings: ZeroCost,
        fit_args: tuple[Any, ...],
        fit_kwargs: Mapping[str, Any],
        seed: int,
    ) -> None:
        self.candidates = settings.candidates
        self._hypermodel, self._settings, self._seed = hypermodel, settings, seed
        given = dict(zip(("x", "y"), fit_args, strict=False)) | dict(fit_kwargs)
        x: Any = given.get("x")
        y: Any = given.get("y")
        if settings.measure != "synflow" and not (hasattr(x, "shape") and hasattr(y, "shape")):
            raise ValueError(
                f"ZeroCost(measure={settings.measure!r}): needs x and y as arrays for its minibatch; give them to "
                "search, or take measure='synflow', which needs no data"
            )
        self._x: Any = np.empty((0,))
        self._y: Any = None
        if hasattr(x, "shape") and hasattr(y, "shape"):
            n = min(settings.batch, len(x))
            rows = np.sort(np.random.default_rng(seed).choice(len(x), size=n, replace=False))
            self._x, self._y = np.asarray(x)[rows], np.asarray(y)[rows]

    def score(self, arch: Architecture) -> float:
        """How promising it looks; higher is better, ``-inf`` where there is no number."""
        hp = _hyperparameters(self._hypermodel, arch)
        with seeded(self._seed):
            model = self._hypermodel.build(hp)
            found = score(self._settings.measure, model, self._x, self._y, np.random.default_rng(self._seed))
        del model
        keras.utils.clear_session(free_memory=False)
        return found


def _hyperparameters(hypermodel: ArchitectureHyperModel, arch: Architecture) -> keras_tuner.HyperParameters:
    """Those of an architecture, with the defaults of all else."""
    hp = keras_tuner.HyperParameters()
    hp.values.update(hypermodel.space.values(arch))
    return hp
