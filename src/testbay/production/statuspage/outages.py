"""Outages in a history: from the first run in which a check did not pass to the next one in which it did."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from testbay.production.history.entries import Entry
from testbay.production.statuspage.boards import STATES, Board, Check, State

_NAMED = 12


class _Span(NamedTuple):
    check: Check
    before: Entry | None
    first: Entry
    end: Entry | None
    states: frozenset[State]


@dataclass(frozen=True, kw_only=True)
class Outage:
    """An outage that began in one run of a target. `before` is the last good run, `end` the first good one after it.

    Without an end it goes on, or its checks are gone. `checks` names at most _NAMED of its `count` checks.
    """

    board: str
    state: State
    states: Sequence[State]
    checks: Sequence[str]
    count: int
    before: Entry | None
    first: Entry
    end: Entry | None
    goes_on: bool

    def lasted(self, now: datetime) -> timedelta:
        """Return the time from the first bad run to the end, or to `now` if it goes on."""
        return (self.end.moment if self.end else now) - self.first.moment


def outages(boards: Iterable[Board]) -> list[Outage]:
    """List the outages: first those that go on, each group with the newest first."""
    found = [one for board in boards for one in _of(board)]
    found.sort(key=lambda one: one.first.moment, reverse=True)
    return sorted(found, key=lambda one: not one.goes_on)


def _of(board: Board) -> Iterator[Outage]:
    together: dict[str, list[_Span]] = {}
    for check in board.checks:
        for span in _spans(check):
            together.setdefault(span.first.run_id, []).append(span)
    for spans in together.values():
        yield _outage(board, spans)


def _outage(board: Board, spans: Sequence[_Span]) -> Outage:
    """Make an outage of the spans that began in one run."""
    states = frozenset[State]().union(*(span.states for span in spans))
    is_open = any(span.end is None for span in spans)
    ends = [span.end for span in spans if span.end]
    ordered = [state for state in STATES if state in states]
    return Outage(
        board=board.name,
        state=ordered[0],
        states=ordered,
        checks=[span.check.name for span in spans[:_NAMED]],
        count=len(spans),
        before=max((span.before for span in spans if span.before), key=lambda run: run.moment, default=None),
        first=spans[0].first,
        end=None if is_open else max(ends, key=lambda run: run.moment),
        goes_on=any(span.end is None and span.check.is_current for span in spans),
    )


def _spans(check: Check) -> Iterator[_Span]:
    good: Entry | None = None
    first: Entry | None = None
    states: set[State] = set()
    for run, verdict, _ in check.points:
        if verdict == "pass":
            if first:
                yield _Span(check, good, first, run, frozenset(states))
            good, first, states = run, None, set()
        else:
            first = first or run
            states.add(verdict)
    if first:
        yield _Span(check, good, first, None, frozenset(states))
