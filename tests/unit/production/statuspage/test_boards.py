"""How a target is, as far as its history can tell."""

from datetime import timedelta
from typing import Any

import pytest
from tests.samples.histories import NOW, every_six_hours, run

from testbay.production.history.entries import Entry
from testbay.production.statuspage.boards import Board, boards, interval, name_of


def board(*runs: Entry) -> Board:
    [made] = boards(runs, NOW)
    return made


def states(made: Board) -> dict[str, str]:
    return {check.name: check.state if check.is_current else "gone" for check in made.checks}


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ({"a": "pass", "b": "pass"}, "pass"),
        ({"a": "pass", "b": "skip"}, "pass"),
        ({"a": "error", "b": "pass"}, "error"),
        ({"a": "error", "b": "stale"}, "stale"),
        ({"a": "fail", "b": "stale"}, "fail"),
        ({"a": "skip"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_a_target_is_as_its_worst_check(verdicts: dict[str, Any], state: str) -> None:
    """What was never asked says nothing, neither good nor bad."""
    assert board(run(1, **verdicts)).state == state


def test_a_check_is_as_it_was_asked_last() -> None:
    """A run that skipped it does not make it well."""
    assert states(board(run(7, a="fail", b="fail"), run(1, a="skip", b="pass"))) == {"a": "fail", "b": "pass"}


def test_a_good_word_gets_old() -> None:
    """Two runs of the schedule are missing: what was passing is not known to be so; what failed still does."""
    late = board(*every_six_hours(3, until=12.5, a="pass", b="fail"))

    assert (late.is_late, states(late), late.late_from) == (
        True,
        {"b": "fail", "a": "unknown"},
        NOW - timedelta(hours=0.5),
    )


@pytest.mark.parametrize(
    ("phase", "hours", "state"),
    [
        pytest.param("scheduled", [47], "pass", id="first run of a schedule"),
        pytest.param("scheduled", [49], "unknown", id="schedule that stopped after its first run"),
        pytest.param("scheduled", [98, 97], "unknown", id="schedule that stopped after two"),
        pytest.param("post-deploy", [24 * 6], "pass", id="deploy of this week"),
        pytest.param("post-deploy", [24 * 8], "unknown", id="deploy of last week"),
        pytest.param("scheduled", [24 * day for day in (420, 320, 220, 120)], "unknown", id="rhythm of 100 days"),
    ],
)
def test_a_good_word_gets_old_in_any_history(phase: str, hours: list[int], state: str) -> None:
    """Few runs, none of a schedule, or very rare ones make no old run a green page."""
    made = board(*(run(ago, phase=phase, a="pass") for ago in hours))

    assert made.state == state
    assert (made.late_from > NOW) == (state == "pass")


def test_one_run_that_was_missed_is_no_alarm() -> None:
    """Schedules come late as a rule."""
    made = board(*every_six_hours(3, until=11.5, a="pass"))

    assert (made.is_late, made.state) == (False, "pass")


def test_what_no_schedule_asks_does_not_get_old() -> None:
    """Deploys come when they come: a check that only they ask stays as it was."""
    made = board(run(99, phase="post-deploy", deep="pass"), *every_six_hours(3, a="pass"))

    assert states(made) == {"a": "pass", "deep": "pass"}


def test_a_check_that_left_the_manifest_counts_no_more() -> None:
    """Three runs of its phase without it, and its last failure is history; one run of chosen checks is not enough."""
    gone = [run(24, a="pass", b="fail"), *(run(hours, a="pass") for hours in (18, 12))]

    assert states(board(*gone)) == {"b": "fail", "a": "pass"}
    assert (board(*gone, run(6, a="pass")).state, states(board(*gone, run(6, a="pass")))) == (
        "pass",
        {"a": "pass", "b": "gone"},
    )


def test_a_part_of_a_check_stays_with_it() -> None:
    """`a/latency` has no result while `a` fails: it is still in the manifest, and nothing is known of it."""
    both: dict[str, Any] = {"a": "pass", "a/latency": "pass"}
    runs = [run(24, **both), *(run(hours, a="fail") for hours in (18, 12, 6, 1))]

    assert states(board(*runs)) == {"a": "fail", "a/latency": "unknown"}


def test_what_is_not_deployed_is_not_on_the_page() -> None:
    """A pull request that fails is no outage."""
    runs = [run(2, phase="pre-merge", a="fail"), run(1, phase="pre-deploy", a="fail"), run(3, a="pass")]

    assert len(board(*runs).runs) == 1


def test_the_worst_target_stands_first() -> None:
    """Then by name; each service and target is one."""
    runs = [run(1, target=name, a=verdict) for name, verdict in [("b", "pass"), ("a", "pass"), ("c", "fail")]]

    assert [made.name for made in boards(runs, NOW)] == ["shop on c", "shop on a", "shop on b"]


def test_the_worst_check_stands_first() -> None:
    """Then as in the manifest; what was never asked stands behind."""
    made = board(run(1, z="skip", b="pass", a="pass", c="error", d="fail"))

    assert [check.name for check in made.checks] == ["d", "c", "b", "a", "z"]


def test_a_name_is_as_long_as_anybody_reads() -> None:
    """On one line, without what a reader could not see."""
    assert name_of("x" * 500, "y") == "x" * 119 + "…"
    assert name_of("a\n\u202eb", "") == "a\\n\\u202eb"


def test_the_usual_interval() -> None:
    """The median between scheduled runs: one long pause does not change it, and three gaps are needed."""
    runs = [run(hours, a="pass") for hours in (60, 24, 18, 12, 6)]

    assert (interval(runs), interval(runs[:3])) == (timedelta(hours=6), None)
    assert interval([run(hours, phase="post-deploy") for hours in range(9, 0, -1)]) is None
