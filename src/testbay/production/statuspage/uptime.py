"""The share of passed runs, and a strip of cells: one for each of 90 days or, at first, for each run."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from testbay.production.history.entries import Entry
from testbay.production.statuspage.boards import STATES, Point, State
from testbay.production.statuspage.wording import FOUND, day, when
from testbay.text import plural

DAYS = 90
WINDOWS = {"24 hours": 1, "7 days": 7, "30 days": 30, "90 days": DAYS}
_RUNS = 90  # up to this many runs are shown one by one, while the first is younger than _YOUNG
_YOUNG = timedelta(days=21)
_FEWEST = 30  # cells of a strip; a young one is filled up with empty cells


@dataclass(frozen=True, kw_only=True)
class Uptime:
    """The number of counted runs and of passed ones. Verdicts other than pass and fail are not counted."""

    window: str
    passed: int
    counted: int

    def __str__(self) -> str:
        """Format the share, rounded down, so that one failure in a year is not 100 %."""
        return f"{1000 * self.passed // self.counted / 10:g} %" if self.counted else "not known"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A day or a run: its worst state, and the share of that state."""

    state: State
    part: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Cells, the labels of both ends, and a summary in words."""

    cells: Sequence[Cell]
    first: str
    last: str
    said: str


def shares(points: Sequence[Point], now: datetime) -> list[Uptime]:
    """Count the runs of each window up to now."""
    found = []
    for name, days in WINDOWS.items():
        counts = Counter(point.verdict for point in since(points, now - timedelta(days=days)))
        found.append(Uptime(window=name, passed=counts["pass"], counted=counts["pass"] + counts["fail"]))
    return found


def strip(points: Sequence[Point], now: datetime, runs: Sequence[Entry] = ()) -> Strip:
    """Make the cells of a check: one for each of `runs`, if given, else one for each day."""
    cells = _runs(points, runs) if runs else _days(points, now)
    what = "run" if runs else "day"
    counts = Counter(cell.state for cell in cells)
    told = [f"{FOUND[state]} on {counts[state]}" for state in reversed(STATES) if counts[state] and state != "unknown"]
    said = f"{plural(len(cells), what)}: {', '.join(told) or 'no data'}"
    if runs:
        cells = [Cell(state="unknown", part=1, title="before the first run")] * (_FEWEST - len(cells)) + cells
        return Strip(cells=cells, first=f"since {when(runs[0].moment)}", last="newest run", said=said)
    return Strip(cells=cells, first=f"{DAYS} days ago", last="today", said=said)


def since(points: Sequence[Point], moment: datetime) -> Sequence[Point]:
    """Select the points that are not older than a moment."""
    return points[bisect_left(points, moment, key=lambda point: point.run.moment) :]


def shown_runs(runs: Sequence[Entry], now: datetime) -> Sequence[Entry]:
    """Select all runs if each can be a cell; otherwise none."""
    return runs if len(runs) <= _RUNS and now - runs[0].moment < _YOUNG else ()


def _runs(points: Sequence[Point], runs: Sequence[Entry]) -> list[Cell]:
    found: dict[str, State] = {point.run.run_id: point.verdict for point in points}
    states = [(run.moment, found.get(run.run_id, "unknown")) for run in runs]
    return [Cell(state=state, part=1, title=f"{when(moment)}: {FOUND[state]}") for moment, state in states]


def _days(points: Sequence[Point], now: datetime) -> list[Cell]:
    found: dict[date, Counter[State]] = {}
    for point in since(points, now - timedelta(days=DAYS)):
        found.setdefault(point.run.moment.date(), Counter())[point.verdict] += 1
    days = [now.date() - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]
    return [_day(one, found.get(one, Counter())) for one in days]


def _day(one: date, counts: Counter[State]) -> Cell:
    total = counts.total()
    if not total:
        return Cell(state="unknown", part=1, title=f"{day(one)}: no run")
    worst = next(state for state in STATES if counts[state])
    told = ", ".join(f"{counts[state]} {FOUND[state]}" for state in STATES if counts[state])
    return Cell(state=worst, part=counts[worst] / total, title=f"{day(one)}: {plural(total, 'run')}, {told}")
