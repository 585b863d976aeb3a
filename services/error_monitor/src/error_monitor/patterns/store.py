"""Every write of a scan. Events and the cursor behind them are one transaction, and each proves its fence."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from error_monitor.database import Connection, Database
from error_monitor.patterns.records import Cursor, Seen, Step, Writer
from error_monitor.patterns.weights import weigh
from error_monitor.reading.event import LEVELS
from error_monitor.scanning.lease import LeaseLostError

_MOST_SERVICES = 50
_KEPT = ("fingerprint", "type", "message", "frame", "level", "category", "severity", "fixable", "reason")

PATTERNS = """
INSERT INTO error_monitor.patterns AS known (fingerprint, type, message, frame, level, category, severity, fixable,
    reason, services, example, events, first_seen, last_seen)
SELECT * FROM jsonb_to_recordset(%s) AS new (fingerprint text, type text, message text, frame text, level text,
    category text, severity text, fixable boolean, reason text, services text[], example text[], events bigint,
    first_seen timestamptz, last_seen timestamptz)
ON CONFLICT (fingerprint) DO UPDATE SET
    events = known.events + EXCLUDED.events,
    first_seen = least(known.first_seen, EXCLUDED.first_seen),
    last_seen = greatest(known.last_seen, EXCLUDED.last_seen),
    example = CASE WHEN EXCLUDED.last_seen >= known.last_seen THEN EXCLUDED.example ELSE known.example END,
    message = CASE WHEN EXCLUDED.last_seen >= known.last_seen THEN EXCLUDED.message ELSE known.message END,
    level = (SELECT level FROM unnest(ARRAY['critical', 'error', 'warning', 'info', 'debug']) AS level
        WHERE level IN (known.level, EXCLUDED.level) LIMIT 1),
    services = (SELECT array_agg(service) FROM (SELECT DISTINCT unnest(known.services || EXCLUDED.services) AS service
        ORDER BY 1 LIMIT 50) AS every),
    state = CASE WHEN known.state = 'resolved' AND EXCLUDED.last_seen > known.state_since THEN 'regressed'
        ELSE known.state END,
    state_since = CASE WHEN known.state = 'resolved' AND EXCLUDED.last_seen > known.state_since THEN now()
        ELSE known.state_since END
RETURNING fingerprint, xmax = 0 AS is_new"""
OCCURRENCES = """
INSERT INTO error_monitor.occurrences AS known (fingerprint, minute, source, service, events)
SELECT * FROM jsonb_to_recordset(%s) AS new (fingerprint text, minute timestamptz, source text, service text,
    events bigint)
ON CONFLICT (fingerprint, minute, source, service) DO UPDATE SET events = known.events + EXCLUDED.events"""
CURSOR = """
INSERT INTO error_monitor.cursors AS known (stream, source, position, readers, version, lines, fence, moved_at)
VALUES (%(stream)s, %(source)s, %(position)s, %(readers)s, 1, %(lines)s, %(fence)s, now())
ON CONFLICT (stream) DO UPDATE SET position = EXCLUDED.position, readers = EXCLUDED.readers,
    version = known.version + 1, lines = known.lines + EXCLUDED.lines, fence = EXCLUDED.fence, moved_at = now()
    WHERE known.version = %(version)s
RETURNING version"""


class CursorMovedError(Exception):
    """Another reader has read the stream on since we looked: what we read of it is dropped and read again."""


class Store:
    """The tables that a scan writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cursor(self, stream: str, source: str) -> Cursor:
        """Look up the position up to which a stream was read."""
        row = await self._database.fetch_one(
            "SELECT position, readers, version FROM error_monitor.cursors WHERE stream = %s", (stream,)
        )
        return Cursor(stream=stream, source=source, **row) if row else Cursor(stream=stream, source=source)

    async def write(self, writer: Writer, scan_id: int, step: Step) -> tuple[int, int]:
        """Events, gaps and the cursor, all or nothing; the cursor's new version, and how many patterns are new.

        Raises:
            LeaseLostError: Another instance scans now.
            CursorMovedError: Another reader was here.
        """
        cursor = step.cursor
        async with self._proven(writer) as connection:
            moved = await connection.execute(
                CURSOR,
                {
                    "stream": cursor.stream,
                    "source": cursor.source,
                    "position": as_jsonb(cursor.position),
                    "readers": as_jsonb(cursor.readers),
                    "version": cursor.version,
                    "lines": step.lines,
                    "fence": writer.fence,
                },
            )
            row = await moved.fetchone()
            if row is None or row["version"] != cursor.version + 1:
                raise CursorMovedError(cursor.stream)
            fresh = await self._add(connection, cursor.source, step.seen) if step.seen else 0
            if step.seen:
                # Once per scan and pattern, however many steps a scan has.
                await connection.execute(
                    """UPDATE error_monitor.patterns SET scans = scans + 1, last_scan = %s
                       WHERE fingerprint = ANY (%s) AND last_scan IS DISTINCT FROM %s""",
                    (scan_id, sorted({one.fingerprint for one in step.seen}), scan_id),
                )
            for gap in step.gaps:
                await connection.execute(
                    """INSERT INTO error_monitor.gaps (stream, source, kind, detail, since, until)
                       VALUES (%s, %s, %s, %s, %s, %s)""",
                    (cursor.stream, cursor.source, gap.kind, storable(gap.detail), gap.since, gap.until),
                )
            await connection.execute(
                """UPDATE error_monitor.scans SET lines = lines + %s, events = events + %s,
                       new_patterns = new_patterns + %s WHERE scan_id = %s""",
                (step.lines, len(step.seen), fresh, scan_id),
            )
        return row["version"], fresh

    async def begin_scan(self, writer: Writer, trigger: str) -> int:
        """A scan has begun; its number."""
        async with self._proven(writer) as connection:
            made = await connection.execute(
                """INSERT INTO error_monitor.scans (monitor, instance, fence, trigger, started_at)
                   VALUES (%s, %s, %s, %s, now()) RETURNING scan_id""",
                (writer.monitor, writer.instance, writer.fence, trigger),
            )
            row = await made.fetchone()
        assert row is not None
        return int(row["scan_id"])

    async def end_scan(self, writer: Writer, scan_id: int, errors: dict[str, str], *, is_complete: bool) -> DictRow:
        """A scan has ended; its row."""
        async with self._proven(writer) as connection:
            ended = await connection.execute(
                """UPDATE error_monitor.scans SET finished_at = now(), errors = %s, is_complete = %s
                   WHERE scan_id = %s RETURNING *""",
                (as_jsonb(errors), is_complete, scan_id),
            )
            row = await ended.fetchone()
            await connection.execute(
                "DELETE FROM error_monitor.scans WHERE monitor = %s AND started_at < now() - interval '30 days'",
                (writer.monitor,),
            )
        assert row is not None
        return row

    async def waits(self, writer: Writer) -> dict[str, int]:
        """The sources that failed and are not to be asked yet, each with its failures."""
        rows = await self._database.fetch(
            "SELECT source, failures FROM error_monitor.sources WHERE monitor = %s AND next_try_at > now()",
            (writer.monitor,),
        )
        return {row["source"]: row["failures"] for row in rows}

    async def source_answered(self, writer: Writer, source: str) -> None:
        """A source is well."""
        async with self._proven(writer) as connection:
            await connection.execute(
                """INSERT INTO error_monitor.sources (monitor, source, ok_at) VALUES (%s, %s, now())
                   ON CONFLICT (monitor, source) DO UPDATE
                   SET failures = 0, error = '', ok_at = now(), next_try_at = NULL""",
                (writer.monitor, source),
            )

    async def source_failed(self, writer: Writer, source: str, error: str, backoff_s: float) -> None:
        """A source gave no answer: it is asked again after a pause that doubles, up to a quarter of an hour."""
        async with self._proven(writer) as connection:
            await connection.execute(
                """INSERT INTO error_monitor.sources AS known (monitor, source, failures, error, failed_at, next_try_at)
                   VALUES (%(monitor)s, %(source)s, 1, %(error)s, now(), now() + make_interval(secs => %(pause)s))
                   ON CONFLICT (monitor, source) DO UPDATE SET failures = known.failures + 1, error = EXCLUDED.error,
                       failed_at = now(), next_try_at = now() + make_interval(
                           secs => least(900, %(pause)s * power(2, least(known.failures, 12))))""",
                {"monitor": writer.monitor, "source": source, "error": storable(error)[:500], "pause": backoff_s},
            )

    @asynccontextmanager
    async def _proven(self, writer: Writer) -> AsyncIterator[Connection]:
        """Open a transaction that holds the lease's row with our fence until it ends; a frozen one does not for long.

        Raises:
            LeaseLostError: There is no such row any more.
        """
        patience = f"{round(writer.patience_s * 1000)}ms"
        async with self._database.pool.connection() as connection, connection.transaction():
            await connection.execute(
                """SELECT set_config('idle_in_transaction_session_timeout', %s, true),
                       set_config('lock_timeout', %s, true)""",
                (patience, patience),
            )
            held = await connection.execute(
                """SELECT 1 FROM error_monitor.leases WHERE monitor = %s AND fence = %s AND holder = %s
                   FOR KEY SHARE""",
                (writer.monitor, writer.fence, writer.instance),
            )
            if await held.fetchone() is None:
                raise LeaseLostError(f"fence {writer.fence} of {writer.monitor} is not the newest")
            yield connection

    async def _add(self, connection: Connection, source: str, seen: Sequence[Seen]) -> int:
        patterns, occurrences = rows(source, seen)
        added = await connection.execute(PATTERNS, (as_jsonb(patterns),))
        fresh = sum(bool(row["is_new"]) for row in await added.fetchall())
        await connection.execute(OCCURRENCES, (as_jsonb(occurrences),))
        await weigh(connection, [one["fingerprint"] for one in patterns])
        return fresh


def rows(source: str, seen: Sequence[Seen]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Events as rows of patterns and of occurrences, in an order that all writers share."""
    by_fingerprint: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        by_fingerprint[one.fingerprint].append(one)
    minutes = Counter((one.fingerprint, _minute(one.time), one.service) for one in seen)
    patterns = [_pattern(events) for _, events in sorted(by_fingerprint.items())]
    occurrences = [
        {"fingerprint": fingerprint, "minute": minute, "source": source, "service": service, "events": count}
        for (fingerprint, minute, service), count in sorted(minutes.items())
    ]
    return patterns, occurrences


def _pattern(events: list[Seen]) -> dict[str, Any]:
    newest = max(events, key=lambda one: one.time)
    return {
        **{name: getattr(newest, name) for name in _KEPT},
        "level": max((one.level for one in events), key=LEVELS.index),
        "services": sorted({one.service for one in events})[:_MOST_SERVICES],
        "example": newest.example,
        "events": len(events),
        "first_seen": min(one.time for one in events).isoformat(),
        "last_seen": newest.time.isoformat(),
    }


def _minute(time: datetime) -> str:
    return time.replace(second=0, microsecond=0).isoformat()


def storable(text: str) -> str:
    """Text that PostgreSQL takes: no NUL, no half of a surrogate pair."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode("utf-8", "replace").decode("utf-8")


def as_jsonb(value: Any) -> Jsonb:
    """JSON that PostgreSQL takes: it refuses the same in a text that JSON spells with escapes."""
    return Jsonb(_storable(value))


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(key): _storable(one) for key, one in value.items()}
    return [_storable(one) for one in value] if isinstance(value, list | tuple) else value
