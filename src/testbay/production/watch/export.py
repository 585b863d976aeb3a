"""A watcher's history converted to entries of `testbay history`, for pages, latency and metrics.

A line stands for a span: an hour of the last two days, six hours before that. It says how every check stood at the end
of it, with the mean time of the span. The beginning and the end of each incident have a line of their own, so that what
was down is told to the minute.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from testbay.errors import HistoryError
from testbay.production.checks.report import Verdict
from testbay.production.history.entries import CONTROL, Entry, History, Outcome
from testbay.production.history.slowness import Series
from testbay.production.statuspage.uptime import WINDOWS, Uptime
from testbay.production.watch import store
from testbay.production.watch.records import Incident
from testbay.production.watch.store import DAY_S, FILE, HOUR_S

_FINE_S = 2 * DAY_S
_COARSE_S = 6 * HOUR_S
_EVERY = -1  # incident that is kept
_DAYS = 90
_SPANS = """
select series, start_s / :width * :width, sum(passed), sum(failed), sum(stale), sum(errors), sum(took_us), sum(timed)
from sums where width_s = 3600 and start_s >= :since and start_s < :until group by series, start_s / :width"""

_PROVEN = "select series from sums where passed > 0 union select series from rounds where verdict = 0"


class _Span(NamedTuple):
    """The rounds of a check in an hour or six: how many asked and passed, and how long they took on average."""

    asked: int = 1
    passed: int = 0
    mean_ms: float | None = None


def history(folder: Path, now: datetime) -> History:
    """The history there, as lines.

    Raises:
        HistoryError: It cannot be read.
    """
    try:
        with closing(store.connect(folder / FILE, writes=False)) as db:
            return History(entries=tuple(entries(db, now.timestamp())))
    except sqlite3.Error as error:
        raise HistoryError(
            f"history: {folder / FILE} cannot be read", why=str(error), todo="name the folder of a testbay watch"
        ) from None


def entries(db: sqlite3.Connection, now: float) -> list[Entry]:
    """The entries of every target in the last 90 days, the oldest first."""
    since = now - _DAYS * DAY_S
    numbers = store.numbers(db)
    current = _current(db) or numbers.keys()
    incidents = list(reversed(store.newest_incidents(db, _EVERY, since)))
    spans = _spans(db, now, since)
    passed = {number for (number,) in db.execute(_PROVEN)}
    proven = frozenset(series for series, number in numbers.items() if number in passed)
    made: list[Entry] = []
    for target in sorted({_target(series) for series in numbers}):
        ours = {series: spans.get(number, {}) for series, number in numbers.items() if _target(series) == target}
        bad = _Bad.of([incident for incident in incidents if _target(incident) == target], proven)
        made += _at_the_ends(target, ours, bad, now)
        made += _at_the_turns(target, [series for series in ours if series in current], bad, since)
    return sorted((entry for entry in made if entry.outcomes), key=lambda entry: (entry.moment, entry.run_id))


def _at_the_ends(
    target: tuple[str, str], ours: Mapping[Series, Mapping[float, _Span]], bad: "_Bad", now: float
) -> Iterator[Entry]:
    """Make an entry at the end of each span."""
    for start in sorted({start for by_start in ours.values() for start in by_start}):
        end = min(start + _width(start, now), now)
        yield _line(target, end, [_outcome(series, by_start.get(start), bad, end) for series, by_start in ours.items()])


def _at_the_turns(target: tuple[str, str], running: Sequence[Series], bad: "_Bad", since: float) -> Iterator[Entry]:
    """Make an entry at the beginning and at the end of each incident."""
    for at in bad.turns:
        if at > since:
            yield _line(target, at, [_outcome(series, _Span(), bad, at) for series in running])


def _target(of: Series | Incident) -> tuple[str, str]:
    return of.service, of.target


def _width(moment: float, now: float) -> float:
    return HOUR_S if moment >= _fine_from(now) else _COARSE_S


def _fine_from(now: float) -> float:
    return (now - _FINE_S) // _COARSE_S * _COARSE_S


def _spans(db: sqlite3.Connection, now: float, since: float) -> dict[int, dict[float, _Span]]:
    """Count for each check and span the rounds in which it was asked, and average those that were timed."""
    found: dict[int, dict[float, _Span]] = {}
    turn = _fine_from(now)
    for width, begin, end in ((_COARSE_S, since, turn), (HOUR_S, turn, now + DAY_S)):
        rows = db.execute(_SPANS, {"width": width, "since": begin, "until": end})
        for series, start, passed, failed, stale, errors, took_us, timed in rows:
            asked, mean_ms = passed + failed + stale + errors, took_us / timed / 1000 if timed else None
            found.setdefault(series, {})[start] = _Span(asked, passed, mean_ms)
    query = """select series, at_ms/3600000*3600, count(*), sum(verdict=0), avg(took_us) from rounds where verdict != 3
        group by 1, 2"""
    for series, start, count, passed, took_us in db.execute(query):
        before = found.setdefault(series, {}).get(start, _Span(0))
        mean_ms = took_us / 1000 if took_us is not None else before.mean_ms
        found[series][start] = _Span(before.asked + count, before.passed + passed, mean_ms)
    return found


def _current(db: sqlite3.Connection) -> set[Series]:
    return {Series(*row[:4]) for row in store.facts(db).get("watch", {}).get("checks", [])}


@dataclass(frozen=True, kw_only=True)
class _Bad:
    """The times in which each check was part of an incident, and the checks that ever passed."""

    proven: frozenset[Series]
    spans: Mapping[Series, Sequence[tuple[float, float, Verdict, bool]]]
    turns: Sequence[float]

    @classmethod
    def of(cls, incidents: Iterable[Incident], proven: frozenset[Series]) -> "_Bad":
        spans: dict[Series, list[tuple[float, float, Verdict, bool]]] = {}
        turns: set[float] = set()
        for one in incidents:
            end = one.closed or float("inf")
            for member in one.members:
                spans.setdefault(member, []).append((one.opened, end, one.kind, member in one.recovered))
            turns |= {one.opened} | ({one.closed} if one.closed else set())
        return cls(proven=proven, spans={series: sorted(found) for series, found in spans.items()}, turns=sorted(turns))

    def at(self, series: Series, moment: float, span: _Span) -> Verdict | None:
        """Return the verdict of the incident that a check belonged to; None if there was none, or it had recovered."""
        found = self.spans.get(series, ())
        place = bisect_right(found, moment, key=lambda one: one[0]) - 1
        if place < 0 or moment >= found[place][1]:
            return None
        _, _, kind, has_recovered = found[place]
        return None if has_recovered and span.passed == span.asked else kind


def _outcome(series: Series, span: _Span | None, bad: _Bad, at: float) -> Outcome | None:
    if span is None or not span.asked:
        return None
    verdict = bad.at(series, at, span) or ("pass" if series in bad.proven else None)  # fail closed
    if verdict is None:
        return None
    return Outcome(
        check=series.check,
        instance=series.instance,
        verdict=verdict,
        median_ms=None if span.mean_ms is None else round(span.mean_ms, 3),
        probes=span.asked if span.mean_ms is not None else 0,
    )


def _line(target: tuple[str, str], at: float, outcomes: Iterable[Outcome | None]) -> Entry:
    known = tuple(one for one in outcomes if one)
    return Entry(
        service=target[0],
        phase="scheduled",
        target=target[1],
        started=datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
        control_ms=next((one.median_ms for one in known if one.check == CONTROL), None),
        outcomes=known,
    )


def shares(db: sqlite3.Connection, series: int | None, now: float) -> list[Uptime]:
    """Count a check's rounds in each window in which it had any."""
    recent = db.execute("select sum(verdict=0), sum(verdict<2) from rounds where series=?", (series,)).fetchone()
    query = "select sum(passed), sum(passed+failed) from sums where width_s=? and series=? and start_s >= ?"
    found = []
    for window, days in WINDOWS.items():
        summed = db.execute(query, (HOUR_S if days <= 7 else DAY_S, series, now - days * DAY_S)).fetchone()
        counts = [row for row in (recent, summed) if row[0] is not None]
        if counts:
            passed, counted = map(sum, zip(*counts, strict=True))
            found.append(Uptime(window=window, passed=passed, counted=counted))
    return found
