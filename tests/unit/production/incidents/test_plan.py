"""Which issues there should be: what belongs together, what is an end, what is remembered."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from testbay.errors import IncidentsError, ManifestError
from testbay.production.checks.report import Report, Result, Verdict
from testbay.production.incidents import marker
from testbay.production.incidents.findings import CheckRun, cause, moment
from testbay.production.incidents.issues import Issue
from testbay.production.incidents.marker import State
from testbay.production.incidents.plan import Action, Policy, Tracked, plan

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def result(check: str, verdict: Verdict = "fail", said: str = "status is 502") -> Result:
    return Result(check=check, kind="http", verdict=verdict, said=said)


def run(*results: Result, hours: float = 0, known: tuple[str, ...] = (), **more: Any) -> CheckRun:
    """One that found these, so long after noon."""
    when = NOON + timedelta(hours=hours)
    began = when.isoformat()
    found = Report(service="shop", phase="scheduled", started=began, finished=began, results=results, known=known)
    return CheckRun(report=found, id=f"{hours}", started=when, **more)


def issue(number: int, state: State, *, is_open: bool = True) -> Tracked:
    """The issue that this state makes."""
    closed_at = None if is_open else state.seen
    return Tracked(
        state=state,
        issue=Issue(number=number, is_open=is_open, body="", labels=(), updated_at="", closed_at=closed_at),
    )


def shape(actions: list[Action]) -> list[tuple[str, str, tuple[str, ...]]]:
    """What is done, about which kind of trouble, with which checks."""
    return [(action.verb, action.state.kind, action.state.checks) for action in actions]


def opened(*results: Result, hours: float = 0) -> list[State]:
    """What a run finds where there was nothing."""
    return [action.state for action in plan([], run(*results, hours=hours), Policy())]


def test_checks_that_say_the_same_share_an_issue() -> None:
    """One cause is one issue; another answer, an old build and a check that could not run are others."""
    found = [result("a"), result("b"), result("c", said="2 < 1"), result("d", "stale"), result("e", "stale", "other")]
    found += [result("f", "error", "no such variable"), result("g", "error"), result("h", "pass"), result("i", "skip")]

    assert shape(plan([], run(*found), Policy())) == [
        ("open", "fail", ("a", "b")),
        ("open", "fail", ("c",)),
        ("open", "stale", ("d", "e")),
        ("open", "error", ("f", "g")),
    ]


def test_all_that_is_slow_shares_an_issue() -> None:
    """Whether it is over its limit or slower than before, however much that is today."""
    said = (
        "median of 9 probes is 405.3 ms, more than hard_ms = 300",
        "slower: the last 6 runs are 47% slower (p = 1e-07)",
    )
    slow = [
        replace(result(f"{name}/latency", said=words), kind="latency") for name, words in zip("ab", said, strict=True)
    ]

    assert shape(plan([], run(*slow, result("c")), Policy())) == [
        ("open", "fail", ("a/latency", "b/latency")),
        ("open", "fail", ("c",)),
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("connection refused: http://shop:80/health", "connection refused: http://shop:80/docs?x=1", True),
        ("connection refused: http://shop:80/health", "connection refused: http://other:80/health", False),
        ("no answer within 10.02 s", "no answer  within 9.98 s", True),
        ("GET /api/health: connection refused", "WS /stream: connection refused", True),
        ("GET /a: connection refused", "GET /version: connection refused (asked 9 times in 600 s)", True),
        ("GET /a: median of 9 is 405 ms", "GET /b: median of 9 is 77 ms", True),
        ("Status is 502", "status is 502", True),
        ("status is 502", "status is 404", False),
        (
            "status == 200: 502 is not == 200",
            "step 2 of 3: status 502; json.a == 1: there is no json: it is empty",
            True,
        ),
        ("status == 200: 502 is not == 200", "status < 500: 503 is not < 500", False),
        ("json.a == 1: there is no json: it is empty", "json.b < 2: there is no json: it is empty", True),
    ],
)
def test_a_cause_is_what_was_said_without_path_and_measure(one: str, other: str, same: bool) -> None:  # noqa: FBT001
    """The host counts, the path does not; a status counts, a measured time and what it makes fail do not."""
    assert (cause(result("a", said=one)) == cause(result("b", said=other))) is same


def test_an_outage_keeps_its_issue_whatever_it_says() -> None:
    """The first answer is 502, then none: the check stays where it is, and others with its new cause join it."""
    [state] = opened(result("a"))
    later = run(result("a", said="refused"), result("b", said="status is 502"), result("c", said="refused"), hours=1)

    assert shape(plan([issue(1, state)], later, Policy())) == [
        ("open", "fail", ("c",)),
        ("update", "fail", ("a", "b")),
    ]


def test_duplicates_are_closed_and_their_checks_taken_over() -> None:
    """Of issues that share a cause or a check the lowest stays, whoever wrote it and however they are linked."""
    first, other = opened(result("a"), result("b"))[0], opened(result("z", said="else"))[0]
    second, third = replace(other, key="0" * 16, checks=("b", "c"), failing=("c",)), replace(first, checks=("x",))
    tracked = [issue(3, third), issue(2, second), issue(1, first), issue(4, other)]

    actions = plan(tracked, run(result("a"), result("z", said="else")), Policy())

    assert [(action.verb, action.was.issue.number) for action in actions if action.was] == [
        ("update", 1),
        ("duplicate", 2),
        ("duplicate", 3),
    ]
    assert (actions[0].state.checks, actions[1].state.duplicate_of) == (("a", "b", "c", "x"), 1)


@pytest.mark.parametrize(
    ("kind", "verdicts", "ends"),
    [
        ("fail", ("pass", "pass"), True),
        ("fail", ("pass", "skip"), False),
        ("fail", ("pass", "error"), False),
        ("fail", ("pass", "stale"), False),
        ("stale", ("pass", "pass"), True),
        ("stale", ("pass", "fail"), False),
        ("error", ("fail", "stale"), True),
        ("error", ("pass", "skip"), False),
    ],
)
def test_what_ends_an_incident(kind: marker.Kind, verdicts: tuple[Verdict, Verdict], ends: bool) -> None:  # noqa: FBT001
    """Every one of its checks has passed; where they could not run, each one ran."""
    [state] = opened(result("a", kind), result("b", kind))
    found = [result(check, verdict) for check, verdict in zip("ab", verdicts, strict=True)]
    actions = plan([issue(1, state)], run(*found, hours=1), Policy(close_after=1))

    assert ("close" in [action.verb for action in actions]) is ends


def test_a_relapse_begins_the_count_again() -> None:
    """Good runs count in a row; what failed in between moves the suspects' beginning to the good run before it."""
    [state] = opened(result("a"))
    well = replace(run(result("a", "pass"), hours=1), report=replace(run(result("a", "pass")).report, commit="c1"))
    [good] = plan([issue(1, state)], well, Policy())
    [bad] = plan([issue(1, good.state)], run(result("a"), hours=2), Policy())

    assert (good.state.good, good.state.recovered, good.state.fixed_commit) == (("1",), NOON + timedelta(hours=1), "c1")
    assert (bad.state.good, bad.state.recovered, bad.state.good_commit, bad.state.fixed_commit) == ((), None, "c1", "")


def test_a_run_that_was_overtaken_does_nothing() -> None:
    """Neither to an open issue nor after one that a newer run closed."""
    [state] = opened(result("a"), hours=2)
    late = run(result("a"), hours=1)

    assert plan([issue(1, state)], late, Policy()) == []
    assert plan([issue(1, state, is_open=False)], late, Policy()) == []


@pytest.mark.parametrize("is_open", [True, False])
def test_a_run_with_a_wrong_clock_does_not_hide_those_after_it(is_open: bool) -> None:  # noqa: FBT001
    """What says to be of next year, and was written at noon, is of noon; and it is not news to itself."""
    fast = run(result("a"), hours=9000)
    [state] = [action.state for action in plan([], fast, Policy())]
    known = issue(1, state, is_open=is_open)
    written = Tracked(state=state, issue=replace(known.issue, updated_at="2026-11-21T12:00:01Z"))

    assert shape(plan([written], run(result("a"), hours=1), Policy()))[0][0] == ("update" if is_open else "reopen")
    assert plan([written], fast, Policy()) == []


@pytest.mark.parametrize(("hours", "verb"), [(23.9, "reopen"), (24, "reopen"), (24.1, "open")])
def test_a_new_outage_is_a_new_issue_unless_the_last_is_young(hours: float, verb: str) -> None:
    """A day decides; a duplicate that was closed is never opened again."""
    [state] = opened(result("a"))
    closed = issue(1, state, is_open=False)
    duplicate = issue(2, replace(state, duplicate_of=1, seen=NOON - timedelta(hours=1)), is_open=False)
    [action] = plan([closed, duplicate], run(result("a"), hours=hours), Policy())

    assert (action.verb, action.was and action.was.issue.number) == (verb, 1 if verb == "reopen" else None)


def test_one_issue_is_opened_again_once() -> None:
    """Two checks that were in it, and now fail in different words, are both in it again."""
    state = replace(opened(result("a"), result("b"))[0], seen=NOON)
    [action] = plan(
        [issue(1, state, is_open=False)], run(result("a", said="x"), result("b", said="y"), hours=1), Policy()
    )

    assert (action.verb, action.state.failing) == ("reopen", ("a", "b"))


def test_an_outage_that_is_more_than_the_last_is_a_new_issue() -> None:
    """What began in other words, with checks that the closed issue never had, is not that one."""
    [state] = opened(result("a"))
    both = run(result("a", said="refused"), result("b", said="refused"), hours=1)

    assert shape(plan([issue(1, state, is_open=False)], both, Policy())) == [("open", "fail", ("a", "b"))]


def test_a_line_comes_back_as_it_was_written() -> None:
    """Whatever a check is called, the state survives, and the comment that hides it ends where it should."""
    [state] = opened(result("--> <b>é\u2028"), result("b"), result("c"))
    line = marker.write(state)

    assert marker.read(f"{line}\r\nrest") == state
    assert (line.count("<"), line.count(">"), line.count("--"), line.isascii()) == (1, 1, 2, True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: "",
        lambda line: f"x{line}",
        lambda line: line.replace("{", "", 1),
        lambda line: line.replace('"v":1', '"v":"1"').replace("fail", "fine"),
        lambda line: line.replace('"v":1,', ""),
        lambda line: line.replace('"failing":["a"]', '"failing":[]'),
        lambda line: line.replace('"failing":["a"]', '"failing":7'),
        lambda line: line.replace('"failing":["a"]', f'"failing":["{"a" * 501}"]'),
        lambda line: line.replace("+00:00", ""),
        lambda _: f"<!-- testbay-incident {'[' * 30_000} -->",
        lambda _: f"<!-- testbay-incident {' ' * 10**6} -->",
        lambda _: "<!-- testbay-incident [] -->",
    ],
)
def test_a_damaged_line_is_no_incident(spoil: Any) -> None:
    """What a person, or somebody who means ill, made of it is left alone."""
    [state] = opened(result("a"))

    assert marker.read(spoil(marker.write(state))) is None


def test_the_future_is_not_touched() -> None:
    """What a newer testbay wrote is not read as if it were ours: the run is red."""
    [state] = opened(result("a"))

    with pytest.raises(IncidentsError, match=r"an incident was written by a newer testbay \(marker 2\)"):
        marker.read(marker.write(state).replace('"v":1', '"v":2'))


@pytest.mark.parametrize("text", ["", "noon", "2026-11-21T12:00:00", "0001-01-01T00:00:00+23:59"])
def test_a_time_is_in_a_zone(text: str) -> None:
    """Without one nobody knows how long an outage was."""
    with pytest.raises(ManifestError, match="which is not a time in a zone"):
        moment(text)


def test_what_the_manifest_no_longer_has_is_not_waited_for() -> None:
    """Without its last check it is about nothing; with one left that one decides."""
    [both] = opened(result("a"), result("b/cleanup"))
    last = Policy(close_after=1)

    assert shape(plan([issue(1, both)], run(result("c", "pass"), hours=1, known=("c",)), last)) == [
        ("retire", "fail", ("a", "b/cleanup"))
    ]
    assert shape(plan([issue(1, both)], run(result("a", "pass"), hours=1, known=("a",)), last)) == [
        ("close", "fail", ("a",))
    ]
    [left] = plan([issue(1, both)], run(result("b/cleanup"), hours=1, known=("b", "b/cleanup")), last)
    assert (left.verb, left.state.checks, left.state.failing) == ("update", ("b/cleanup",), ("b/cleanup",))


@pytest.mark.parametrize(("hours", "known"), [(-1, ("c",)), (1, ()), (1, ("a", "c"))])
def test_only_a_newer_manifest_without_the_check_proves_that_it_is_gone(hours: int, known: tuple[str, ...]) -> None:
    """An older report, one that does not say, or one that merely did not ask changes nothing."""
    [state] = opened(result("a"))

    assert plan([issue(1, state)], run(result("c", "pass"), hours=hours, known=known), Policy()) == []


def test_of_very_many_turns_the_newest_are_told() -> None:
    """A Slack that is down for weeks fills no issue; what nobody is to be told, and nobody was, is forgotten."""
    [state] = opened(result("a"))
    for hours in range(1, 31):
        last = issue(1, state, is_open=hours % 2 == 1)
        found = run(result("a", "pass" if hours % 2 else "fail"), hours=hours)
        [action] = plan([last], found, Policy(close_after=1, tells=True))
        state = action.state

    assert state.untold == ("closed", "reopened") * 10
    assert marker.read(marker.write(state)) == state
    [silent] = plan([issue(1, state)], run(result("a", "pass"), hours=99), Policy(close_after=1))
    assert silent.state.untold == ()
