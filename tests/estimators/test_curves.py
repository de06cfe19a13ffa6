"""The extrapolation of learning curves: what it must get right whatever its constants are."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from kt_ext.estimators import CurveEstimator
from kt_ext.estimators.shapes import ShapeBank

EPOCHS = np.arange(1, 51)
CURVES = {
    "power": 0.2 + 0.6 * EPOCHS**-0.8,
    "exponential": 0.3 + 0.5 * np.exp(-EPOCHS / 6),
    "hill": 0.1 + 0.8 / (1 + (EPOCHS / 5) ** 2),
}


@pytest.fixture(scope="module")
def estimator():
    return CurveEstimator()


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("seen", [10, 20])
def test_the_end_of_a_clean_curve(estimator, name, seen):
    """It lies within the middle 90 %, and the median is nearer than the latest objective."""
    curve = CURVES[name]
    end = estimator.predict(EPOCHS[:seen], curve[:seen], at=50)
    assert end.quantile(0.05) < curve[-1] < end.quantile(0.95)
    assert abs(end.quantile(0.5) - curve[-1]) < abs(curve[seen - 1] - curve[-1])


@pytest.mark.parametrize("name", CURVES)
def test_more_epochs_say_more(estimator, name):
    stds = [estimator.predict(EPOCHS[:seen], CURVES[name][:seen], at=50).std for seen in (5, 15, 40)]
    assert stds[0] > stds[1] > stds[2] > 0


def test_the_farther_the_less_certain(estimator):
    stds = [estimator.predict(EPOCHS[:10], CURVES["power"][:10], at).std for at in (11, 20, 50)]
    assert stds[0] < stds[1] < stds[2]


def test_a_flat_noisy_curve_stays_where_it_is(estimator):
    curve = 0.5 + 0.01 * np.random.default_rng(0).normal(size=20)
    end = estimator.predict(EPOCHS[:20], curve, at=50)
    assert abs(end.mean - 0.5) < 0.01
    assert 0.005 < end.std < 0.05


def test_units_do_not_matter(estimator):
    """Any factor > 0 and any constant: the same chance, and the prediction in the new units."""
    curve, best = CURVES["hill"][:12], 0.13
    chance = estimator.chance_below(EPOCHS[:12], curve, 50, best)
    end = estimator.predict(EPOCHS[:12], curve, 50)
    assert 0.05 < chance < 0.95
    for factor, constant in ((1e6, 0.0), (1e-6, 0.0), (30.0, -500.0)):
        moved = factor * curve + constant
        assert estimator.chance_below(EPOCHS[:12], moved, 50, factor * best + constant) == pytest.approx(chance)
        assert estimator.predict(EPOCHS[:12], moved, 50).mean == pytest.approx(factor * end.mean + constant)


def test_the_chance_falls_with_what_is_to_beat_and_grows_with_the_epochs_left(estimator):
    curve = CURVES["exponential"][:8]
    by_best = [estimator.chance_below(EPOCHS[:8], curve, 50, best) for best in (0.5, 0.4, 0.32, 0.25, 0.1, -1.0)]
    assert by_best == sorted(by_best, reverse=True)
    assert by_best[0] > 0.95 and by_best[-1] < 0.01
    by_epochs = [estimator.chance_below(EPOCHS[:8], curve, until, 0.33) for until in (9, 12, 20, 50)]
    assert by_epochs == sorted(by_epochs)


def test_the_chance_in_one_epoch_is_the_predictions(estimator):
    """Draws of the future against the whole mixture."""
    for seen, best in ((6, 0.45), (12, 0.36), (20, 0.315)):
        curve = CURVES["exponential"][:seen]
        end = estimator.predict(EPOCHS[:seen], curve, at=seen + 1)
        chance = estimator.chance_below(EPOCHS[:seen], curve, seen + 1, best)
        assert chance == pytest.approx(end.probability_below(best), abs=0.03)


def test_an_enormous_first_loss_does_not_hide_the_rest(estimator):
    curve = CURVES["exponential"][:20].copy()
    alone = estimator.chance_below(EPOCHS[:20], curve, 50, 0.2)
    curve[0] = 1e6
    assert estimator.chance_below(EPOCHS[:20], curve, 50, 0.2) == pytest.approx(alone, abs=0.05)
    assert alone < 0.05


def test_a_constant_curve_has_no_chance_to_become_another(estimator):
    assert estimator.chance_below(EPOCHS[:10], np.full(10, 0.5), 50, 0.4) < 0.001
    assert estimator.predict(EPOCHS[:10], np.full(10, 0.5), 50).mean == pytest.approx(0.5, abs=1e-4)


def test_long_curves_and_curves_with_gaps(estimator):
    epochs = np.arange(1, 2001)
    curve = 0.2 + 0.6 * np.exp(-epochs / 300)
    end = estimator.predict(epochs[:600], curve[:600], at=2000)
    assert end.quantile(0.05) < curve[-1] < end.quantile(0.95)
    assert estimator.chance_below(epochs[:600], curve[:600], 2000, 0.1) < 0.1
    assert estimator.chance_below(epochs[:600], curve[:600], 2000, 0.25) > 0.5
    every_fifth = estimator.predict(epochs[4:600:5], curve[4:600:5], at=2000)
    assert every_fifth.quantile(0.05) < curve[-1] < every_fifth.quantile(0.95)
    late = estimator.predict(epochs[400:600], curve[400:600], at=2000)  # the first epochs unknown
    assert np.isfinite([late.mean, late.std]).all()


def test_the_bank_is_a_latin_hypercube_of_four_families():
    bank = ShapeBank(200, seed=0)
    values = bank.values(np.arange(1.0, 31.0), reached=30.0)
    assert values.shape == (200, 30)
    assert (np.diff(values, axis=1) <= 0).all() and (values >= 0).all()
    assert np.log(bank.noise).mean() == pytest.approx(np.log([0.0025, 0.2]).mean(), abs=0.01)


def test_the_same_in_another_process(estimator):
    program = (
        "from kt_ext.estimators import CurveEstimator\n"
        "print(repr(CurveEstimator().chance_below(range(1, 9), [8, 5, 4, 3.5, 3.2, 3, 2.9, 2.85], 30, 2.5)))"
    )
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert float(there) == estimator.chance_below(range(1, 9), [8, 5, 4, 3.5, 3.2, 3, 2.9, 2.85], 30, 2.5)


@pytest.mark.parametrize(
    ("epochs", "objectives", "at", "message"),
    [
        ([1], [0.5], 3, "give one objective for each of two or more epochs"),
        ([1, 2], [0.5, 0.4, 0.3], 3, "give one objective for each of two or more epochs"),
        ([0, 1], [0.5, 0.4], 3, "must be > 0 and ascending"),
        ([2, 1], [0.5, 0.4], 3, "must be > 0 and ascending"),
        ([1, 2], [0.5, float("nan")], 3, "must be finite; leave out the epochs that are not"),
        ([1, 2], [0.5, float("inf")], 3, "must be finite; leave out the epochs that are not"),
        ([1, 2], [0.5, 0.4], 2, "must be beyond the last of epochs, 2"),
    ],
)
def test_arguments_out_of_range(estimator, epochs, objectives, at, message):
    with pytest.raises(ValueError, match=message):
        estimator.predict(epochs, objectives, at)
    with pytest.raises(ValueError, match=message):
        estimator.chance_below(epochs, objectives, at, 0.1)


@pytest.mark.parametrize("arguments", [{"size": 0}, {"seed": -1}])
def test_constructor_arguments_out_of_range(arguments):
    with pytest.raises(ValueError, match=r"^size=.*, seed=.*: must be"):
        CurveEstimator(**arguments)
