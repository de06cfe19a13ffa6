"""Cyclical learning rates, against the paper's own code and by hand."""

from __future__ import annotations

import math

import pytest

from kt_ext.schedules import Cyclical


def triangular_of_the_paper(epoch_counter: int, stepsize: float, opt_lr: float, max_lr: float) -> float:
    """Smith 2015, section 3.2, as printed there."""
    cycle = math.floor(1 + epoch_counter / (2 * stepsize))
    x = abs(epoch_counter / stepsize - 2 * cycle + 1)
    return opt_lr + (max_lr - opt_lr) * max(0, (1 - x))


def test_as_in_the_paper():
    schedule = Cyclical(7, top=6.0)
    for step in range(60):
        assert 0.001 * schedule(step) == pytest.approx(triangular_of_the_paper(step, 7, 0.001, 0.006), rel=1e-12)


@pytest.mark.parametrize(
    ("mode", "factors"),
    [
        ("triangular", [1, 3, 5, 3, 1, 3, 5, 3, 1]),
        ("triangular2", [1, 3, 5, 3, 1, 2, 3, 2, 1]),
        ("exp_range", [1, 2, 2, 1.25, 1, 1.0625, 1.0625, 1.015625, 1]),
    ],
)
def test_modes(mode, factors):
    schedule = Cyclical(2, top=5.0, mode=mode, gamma=0.5)
    assert [schedule(step) for step in range(9)] == factors
