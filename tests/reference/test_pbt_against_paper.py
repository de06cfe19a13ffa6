"""PBT makes the decisions of the paper's transcription, on random event sequences, decision by decision."""

from __future__ import annotations

import numpy as np
import pytest

from contract.driving import call, drive
from kt_ext.core.random import EventRandom
from kt_ext.schedulers import PBT
from reference.pbt_paper import PaperPBT


def random_case(seed: int, exploit: str):
    """Arguments of PBT and of the event sequence."""
    rng = np.random.default_rng([seed, 3])
    arguments = {
        "population_size": int(rng.integers(1, 11)),
        "max_epochs": int(rng.integers(1, 25)),
        "perturbation_interval": int(rng.integers(1, 5)),
        "burn_in": int(rng.choice([0, 0, 5])),
        "quantile_fraction": float(rng.choice([0.2, 0.25, 0.5])),
        "exploit": exploit,
    }
    events = {
        "workers": int(rng.integers(1, 13)),
        "levels": int(rng.choice([0, 2, 6])),
        "diverging": float(rng.choice([0.0, 0.05, 0.4])),
        "failing": float(rng.choice([0.0, 0.02])),
        "exhaust_at": int(rng.integers(100)) if rng.random() < 0.1 else None,
    }
    return arguments, events


def first_difference(arguments, events, seed: int, synchronous) -> tuple[int | None, int]:
    """The number of the first call that PBT answers differently, or None; and how often a state was taken over."""
    random = EventRandom(seed)
    pbt = PBT(**arguments, synchronous=synchronous)
    calls = drive(PaperPBT(*arguments.values()), seed, **events)
    takeovers = 0
    for number, made in enumerate(calls):
        if call(pbt, random, made) != made.answer:
            return number, takeovers
        restore = getattr(made.answer, "restore", None)
        takeovers += restore is not None and restore.trial_id != made.answer.trial_id
    return None, takeovers


@pytest.mark.parametrize("hundred", [0, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(1, 5))])
@pytest.mark.parametrize("exploit", ["truncation", "tournament", "ttest"])
def test_same_decisions_as_the_paper(exploit, hundred):
    takeovers = 0
    for seed in range(100 * hundred, 100 * hundred + 100):
        arguments, events = random_case(seed, exploit)
        difference, taken = first_difference(arguments, events, seed, synchronous=True)
        assert difference is None, (seed, arguments, events)
        takeovers += taken
    assert takeovers > 200  # the sequences do exercise the rule


@pytest.mark.parametrize("synchronous", ["auto", False])
@pytest.mark.parametrize("exploit", ["truncation", "tournament", "ttest"])
def test_on_one_worker_nobody_is_ever_missing(exploit, synchronous):
    for seed in range(100):
        arguments, events = random_case(seed, exploit)
        events["workers"] = 1
        assert first_difference(arguments, events, seed, synchronous)[0] is None, (seed, arguments, events)
