"""Incidents from their beginning to their end, on a GitHub that checks every word against the official description."""

import pytest
from tests.system.fakes.monitor import Monitor, report, result

from testbay.errors import IncidentsError
from testbay.production.checks.report import Result

BAD = result("health", "fail", "status == 200: status is 404", evidence=("<h1>Not Found</h1>",))
GOOD = result("health", "pass")


def test_a_healthy_service_costs_one_look(monitor: Monitor) -> None:
    """Nothing wrong, nothing written: the list is read once."""
    monitor.run(GOOD)

    assert [line.partition("?")[0] for line in monitor.github.requests] == ["GET /repos/acme/shop/issues"]


def test_an_outage_is_one_issue_from_its_beginning_to_its_end(monitor: Monitor) -> None:
    """The first failure opens it, the second says nothing new, two good runs close it and tell how long it was."""
    monitor.run(BAD)
    monitor.run(BAD)
    monitor.run(GOOD)
    assert (monitor.github.open_numbers(), monitor.told(1)) == ([1], [])

    monitor.run(GOOD)

    assert (monitor.github.open_numbers(), len(monitor.github.issues)) == ([], 1)
    [closing] = monitor.told(1)
    assert closing.startswith(
        "Over. It lasted 1 h 0 min, from the first bad run, 2026-11-21 12:30 UTC, to the first good"
    )
    assert "Good runs in a row: 2 of 2." in closing


def test_what_changes_is_told_once_in_a_run(monitor: Monitor) -> None:
    """A check that joins is a comment; the same workflow run, run again with another finding, adds none."""
    also = [BAD, result("docs", "fail", "status == 200: status is 404")]
    monitor.run(BAD)
    monitor.run(*also, run_id="77")
    monitor.run(BAD, run_id="77")

    [comment] = monitor.told(1)
    assert comment.startswith("Now also: `docs`. ")
    assert monitor.state(1).failing == ("health",)


def test_one_report_handed_in_twice_changes_nothing(monitor: Monitor) -> None:
    """A step that is repeated finds its work done."""
    found = report(monitor.github.now, BAD)
    monitor.hand_in(found, "1")
    before = list(monitor.github.writes())

    monitor.hand_in(found, "1")

    assert monitor.github.writes() == before


def test_a_rerun_is_no_second_good_run(monitor: Monitor) -> None:
    """Good runs in a row are different runs: nobody closes an issue by running one of them again."""
    monitor.run(BAD)
    for _ in range(3):
        monitor.run(GOOD, run_id="88")

    assert (monitor.github.open_numbers(), monitor.state(1).good) == ([1], ("88",))


@pytest.mark.parametrize(
    "results", [[], [result("health", "skip")], [result("health", "error")], [result("docs", "pass")]]
)
def test_only_a_proof_closes(monitor: Monitor, results: list[Result]) -> None:
    """A run that asked nothing, could not ask, or asked something else is no good run."""
    monitor.run(BAD)
    for _ in range(3):
        monitor.run(*results)

    assert 1 in monitor.github.open_numbers()
    assert monitor.state(1).good == ()


def test_a_newer_report_is_not_overwritten(monitor: Monitor) -> None:
    """A run that was overtaken neither opens again nor changes what a newer one knows."""
    late = report(monitor.github.now, BAD)
    monitor.run(BAD)
    monitor.run(GOOD, close_after=1)
    before = monitor.github.writes()

    monitor.hand_in(late, "1")

    assert (monitor.github.writes(), monitor.github.open_numbers()) == (before, [])


def test_an_outage_soon_after_the_last_is_the_same_issue(monitor: Monitor) -> None:
    """Within a day it is opened again with a comment; after that a new outage is a new issue."""
    for found in (BAD, GOOD, GOOD, BAD):
        monitor.run(found)
    assert (monitor.github.open_numbers(), monitor.told(1)[1]) == ([1], monitor.told(1)[-1])
    assert monitor.told(1)[-1].startswith("Again, after it was closed: `health`. ")
    monitor.run(GOOD)
    monitor.run(GOOD)
    monitor.github.pass_time(hours=24)

    monitor.run(BAD)

    assert monitor.github.open_numbers() == [2]


def test_suspects_lie_between_the_last_good_commit_and_now(monitor: Monitor) -> None:
    """The range begins at the caller's last good commit, or at the one that ended the last incident."""
    old, bad, fixed, worse = (digit * 40 for digit in "abcd")
    monitor.run(BAD, facts={"commit": bad}, last_good=old)
    assert f"/compare/{old}...{bad})" in monitor.github.issues[1]["body"]
    monitor.run(GOOD, facts={"commit": fixed}, close_after=1)
    monitor.github.pass_time(days=9)

    monitor.run(BAD, facts={"commit": worse})

    assert f"/compare/{fixed}...{worse})" in monitor.github.issues[2]["body"]


@pytest.mark.parametrize("at", range(1, 9))
def test_a_person_may_close_it_at_any_moment(monitor: Monitor, at: int) -> None:
    """While the check fails the next run opens it again; there is never a second one."""
    left = [at]

    def close(_: str) -> None:
        left[0] -= 1
        if not left[0] and 1 in monitor.github.issues:
            monitor.github.close(1)

    monitor.github.before = close
    for _ in range(4):
        monitor.run(BAD)

    assert (list(monitor.github.issues), monitor.github.open_numbers()) == ([1], [1])


@pytest.mark.parametrize("why", [{"locked": True}, {"comments": 2500}], ids=["locked", "full"])
def test_an_issue_that_takes_no_comments_is_kept_without(monitor: Monitor, why: dict[str, object]) -> None:
    """GitHub refuses the comments of a workflow below a locked issue, and all beyond 2500; the issue still closes."""
    monitor.run(BAD)
    monitor.github.issues[1] |= why
    monitor.run(GOOD, close_after=1)

    assert (monitor.github.open_numbers(), monitor.told(1)) == ([], [])


def test_an_issue_of_a_check_that_is_gone_is_closed_with_the_reason(monitor: Monitor) -> None:
    """Not as solved: nobody can prove that. Nothing follows in later runs."""
    monitor.run(BAD, facts={"known": ("health",)})
    for _ in range(2):
        monitor.run(result("docs", "pass"), facts={"known": ("docs",)})

    assert (monitor.github.open_numbers(), monitor.github.issues[1]["state_reason"]) == ([], "not_planned")
    [why] = monitor.told(1)
    assert why.startswith(
        "The manifest no longer has these checks: `health`. Whether they would pass now cannot be known. "
    )


def test_issues_of_others_are_left_alone(monitor: Monitor) -> None:
    """One without our hidden line, or of another target, is neither read as ours nor changed."""
    monitor.run(BAD, facts={"target": "staging"})
    before = dict(monitor.github.issues[1])
    monitor.run(GOOD)
    monitor.run(BAD)

    assert (monitor.github.issues[1], monitor.github.open_numbers()) == (before, [1, 2])


def test_every_page_is_read(monitor: Monitor) -> None:
    """The incident is found however many issues with the label came before and after it."""
    monitor.github.per_page = 2
    for target in ("a", "b", "c", "production", "d", "e"):
        monitor.run(BAD, facts={"target": target})

    monitor.run(GOOD, close_after=1)

    assert monitor.github.open_numbers() == [1, 2, 3, 5, 6]


def test_a_preview_changes_nothing(monitor: Monitor) -> None:
    """With dry_run it is said what would be done."""
    monitor.run(BAD, dry_run=True)
    assert monitor.said.startswith("would open shop on production: health fails\n    ")
    assert "`testbay incidents` maintains this text" in monitor.said
    monitor.run(GOOD, dry_run=True)

    assert (monitor.said, monitor.github.writes()) == ("nothing to do\n", [])


def test_a_storm_is_one_issue(monitor: Monitor) -> None:
    """Eleven causes at once are none: they share an issue, and the ones that follow join it."""
    monitor.run(*(result(f"check-{number}", "fail") for number in range(11)))
    monitor.run(*(result(f"check-{number}", "fail") for number in range(40)))

    assert len(monitor.github.issues) == 1
    assert len(monitor.state(1).failing) == 40


def test_a_label_that_is_dropped_is_no_silent_flood(monitor: Monitor) -> None:
    """An issue that could never be found again is closed at once, and the run is red."""
    monitor.github.labels_stick = False
    with pytest.raises(IncidentsError, match="issue #1 did not get its label testbay-incident") as refused:
        monitor.run(BAD)

    assert (refused.value.exit_code, monitor.github.open_numbers()) == (24, [])
