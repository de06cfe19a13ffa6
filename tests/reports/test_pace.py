"""How fast a search is, and how long it may yet take, where that is less simple than in test_watch.py."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest

from kt_ext.reports.pace import Pace, pace
from reports.records import reported


@pytest.mark.parametrize("done", [4, 15])
@pytest.mark.parametrize("period", [60, 400, 590, 900, 3600])
def test_long_epochs_have_their_speed(period, done):
    record = reported([period * (k + 1) for k in range(done)])
    assert pace(record) == Pace(pytest.approx(60 / period), pytest.approx((20 - done) * period))


def test_only_the_last_ten_minutes_count():
    record = reported([*range(1, 101), *range(110, 1101, 10)], max_epochs=500)
    # from the report at second 500, which is not counted, to second 1100
    assert pace(record).epochs_per_minute == pytest.approx(6.0)


def test_ten_reports_count_where_they_took_longer():
    record = reported(accumulate([300, 900] * 10), max_epochs=100)
    assert pace(record).epochs_per_minute == pytest.approx(60 * 10 / 6000)  # and not the last alone, in 900 s


def test_an_epoch_is_not_counted_where_only_its_end_is_recent():
    record = reported([k * 45 for k in range(1, 31)], max_epochs=100)  # ten minutes are not a multiple of 45 s
    assert pace(record).epochs_per_minute == pytest.approx(60 / 45)


def test_a_report_of_each_running_trial_counts():
    # 30 workers whose hours end within half a minute, 3000 seconds ago
    record = reported(*[(3600 + k, 7200 + k) for k in range(30)])
    # from the last report of the first hour to now
    assert pace(record, silent=3000.0).epochs_per_minute == pytest.approx(60 * 30 / 6600)


def test_what_is_infinite_limits_nothing():
    limits = {"max_seconds": math.inf, "max_total_epochs": math.inf}
    assert pace(reported([]), limits).seconds_left is None
    assert pace(reported([1.0, 2.0]), limits) == Pace(60.0, 18.0)


def test_an_epoch_that_is_under_way_may_end_after_the_limit():
    record = reported([60.0, 120.0])
    assert pace(record, {"max_seconds": 150.0}) == Pace(1.0, 30.0, at_most=False)
    assert pace(record, {"max_seconds": 150.0}, silent=30.0) == Pace(0.8, None)
    assert pace(record, {"max_seconds": 150.0}, silent=90.0) == Pace(pytest.approx(4 / 7), None)


def test_a_scheduler_of_ones_own_tells_no_time_left():
    record = reported([1.0, 2.0])
    del record.scheduler["scheduler"]
    assert pace(record) == Pace(60.0, None)
