"""PBT's exact decisions: who takes over whose state, when, and with which values."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pytest

from kt_ext.core.decision import CheckpointRef, Done, Observation, Pause, Run, Stop, Wait
from kt_ext.core.simulate import simulate
from kt_ext.schedulers import ASHA, PBT, Perturb


class First:
    """Stands for a Generator that always draws the first of several."""

    def integers(self, high: int) -> int:
        return 0


FIRST = First()


def start(pbt: PBT) -> None:
    for member in range(pbt.population_size):
        assert pbt.suggest(FIRST) == Run(member, until=pbt.rung_epochs[0])


def report(pbt: PBT, scores: dict[int, float], epoch: int) -> list:
    return [pbt.observe(Observation(member, epoch, score), FIRST) for member, score in scores.items()]


def take(member: int, until: int, donor: int) -> Run:
    """Goes on from the donor's state one epoch before ``until``."""
    return Run(member, until, restore=CheckpointRef(donor, until - 1))


# Arguments


@pytest.mark.parametrize(
    ("arguments", "boundaries"),
    [
        ({"max_epochs": 10, "perturbation_interval": 3}, (3, 6, 9, 10)),
        ({"max_epochs": 9, "perturbation_interval": 3}, (3, 6, 9)),
        ({"max_epochs": 9, "perturbation_interval": 3, "burn_in": 4}, (6, 9)),
        ({"max_epochs": 9, "perturbation_interval": 3, "burn_in": 6}, (6, 9)),
        ({"max_epochs": 3, "perturbation_interval": 7}, (3,)),
        ({"max_epochs": 3, "burn_in": 9}, (3,)),
    ],
)
def test_boundaries(arguments, boundaries):
    assert PBT(2, **arguments).rung_epochs == boundaries


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"population_size": 0}, ValueError, "population_size=0: must be an integer >= 1"),
        ({"max_epochs": 1.5}, ValueError, "max_epochs=1.5: must be an integer >= 1"),
        ({"perturbation_interval": 0}, ValueError, "perturbation_interval=0: must be an integer >= 1"),
        ({"burn_in": -1}, ValueError, "burn_in=-1: must be an integer >= 0"),
        ({"quantile_fraction": 0.6}, ValueError, r"quantile_fraction=0.6: must be in \(0, 0.5\]"),
        ({"quantile_fraction": 0}, ValueError, r"quantile_fraction=0: must be in \(0, 0.5\]"),
        ({"quantile_fraction": "most"}, ValueError, "quantile_fraction='most': must be in"),
        ({"exploit": "copy"}, ValueError, "exploit='copy': must be one of truncation, tournament, ttest"),
        ({"synchronous": "no"}, ValueError, "synchronous='no': must be True, False or 'auto'"),
        ({"explorer": 0.8}, TypeError, "explorer=0.8: must be an explorer"),
    ],
)
def test_arguments_out_of_range(arguments, error, message):
    with pytest.raises(error, match=message):
        PBT(**arguments)


def test_a_state_of_other_arguments_is_refused():
    with pytest.raises(ValueError, match="population_size=4 was saved, this one has 5"):
        PBT(5).load_state(PBT(4).state())
    with pytest.raises(ValueError, match="scheduler='ASHA' was saved"):
        PBT(5).load_state(ASHA(4).state())
    with pytest.raises(ValueError, match=r"explorer=.*0\.5.* was saved"):
        PBT(5).load_state(PBT(5, explorer=Perturb(resample_probability=0.5)).state())


# Who takes over whose state


def test_one_worker_takes_turns_and_the_last_quarter_takes_from_the_first():
    """Nobody passes epoch 1 before all eight are there; then 6 and 7, the worst, go on from 0 and 1, the best."""
    pbt = PBT(8, 3)
    rng = np.random.default_rng(0)
    for member in range(8):
        assert pbt.suggest(rng) == Run(member, until=1)
        answer = pbt.observe(Observation(member, 1, float(member)), rng)
        assert (answer == Pause(member)) == (member < 7)
    donors = {7: answer.restore.trial_id}
    for member in range(7):
        pbt.observe(Observation((member - 1) % 8, 2, 0.0), rng)
        run = pbt.suggest(rng)
        assert (run.trial_id, run.until, run.restore.epoch) == (member, 2, 1)
        donors[member] = run.restore.trial_id
    assert {member: donors[member] for member in range(6)} == {member: member for member in range(6)}
    assert {donors[6], donors[7]} <= {0, 1}


def test_both_of_the_first_quarter_are_taken():
    donors = Counter()
    for seed in range(200):
        pbt = PBT(8, 3, synchronous=True)
        start(pbt)
        report(pbt, {member: float(member) for member in range(7)}, 1)
        answer = pbt.observe(Observation(7, 1, 7.0), np.random.default_rng(seed))
        donors[answer.restore.trial_id] += 1
    assert set(donors) == {0, 1} and min(donors.values()) > 70


def test_members_are_compared_at_equal_epochs():
    """Member 0 is far ahead with good scores; at epoch 1 it was the worst. So 1 takes nothing over from it, and 0
    is a donor only at the epochs where it was good."""
    pbt = PBT(2, 4, synchronous=False)
    start(pbt)
    assert report(pbt, {0: 9.0}, 1) == [Run(0, until=2)]
    assert report(pbt, {0: 0.1}, 2) == [Run(0, until=3)]
    assert report(pbt, {0: 0.1}, 3) == [Run(0, until=4)]
    assert report(pbt, {1: 5.0}, 1) == [Run(1, until=2)]
    assert report(pbt, {1: 5.0}, 2) == [take(1, until=3, donor=0)]
    assert report(pbt, {1: 0.05}, 3) == [Run(1, until=4)]


def test_synchronous_waits_for_all_and_auto_for_half():
    scores = {0: 3.0, 1: 2.0, 2: 1.0, 3: 4.0}
    pbt = PBT(8, 3, synchronous=True)
    start(pbt)
    assert report(pbt, scores, 1) == [Pause(0), Pause(1), Pause(2), Pause(3)]
    assert pbt.suggest(FIRST) == Wait()
    auto = PBT(8, 3)
    start(auto)
    assert report(auto, scores, 1) == [Pause(0), Pause(1), Pause(2), take(3, until=2, donor=2)]
    assert auto.suggest(FIRST) == Run(0, until=2, restore=CheckpointRef(0, 1))


def test_auto_waits_for_a_quantile_of_one_and_for_the_boundary_before():
    pbt = PBT(4, 4)
    start(pbt)
    assert report(pbt, {0: 1.0, 1: 2.0, 2: 3.0}, 1) == [Pause(0), Pause(1), Pause(2)]  # a quarter of three is nobody
    half = PBT(4, 4, quantile_fraction=0.5)
    start(half)
    assert report(half, {0: 1.0, 1: 2.0}, 1) == [Pause(0), take(1, until=2, donor=0)]
    assert half.suggest(FIRST) == Run(0, until=2, restore=CheckpointRef(0, 1))
    assert report(half, {0: 1.0, 1: 2.0}, 2) == [Pause(0), Pause(1)]  # 2 and 3 have not been at epoch 1 yet
    assert half.suggest(FIRST) == Wait()
    assert report(half, {2: 3.0, 3: 4.0}, 1)[1] == take(3, until=2, donor=0)


def test_those_behind_go_first():
    """The worker of 0 leaves it at epoch 2, to help 1 over epoch 1."""
    pbt = PBT(3, 4, synchronous=False)
    assert [pbt.suggest(FIRST).trial_id for _ in range(2)] == [0, 1]
    assert report(pbt, {1: 1.0}, 1) == [Pause(1)]  # 2 was not started
    assert pbt.suggest(FIRST) == Run(2, until=1)
    assert report(pbt, {0: 1.5}, 1) == [Run(0, until=2)]
    assert report(pbt, {0: 1.5}, 2) == [Pause(0)]
    assert pbt.suggest(FIRST) == Run(1, until=2, restore=CheckpointRef(1, 1))


@pytest.mark.parametrize("exploit", ["truncation", "tournament"])
def test_exactly_tied_members_exploit_in_turn(exploit):
    """With a strict "worse than" nobody ever would. The order of equals rotates."""
    pbt = PBT(2, 9, exploit=exploit, synchronous=True)
    start(pbt)
    for epoch in range(1, 9):
        paused, one = report(pbt, {0: 0.5, 1: 0.5}, epoch)
        zero = pbt.suggest(FIRST)
        assert paused == Pause(0)
        if epoch % 2:
            assert (one, zero) == (Run(1, until=epoch + 1), take(0, until=epoch + 1, donor=1))
        else:
            assert (one, zero) == (take(1, until=epoch + 1, donor=0), take(0, until=epoch + 1, donor=0))


def test_burn_in_and_interval():
    pbt = PBT(2, 9, perturbation_interval=2, burn_in=3)
    assert [pbt.suggest(FIRST) for _ in range(2)] == [Run(0, until=4), Run(1, until=4)]
    for epoch in (1, 2, 3):
        assert report(pbt, {0: 1.0, 1: 2.0}, epoch) == [Run(0, until=4), Run(1, until=4)]
    assert report(pbt, {0: 1.0, 1: 2.0}, 4) == [Pause(0), Run(1, until=6, restore=CheckpointRef(0, 4))]


# Divergence


@pytest.mark.parametrize("worst", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("exploit", ["truncation", "tournament", "ttest"])
def test_a_diverged_member_is_replaced_at_the_next_boundary(worst, exploit):
    """Though it is not in the last quarter alone, and whatever the rule; it trains on until the boundary."""
    pbt = PBT(4, 9, perturbation_interval=2, exploit=exploit, synchronous=True)
    start(pbt)
    report(pbt, {0: 1.0, 1: worst, 2: worst, 3: worst}, 1)
    answers = report(pbt, {0: 1.0, 1: worst, 2: worst, 3: worst}, 2)
    assert answers[:3] == [Pause(0), Pause(1), Pause(2)]
    assert answers[3] == Run(3, until=4, restore=CheckpointRef(0, 2))
    assert [pbt.suggest(FIRST).restore for _ in range(3)] == [CheckpointRef(0, 2)] * 3
    assert pbt.failure is None


def test_a_diverged_member_waits_for_a_finite_one():
    pbt = PBT(8, 9, synchronous=False)
    start(pbt)
    assert report(pbt, {0: math.inf, 1: math.inf}, 1) == [Pause(0), Pause(1)]
    assert pbt.suggest(FIRST) == Wait()
    assert report(pbt, {2: 7.0}, 1) == [Run(2, until=2)]
    assert [pbt.suggest(FIRST).restore for _ in range(2)] == [CheckpointRef(2, 1)] * 2


@pytest.mark.parametrize("synchronous", [True, False, "auto"])
def test_all_diverged_is_a_failure_with_a_text(synchronous):
    pbt = PBT(4, 9, perturbation_interval=3, synchronous=synchronous)
    result = simulate(pbt, lambda member, epoch: math.nan, workers=3)
    assert result.finished and result.total_epochs == 12
    assert pbt.suggest(FIRST) == Done()
    assert pbt.failure == (
        "all members of the population have diverged: none has a finite objective after 3 epochs; lower the learning "
        "rates, clip the gradients or look at the data"
    )


def test_a_member_with_nobody_left_to_take_from_is_given_up_and_the_others_go_on():
    """2 went on from 0's state after epoch 1 and is fine. Then 0 fails, and 1 comes to epoch 1 diverged."""
    pbt = PBT(3, 3, synchronous=False)
    start(pbt)
    assert report(pbt, {0: 1.0}, 1) == [Run(0, until=2)]
    assert report(pbt, {2: math.inf}, 1) == [take(2, until=2, donor=0)]
    pbt.forget(0)
    assert report(pbt, {1: math.inf}, 1) == [Stop(1)]
    assert report(pbt, {2: 1.0}, 2) == [Run(2, until=3)]
    assert report(pbt, {2: 1.0}, 3) == [Stop(2)]
    assert pbt.suggest(FIRST) == Done() and pbt.failure is None


def test_a_lost_member_holds_up_nobody():
    pbt = PBT(4, 9, synchronous=True)
    start(pbt)
    assert report(pbt, {0: 2.0, 1: 1.0, 2: 3.0}, 1) == [Pause(0), Pause(1), Pause(2)]
    assert pbt.suggest(FIRST) == Wait()
    pbt.forget(3)
    assert [pbt.suggest(FIRST).restore for _ in range(3)] == [CheckpointRef(donor, 1) for donor in (0, 1, 1)]


# Counting


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("synchronous", [True, False, "auto"])
def test_epochs_are_exactly_those_asked_for(workers, synchronous):
    """Whatever the speeds and the divergences of single epochs."""
    for seed, (population, interval) in enumerate([(8, 2), (5, 3), (3, 1)]):
        noise = np.random.default_rng(seed).random((population, 14))
        noise[0, 2] = math.inf
        result = simulate(
            PBT(population, 13, interval, synchronous=synchronous),
            lambda member, epoch, noise=noise: noise[member, epoch],
            workers=workers,
            seed=seed,
            epoch_seconds=lambda member: 1.0 + member % 3,
        )
        assert result.finished
        assert result.epochs == dict.fromkeys(range(population), 13)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_every_restore_is_an_exploit_when_each_member_has_a_worker_or_there_is_one(workers):
    """With a worker for each member nothing is restored but what is taken over or has waited for the others."""
    noise = np.random.default_rng(0).random((8, 21))
    result = simulate(PBT(8, 20, synchronous=False), lambda m, e: noise[m, e], workers=workers, log=True)
    runs = [logged.decision for logged in result.log if isinstance(logged.decision, Run)]
    takeovers = sum(run.restore is not None and run.restore.trial_id != run.trial_id for run in runs)
    own = sum(run.restore is not None and run.restore.trial_id == run.trial_id for run in runs)
    assert takeovers > 20
    if workers == 8:
        assert own == 0


def test_at_most_two_states_of_a_member_are_pinned():
    """A worker that is 30 times slower than the others does not fill the disk."""

    class Counting(PBT):
        most = 0

        def observe(self, observation, rng):
            answer = super().observe(observation, rng)
            per_member = Counter(ref.trial_id for ref in self.pinned())
            self.most = max(self.most, *per_member.values(), 0)
            return answer

    noise = np.random.default_rng(0).random((8, 31))
    pbt = Counting(8, 30)
    simulate(pbt, lambda m, e: noise[m, e], workers=8, epoch_seconds=lambda member: 30.0 if member == 5 else 1.0)
    assert pbt.most == 2


# Restart


@pytest.mark.parametrize("restart", [False, True])
def test_the_ttest_forgets_the_scores_of_the_state_that_was_left(restart):
    """0 took over 1's state after epoch 2. Its one score since proves nothing, though those before were far worse."""
    pbt, fresh = (PBT(2, 9, exploit="ttest", synchronous=True) for _ in range(2))
    start(pbt)
    assert report(pbt, {1: 1.0, 0: 9.0}, 1) == [Pause(1), Run(0, until=2)]
    assert pbt.suggest(FIRST) == Run(1, until=2, restore=CheckpointRef(1, 1))
    assert report(pbt, {1: 1.1, 0: 9.1}, 2) == [Pause(1), take(0, until=3, donor=1)]
    assert pbt.suggest(FIRST) == Run(1, until=3, restore=CheckpointRef(1, 2))
    if restart:
        fresh.load_state(json.loads(json.dumps(pbt.state())))
        pbt = fresh
    assert report(pbt, {1: 1.0, 0: 9.0}, 3) == [Pause(1), Run(0, until=4)]


@pytest.mark.parametrize("synchronous", [True, False, "auto"])
def test_restored_midway_the_same_decisions_follow(synchronous):
    pbt, again = (PBT(4, 9, exploit="ttest", synchronous=synchronous) for _ in range(2))
    noise = np.random.default_rng(1).random((4, 10))
    noise[2, 3] = math.inf

    class Switching:
        """Hands over to the second scheduler at the 20th decision."""

        decisions = 0

        def __getattr__(self, name):
            return getattr(self.current, name)

        @property
        def current(self):
            return pbt if self.decisions < 20 else again

        def _count(self):
            self.decisions += 1
            if self.decisions == 20:
                again.load_state(json.loads(json.dumps(pbt.state())))

        def suggest(self, rng):
            self._count()
            return self.current.suggest(rng)

        def observe(self, observation, rng):
            self._count()
            return self.current.observe(observation, rng)

    whole = simulate(PBT(4, 9, exploit="ttest", synchronous=synchronous), lambda m, e: noise[m, e], workers=3, seed=5)
    assert simulate(Switching(), lambda m, e: noise[m, e], workers=3, seed=5) == whole
