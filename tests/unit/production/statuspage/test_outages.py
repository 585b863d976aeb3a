"""Incidents, derived from a history."""

from datetime import timedelta
from typing import Any

from tests.samples.histories import NOW, run

from testbay.production.history.entries import Entry
from testbay.production.statuspage.boards import boards
from testbay.production.statuspage.outages import Outage, outages


def found(*runs: Entry) -> list[Outage]:
    return outages(boards(runs, NOW))


def hours(entry: Entry | None) -> float | None:
    return None if entry is None else (NOW - entry.moment) / timedelta(hours=1)


def told(one: Outage) -> tuple[object, ...]:
    return hours(one.before), hours(one.first), hours(one.end), list(one.checks), list(one.states), one.goes_on


def test_an_incident_is_from_bad_to_good() -> None:
    """From the first run in which a check did not pass to the next in which it did, whatever it said between."""
    verdicts = {30: "pass", 24: "fail", 18: "skip", 12: "error", 6: "pass", 1: "pass"}
    [one] = found(*(run(at, a=verdict) for at, verdict in verdicts.items()))

    assert told(one) == (30, 24, 6, ["a"], ["fail", "error"], False)
    assert one.lasted(NOW) == timedelta(hours=18)


def test_what_began_together_is_one() -> None:
    """It lasts until the last of them is well; what began later is another one, and the newest stands first."""
    runs = [
        run(30, a="pass", b="pass", c="pass"),
        run(24, a="fail", b="stale", c="pass"),
        run(18, a="pass", b="stale", c="fail"),
        run(12, a="pass", b="pass", c="pass"),
    ]

    assert [told(one) for one in found(*runs)] == [
        (24, 18, 12, ["c"], ["fail"], False),
        (30, 24, 12, ["a", "b"], ["fail", "stale"], False),
    ]


def test_what_goes_on_stands_first() -> None:
    """However long ago it began; it lasts until the page is made."""
    runs = [run(30, a="fail", b="pass"), run(24, a="fail", b="fail"), run(18, a="fail", b="pass")]
    first, second = found(*runs)

    assert (told(first), first.lasted(NOW)) == ((None, 30, None, ["a"], ["fail"], True), timedelta(hours=30))
    assert told(second) == (30, 24, 18, ["b"], ["fail"], False)


def test_nobody_knows_the_end_of_what_is_not_asked_any_more() -> None:
    """A check that failed and then left the manifest: neither ongoing nor well."""
    [one] = found(run(30, a="pass", b="fail"), *(run(at, a="pass") for at in (24, 18, 12)))

    assert told(one) == (None, 30, None, ["b"], ["fail"], False)


def test_an_incident_names_some_of_its_checks_and_counts_all() -> None:
    """A thousand checks that fail at once are one incident."""
    every: dict[str, Any] = {f"c{number}": "fail" for number in range(1000)}
    [one] = found(run(1, **every))

    assert (len(one.checks), one.count) == (12, 1000)
