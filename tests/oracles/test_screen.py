"""A log stays readable however long the search is."""

from __future__ import annotations

from kt_ext.oracles.screen import LogScreen
from oracles.oracle_driving import Workers, asha, by_values


class Log(LogScreen):
    """One that keeps its lines, on a clock that is set."""

    def __init__(self, **also):
        self.now = 0.0
        self.lines = []
        super().__init__(clock=lambda: self.now, **also)

    def write(self, line):
        self.lines.append(line)


def test_a_short_search_is_shown_whole():
    log = Log(burst=3)
    for line in "abc":
        log.say(line)
    assert log.lines == ["a", "b", "c"]


def test_a_long_one_gets_a_line_in_ten_seconds_and_says_what_is_left_out():
    log = Log(burst=3)
    for k in range(17):
        log.now = 2.5 * k
        log.say(str(log.now))
    # three at once, then whenever ten seconds have made room for another
    assert log.lines == [
        "0.0",
        "2.5",
        "5.0",
        "(left out here: 1)",
        "10.0",
        *["(left out here: 3)", "20.0"],
        *["(left out here: 3)", "30.0"],
        *["(left out here: 3)", "40.0"],
    ]


def test_what_went_wrong_is_always_shown():
    log = Log(burst=1)
    for line in "abc":
        log.say(line)
        log.say(f"    {line} failed", important=True)
    assert log.lines == [
        "a",
        "    a failed",
        "(left out here: 1)",
        "    b failed",
        "(left out here: 1)",
        "    c failed",
    ]


def test_a_failed_trial_is_named_above_what_went_wrong(tmp_path):
    oracle = asha(tmp_path, max_trials=4, max_consecutive_failed_trials=9)
    oracle.verbose = 1
    log = oracle.progress.screen = Log(burst=1)
    Workers(oracle, lambda trial, epoch: ValueError("too wide")).run()
    oracle.finish()
    assert [line.partition("]")[2][:9] or line for line in log.lines] == [
        *[" trial 0 ", "    too wide"],
        *[" trial 1 ", "    too wide"],
        *[" trial 2 ", "    too wide"],
        *[" trial 3 ", "    too wide"],
    ]


def test_the_status_comes_once_a_minute_beside_other_lines():
    log = Log(burst=9, status=lambda: f"status at {log.now:.0f}")
    log.begin()
    for second in (0, 59, 60, 100, 119, 121, 300):
        log.now = float(second)
        log.say(f"line at {second}")
    assert [line for line in log.lines if line.startswith("status")] == [
        "status at 60",
        "status at 121",
        "status at 300",
    ]


def test_a_search_says_its_segments_on_its_screen(tmp_path):
    oracle = asha(tmp_path)
    oracle.verbose = 1
    log = oracle.progress.screen = Log()
    Workers(oracle, by_values).run()
    oracle.finish()
    assert [line[:9] for line in log.lines] == [
        "[     0 s"
    ] * 13  # 9 trials, of which 3 went on to epoch 3 and one of these to 9
    silent = asha(tmp_path / "silent")
    silent.verbose = 0
    nothing = silent.progress.screen = Log()
    Workers(silent, by_values).run()
    silent.finish()
    assert nothing.lines == []
