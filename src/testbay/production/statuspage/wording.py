"""Times, lengths of time and verdicts in words. All times are in UTC."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta

from testbay.production.statuspage.boards import State

IS: Mapping[str, str] = {
    "fail": "failing",
    "stale": "old build",
    "error": "cannot run",
    "unknown": "no data",
    "pass": "passing",
}
FOUND: Mapping[State, str] = {
    "fail": "failed",
    "stale": "found an old build",
    "error": "could not run",
    "unknown": "not asked",
    "pass": "passed",
}


def when(moment: datetime) -> str:
    """Format a time, e.g. `21 Nov 2026, 06:41 UTC`."""
    return f"{day(moment)}, {moment:%H:%M} UTC"


def day(moment: date) -> str:
    """Format a date, e.g. `21 Nov 2026`."""
    return f"{moment.day} {moment:%b %Y}"


def length(span: timedelta) -> str:
    """Format a length of time, e.g. `45 min`, `6 h 20 min`, `26 h`, `3 days 4 h`."""
    minutes = max(0, round(span.total_seconds() / 60))
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, rest = divmod(round(minutes / 60), 24)
    return f"{days} days {rest} h" if rest else f"{days} days"


def roughly(span: timedelta) -> str:
    """Format a length of time, rounded to a quarter of an hour if it is longer than one hour."""
    quarter = timedelta(minutes=15)
    return length(round(span / quarter) * quarter if span > 4 * quarter else span)


def milliseconds(value: float) -> str:
    """Format a time in milliseconds, e.g. `4.2 ms`, `84 ms`, `1.25 s`."""
    if value < 1000:
        return f"{value:.2g} ms" if value < 10 else f"{value:.0f} ms"
    return f"{value / 1000:.3g} s"
