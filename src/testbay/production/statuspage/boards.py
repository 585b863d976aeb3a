"""The boards: runs, checks and state of each target."""

import itertools
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal, NamedTuple

from testbay.manifest.checkbase import Phase
from testbay.production.history.entries import Entry, last_good
from testbay.text import one_line

Key = tuple[str, str]  # a check and its instance
State = Literal["fail", "stale", "error", "unknown", "pass"]
STATES: tuple[State, ...] = ("fail", "stale", "error", "unknown", "pass")  # the worst first

# The phases that ask a deployed target; the others ask code and configuration.
_DEPLOYED: tuple[Phase, ...] = ("post-deploy", "scheduled")
_RECENT = 3  # a check that is missing in this many runs of each phase was taken out of the manifest
_GAPS = 28
# How old a pass may be before the state is unknown: twice the usual interval, but at most _LONGEST.
_LONGEST = timedelta(days=14)
_BEFORE_RHYTHM = timedelta(days=2)  # a schedule that has not shown its rhythm yet
_WITHOUT_SCHEDULE = timedelta(days=7)
_WIDTH = 120
_MOST_MS = 1e9  # eleven days: a history can hold any number


class Point(NamedTuple):
    """A run in which a check was asked, with its result."""

    run: Entry
    verdict: State
    median_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check with the runs in which it was asked, the oldest first; `is_current`: it is still in the manifest."""

    name: str
    points: Sequence[Point]
    state: State
    is_current: bool

    @property
    def newest(self) -> Point | None:
        return self.points[-1] if self.points else None


@dataclass(frozen=True, kw_only=True)
class Board:
    """One target of one service. `all` is a check made of all runs; `interval` is None without a schedule.

    From `late_from` on, the state is out of date.
    """

    name: str
    runs: Sequence[Entry]
    checks: Sequence[Check]
    all: Check
    interval: timedelta | None
    last_scheduled: datetime | None
    is_late: bool
    late_from: datetime

    @property
    def newest(self) -> Entry:
        return self.runs[-1]

    @cached_property
    def last_good(self) -> Entry | None:
        return last_good(self.runs)

    @property
    def state(self) -> State:
        return self.all.state

    def having(self, *states: State) -> list[Check]:
        """Select the current checks that have one of these states and were asked at least once."""
        return [check for check in self.checks if check.is_current and check.points and check.state in states]


def boards(entries: Iterable[Entry], now: datetime) -> list[Board]:
    """Make a board for each target, the worst first. The entries come in the order of a history."""
    found: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if entry.phase in _DEPLOYED:
            found.setdefault((entry.service, entry.target), []).append(entry)
    made = [_board(service, target, runs, now) for (service, target), runs in sorted(found.items())]
    return sorted(made, key=lambda board: STATES.index(board.state))


def name_of(*parts: str) -> str:
    """Join the parts of a name on one line of at most _WIDTH characters."""
    text = one_line(" ".join(part for part in parts if part))
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def interval(runs: Iterable[Entry]) -> timedelta | None:
    """Estimate the time from one scheduled run to the next; None while there were fewer than four."""
    moments = [run.moment for run in runs if run.phase == "scheduled"][-_GAPS - 1 :]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    return timedelta(seconds=round(statistics.median(gap.total_seconds() for gap in gaps))) if len(gaps) > 2 else None


def _patience(usual: timedelta | None, last_scheduled: datetime | None) -> timedelta:
    """Return how old a pass may be. Schedules are often late, so one missed run does not count yet."""
    if usual:
        return min(2 * usual, _LONGEST)
    return _BEFORE_RHYTHM if last_scheduled else _WITHOUT_SCHEDULE


def _board(service: str, target: str, runs: Sequence[Entry], now: datetime) -> Board:
    usual = interval(runs)
    last_scheduled = max((run.moment for run in runs if run.phase == "scheduled"), default=None)
    patience = _patience(usual, last_scheduled)
    asked = last_scheduled or max(run.moment for run in runs)
    checks = list(_checks(runs, now - patience))
    counted = [check.state for check in checks if check.is_current and check.points]
    worst: State = min(counted, key=STATES.index, default="unknown")
    return Board(
        name=name_of(service, f"on {target}" if target else ""),
        runs=runs,
        checks=sorted(checks, key=lambda one: (not one.is_current, not one.points, STATES.index(one.state))),
        all=Check(name="all checks", points=_all(runs), state=worst, is_current=True),
        interval=usual,
        last_scheduled=last_scheduled,
        is_late=bool(last_scheduled and last_scheduled + patience < now),
        late_from=asked + patience,
    )


def _all(runs: Iterable[Entry]) -> list[Point]:
    """Make a point of each run that asked something, with its worst verdict."""
    points = []
    for run in runs:
        found = {outcome.verdict for outcome in run.outcomes}
        worst = next((state for state in STATES if state in found), None)
        if worst:
            points.append(Point(run, worst))
    return points


def _checks(runs: Sequence[Entry], fresh: datetime) -> Iterator[Check]:
    """Make the checks, in the order of the newest runs, which is that of the manifest; removed ones come last."""
    recent = _recent(runs)
    bases = {_base(key) for key in recent}
    points: dict[Key, list[Point]] = {key: [] for key in recent}
    for run in runs:
        for one in run.outcomes:
            known = points.setdefault((one.check, one.instance), [])
            if one.verdict != "skip":
                median_ms = None if one.median_ms is None else min(one.median_ms, _MOST_MS)
                known.append(Point(run, one.verdict, median_ms))
    newest = max(run.moment for run in runs)
    for key, found in points.items():
        state = _state(found, fresh, newest)
        yield Check(name=name_of(*key), points=found, state=state, is_current=_base(key) in bases)


def _recent(runs: Sequence[Entry]) -> list[Key]:
    """List the checks in the last runs of each phase, the newest first."""
    seen: Counter[Phase] = Counter()
    found: dict[Key, None] = {}
    for run in reversed(runs):
        seen[run.phase] += 1
        if seen[run.phase] <= _RECENT:
            found |= {(one.check, one.instance): None for one in run.outcomes}
    return list(found)


def _base(key: Key) -> Key:
    """Return the key of the check that a result belongs to: `health` for `health/latency`."""
    return key[0].partition("/")[0], key[1]


def _state(points: Sequence[Point], fresh: datetime, newest: datetime) -> State:
    """Return the last found state, or `unknown` for a pass that is older than `fresh`.

    For a check that is not asked on a schedule, the time of the target's `newest` run counts.
    """
    if not points:
        return "unknown"
    run, verdict, _ = points[-1]
    renewed = run.moment if any(point.run.phase == "scheduled" for point in points) else newest
    return "unknown" if verdict == "pass" and renewed < fresh else verdict
