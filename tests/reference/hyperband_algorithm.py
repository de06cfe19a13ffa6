"""Hyperband, slow and literal: Algorithm 1 of Li et al. (2018), JMLR 18(185), and brackets dealt by largest deficit.

    input: R, eta (default eta = 3)
    initialization: s_max = floor(log_eta(R)), B = (s_max + 1) R
    for s in {s_max, s_max - 1, ..., 0} do
        n = ceil(B / R * eta^s / (s + 1)),  r = R eta^(-s)
        // begin SuccessiveHalving with (n, r) inner loop
        T = get_hyperparameter_configuration(n)
        for i in {0, ..., s} do
            n_i = floor(n eta^(-i))
            r_i = r eta^i
            L = {run_then_return_val_loss(t, r_i) : t in T}
            T = top_k(T, L, floor(n_i / eta))

All numbers are exact fractions; R is counted in units of the smallest resource.
"""

from __future__ import annotations

import math
from fractions import Fraction

from reference.asha_get_job import PaperASHA, PaperStoppingRule


def algorithm_1(R: int, eta: int) -> list[list[tuple[int, Fraction]]]:
    """For each s, from s_max to 0, the rounds (n_i, r_i)."""
    s_max = 0
    while eta ** (s_max + 1) <= R:
        s_max += 1
    B = (s_max + 1) * R
    table = []
    for s in range(s_max, -1, -1):
        n = math.ceil(Fraction(B, R) * Fraction(eta**s, s + 1))
        r = Fraction(R, eta**s)
        table.append([(math.floor(Fraction(n, eta**i)), r * eta**i) for i in range(s + 1)])
    return table


def next_bracket(sizes: list[int], started: list[int]) -> int:
    """The bracket furthest behind its share of one more trial than were started; in a tie the first."""
    trials = sum(started) + 1
    # trials * size / sum(sizes) - count, times sum(sizes)
    behind = [trials * size - count * sum(sizes) for size, count in zip(sizes, started, strict=True)]
    return behind.index(max(behind))


class PaperHyperband(PaperASHA):
    """Each bracket as in Algorithm 2 of the ASHA paper."""

    def draw_bracket(self, rng) -> int:
        return next_bracket(self.sizes, [self.bracket.count(s) for s in range(len(self.sizes))])


class PaperStoppingHyperband(PaperStoppingRule):
    """Each bracket by the stopping rule."""

    def __init__(self, *arguments, **named) -> None:
        super().__init__(*arguments, **named)
        self.paper = PaperHyperband(*arguments, **named)
