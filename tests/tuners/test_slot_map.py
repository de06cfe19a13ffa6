"""What a build would give is predicted only where the builds seen leave no doubt."""

from __future__ import annotations

from typing import Any

import numpy as np

from kt_ext.tuners.slot_map import Built, SlotMap


def learnt(*builds: tuple[dict[str, Any], str, dict[str, float]]) -> SlotMap:
    slot_map = SlotMap()
    for values, text, slots in builds:
        slot_map.learn(values, Built(text, slots))
    return slot_map


def dropouts(*rates: float, text: str = "one", **others: Any) -> list[tuple[dict[str, Any], str, dict[str, float]]]:
    """Builds whose rate is the hyperparameter, beside a momentum that never changes."""
    return [({"rate": rate, **others}, text, {"layers.1.rate": rate, "momentum": 0.9}) for rate in rates]


def test_three_builds_that_agree():
    slot_map = learnt(*dropouts(0.1, 0.2, 0.5))
    assert slot_map.predict({"rate": 0.45}) == Built("one", {"layers.1.rate": 0.45, "momentum": 0.9})


def test_nothing_is_known_beyond_what_was_built():
    slot_map = learnt(*dropouts(0.1, 0.2, 0.3))
    assert slot_map.predict({"rate": 0.09}) is None
    assert slot_map.predict({"rate": 0.31}) is None


def test_two_are_not_enough():
    assert learnt(*dropouts(0.1, 0.5)).predict({"rate": 0.45}) is None


def test_the_same_build_again_is_no_evidence():
    assert learnt(*dropouts(0.1, 0.5, 0.5, 0.5)).predict({"rate": 0.45}) is None


def test_a_number_computed_from_a_value_is_not_predicted():
    twice = [({"rate": rate}, "one", {"layers.1.rate": 2 * rate}) for rate in (0.1, 0.2, 0.3)]
    assert learnt(*twice).predict({"rate": 0.15}) is None


def test_one_contradiction_ends_it():
    """Up to 0.3 the value itself, beyond it 0.3."""
    slot_map = learnt(*dropouts(0.1, 0.2, 0.25))
    assert slot_map.predict({"rate": 0.15}) is not None
    slot_map.learn({"rate": 0.4}, Built("one", {"layers.1.rate": 0.3, "momentum": 0.9}))
    assert slot_map.predict({"rate": 0.15}) is None


def test_what_a_variable_rounds_is_the_same():
    rates = (0.1, 0.01, 0.001)
    builds = [({"rate": rate}, "one", {"learning_rate": float(np.float32(rate))}) for rate in rates]
    assert learnt(*builds).predict({"rate": 0.02}) == Built("one", {"learning_rate": 0.02})


def test_words_must_have_been_seen():
    builds = [build for word in ("a", "b", "c") for build in dropouts(0.1, 0.2, 0.3, word=word)]
    assert learnt(*builds).predict({"rate": 0.15, "word": "b"}).slots["layers.1.rate"] == 0.15
    assert learnt(*builds).predict({"rate": 0.15, "word": "d"}) is None


def test_a_flag_must_have_been_seen():
    assert learnt(*dropouts(0.1, 0.2, 0.3, flag=True)).predict({"rate": 0.15, "flag": False}) is None


def test_a_number_that_never_varied_is_unknown():
    """It may be what makes the architecture."""
    slot_map = learnt(*dropouts(0.1, 0.2, 0.3, units=8))
    assert slot_map.predict({"rate": 0.15, "units": 8}) is not None
    assert slot_map.predict({"rate": 0.15, "units": 16}) is None


def test_architectures_are_kept_apart():
    slot_map = learnt(*dropouts(0.1, 0.2, 0.3, units=8), *dropouts(0.1, 0.2, 0.3, units=16, text="two"))
    assert slot_map.predict({"rate": 0.15, "units": 8}).text == "one"
    assert slot_map.predict({"rate": 0.15, "units": 16}).text == "two"


def test_a_doubt_between_two_architectures():
    """Their values overlap, so that it is another hyperparameter, not among these, that tells them apart."""
    slot_map = learnt(*dropouts(0.1, 0.2, 0.6), *dropouts(0.3, 0.7, 0.8, text="two"))
    assert slot_map.predict({"rate": 0.5}) is None
    assert slot_map.predict({"rate": 0.25}).text == "one"


def test_other_hyperparameters_are_another_model():
    slot_map = learnt(*dropouts(0.1, 0.2, 0.3))
    assert slot_map.predict({"rate": 0.2, "more": 1}) is None
    assert slot_map.predict({}) is None


def test_builds_with_other_hyperparameters_do_not_count():
    """Those that show in training only are not there when a trial is built first."""
    slot_map = learnt(*dropouts(0.1, 0.2, 0.3), *dropouts(0.1, 0.3, batch_size=10))
    assert slot_map.predict({"rate": 0.2, "batch_size": 10}) is None
    slot_map.learn({"rate": 0.4, "batch_size": 10}, Built("one", {"layers.1.rate": 0.4, "momentum": 0.9}))
    assert slot_map.predict({"rate": 0.2, "batch_size": 10}) is not None
