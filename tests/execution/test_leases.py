"""Who is there and who was silent for too long, by a clock that the test moves."""

from __future__ import annotations

import pytest

from kt_ext.execution.leases import Lease, Leases, WorkerTaken


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases(clock):
    return Leases(30, clock)


def test_a_lease_ends_30_seconds_after_the_last_word(leases, clock):
    leases.hello("a", "one")
    clock.now += 20
    leases.hear("a", "one")
    clock.now += 29.9
    assert leases.expired() == []
    clock.now += 0.1
    assert leases.expired() == ["a"]
    assert (leases.expired(), len(leases)) == ([], 0)


def test_each_worker_has_a_lease_of_its_own(leases, clock):
    leases.hello("a", "one")
    clock.now += 10
    leases.hello("b", "two")
    clock.now += 20
    assert leases.expired() == ["a"]
    assert leases.get("a") is None
    assert leases.get("b") == Lease("two", 110.0)


def test_a_lease_that_nobody_collected_is_renewed(leases, clock):
    leases.hello("a", "one")
    clock.now += 100
    leases.hear("a", "one")
    assert leases.expired() == []


def test_a_worker_id_is_taken_while_its_session_is_alive(leases, clock):
    leases.hello("a", "one")
    clock.now += 29
    with pytest.raises(WorkerTaken, match="a"):
        leases.hello("a", "two")
    with pytest.raises(WorkerTaken):
        leases.hear("a", "two")
    clock.now += 1
    leases.expired()
    leases.hello("a", "two")
    with pytest.raises(WorkerTaken):
        leases.hear("a", "one")


def test_the_refused_session_does_not_keep_the_other_alive(leases, clock):
    leases.hello("a", "one")
    clock.now += 29
    with pytest.raises(WorkerTaken):
        leases.hello("a", "two")
    clock.now += 1
    assert leases.expired() == ["a"]


def test_an_unknown_session_is_registered_when_it_is_heard(leases, clock):
    assert leases.hear("a", "one") == Lease("one", 100.0)
    assert len(leases) == 1


def test_who_said_good_bye_is_not_registered_by_what_still_comes(leases):
    leases.hello("a", "one")
    assert leases.bye("a", "one")
    assert leases.hear("a", "one") is None
    assert len(leases) == 0
    assert not leases.bye("a", "one")
    leases.hello("a", "one")
    assert leases.hear("a", "one") is not None


def test_the_good_bye_of_another_session_changes_nothing(leases):
    leases.hello("a", "one")
    assert not leases.bye("a", "two")
    assert leases.get("a") == Lease("one", 100.0)


def test_a_dead_worker_is_dropped(leases):
    leases.hello("a", "one")
    assert leases.drop("a")
    assert not leases.drop("a")
    leases.hello("a", "two")


def test_after_a_restart_the_id_is_whose_who_comes_first(leases, clock):
    leases.adopt("a", "7", 2)
    assert leases.get("a") == Lease(None, 100.0, "7", 2, 100.0)
    clock.now += 29
    leases.hear("a", "one")
    clock.now += 29
    assert leases.expired() == []
    with pytest.raises(WorkerTaken):
        leases.hear("a", "two")


def test_an_adopted_lease_ends_if_nobody_comes(leases, clock):
    leases.adopt("a", "7", 2)
    clock.now += 30
    assert leases.expired() == ["a"]


def test_a_trial_without_a_word_of_it_is_hung(leases, clock):
    leases.hello("a", "one")
    assert leases.hung(60) == []
    leases.give("a", "3", 1)
    clock.now += 59
    leases.hear("a", "one")  # the process is there, and says nothing of its trial
    assert leases.hung(60) == []
    clock.now += 1
    assert leases.hung(60) == [("a", "3")]
    leases.give("a", "3", 1)
    assert leases.hung(60) == []


def test_a_trial_that_was_taken_cannot_hang(leases, clock):
    leases.hello("a", "one")
    leases.give("a", "3", 1)
    leases.take("a", "4")
    assert leases.get("a").trial_id == "3"
    leases.take("a", "3")
    clock.now += 60
    assert leases.hung(60) == []
    leases.give("b", "3", 1)  # not there: nothing to note
    assert leases.get("b") is None


@pytest.mark.parametrize("seconds", [0, -1, True, "30", float("nan")])
def test_a_lease_takes_time(seconds):
    with pytest.raises(ValueError, match="lease_seconds="):
        Leases(seconds)
