"""Latency as a verdict: what a run says of response times, alone and beside a history."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from testbay.errors import HistoryError
from testbay.manifest.checks import Check, HttpCheck, Latency
from testbay.production.checks.report import Report, Result, Verdict
from testbay.production.history import verdicts
from testbay.production.history.entries import CONTROL, Entry, History, Outcome, entry
from testbay.production.history.slowness import Series, judge, rule, series
from testbay.production.history.verdicts import Past

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOTHING = "median of 3 probes is 100 ms; nothing to judge it by: no hard_ms, and no history (--branch, --history)"
BROKEN = HistoryError("history: kept cannot be used", why="no folder", todo="name one", evidence="a\nb")


def check(name: str = "health", **limits: Any) -> Check:
    """A check that is timed."""
    facts = {"id": name, "kind": "http", "get": "/", "expect": ["status == 200"], "latency": limits}
    return HttpCheck.model_validate(facts)


def timed(ms: float, name: str = "health", **more: Any) -> Result:
    """A result with three probes."""
    facts = {"check": name, "kind": "http", "verdict": "pass", "said": ""}
    return Result(**(facts | more), latencies_s=(ms / 1000,) * 3)


def report(*results: Result, hours_ago: float = 0, commit: str = "new") -> Report:
    """A run."""
    started = (NOW - timedelta(hours=hours_ago)).isoformat()
    return Report(
        service="shop",
        phase="scheduled",
        target="production",
        started=started,
        finished=started,
        commit=commit,
        results=results,
    )


def run_of(levels: Sequence[float], hours_ago: float, commit: str) -> Entry:
    """A run of history with these medians of `health` and of the control."""
    results = [timed(ms, name) for ms, name in zip(levels, ("health", CONTROL), strict=False)]
    return entry(report(*results, hours_ago=hours_ago, commit=commit))


def past(before: list[Sequence[float]], *recent: Sequence[float], skipped: int = 0) -> Past:
    """28 runs with these levels in turn, then these with another commit."""
    levels = (before * 28)[:28]
    commits = ["old1234"] * len(levels) + ["bad5678"] * len(recent)
    runs = [
        run_of(level, 6 * (len(commits) - at), commit)
        for at, (level, commit) in enumerate(zip([*levels, *recent], commits, strict=True))
    ]
    return Past(found=History(entries=tuple(runs), skipped=skipped), option="--branch kept")


def verdict(
    run: Report, before: Past | None, checks: Sequence[Check] | None = None, of: str = "health"
) -> tuple[Verdict, str, tuple[str, ...]]:
    """The one of the response time."""
    [found] = [r for r in verdicts.judged(run, checks or [check()], before).results if r.check == f"{of}/latency"]
    return found.verdict, found.said, found.evidence


def test_slower_than_before_fails_with_what_it_rests_on() -> None:
    """The numbers, since which commit, and the command that shows every run."""
    found = verdict(report(timed(150)), past([[100]], *[[150]] * 5))

    assert found == (
        "fail",
        "slower: the last 6 runs are 50% slower than the 28 before, and not by chance (p = 7.4e-07)",
        (
            "medians:  100 ms before, 150 ms in the last 6 runs",
            "compared: each run by the median of at least 3 probes, not divided: no check 'control'",
            "since:    2026-11-20 06:00, commit bad5678, in the run before old1234",
            "each run: testbay latency health --branch kept",
        ),
    )


def test_this_run_is_divided_by_its_own_control() -> None:
    """A slow way makes both slow in every run, this one included: then nothing has happened."""
    before = past([[100, 20]], *[[150, 30]] * 5)

    assert verdict(report(timed(150), timed(30, CONTROL)), before)[0] == "pass"
    assert verdict(report(timed(150), timed(20, CONTROL)), past([[100, 20]], *[[150, 20]] * 5))[0] == "fail"


def test_this_run_counts_once_and_last() -> None:
    """Also when it was recorded before, and when another clock is ahead."""
    run = report(timed(100))
    again, ahead = run_of([100], 0, "new"), run_of([100], -6, "new")
    alone, both = History(entries=(again,)), History(entries=(again, ahead))

    assert verdict(run, Past(found=alone, option=""))[1] == "not enough yet (1 of 34 runs)"
    assert verdicts._with_this_run(both, run) == [ahead, entry(run)]


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        (
            [[100]] * 5,
            "steady: the last 6 runs are 0% slower than the 28 before; more than 20% slower would count (p = ",
        ),
        ([], "not enough yet (29 of 34 runs)"),
    ],
)
def test_what_is_not_slower_passes_and_says_why(levels: list[list[float]], said: str) -> None:
    """Too little to tell is told, and so are lines that could not be used."""
    found, told, evidence = verdict(report(timed(100)), past([[100]], *levels, skipped=3))

    assert (found, evidence) == ("pass", ())
    assert told.startswith(said)
    assert told.endswith("; lines that testbay did not write, ignored: 3")


def test_much_slower_by_chance_passes() -> None:
    """It is told, too."""
    before = past([[50], [150], [200], [90]], [150], [150], [200], [90], [150])

    assert verdict(report(timed(200)), before)[:2] == ("pass", judge_of(before, 200))


def judge_of(before: Past, newest: float) -> str:
    """What `testbay latency` would say if the run stood in the history."""
    assert isinstance(before.found, History)
    known = series([*before.found.entries, entry(report(timed(newest)))])
    return judge(known[Series("shop", "production", "health")]).said


def test_a_history_that_cannot_be_read_is_an_error_of_the_verdict() -> None:
    """Not green, and no other result is lost; what is over the hard limit is so whatever was before."""
    limited = [check(hard_ms=100)]
    before = Past(found=BROKEN, option="--history kept")

    said = "median of 3 probes is 90 ms; history: kept cannot be used"
    assert verdict(report(timed(90)), before, limited) == ("error", said, ("no folder", "a", "b", "name one"))
    assert verdict(report(timed(101)), before, limited)[0] == "fail"
    assert [r.check for r in verdicts.judged(report(timed(9), timed(9, "b")), limited, before).results] == [
        *("health", "health/latency", "b")
    ]


@pytest.mark.parametrize(
    ("limits", "ms", "found"),
    [
        ({"hard_ms": 100}, 100.1, ("fail", "median of 3 probes is 100.1 ms, more than hard_ms = 100")),
        (
            {"hard_ms": 100},
            100,
            ("pass", "median of 3 probes is 100 ms, hard_ms is 100; not compared: no history (--branch, --history)"),
        ),
        ({"slower_than": "20%"}, 100, ("skip", NOTHING)),
    ],
)
def test_without_a_history_there_is_the_hard_limit(limits: dict[str, Any], ms: float, found: tuple[str, str]) -> None:
    """And where there is none either, nothing was judged, which is not green."""
    assert verdict(report(timed(ms)), None, [check(**limits)])[:2] == found


def test_the_control_is_what_others_are_divided_by() -> None:
    """A slow runner is no incident; who wants to hear of it says slower_than there, too."""
    before = past([[100, 20]], *[[100, 30]] * 5)
    run = report(timed(100), timed(30, CONTROL))
    quiet, loud = [check(CONTROL)], [check(CONTROL, slower_than="20%")]

    said = "median of 3 probes is 30 ms; nothing to judge it by: no hard_ms, and the others are divided by it"
    assert verdict(run, before, quiet, CONTROL)[:2] == ("skip", said)
    assert verdict(run, before, loud, CONTROL)[0] == "fail"
    assert rule(CONTROL, Latency(hard_ms=7)).slower_than is None


def test_each_instance_is_judged_by_its_own_past() -> None:
    """One route is slower, the other as ever."""
    runs = past([[100]], *[[150]] * 5)
    assert isinstance(runs.found, History)
    of_a = Past(found=History(entries=tuple(of_instance(one, "/a") for one in runs.found.entries)), option="")
    run = report(timed(150, instance="/a"), timed(150, instance="/b"))
    found = verdicts.judged(run, [check()], of_a).results

    assert [(r.check, r.instance, r.verdict) for r in found] == [
        *[("health", "/a", "pass"), ("health/latency", "/a", "fail")],
        *[("health", "/b", "pass"), ("health/latency", "/b", "pass")],
    ]


def of_instance(run: Entry, instance: str) -> Entry:
    """The same run of a check with `each`."""
    return replace(run, outcomes=tuple(replace(outcome, instance=instance) for outcome in run.outcomes))


def test_a_verdict_is_no_time_in_the_history() -> None:
    """The check has the median, its verdict has none, and is no series."""
    kept = entry(verdicts.judged(report(timed(100)), [check()], None))

    assert kept.outcomes == (
        Outcome(check="health", verdict="pass", median_ms=100, probes=3),
        Outcome(check="health/latency", verdict="skip"),
    )
    assert list(series([kept])) == [Series("shop", "production", "health")]
