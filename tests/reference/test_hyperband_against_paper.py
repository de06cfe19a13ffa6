"""The fast Hyperband makes the table and the decisions of the transcription."""

from __future__ import annotations

import pytest

from contract.driving import drive
from kt_ext.schedulers import Hyperband
from kt_ext.schedulers.brackets import LargestDeficit, hyperband_table
from reference.hyperband_algorithm import PaperHyperband, PaperStoppingHyperband, algorithm_1, next_bracket
from reference.test_asha_against_paper import first_difference, random_case


@pytest.mark.parametrize("min_epochs", [1, 2, 5])
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("halvings", range(6))
def test_table(halvings, factor, min_epochs):
    paper = algorithm_1(factor**halvings, factor)
    table = hyperband_table(min_epochs * factor**halvings, min_epochs, factor)
    assert [list(rounds) for rounds in table] == [[(n, r * min_epochs) for n, r in rounds] for rounds in paper]


@pytest.mark.parametrize("sizes", [(81, 34, 15, 8, 5), (9, 5, 3), (4, 2), (1,), (3, 3, 3)])
def test_brackets_are_dealt_by_the_largest_deficit(sizes):
    deficit, started = LargestDeficit(len(sizes)), [0] * len(sizes)
    for trial in range(3 * sum(sizes)):
        bracket = deficit.choose(sizes)
        assert bracket == next_bracket(list(sizes), started), trial
        started[bracket] += 1


@pytest.mark.parametrize("hundred", range(10))
@pytest.mark.parametrize(
    ("variant", "reference"), [("promotion", PaperHyperband), ("stopping", PaperStoppingHyperband)]
)
def test_same_decisions_as_the_transcription(variant, reference, hundred):
    promotions = brackets = 0
    for seed in range(100 * hundred, 100 * hundred + 100):
        arguments, events = random_case(seed)
        calls = drive(reference(**arguments), seed, **events)
        fast = Hyperband(**arguments, variant=variant)
        assert first_difference(calls, fast, seed) is None, (seed, arguments, events)
        promotions += sum(getattr(made.answer, "restore", None) is not None for made in calls)
        brackets = max(brackets, arguments["brackets"])
    assert brackets == 4
    assert (promotions > 200) == (variant == "promotion")
