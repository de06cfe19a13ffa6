"""ASHA, slow and literal: Algorithm 2 of Li et al. (2018), https://arxiv.org/abs/1810.05934, line by line.

    function get_job()
        // Check if there is a promotable config.
        for k = floor(log_eta(R / r)) - s - 1, ..., 1, 0 do
            candidates = top_k(rung k, |rung k| / eta)
            promotable = {t for t in candidates if t not already promoted}
            if |promotable| > 0 then
                return promotable[0], k + 1
        // If not, grow bottom rung.
        Draw random configuration theta.
        return theta, 0

What the paper leaves open is decided as ``kt_ext.schedulers.ASHA`` documents: ties go to the earlier arrival, losses of
inf are never promotable and yet count in |rung|, and several brackets s are looked through from the highest rung down.
Every rung is a plain list in the order of arrival, sorted anew at every call. Only the words are shared with kt_ext.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait

Rung = list[tuple[int, float]]  # (trial, loss) in the order of arrival
Candidates = Callable[[Rung, set[int], int], list[int]]


def top_k(rung: Rung, k: int) -> list[int]:
    """The trials with the k smallest losses, best first; sorted() is stable, so the earlier arrival wins a tie."""
    return [trial for trial, loss in sorted(rung, key=lambda entry: entry[1])[:k] if loss < math.inf]


def the_papers_candidates(rung: Rung, promoted: set[int], eta: int) -> list[int]:
    """candidates = top_k(rung k, |rung k| / eta), of ALL that reached the rung."""
    return top_k(rung, len(rung) // eta)


def hyperband_sizes(s_max: int, eta: int) -> list[int]:
    """n = ceil((B / R) eta^s / (s + 1)) with B = (s_max + 1) R, for s = s_max, ..., 0 (Hyperband, Algorithm 1)."""
    return [math.ceil(Fraction(s_max + 1, s + 1) * eta**s) for s in range(s_max, -1, -1)]


class PaperASHA:
    """Algorithm 2 with suggest and observe around get_job, so that it can be asked what the fast one is asked."""

    def __init__(
        self,
        max_epochs: int,
        min_epochs: int,
        factor: int,
        brackets: int,
        max_trials: int,
        candidates: Candidates = the_papers_candidates,
    ) -> None:
        self.eta, self.max_trials, self.candidates = factor, max_trials, candidates
        epochs = [min_epochs * factor**k for k in range(100) if min_epochs * factor**k < max_epochs] + [max_epochs]
        self.sizes = hyperband_sizes(len(epochs) - 1, factor)[:brackets]
        self.epochs = [epochs[s:] for s in range(brackets)]  # [bracket][k]
        self.rungs: list[list[Rung]] = [[[] for _ in bracket] for bracket in self.epochs]
        self.promoted: list[list[set[int]]] = [[set() for _ in bracket] for bracket in self.epochs]
        self.bracket: list[int] = []  # of each trial started
        self.rung_of: dict[int, int] = {}  # of each running trial: the rung k it is sent to
        self.exhausted = False

    def get_job(self, rng):
        """(trial, k) to run, or None when there is nothing to promote and no trial to start."""
        places = [(s, k) for s, bracket in enumerate(self.epochs) for k in range(len(bracket) - 1)]
        for s, k in sorted(places, key=lambda place: (-self.epochs[place[0]][place[1]], place[0])):
            candidates = self.candidates(self.rungs[s][k], self.promoted[s][k], self.eta)
            promotable = [trial for trial in candidates if trial not in self.promoted[s][k]]
            if len(promotable) > 0:
                self.promoted[s][k].add(promotable[0])
                return promotable[0], k + 1
        if len(self.bracket) == self.max_trials or self.exhausted:
            return None
        self.bracket.append(self.draw_bracket(rng))
        return len(self.bracket) - 1, 0

    def draw_bracket(self, rng) -> int:
        if len(self.sizes) == 1:
            return 0
        urn = [s for s, size in enumerate(self.sizes) for _ in range(size)]  # one ball for each configuration
        return urn[rng.integers(len(urn))]

    def suggest(self, rng):
        job = self.get_job(rng)
        if job is None:
            return Wait() if self.rung_of else Done()
        trial, k = job
        self.rung_of[trial] = k
        epochs = self.epochs[self.bracket[trial]]
        return Run(trial, epochs[k], restore=CheckpointRef(trial, epochs[k - 1]) if k > 0 else None)

    def observe(self, observation: Observation, rng):
        trial, s, k = observation.trial_id, self.bracket[observation.trial_id], self.rung_of[observation.trial_id]
        diverged = not math.isfinite(observation.objective)
        if not diverged and observation.epoch < self.epochs[s][k]:
            return Run(trial, self.epochs[s][k])
        del self.rung_of[trial]
        self.rungs[s][k].append((trial, math.inf if diverged else observation.objective))
        return Stop(trial) if diverged or k == len(self.epochs[s]) - 1 else Pause(trial)

    def forget(self, trial: int) -> None:
        del self.rung_of[trial]

    def exhaust(self) -> None:
        self.exhausted = True


class PaperStoppingRule:
    """The stopping variant: at each rung sort all losses recorded there; a trial in the top 1 / eta goes on."""

    def __init__(self, max_epochs: int, min_epochs: int, factor: int, brackets: int, max_trials: int) -> None:
        self.eta, self.max_epochs, self.max_trials = factor, max_epochs, max_trials
        self.paper = PaperASHA(max_epochs, min_epochs, factor, brackets, max_trials)  # for its rungs and brackets
        self.running: set[int] = set()
        self.exhausted = False

    def suggest(self, rng):
        if len(self.paper.bracket) == self.max_trials or self.exhausted:
            return Wait() if self.running else Done()
        self.paper.bracket.append(self.paper.draw_bracket(rng))
        self.running.add(len(self.paper.bracket) - 1)
        return Run(len(self.paper.bracket) - 1, self.max_epochs)

    def observe(self, observation: Observation, rng):
        trial, epoch, loss = observation.trial_id, observation.epoch, observation.objective
        s = self.paper.bracket[trial]
        k = next(k for k, rung_epoch in enumerate(self.paper.epochs[s]) if rung_epoch >= epoch)
        rung = self.paper.rungs[s][k]
        if not math.isfinite(loss):
            rung.append((trial, math.inf))
            goes_on = False
        elif epoch < self.paper.epochs[s][k]:
            goes_on = True
        else:
            rung.append((trial, loss))
            goes_on = epoch < self.max_epochs and (len(rung) < self.eta or trial in top_k(rung, len(rung) // self.eta))
        if goes_on:
            return Run(trial, self.max_epochs)
        self.running.remove(trial)
        return Stop(trial)

    def forget(self, trial: int) -> None:
        self.running.remove(trial)

    def exhaust(self) -> None:
        self.exhausted = True
