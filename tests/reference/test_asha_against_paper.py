"""The fast ASHA makes the decisions of the paper's transcription, on random event sequences, decision by decision."""

from __future__ import annotations

import numpy as np
import pytest

from contract.driving import call, drive
from kt_ext.core.random import EventRandom
from kt_ext.schedulers import ASHA
from kt_ext.schedulers.rungs import bracket_sizes
from reference.asha_get_job import PaperASHA, PaperStoppingRule, Rung, hyperband_sizes, top_k


def random_case(seed: int):
    """Arguments of the scheduler and of the event sequence."""
    rng = np.random.default_rng([seed, 2])
    factor = int(rng.integers(2, 5))
    arguments = {
        "max_epochs": int(rng.integers(1, 30)),
        "min_epochs": 1,
        "factor": factor,
        "max_trials": int(rng.integers(1, 60)),
    }
    arguments["min_epochs"] = int(rng.integers(1, min(4, arguments["max_epochs"]) + 1))
    arguments["brackets"] = int(rng.integers(1, min(4, len(ASHA(**arguments).rung_epochs)) + 1))
    events = {
        "workers": int(rng.integers(1, 9)),
        "levels": int(rng.choice([0, 2, 6])),
        "diverging": float(rng.choice([0.0, 0.05])),
        "failing": float(rng.choice([0.0, 0.05])),
        "exhaust_at": int(rng.integers(200)) if rng.random() < 0.1 else None,
    }
    return arguments, events


def first_difference(calls, other, seed: int) -> int | None:
    """The number of the first call that ``other`` answers differently, or None."""
    random = EventRandom(seed)
    for number, made in enumerate(calls):
        if call(other, random, made) != made.answer:
            return number
    return None


@pytest.mark.parametrize("hundred", range(10))
@pytest.mark.parametrize(("variant", "reference"), [("promotion", PaperASHA), ("stopping", PaperStoppingRule)])
def test_same_decisions_as_the_paper(variant, reference, hundred):
    promotions = brackets = 0
    for seed in range(100 * hundred, 100 * hundred + 100):
        arguments, events = random_case(seed)
        calls = drive(reference(**arguments), seed, **events)
        assert first_difference(calls, ASHA(**arguments, variant=variant), seed) is None, (seed, arguments, events)
        promotions += sum(getattr(made.answer, "restore", None) is not None for made in calls)
        brackets = max(brackets, arguments["brackets"])
    assert brackets == 4
    assert (promotions > 200) == (variant == "promotion")  # the sequences do exercise the rule


def left_over_rank(rung: Rung, promoted: set[int], eta: int) -> list[int]:
    """The mutant: the top 1 / eta of those not promoted yet."""
    left = [(trial, loss) for trial, loss in rung if trial not in promoted]
    return top_k(left, len(left) // eta)


def best_left(rung: Rung, promoted: set[int], eta: int) -> list[int]:
    """Another: 1 / eta of all that reached the rung, taken from those not promoted yet."""
    return top_k([(trial, loss) for trial, loss in rung if trial not in promoted], len(rung) // eta)


@pytest.mark.parametrize("mutant", [left_over_rank, best_left])
def test_counting_only_what_is_left_is_caught(mutant):
    caught = 0
    for seed in range(100):
        arguments, events = random_case(seed)
        calls = drive(PaperASHA(**arguments, candidates=mutant), seed, **events)
        caught += first_difference(calls, ASHA(**arguments), seed) is not None
    assert caught >= 20


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("rungs", range(1, 8))
def test_bracket_sizes_are_hyperbands(rungs, factor):
    assert list(bracket_sizes(rungs, factor)) == hyperband_sizes(rungs - 1, factor)
