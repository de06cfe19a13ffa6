"""Schedules as JSON and back, and the arguments that they refuse."""

from __future__ import annotations

import json
import math

import pytest

from kt_ext import schedules as s
from kt_ext.schedules.serial import KINDS

ONE_OF_EACH = [
    s.Constant(0.5),
    s.PiecewiseConstant([3, 9], [1.0, 0.5, 0.1]),
    s.StepDecay(5, 0.3),
    s.ExponentialDecay(5, 0.9, staircase=True),
    s.InverseTimeDecay(5, 0.9),
    s.PolynomialDecay(10, 0.1, 2.0, cycle=True),
    s.CosineDecay(10, 0.1),
    s.CosineRestarts(5, 1.5, 0.9, 0.1),
    s.OneCycle(20, shape="linear"),
    s.Cyclical(4, 5.0, "exp_range", 0.9),
    s.Warmup(3, 0.1, s.Warmup(4, 0.5)),
    s.Chain([s.Warmup(3), s.CosineDecay(5)], [7]),
    s.RangeTest(1e-3, 1.0, 12),
    s.ReduceOnPlateau(0.5, 3, of=s.CosineDecay(9)),
]


def test_each_kind_is_among_them():
    assert {type(schedule) for schedule in ONE_OF_EACH} == set(KINDS.values())


@pytest.mark.parametrize("schedule", ONE_OF_EACH, ids=lambda schedule: type(schedule).__name__)
def test_there_and_back(schedule):
    again = s.from_json(json.loads(json.dumps(s.to_json(schedule))))
    assert again == schedule
    assert hash(again) == hash(schedule)
    if not isinstance(schedule, s.ReduceOnPlateau):
        assert [again(step) for step in range(40)] == [schedule(step) for step in range(40)]
        assert len({schedule(step) for step in range(40)}) > 1 or isinstance(schedule, s.Constant)


def test_what_is_not_ours():
    with pytest.raises(ValueError, match="schedule='Sine': must be one of Chain, Constant"):
        s.from_json({"schedule": "Sine"})
    with pytest.raises(ValueError, match=r"must be one of kt_ext\.schedules"):
        s.to_json(math.sin)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: s.Constant(-1), "factor=-1: must be a finite number >= 0"),
        (lambda: s.StepDecay(0), "steps=0: must be a finite number > 0"),
        (lambda: s.ExponentialDecay(5, 0), "rate=0: must be a finite number > 0"),
        (lambda: s.InverseTimeDecay(5, -1), "rate=-1: must be"),
        (lambda: s.PolynomialDecay(math.inf), "steps=inf: must be"),
        (lambda: s.PolynomialDecay(5, power=0), "power=0: must be"),
        (lambda: s.CosineDecay("5"), "steps='5': must be"),
        (lambda: s.CosineDecay(True), "steps=True: must be"),
        (lambda: s.CosineRestarts(5, 0.5), "longer=0.5: must be a finite number >= 1; shorter and shorter"),
        (lambda: s.OneCycle(5, up=1), "up=1: must be a number between 0 and 1"),
        (lambda: s.OneCycle(5, shape="square"), "shape='square': must be 'cosine' or 'linear'"),
        (lambda: s.OneCycle(5, up=0.9, shape="linear"), "down=0.85: must be larger than up=0.9"),
        (lambda: s.Cyclical(5, 0.5), "top=0.5: must be a finite number >= 1; the optimizer's"),
        (lambda: s.Cyclical(5, 2, "square"), "mode='square': must be 'triangular'"),
        (lambda: s.Cyclical(5, 2, gamma=1.1), "gamma=1.1: must be at most 1"),
        (lambda: s.PiecewiseConstant([5, 5], [1, 2, 3]), r"boundaries=\(5, 5\): must be strictly ascending"),
        (lambda: s.PiecewiseConstant([5], [1]), r"factors=\(1,\): must be one more than boundaries=\(5,\)"),
        (lambda: s.Chain([s.Constant()], [5]), r"boundaries=\(5,\): must be one less than the 1 schedules"),
        (lambda: s.Chain([1.0], []), "schedules=1.0: must be a schedule"),
        (lambda: s.Warmup(0), "steps=0: must be a finite number > 0; leave the warm-up out"),
        (lambda: s.Warmup(5, then=math.sin), "then=<built-in function sin>: must be a schedule"),
        (lambda: s.ReduceOnPlateau(1.0), "factor=1.0: must be a number between 0 and 1, exclusive; a factor of 1"),
        (lambda: s.RangeTest(1.0, 0.1), "high=0.1: must be larger than low=1.0"),
        (lambda: s.RangeTest(0.1, 1.0, 1), "steps=1: must be an integer >= 2"),
        (lambda: s.Attached(s.Constant(), "step"), "per='step': must be 'batch' or 'epoch'"),
        (lambda: s.Attached(0.5), "schedule=0.5: must be a schedule or a function"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
