"""PASHA, slow and literal: Algorithm 1 and section 4 of Bohdal et al. (2023), https://arxiv.org/abs/2207.06940.

    R_t = eta r, K_t = log_eta(R_t / r) = 1
    for completed job (theta, k) with loss l do
        Update configuration theta in rung k with loss l
        if k = K_t and the rankings of rung K_t and rung K_t - 1 differ (softly) then
            K_t = K_t + 1
    function get_job()
        for k = K_t - 1, ..., 1, 0 do
            as in ASHA

Every comparison starts afresh from all curves. As ``kt_ext.schedulers.PASHA`` documents: trials that tie at the top
take the order they had below, one that diverged on the way is last, only the first hundred at the top tell of noise,
and in the end the best trials are trained on.
"""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from reference.asha_get_job import PaperASHA


def soft_groups(below: list[tuple[int, float]], epsilon: float) -> list[set[int]]:
    """At each position of a sorted ranking: the trials before and after it until one is further than epsilon away."""
    groups = []
    for position, (trial, loss) in enumerate(below):
        group = {trial}
        for other, other_loss in below[position + 1 :]:
            if other_loss > loss + epsilon:
                break
            group.add(other)
        for other, other_loss in reversed(below[:position]):
            if other_loss < loss - epsilon:
                break
            group.add(other)
        groups.append(group)
    return groups


def same_soft_ranking(below: dict[int, float], top: dict[int, float], epsilon: float) -> bool:
    """Whether each trial of the top rung is in the group at its position among the same trials in the rung below."""
    ranked_below = sorted(((trial, below[trial]) for trial in top), key=lambda entry: entry[1])
    ranked_top = sorted(top, key=lambda trial: (top[trial], below[trial]))
    return all(trial in group for trial, group in zip(ranked_top, soft_groups(ranked_below, epsilon), strict=True))


def criss_cross(f: list[float], g: list[float]) -> bool:
    """Whether for epochs j > k > l, j the last, f(j) > g(j), f(k) < g(k) and f(l) > g(l), or with f and g swapped."""
    j = len(f) - 1
    for a, b in ((f, g), (g, f)):
        for k in range(j):
            for l in range(k):  # noqa: E741 (the paper's letter)
                if a[j] > b[j] and a[k] < b[k] and a[l] > b[l]:
                    return True
    return False


def noise(curves: list[list[float]], quantile: float) -> float | None:
    """The quantile of the distances at the last epoch of all pairs that criss-cross; None if there are none."""
    distances = [abs(f[-1] - g[-1]) for f, g in combinations(curves, 2) if criss_cross(f, g)]
    return float(np.quantile(distances, quantile)) if distances else None


class PaperPASHA(PaperASHA):
    """Algorithm 1 with suggest and observe, so that it can be asked what the fast one is asked."""

    def __init__(self, max_epochs, min_epochs, factor, max_trials, finish, noise_quantile) -> None:
        super().__init__(max_epochs, min_epochs, factor, 1, max_trials)
        self.finish, self.quantile = finish, noise_quantile
        self.K = min(1, len(self.epochs[0]) - 1)
        self.epsilon = 0.0
        self.curves: dict[int, list[float]] = {}
        self.finishers: list[int] = []  # all that were picked, save those that diverged
        self.trained_out: list[int] = []  # to the last rung, by the search itself

    def get_job(self, rng):
        rungs, promoted = self.rungs[0], self.promoted[0]
        for k in range(self.K - 1, -1, -1):
            candidates = self.candidates(rungs[k], promoted[k], self.eta)
            promotable = [trial for trial in candidates if trial not in promoted[k]]
            if len(promotable) > 0:
                promoted[k].add(promotable[0])
                return promotable[0], k + 1
        if len(self.bracket) < self.max_trials and not self.exhausted:
            self.bracket.append(0)
            return len(self.bracket) - 1, 0
        return None

    def get_finisher(self):
        """(trial, k) to train on from rung k to the end, or None."""
        if set(self.rung_of) - set(self.finishers) or len(self.finishers) + len(self.trained_out) >= self.finish:
            return None
        for k in range(len(self.epochs[0]) - 2, -1, -1):
            paused = [
                (loss, arrival, trial)
                for arrival, (trial, loss) in enumerate(self.rungs[0][k])
                if loss < math.inf and trial not in self.promoted[0][k]
            ]
            if paused:
                trial = min(paused)[-1]
                self.promoted[0][k].add(trial)
                return trial, k
        return None

    def suggest(self, rng):
        epochs = self.epochs[0]
        job = self.get_job(rng)
        if job is not None:
            trial, k = job
            self.rung_of[trial] = k
            return Run(trial, epochs[k], restore=CheckpointRef(trial, epochs[k - 1]) if k > 0 else None)
        finisher = self.get_finisher()
        if finisher is not None:
            trial, k = finisher
            self.finishers.append(trial)
            self.rung_of[trial] = len(epochs) - 1
            return Run(trial, epochs[-1], restore=CheckpointRef(trial, epochs[k]))
        return Wait() if self.rung_of else Done()

    def observe(self, observation: Observation, rng):
        trial, epoch = observation.trial_id, observation.epoch
        k, epochs, rung = self.rung_of[trial], self.epochs[0], self.rungs[0]
        diverged = not math.isfinite(observation.objective)
        curve = self.curves.setdefault(trial, [])
        if not diverged:
            curve.append(observation.objective)
            if epoch < epochs[k]:
                return Run(trial, epochs[k])
        del self.rung_of[trial]
        if trial in self.finishers:
            if diverged:
                self.finishers.remove(trial)
            return Stop(trial)
        rung[k].append((trial, math.inf if diverged else observation.objective))
        if k == self.K and 0 < k < len(epochs) - 1:
            first = [self.curves[t][: epochs[k]] for t, loss in rung[k] if loss < math.inf][:100]
            estimate = noise(first, self.quantile)
            self.epsilon = self.epsilon if estimate is None else estimate
            if not same_soft_ranking(dict(rung[k - 1]), dict(rung[k]), self.epsilon):
                self.K += 1
        if not diverged and k == len(epochs) - 1:
            self.trained_out.append(trial)
        return Stop(trial) if diverged or k == len(epochs) - 1 else Pause(trial)
