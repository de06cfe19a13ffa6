"""When starting workers is given up, by exact counts."""

from __future__ import annotations

from kt_ext.execution.failed_starts import FailedStarts

ALL = ("a", "b")


def test_all_are_counted_together_while_none_has_reached_the_chief() -> None:
    starts = FailedStarts(lambda worker_id: False)
    assert [starts.died(worker_id, ALL) for worker_id in ("a", "b", "a")] == [1, 2, 3]


def test_each_is_counted_alone_once_another_has_reached_the_chief() -> None:
    starts = FailedStarts(lambda worker_id: worker_id == "c")
    assert [starts.died(worker_id, (*ALL, "c")) for worker_id in ("a", "b", "a")] == [1, 1, 2]
    assert starts.died("b", ALL) == 2  # that it did is not forgotten when it has left


def test_they_are_counted_in_a_row() -> None:
    reached = {"a": False}
    starts = FailedStarts(lambda worker_id: reached.get(worker_id, False))
    assert [starts.died("a", ALL), starts.died("a", ALL)] == [1, 2]
    reached["a"] = True
    assert starts.died("a", ALL) == 0
    reached["a"] = False
    assert [starts.died("a", ALL), starts.died("b", ALL)] == [1, 1]
