"""A watcher's history in SQLite: every round for some days, sums for years, incidents and notices.

A transaction holds what a moment brought: rounds, what they made of their checks, and the messages that follow. So a
watcher that is killed goes on where it was, with nothing told that was not written down before.
"""

import itertools
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from testbay.production.history.slowness import Series
from testbay.production.watch import packing
from testbay.production.watch.lock import locked, unusable
from testbay.production.watch.packing import VERDICTS, PackedRound
from testbay.production.watch.records import (
    INCIDENT,
    NOTICE,
    STANDING,
    Changes,
    Happening,
    Incident,
    JobCall,
    decoded,
)
from testbay.production.watch.tracker import OutageTracker

FILE = "watch.db"
VERSION = 1
HOUR_S, DAY_S = 3600, 86400
HOURS_KEPT_S, DAYS_KEPT_S = 92 * DAY_S, 5 * 366 * DAY_S
_NOTES_KEPT = 1000  # incidents with their time lines, the newest; of each job's calls as many, however old
_SUM = """insert into sums values (?,?,?,?,?,?,?,?,?,?,?) on conflict do update set passed=passed+excluded.passed,
failed=failed+excluded.failed, stale=stale+excluded.stale, skipped=skipped+excluded.skipped,
errors=errors+excluded.errors, took_us=took_us+excluded.took_us, timed=timed+excluded.timed,
most_us=max(most_us, excluded.most_us)"""
_BEATS = """with calls as (select rowid as id, at, kind from beats where name=:name and kind != 'log' and at <= :now),
newest as (select id from calls order by at desc limit 1),
ended as (select id from calls where kind in ('ok', 'fail') order by at desc limit 1),
good as (select id, at from calls where kind='ok' order by at desc limit 1),
began as (select calls.id from calls, good where kind='start' and calls.at <= good.at order by calls.at desc limit 1)
select at, kind, text from beats
where rowid in (select id from newest union select id from ended union select id from good union select id from began)
order by at desc"""


class WatchStore:
    """One file, one writer. Every method may raise sqlite3.Error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken = ""
        self._lock = locked(folder)
        self._connection = self._opened()
        self._file = (folder / FILE).stat().st_ino
        self._series = numbers(self._connection)

    def _opened(self) -> sqlite3.Connection:
        file = self.folder / FILE
        try:
            return _sound(connect(file))
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.NotSupportedError):
                raise unusable(file, error, "use the newest testbay, or name another folder with --history") from None
            if isinstance(error, sqlite3.OperationalError):
                raise unusable(file, error) from None
            aside = file.with_name(f"{FILE}.broken-{time.time():.0f}")
            file.replace(aside)
            for rest in ("-wal", "-shm"):
                with suppress(OSError):
                    file.with_name(FILE + rest).unlink()
            self.broken = f"{file.name} cannot be read ({error}): it is {aside.name} now, and a new one was begun"
            return connect(file)

    def close(self) -> None:
        """Write everything into the one file, and release the lock."""
        with suppress(sqlite3.Error):
            self._connection.execute("pragma wal_checkpoint(truncate)")
        self._connection.close()
        os.close(self._lock)

    def load(self, tracker: OutageTracker) -> None:
        """Load the state that the last watcher left; a message that it was sending is marked as perhaps arrived.

        Raises:
            HistoryError: A record is damaged.
        """
        try:
            self._load(tracker)
        except sqlite3.DatabaseError as error:
            raise unusable(self.folder / FILE, error, "move this file away, and a new one is begun") from None

    def _load(self, tracker: OutageTracker) -> None:
        read = self._connection.execute
        names = {number: series for series, number in self._series.items()}
        for number, record in read("select series, record from standings"):
            if number in names:
                tracker.standings[names[number]] = decoded(STANDING, record)
        waiting = [
            decoded(NOTICE, row[0]) for row in read("select record from notices where state in ('waiting', 'sending')")
        ]
        wanted = {one.incident for one in waiting}
        for number, record in read("select id, record from incidents where closed=0"):
            tracker.incidents[number] = decoded(INCIDENT, record)
        for number in wanted - tracker.incidents.keys():
            for (record,) in read("select record from incidents where id=?", (number,)):
                tracker.incidents[number] = decoded(INCIDENT, record)
        for notice in waiting:
            was_sending = notice.state == "sending"
            tracker.note(
                NOTICE.validate_python({**asdict(notice), "state": "waiting", "again": notice.again or was_sending})
            )
        tracker.last_incident = read("select coalesce(max(id), 0) from incidents").fetchone()[0]
        tracker.last_notice = read("select coalesce(max(id), 0) from notices").fetchone()[0]

    def write(
        self, rounds: Sequence[tuple[Series, str, PackedRound]], changes: Changes, facts: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Write rounds, changes and facts in one transaction."""
        if not self._is_in_place():  # SQLite would go on writing to a file that was taken away
            raise sqlite3.OperationalError(f"{FILE} was moved or deleted meanwhile; a restart begins a new one")
        known = dict(self._series)
        try:
            self._write(rounds, changes, facts)
        except BaseException:
            self._series = known  # the numbers of new series went with the transaction
            raise

    def _write(
        self, rounds: Sequence[tuple[Series, str, PackedRound]], changes: Changes, facts: Iterable[tuple[str, str]]
    ) -> None:
        with self._connection as db:
            numbered = [(self._number(series, kind), *packed) for series, kind, packed in rounds]
            db.executemany("insert into rounds values (?,?,?,?)", numbered)
            if changes.standings:
                rows = [
                    (self._number(series, ""), STANDING.dump_json(one)) for series, one in changes.standings.items()
                ]
                db.executemany("insert or replace into standings values (?,?)", rows)
            incidents = [
                (one.id, one.opened, one.closed, INCIDENT.dump_json(one)) for one in changes.incidents.values()
            ]
            db.executemany("insert or replace into incidents values (?,?,?,?)", incidents)
            notices = [(one.id, one.state, NOTICE.dump_json(one)) for one in changes.notices.values()]
            db.executemany("insert or replace into notices values (?,?,?)", notices)
            lines = [(one.incident, one.at, one.text, one.author) for one in changes.happenings]
            db.executemany("insert into happenings values (?,?,?,?)", lines)
            db.executemany("insert or replace into facts values (?,?)", facts)

    def _is_in_place(self) -> bool:
        with suppress(OSError):
            return (self.folder / FILE).stat().st_ino == self._file
        return False

    def beat(self, name: str, at: float, kind: str, text: str) -> None:
        with self._connection as db:
            db.execute("insert into beats values (?,?,?,?)", (name, at, kind, text))
            query = """delete from beats where name=? and at < ? and rowid <
                (select rowid from beats where name=? order by rowid desc limit 1 offset ?)"""
            db.execute(query, (name, at - 30 * DAY_S, name, _NOTES_KEPT))

    def beats(self, name: str, now: float) -> list[JobCall]:
        """The calls by which a job is judged, the newest first: the last, last end, last good one, and its start.

        A call from the future came while the clock was wrong: it would excuse the job until then.
        """
        return [JobCall(*row) for row in self._connection.execute(_BEATS, {"name": name, "now": now})]

    def tidy(self, now: float, keep_s: float) -> None:
        """Sum up and compress the completed hours; for each, delete two of those that are too old.

        So a clock that jumps ahead takes hardly any of the history with it, and time without a watcher counts for none.
        """
        until_s = int(now // HOUR_S) * HOUR_S
        with self._connection as db:
            rows = db.execute(
                "select series, at_ms, verdict, took_us from rounds where at_ms < ? order by series, at_ms",
                (until_s * 1000,),
            )
            packed: set[int] = set()
            for (series, start_s), found in itertools.groupby(rows, key=_hour):
                self._pack(series, start_s, [PackedRound(*row[1:]) for row in found])
                packed.add(start_s)
            db.execute("delete from rounds where at_ms < ?", (until_s * 1000,))
            if packed:
                days = {start_s for start_s in packed if start_s % DAY_S == 0}
                _drop(db, "hours", "true", until_s - keep_s, len(packed))
                _drop(db, "sums", f"width_s={HOUR_S}", now - HOURS_KEPT_S, len(packed))
                _drop(db, "sums", f"width_s={DAY_S}", now - DAYS_KEPT_S, len(days))
            self._tidy_incidents(db)

    def _pack(self, series: int, start_s: int, found: list[PackedRound]) -> None:
        db = self._connection
        known = db.execute("select data from hours where series=? and start_s=?", (series, start_s)).fetchone()
        before = list(packing.unpacked(known[0], start_s * 1000)) if known else []
        data = packing.packed(sorted([*before, *found]), start_s * 1000)
        db.execute("insert or replace into hours values (?,?,?)", (series, start_s, data))
        counts = [sum(packed.verdict == place for packed in found) for place in range(len(VERDICTS))]
        times = [packed.took_us for packed in found if packed.took_us is not None]
        totals = (*counts, sum(times), len(times), max(times, default=0))
        for width_s in (HOUR_S, DAY_S):
            db.execute(_SUM, (width_s, series, start_s // width_s * width_s, *totals))

    def _tidy_incidents(self, db: sqlite3.Connection) -> None:
        oldest = db.execute("select id from incidents order by id desc limit 1 offset ?", (_NOTES_KEPT,)).fetchone()
        if oldest:
            db.execute("delete from happenings where incident <= ?", oldest)
            db.execute("delete from incidents where id <= ? and closed > 0", oldest)
        newest = db.execute("select coalesce(max(id), 0) from notices").fetchone()[0]
        db.execute("delete from notices where id <= ? and state in ('sent', 'dropped', 'lost')", (newest - 10_000,))

    def _number(self, series: Series, kind: str) -> int:
        known = self._series.get(series)
        if known is None:
            query = "insert into series (service, target, name, instance, kind) values (?,?,?,?,?) returning id"
            known = self._series[series] = int(self._connection.execute(query, (*series, kind)).fetchone()[0])
        return known


def _drop(db: sqlite3.Connection, table: str, which: str, before_s: float, came: int) -> None:
    """Delete the oldest starts before a moment, twice as many as came at most."""
    oldest = f"select distinct start_s from {table} where {which} order by start_s limit {2 * came}"  # noqa: S608 - ours
    db.execute(f"delete from {table} where {which} and start_s < ? and start_s in ({oldest})", (before_s,))  # noqa: S608


def _hour(row: tuple[int, int, int, int | None]) -> tuple[int, int]:
    """Return the series of a round, and the start of its hour in seconds."""
    series, at_ms, *_ = row
    return series, at_ms // 1000 // HOUR_S * HOUR_S


def connect(file: Path, *, writes: bool = True) -> sqlite3.Connection:
    """Open the database, and create missing tables.

    Raises:
        sqlite3.Error: It cannot be opened, or holds something else.
    """
    how = "mode=rwc" if writes else "mode=ro"
    if not writes and not os.access(file.parent, os.W_OK) and not file.with_name(f"{file.name}-wal").exists():
        how += "&immutable=1"  # no watcher is at work there, and SQLite has no place for a file of its own
    made = sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True, check_same_thread=False, timeout=30)
    try:
        version = made.execute("pragma user_version").fetchone()[0]
        if version not in (0, VERSION):  # before anything is changed: the newer testbay will come back to it
            raise sqlite3.NotSupportedError(f"it is of version {version}, and this testbay knows {VERSION}")
        if writes:
            if version == 0:  # it writes, and a history that is there can be opened on a full disk, too
                made.execute("pragma auto_vacuum=incremental")
            made.execute("pragma journal_mode=wal")
            made.execute("pragma synchronous=normal")
            made.executescript(resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8"))
            if version == 0:
                made.execute(f"pragma user_version={VERSION}")
    except sqlite3.Error:
        made.close()
        raise
    return made


def _sound(made: sqlite3.Connection) -> sqlite3.Connection:
    """Check all pages of a database: after a power cut a file may open, and fail when it is read.

    Raises:
        sqlite3.DatabaseError: A page is broken; the connection is closed.
    """
    try:
        said = made.execute("pragma quick_check(1)").fetchone()[0]
        if said != "ok":
            raise sqlite3.DatabaseError(" ".join(said.split()))
    except sqlite3.Error:
        made.close()
        raise
    return made


def happenings(connection: sqlite3.Connection, incident: int) -> list[Happening]:
    """The time line of an incident, the oldest first."""
    rows: list[tuple[int, float, str, str]] = connection.execute(
        "select incident, at, text, author from happenings where incident=? order by at, rowid", (incident,)
    ).fetchall()
    return [Happening(incident=number, at=at, text=text, author=author) for number, at, text, author in rows]


def newest_incidents(connection: sqlite3.Connection, count: int, since: float = 0.0) -> list[Incident]:
    """List the incidents that go on or ended after a moment, the newest first."""
    query = "select record from incidents where closed=0 or closed>=? order by opened desc limit ?"
    return [decoded(INCIDENT, record) for (record,) in connection.execute(query, (since, count))]


def numbers(db: sqlite3.Connection) -> dict[Series, int]:
    """Return the number by which the tables name each check."""
    rows = db.execute("select id, service, target, name, instance from series")
    return {Series(*row[1:]): row[0] for row in rows}


def facts(connection: sqlite3.Connection) -> dict[str, Any]:
    """Read the facts that the watcher left."""
    return {name: json.loads(value) for name, value in connection.execute("select name, value from facts")}
