"""The settings of cheap estimates: what they take, and what they say of what they do not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from kt_ext.nas.draft import Scale
from kt_ext.nas.estimators import (
    CurveExtrapolation,
    Full,
    Inherit,
    LowFidelity,
    ZeroCost,
    make_estimator,
    rank_correlation,
)


def test_names_and_objects() -> None:
    names = ["full", "low_fidelity", "extrapolation", "inherit", "zero_cost"]
    assert [make_estimator(name) for name in names] == [
        Full(),
        LowFidelity(data=0.25),
        CurveExtrapolation(threshold=0.05, min_epochs=4),
        Inherit(exact=False),
        ZeroCost("synflow", candidates=8, batch=32),
    ]
    mine = LowFidelity(filters=0.5, cells=1, best=2)
    assert make_estimator(mine) is mine
    assert mine.scale == Scale(0.5, 1)


@pytest.mark.parametrize("lower", [{"data": 0.5}, {"resolution": 0.5}, {"filters": 0.5}, {"cells": 1}, {"epochs": 3}])
def test_each_argument_alone_is_a_lower_fidelity(lower: dict[str, Any]) -> None:
    assert LowFidelity(**lower).best == 5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LowFidelity(), "nothing is lower; give one of data"),
        (lambda: LowFidelity(best=3), "nothing is lower"),
        (lambda: LowFidelity(data=0), "data=0: must be a share in (0, 1]"),
        (lambda: LowFidelity(resolution=1.5), "resolution=1.5: must be a share"),
        (lambda: LowFidelity(filters=math.nan), "filters=nan: must be a share"),
        (lambda: LowFidelity(data=True), "data=True: must be a share"),
        (lambda: LowFidelity(cells=0), "cells=0: must be an integer >= 1; None leaves"),
        (lambda: LowFidelity(epochs=2.5), "epochs=2.5: must be an integer >= 1"),
        (lambda: LowFidelity(data=0.5, best=0), "best=0: must be an integer >= 1"),
        (lambda: CurveExtrapolation(threshold=0), "threshold=0: must be a probability in (0, 1)"),
        (lambda: CurveExtrapolation(min_epochs=2), "min_epochs=2: must be an integer >= 3"),
        (lambda: ZeroCost("flow"), "measure='flow': must be one of synflow, jacob_cov, grad_norm"),
        (lambda: ZeroCost(candidates=1), "candidates=1: must be an integer >= 2"),
        (lambda: ZeroCost(batch=1), "batch=1: must be an integer >= 2"),
        (lambda: Inherit(exact=1), "exact=1: must be True or False"),
        (lambda: make_estimator("cheap"), "estimator='cheap': must be one of full, low_fidelity"),
        (lambda: make_estimator(0.5), "estimator=0.5: must be a name or an object"),
    ],
)
def test_errors_name_the_argument_and_the_remedy(make: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError)) as raised:
        make()
    assert said in str(raised.value)


def test_rank_correlation() -> None:
    assert rank_correlation(np.array([1.0, 2.0, 9.0]), np.array([0.1, 0.2, 0.3])) == pytest.approx(1)
    assert rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([5.0, 4.0, -math.inf])) == pytest.approx(-1)
    # ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: covariance 4.5 / sqrt(4.5 * 5)
    assert rank_correlation(np.array([1, 2, 2, 3]), np.array([1, 3, 2, 4])) == pytest.approx(4.5 / math.sqrt(22.5))
    assert math.isnan(rank_correlation(np.array([1.0]), np.array([1.0])))
    assert math.isnan(rank_correlation(np.array([1.0, 2.0]), np.array([3.0, 3.0])))
