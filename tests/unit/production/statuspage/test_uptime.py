"""Shares of runs that passed, and the cells of a strip."""

import pytest
from tests.samples.histories import NOW, every_six_hours, run

from testbay.production.history.entries import Entry
from testbay.production.statuspage import uptime
from testbay.production.statuspage.boards import Point, boards
from testbay.production.statuspage.uptime import Cell, Uptime


def points(*runs: Entry) -> list[Point]:
    """Those of the only check."""
    [board] = boards(runs, NOW)
    [check] = board.checks
    return list(check.points)


def test_shares_count_runs_that_could_tell() -> None:
    """Passed of passed and failed, in each window; an old build, an error and a skip count for neither."""
    verdicts = {1: "pass", 2: "fail", 3: "error", 4: "stale", 5: "skip", 30: "fail", 24 * 8: "pass", 24 * 91: "fail"}
    found = uptime.shares(points(*(run(hours, a=verdicts[hours]) for hours in sorted(verdicts, reverse=True))), NOW)

    assert [(share.window, share.passed, share.counted) for share in found] == [
        ("24 hours", 1, 2),
        ("7 days", 1, 3),
        ("30 days", 2, 4),
        ("90 days", 2, 4),
    ]


@pytest.mark.parametrize(
    ("passed", "counted", "said"), [(0, 0, "not known"), (4, 4, "100 %"), (1999, 2000, "99.9 %"), (1, 3, "33.3 %")]
)
def test_a_share_is_rounded_down(passed: int, counted: int, said: str) -> None:
    """One failure in a year is not 100 %."""
    assert str(Uptime(window="", passed=passed, counted=counted)) == said


def test_a_day_is_its_worst_and_says_how_much_of_it() -> None:
    """Days without a run are unknown, never green."""
    runs = [
        run(24 * 89, a="pass"),
        run(30, a="pass"),
        *(run(h, a=v) for h, v in [(13, "pass"), (7, "fail"), (1, "pass")]),
    ]
    strip = uptime.strip(points(*runs), NOW)

    assert strip.cells[-3:] == [
        Cell(state="unknown", part=1, title="19 Nov 2026: no run"),
        Cell(state="pass", part=1, title="20 Nov 2026: 1 run, 1 passed"),
        Cell(state="fail", part=1 / 3, title="21 Nov 2026: 3 runs, 1 failed, 2 passed"),
    ]
    assert (len(strip.cells), strip.first, strip.last) == (90, "90 days ago", "today")
    assert strip.said == "90 days: passed on 2, failed on 1"


def test_few_runs_are_shown_one_by_one() -> None:
    """A run in which the check was not asked is a gap, so that the strips of all checks stand below each other."""
    runs = [run(13, a="pass"), run(7, a="skip"), run(1, a="error")]
    strip = uptime.strip(points(*runs), NOW, runs)

    assert [(cell.state, cell.title) for cell in strip.cells[-4:]] == [
        ("unknown", "before the first run"),
        ("pass", "21 Nov 2026, 05:00 UTC: passed"),
        ("unknown", "21 Nov 2026, 11:00 UTC: not asked"),
        ("error", "21 Nov 2026, 17:00 UTC: could not run"),
    ]
    assert (strip.first, len(strip.cells)) == ("since 21 Nov 2026, 05:00 UTC", 30)


def test_many_runs_are_shown_by_days() -> None:
    """Runs one by one only while there are three weeks of them at most, and ninety."""
    few, long, often = (
        every_six_hours(20, a="pass"),
        every_six_hours(21, a="pass"),
        [run(h / 9) for h in range(91, 0, -1)],
    )

    assert [uptime.shown_runs(runs, NOW) for runs in (few, long, often)] == [few, (), ()]
