"""The texts of notifications about incidents."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from testbay.production.incidents.issue_text import clock_time, length, trouble_of
from testbay.production.watch.records import Incident
from testbay.text import one_line, plural

Tone = Literal["bad", "good", "warning"]
_MOST = 10


@dataclass(frozen=True, kw_only=True)
class Notification:
    """The text of one message: `title` for a lock screen, `lines` below it."""

    title: str
    lines: tuple[str, ...]
    tone: Tone


def opened(incident: Incident, now: float, *, maybe_again: bool = False) -> Notification:
    """Write that an incident began."""
    return Notification(
        title=f"{_where(incident)}: {trouble(incident)}", lines=_facts(incident, now, maybe_again), tone="bad"
    )


def goes_on(incident: Incident, now: float, *, maybe_again: bool = False) -> Notification:
    """Write that an incident goes on."""
    lasting = lasted(now - incident.opened)
    title = f"{_where(incident)}: still, after {lasting}: {trouble(incident)}"
    return Notification(title=title, lines=_facts(incident, now, maybe_again), tone="bad")


def ended(incident: Incident, *, was_told: bool, maybe_again: bool = False) -> Notification:
    """Write that an incident is over; `was_told` says whether its beginning was news already."""
    span = lasted(incident.closed - incident.opened)
    names = _names(incident)
    how = "no longer checked" if incident.gone else "passing again"
    what = f"{how} after {span}: {names}" if was_told else f"was down for {span}, and is {how}: {names}"
    lines = [f"from {_time(incident.opened)} to {_time(incident.closed)}"]
    lines += [] if was_told else [one_line(incident.said)]
    return Notification(title=f"{_where(incident)}: {what}", lines=(*lines, *_doubt(maybe_again)), tone="good")


def unreachable(channel: str, why: str) -> Notification:
    """Write that another channel does not take messages."""
    lines = (one_line(why), "Its messages are sent again until they arrive.")
    return Notification(title=f"testbay watch cannot reach {channel}", lines=lines, tone="warning")


def trouble(incident: Incident) -> str:
    """The trouble in words: `health fails`, `health and 3 more fail`."""
    return trouble_of(_name(incident), len(incident.failing or incident.members) - 1, incident.kind)


def lasted(seconds: float) -> str:
    """A duration in words: `40 s`, `12 min`, `2 h 5 min`."""
    return f"{max(0, round(seconds))} s" if seconds < 60 else length(timedelta(seconds=seconds))


def _where(incident: Incident) -> str:
    return one_line(f"{incident.service} on {incident.target}" if incident.target else incident.service)


def _name(incident: Incident) -> str:
    first = (incident.failing or incident.members)[0]
    return one_line(first.name, 120)


def _names(incident: Incident) -> str:
    more = len(incident.members) - 1
    return f"{_name(incident)} and {plural(more, 'more check')}" if more else _name(incident)


def _facts(incident: Incident, now: float, maybe_again: bool) -> tuple[str, ...]:  # noqa: FBT001 - a detail of theirs
    failing = incident.failing
    lines = [one_line(incident.said), f"since {_time(incident.opened)}, seen {_time(now)}"]
    lines += [f"commit {one_line(incident.commit)[:12]} answers"] if incident.commit else []
    if len(failing) > 1:
        shown = [one_line(one.name, 120) for one in failing[:_MOST]]
        more = [f"and {len(failing) - _MOST} more"] if len(failing) > _MOST else []
        lines += ["checks: " + ", ".join([*shown, *more])]
    return (*lines, *_doubt(maybe_again))


def _doubt(maybe_again: bool) -> list[str]:  # noqa: FBT001 - a detail of theirs
    said = "You may have received this before: the watcher was stopped while it sent it."
    return [said] if maybe_again else []


def _time(at: float) -> str:
    return clock_time(datetime.fromtimestamp(at, UTC))
