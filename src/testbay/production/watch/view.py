"""The live page's content, drawn from the history."""

import sqlite3
import statistics
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from testbay.production.history.entries import History
from testbay.production.statuspage import render, responses
from testbay.production.statuspage.page import draw
from testbay.production.watch import export, packing, store
from testbay.production.watch.facts import ORDER, CheckState
from testbay.production.watch.notifications import lasted
from testbay.production.watch.packing import VERDICTS, PackedRound
from testbay.production.watch.records import Happening, Incident
from testbay.production.watch.store import DAY_S, FILE

_HERE = Path(__file__).parent
_SHOWN = 200  # lines of a time line
_INCIDENTS = 50
_SLOTS = 240  # of the line through a day's response times: six minutes each
REFRESH_S = 15


@dataclass(frozen=True, kw_only=True)
class IncidentView:
    """An incident with its time line."""

    incident: Incident
    lines: Sequence[Happening]
    lasted: str

    @property
    def word(self) -> str:
        """Whether the incident is `ongoing` or has `ended`."""
        return "ongoing" if self.incident.goes_on else "ended"


@dataclass(frozen=True, kw_only=True)
class CheckView:
    """One check with its response times of the last day."""

    current: CheckState
    path: str
    highest_ms: float
    median_ms: float | None
    rounds: Sequence[PackedRound]
    shares: dict[str, str]
    incidents: Sequence[IncidentView]


def files(folder: Path, now: float) -> dict[str, str]:
    """The status page of a watcher's history and its badge, as files by name."""
    with closing(store.connect(folder / FILE, writes=False)) as db:
        known = History(entries=tuple(export.entries(db, now)))
    return render(draw(known, datetime.fromtimestamp(now, UTC), None))


def incidents(folder: Path) -> list[IncidentView]:
    """The newest 50 incidents."""
    with closing(store.connect(folder / FILE, writes=False)) as db:
        return [_incident(db, one) for one in store.newest_incidents(db, _INCIDENTS)]


def _incident(db: sqlite3.Connection, one: Incident) -> IncidentView:
    now = datetime.now(UTC).timestamp()
    return IncidentView(
        incident=one, lines=store.happenings(db, one.id)[:_SHOWN], lasted=lasted((one.closed or now) - one.opened)
    )


def check(folder: Path, current: CheckState, now: float) -> CheckView:
    """A check with every round of the last day."""
    with closing(store.connect(folder / FILE, writes=False)) as db:
        number = store.numbers(db).get(current.series)
        rounds, shares = _rounds(db, number, now), export.shares(db, number, now)
        mine = [one for one in store.newest_incidents(db, 200) if current.series in one.members][:20]
        views = [_incident(db, one) for one in mine]
    times = [one.took_us / 1000 for one in rounds if one.took_us]
    median_ms = statistics.median_high(times) if times else None
    top = max(1.0, min(max(times), 4 * median_ms)) if median_ms else 1.0
    return CheckView(
        current=current,
        path=_path(rounds, top, now),
        highest_ms=top,
        median_ms=median_ms,
        rounds=rounds[-60:][::-1],
        shares={one.window: f"{one} of {one.counted}" if one.counted else str(one) for one in shares},
        incidents=views,
    )


def _rounds(db: sqlite3.Connection, series: int | None, now: float) -> list[PackedRound]:
    """List the rounds of the last day; those from the future came while the clock was wrong."""
    since = now - DAY_S
    made: list[PackedRound] = []
    query = "select start_s, data from hours where series=? and start_s > ? order by start_s"
    for start_s, data in db.execute(query, (series, since - store.HOUR_S)):
        made += packing.unpacked(data, start_s * 1000)
    query = "select at_ms, verdict, took_us from rounds where series=? order by at_ms"
    made += [PackedRound(*row) for row in db.execute(query, (series,))]
    return [one for one in made if since * 1000 <= one.at_ms <= now * 1000]


def _path(rounds: Sequence[PackedRound], top_ms: float, now: float) -> str:
    """The path of an SVG line through the median of each slot of six minutes."""
    found: dict[int, list[float]] = {}
    for one in rounds:
        if one.took_us:
            at = int((one.at_ms / 1000 - now + DAY_S) / DAY_S * _SLOTS)
            found.setdefault(min(_SLOTS - 1, max(0, at)), []).append(one.took_us / 1000)
    slot_width = responses.WIDTH / _SLOTS
    levels = [((slot + 0.5) * slot_width, statistics.median_high(times)) for slot, times in sorted(found.items())]
    return responses.path(levels, top_ms, 3.5 * slot_width)  # two slots without a round are no gap


def html(name: str, facts: dict[str, Any]) -> str:
    """Render a page, with the script that refreshes it."""
    from testbay import pages
    from testbay.production.statuspage import wording

    environment = pages.environment(_HERE)
    environment.filters |= {
        "when": lambda at: wording.when(datetime.fromtimestamp(at, UTC)),
        "clock": lambda at: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "iso": lambda at: datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds"),
        "ms": wording.milliseconds,
        "lasted": lasted,
    }
    style, script = (environment.get_template(part).render() for part in ("live.css", "live.js"))
    whole = {
        "style": style,
        "script": script,
        "policy": pages.policy(style, script) + "; connect-src 'self'",
        "version": metadata.version("testbay"),
        "verdicts": VERDICTS,
        "order": ORDER,
        "refresh_s": REFRESH_S,
    }
    return environment.get_template(name).render(whole | facts)
