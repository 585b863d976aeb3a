"""Quiet hours and planned work, in the zone of who wrote them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from testbay.manifest.watching import Maintenance, Watching
from testbay.production.watch.calendar import is_planned, quiet_until


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window_of(**facts: Any) -> Maintenance:
    return Maintenance(**facts)


@pytest.mark.parametrize(
    ("at", "zone", "planned"),
    [
        ("2026-11-29T03:10", "UTC", True),  # a Sunday
        ("2026-11-29T02:59", "UTC", False),
        ("2026-11-29T03:30", "UTC", False),
        ("2026-11-30T03:10", "UTC", False),
        ("2026-11-29T02:10", "Europe/Amsterdam", True),
    ],
)
def test_planned_work_comes_again_and_again(at: str, zone: str, *, planned: bool) -> None:
    """On its days, from its hour on, for as long as it lasts."""
    window = window_of(at="03:00", lasts="30m", days=["sun"])

    assert is_planned([window], zone, moment(at), check="health", target="prod") is planned


@pytest.mark.parametrize(
    ("at", "planned"),
    [
        ("2026-10-25T00:29", False),  # at three in the night it becomes two
        ("2026-10-25T00:30", True),
        ("2026-10-25T01:20", True),
        ("2026-10-25T01:40", False),
        ("2027-03-28T01:40", True),  # at two it becomes three: there is no half past two
        ("2027-03-28T02:40", False),
    ],
)
def test_planned_work_lasts_as_long_in_the_nights_of_other_clocks(at: str, *, planned: bool) -> None:
    """An hour is an hour, whatever the clocks on the wall do in it."""
    window = window_of(at="02:30", lasts="1h")

    assert is_planned([window], "Europe/Amsterdam", moment(at), check="health", target="prod") is planned


def test_work_that_began_yesterday_goes_on() -> None:
    """At one in the night it is still yesterday's."""
    window = window_of(at="23:30", lasts="2h", days=["sat"])

    assert is_planned([window], "UTC", moment("2026-11-29T01:00"), check="health", target="prod")


@pytest.mark.parametrize(
    ("check", "target", "planned"),
    [("health", "prod", True), ("health/latency", "prod", True), ("login", "prod", False), ("health", "beta", False)],
)
def test_planned_work_is_for_the_checks_it_names(check: str, target: str, *, planned: bool) -> None:
    """Others are told of as ever."""
    span = {"from": moment("2026-11-29T01:00"), "until": moment("2026-11-29T02:00")}
    window = window_of(**span, checks=["health"], targets=["prod"])

    assert is_planned([window], "UTC", moment("2026-11-29T01:30"), check=check, target=target) is planned


@pytest.mark.parametrize(
    ("at", "until"),
    [("21:59", None), ("22:00", "2026-11-30T07:00"), ("06:59", "2026-11-29T07:00"), ("07:00", None)],
)
def test_quiet_hours_go_over_midnight(at: str, until: str | None) -> None:
    """They end in the morning after."""
    expected = moment(until) if until else None

    assert quiet_until(["22:00-07:00"], "UTC", moment(f"2026-11-29T{at}")) == expected


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"zone": "Mars/Olympus"}, "not a time zone"),
        ({"tell": {"x": {"url": "https://hooks.slack.com/services/T/B/KEY"}}}, "should match pattern"),
        ({"tell": {"x": {"url": "${A}", "quiet": ["25:00-07:00"]}}}, "not a time of day"),
        ({"maintenance": [{"at": "03:00"}]}, "either from and until, or at and lasts"),
        ({"maintenance": [{"at": "03:00", "lasts": "1h", "days": []}]}, "at least 1 item"),
        ({"maintenance": [{"from": datetime(2026, 1, 1), "until": datetime(2026, 1, 2)}]}, "in no zone"),  # noqa: DTZ001
        ({"maintenance": [{"from": moment("2026-01-02"), "until": moment("2026-01-01")}]}, "not later"),
    ],
)
def test_what_makes_no_sense_is_refused(facts: dict[str, Any], says: str) -> None:
    """When the manifest is read; the address of a channel never stands in it."""
    with pytest.raises(ValidationError, match=says):
        Watching(**facts)
