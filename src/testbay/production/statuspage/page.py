"""The content of the page, limited in size, with the number of things left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from testbay.production.history.entries import Entry, History
from testbay.production.statuspage import responses, uptime, wording
from testbay.production.statuspage.boards import STATES, Board, Check, State, boards, name_of
from testbay.production.statuspage.outages import Outage, outages
from testbay.production.statuspage.responses import Line
from testbay.production.statuspage.uptime import Strip, Uptime

# The limits of one page. A check with a strip takes 10 kB.
_BOARDS = 50
_CHARTS = 120
_ROWS = 1000
_OUTAGES = 50


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A check as the page shows it; without strip and line if there are too many checks."""

    check: Check
    shares: Sequence[Uptime]
    strip: Strip | None = None
    line: Line | None = None


@dataclass(frozen=True, kw_only=True)
class Section:
    """A target with as many of its checks as the page has room for; `left_out` counts the others."""

    number: int
    board: Board
    whole: Drawn
    charts: Sequence[Drawn]
    rows: Sequence[Drawn]
    left_out: int


@dataclass(frozen=True, kw_only=True)
class Page:
    """The data of the templates."""

    title: str
    now: datetime
    known: History
    boards: Sequence[Board]
    sections: Sequence[Section]
    outages: Sequence[Outage]
    outages_in_all: int

    @property
    def state(self) -> State:
        return min((board.state for board in self.boards), key=STATES.index, default="unknown")

    @property
    def headline(self) -> str:
        """The state of all targets in a few words."""
        if len(self.boards) == 1:
            return headline(self.boards[0])
        if not self.boards:
            return "No check has run yet"
        bad = [board for board in self.boards if board.state != "pass"]
        if len(bad) == 1:
            text = headline(bad[0])
            return f"{bad[0].name}: {text[0].lower()}{text[1:]}"
        return f"{len(bad)} of {len(self.boards)} targets have problems" if bad else "All checks are passing"

    @property
    def believed_until(self) -> datetime | None:
        """The time from which the page is out of date, since the next run is late; None if it is already."""
        return min((board.late_from for board in self.boards if board.late_from > self.now), default=None)

    @property
    def headline_when_old(self) -> str:
        """The headline that replaces a good one from `believed_until` on."""
        first = min((board for board in self.boards if board.late_from > self.now), key=lambda one: one.late_from)
        text = f"o data since {wording.when(first.newest.moment)}"
        return f"N{text}" if len(self.boards) == 1 else f"{first.name}: n{text}"


def headline(board: Board) -> str:
    """Describe a target's state in a few words."""
    every = board.having(*STATES)
    count = len(board.having(board.state))
    many = f"{count} of {len(every)} checks {'is' if count == 1 else 'are'}"
    words: dict[State, str] = {
        "fail": f"{many} failing",
        "stale": "An old build answers",
        "error": f"{count} of {len(every)} checks cannot run",
        "pass": "All checks are passing",
    }
    return words.get(board.state) or _unknown(board, count, len(every))


def _unknown(board: Board, count: int, of: int) -> str:
    """Say since when a target's state is not known: where some checks are asked on, since the first of the others."""
    if not of:
        return "No data yet"
    if count == of:
        return f"No data since {wording.when(board.all.points[-1].run.moment)}"
    oldest = min(check.points[-1].run.moment for check in board.having("unknown"))
    return f"No data of {count} of {of} checks since {wording.when(oldest)}"


def draw(known: History, now: datetime, title: str | None) -> Page:
    """Make the page of a history."""
    found = boards(known.entries, now)
    every = outages(found)
    services = {board.newest.service for board in found}
    return Page(
        title=name_of(title or (f"{services.pop()} status" if len(services) == 1 else "Status")),
        now=now,
        known=known,
        boards=found,
        sections=_sections(found, now),
        outages=every[:_OUTAGES],
        outages_in_all=len(every),
    )


def _sections(found: Sequence[Board], now: datetime) -> list[Section]:
    charts, rows = _CHARTS, _ROWS
    made = []
    for number, board in enumerate(found[:_BOARDS], 1):
        runs = uptime.shown_runs(board.runs, now)
        shown, rest = board.checks[:charts], board.checks[charts:]
        charts, few = charts - len(shown), rest[:rows]
        rows -= len(few)
        made.append(
            Section(
                number=number,
                board=board,
                whole=_drawn(board.all, now, runs),
                charts=[_drawn(check, now, runs) for check in shown],
                rows=[Drawn(check=check, shares=uptime.shares(check.points, now)) for check in few],
                left_out=len(rest) - len(few),
            )
        )
    return made


def _drawn(check: Check, now: datetime, runs: Sequence[Entry]) -> Drawn:
    start = runs[0].moment if runs else now - timedelta(days=uptime.DAYS)
    return Drawn(
        check=check,
        shares=uptime.shares(check.points, now),
        strip=uptime.strip(check.points, now, runs),
        line=responses.line(check.points, start, now),
    )
