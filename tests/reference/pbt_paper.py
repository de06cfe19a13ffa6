"""Population based training as in the paper, transcribed line by line, slow and plain.

Jaderberg et al. (2017), "Population Based Training of Neural Networks", https://arxiv.org/abs/1711.09846, Algorithm 1:

    for (theta, h, p, t) in P (asynchronously in parallel):
        while not end of training:
            theta <- step(theta | h)
            p <- eval(theta)
            if ready(p, t, P):
                h', theta' <- exploit(h, theta, p, P)
                if theta != theta':
                    h, theta <- explore(h', theta', P)
                    p <- eval(theta)
            update P with new (theta, h, p, t + 1)

step, eval and explore belong to the one who calls. The rules of exploit are those of sections 4.1.1 and 4.3, worded
for losses. Synchronous: nobody passes a point of readiness before all have reached it. What the paper leaves open is
decided here as kt_ext does: equal losses are ranked in an order that rotates by one member from one point to the next;
at least one member is in the last quantile; a member with an infinite loss always exploits and nobody copies from one;
a t-test looks at the losses since the last copy; a lost member has left the population.
"""

from __future__ import annotations

import math
import warnings

from scipy.stats import ttest_ind

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait


class PaperPBT:
    """Algorithm 1 with suggest and observe around its loop, so that it can be asked what the fast one is asked."""

    def __init__(
        self, population_size: int, max_epochs: int, interval: int, burn_in: int, quantile: float, exploit: str
    ) -> None:
        self.size, self.T, self.interval, self.burn_in = population_size, max_epochs, interval, burn_in
        self.quantile = quantile
        self.rule = {"truncation": self.truncation, "tournament": self.tournament, "ttest": self.ttest}[exploit]
        self.P: dict[int, list[float]] = {}  # the population: every member's losses, one for each step
        self.copies: list[tuple[int, int]] = []  # the member that copied another, and the step after which it did
        self.ready: set[int] = set()  # those that wait at a point of readiness
        self.training: set[int] = set()
        self.started = 0
        self.exhausted = False

    def is_ready(self, t: int) -> bool:
        return t % self.interval == 0 and self.burn_in <= t < self.T

    def next_point(self, t: int) -> int:
        return next((later for later in range(t + 1, self.T) if self.is_ready(later)), self.T)

    # exploit

    def ranked(self, t: int) -> list[int]:
        """Best first."""
        order = [(first + t // self.interval) % self.size for first in range(self.size)]
        return sorted((m for m in order if m in self.P), key=lambda m: self.P[m][t - 1])

    def truncation(self, member: int, t: int, rng) -> int | None:
        """Rank all agents; one in the bottom quantile copies one sampled uniformly from the top quantile."""
        ranked = self.ranked(t)
        n = max(1, math.floor(self.quantile * len(ranked))) if len(ranked) > 1 else 0
        top, bottom = ranked[: max(1, n)], ranked[len(ranked) - n :]
        if member not in bottom and self.P[member][t - 1] < math.inf:
            return None
        return self.uniform([m for m in top if m != member and self.P[m][t - 1] < math.inf], rng)

    def tournament(self, member: int, t: int, rng) -> int | None:
        """Sample another agent uniformly, and copy it if it is better."""
        ranked = self.ranked(t)
        other = self.uniform(self.others(member, t), rng)
        return other if other is not None and ranked.index(other) < ranked.index(member) else None

    def ttest(self, member: int, t: int, rng) -> int | None:
        """Sample another agent uniformly, and copy it if it has the better mean and satisfies Welch's t-test."""
        other = self.uniform(self.others(member, t), rng)
        if other is None or self.P[member][t - 1] == math.inf:
            return other
        if self.P[other][t - 1] == math.inf:
            return None
        mine, its = ([loss for loss in self.window(m, t) if loss < math.inf] for m in (member, other))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of one loss, and of losses that are all the same
            significant = ttest_ind(its, mine, equal_var=False).pvalue < 0.05
        return other if significant and sum(its) / len(its) < sum(mine) / len(mine) else None

    def others(self, member: int, t: int) -> list[int]:
        others = [m for m in self.ranked(t) if m != member]
        if self.P[member][t - 1] == math.inf:
            others = [m for m in others if self.P[m][t - 1] < math.inf]
        return others

    def window(self, member: int, t: int) -> list[float]:
        last_copy = max((step for m, step in self.copies if m == member and step < t), default=0)
        return self.P[member][last_copy:t][-10:]

    @staticmethod
    def uniform(agents: list[int], rng) -> int | None:
        return agents[rng.integers(len(agents))] if agents else None

    # the loop

    def go_on(self, member: int, rng) -> int | None:
        self.ready.remove(member)
        self.training.add(member)
        t = len(self.P[member])
        donor = self.rule(member, t, rng)
        if donor is not None:
            self.copies.append((member, t))
        return donor

    def all_ready(self) -> bool:
        """Nobody is behind: all have at least the losses of those that wait."""
        if not self.ready or (self.started < self.size and not self.exhausted):
            return False
        t = min(len(self.P[m]) for m in self.ready)
        return all(len(losses) >= t for losses in self.P.values())

    def drop_the_hopeless(self) -> None:
        """All have come and not one loss is finite: there is nobody to copy."""
        while self.all_ready():
            t = min(len(self.P[m]) for m in self.ready)
            if min(losses[t - 1] for losses in self.P.values()) < math.inf:
                return
            for m in [m for m in self.ready if len(self.P[m]) == t]:
                self.ready.remove(m)
                del self.P[m]

    def suggest(self, rng):
        if self.started < self.size and not self.exhausted:
            self.P[self.started] = []
            self.training.add(self.started)
            self.started += 1
            return Run(self.started - 1, self.next_point(0))
        if self.all_ready():
            t = min(len(self.P[m]) for m in self.ready)
            member = min(m for m in self.ready if len(self.P[m]) == t)
            donor = self.go_on(member, rng)
            return Run(member, self.next_point(t), restore=CheckpointRef(member if donor is None else donor, t))
        return Wait() if self.training else Done()

    def observe(self, observation: Observation, rng):
        member, t = observation.trial_id, observation.epoch
        self.P[member].append(observation.objective if math.isfinite(observation.objective) else math.inf)
        if t < self.T and not self.is_ready(t):
            return Run(member, self.next_point(t))
        self.training.remove(member)
        if t == self.T:
            return Stop(member)
        self.ready.add(member)
        self.drop_the_hopeless()
        if member not in self.ready:
            return Stop(member)
        if not self.all_ready() or any(len(self.P[m]) < t for m in self.ready):
            return Pause(member)
        donor = self.go_on(member, rng)
        return Run(member, self.next_point(t), restore=None if donor is None else CheckpointRef(donor, t))

    def forget(self, member: int) -> None:
        self.training.remove(member)
        del self.P[member]
        self.drop_the_hopeless()

    def exhaust(self) -> None:
        self.exhausted = True
        self.drop_the_hopeless()
