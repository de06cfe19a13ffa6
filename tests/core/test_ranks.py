"""Ranks with ties, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from kt_ext.core.ranks import row_ranks


def test_ties_share_the_mean_of_their_ranks():
    assert row_ranks(np.array([[3.0, 1.0, 3.0, 2.0]])).tolist() == [[3.5, 1.0, 3.5, 2.0]]


@pytest.mark.parametrize("seed", range(20))
def test_as_scipy(seed):
    values = np.random.default_rng(seed).integers(6, size=(5, 9)).astype(float)
    assert row_ranks(values).tolist() == rankdata(values, axis=1).tolist()
