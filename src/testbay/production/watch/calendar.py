"""Planned work, and the quiet hours of channels."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from testbay.manifest.watching import DAYS, Maintenance

_DAY = timedelta(days=1)


def is_planned(windows: Iterable[Maintenance], zone: str, moment: datetime, *, check: str, target: str) -> bool:
    """Return whether planned work concerns a check of a target at a moment."""
    return any(_concerns(window, check, target) and _holds(window, zone, moment) for window in windows)


def _concerns(window: Maintenance, check: str, target: str) -> bool:
    base = check.partition("/")[0]  # of `health/latency`: `health`
    return (not window.checks or base in window.checks) and (not window.targets or target in window.targets)


def _holds(window: Maintenance, zone: str, moment: datetime) -> bool:
    if window.start and window.until:
        return window.start <= moment < window.until
    if window.at is None or window.lasts is None:
        return False
    local = moment.astimezone(ZoneInfo(zone))
    for day in (local, local - _DAY):  # it may have begun yesterday
        hour, minute = map(int, window.at.split(":"))
        begin = day.replace(hour=hour, minute=minute, second=0, microsecond=0, fold=0)
        # In UTC: the night in which the clocks are changed has an hour more, or less, of the local time.
        lasted_s = (moment - begin.astimezone(UTC)).total_seconds()
        if DAYS[begin.weekday()] in window.days and 0 <= lasted_s < window.lasts:
            return True
    return False


def quiet_until(spans: Iterable[str], zone: str, moment: datetime) -> datetime | None:
    """The end of the quiet hours around a moment; None outside quiet hours."""
    local = moment.astimezone(ZoneInfo(zone))
    found = [end for span in spans if (end := _end_of(span, local))]
    return max(found, default=None)


def _end_of(span: str, local: datetime) -> datetime | None:
    (from_hour, from_minute), (to_hour, to_minute) = (map(int, part.split(":")) for part in span.split("-"))
    for day in (local, local - _DAY):
        begin = day.replace(hour=from_hour, minute=from_minute, second=0, microsecond=0)
        end = day.replace(hour=to_hour, minute=to_minute, second=0, microsecond=0)
        end = end if end > begin else end + _DAY
        if begin <= local < end:
            return end
    return None
