"""The questions that the API, the page and the alerts ask of the tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

from psycopg.rows import DictRow

from error_monitor.database import Database

_HOURS = 24

# Newer than the newest deploy of one of its services; where no deploy was told of, of the last day.
_IS_NEW: LiteralString = """p.first_seen >= coalesce((SELECT max(d.deployed_at) FROM error_monitor.deploys d
    WHERE d.service = ANY (p.services)), now() - interval '1 day')"""
_FILTER: LiteralString = """WHERE (%(category)s::text IS NULL OR p.category = %(category)s)
    AND (%(severity)s::text IS NULL OR p.severity = %(severity)s)
    AND (%(state)s::text IS NULL OR p.state = %(state)s)
    AND (%(service)s::text IS NULL OR %(service)s = ANY (p.services))
    AND (%(fixable)s::boolean IS NULL OR p.fixable = %(fixable)s)
    AND (%(since)s::timestamptz IS NULL OR p.last_seen >= %(since)s)
    AND (%(words)s::text IS NULL OR strpos(lower(concat_ws(' ', p.type, p.message, p.frame)), lower(%(words)s)) > 0)"""
_ORDERS: dict[str, LiteralString] = {
    "new": "is_new DESC, p.last_seen DESC, p.fingerprint",
    "last_seen": "p.last_seen DESC, p.fingerprint",
    "first_seen": "p.first_seen DESC, p.fingerprint",
    "events": "p.events DESC, p.fingerprint",
    "severity": """array_position(ARRAY['critical', 'high', 'medium', 'low'], p.severity), p.last_seen DESC,
        p.fingerprint""",
}
ORDERS = tuple(_ORDERS)
# Put together here, of our own words only: what is asked for travels as parameters.
_PAGES: dict[str, LiteralString] = {
    name: f"""SELECT p.*, {_IS_NEW} AS is_new, count(*) OVER () AS total FROM error_monitor.patterns p
        {_FILTER} ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s"""  # noqa: S608
    for name, order in _ORDERS.items()
}
_COUNT: LiteralString = f"SELECT count(*) AS total FROM error_monitor.patterns p {_FILTER}"  # noqa: S608
_ONE: LiteralString = f"SELECT p.*, {_IS_NEW} AS is_new FROM error_monitor.patterns p WHERE fingerprint = %s"  # noqa: S608


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The patterns that a question is about, and the part of the answer that is wanted."""

    category: str | None = None
    severity: str | None = None
    state: str | None = None
    service: str | None = None
    fixable: bool | None = None
    since: datetime | None = None
    words: str | None = None
    order: str = "new"
    limit: int = 50
    offset: int = 0


class Queries:
    """Reads; nothing here writes but a person's verdict on a pattern and the news of a deploy."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def patterns(self, wanted: Wanted) -> tuple[list[DictRow], int]:
        """The page of patterns that was asked for, and how many there are in all."""
        asked = {**vars(wanted)}
        rows = await self._database.fetch(_PAGES[wanted.order], asked)
        if not rows and wanted.offset:
            counted = await self._database.fetch_one(_COUNT, asked)
            return [], counted["total"] if counted else 0
        total = rows[0]["total"] if rows else 0
        return [_without_total(row) for row in rows], total

    async def pattern(self, fingerprint: str) -> DictRow | None:
        """One pattern."""
        return await self._database.fetch_one(_ONE, (fingerprint,))

    async def occurrences(self, fingerprint: str) -> list[DictRow]:
        """The newest minutes of a pattern, each with its source and service."""
        return await self._database.fetch(
            """SELECT minute, source, service, events FROM error_monitor.occurrences WHERE fingerprint = %s
               ORDER BY minute DESC, source, service LIMIT 1440""",
            (fingerprint,),
        )

    async def hours(self, fingerprints: Sequence[str]) -> dict[str, list[int]]:
        """The events of each of the last 24 hours, the oldest first."""
        rows = await self._database.fetch(
            """SELECT fingerprint, floor(extract(epoch FROM now() - minute) / 3600)::int AS ago,
                   sum(events)::bigint AS n
               FROM error_monitor.occurrences
               WHERE fingerprint = ANY (%s) AND minute > now() - interval '24 hours' AND minute <= now()
               GROUP BY 1, 2""",
            (list(fingerprints),),
        )
        found = {fingerprint: [0] * _HOURS for fingerprint in fingerprints}
        for row in rows:
            found[row["fingerprint"]][_HOURS - 1 - min(row["ago"], _HOURS - 1)] = row["n"]
        return found

    async def summary(self) -> list[DictRow]:
        """Patterns and events by state, severity and category."""
        return await self._database.fetch(
            """SELECT state, severity, category, count(*) AS patterns, sum(events)::bigint AS events
               FROM error_monitor.patterns GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
        )

    async def services(self) -> list[str]:
        """Every service that has a pattern."""
        rows = await self._database.fetch(
            "SELECT DISTINCT unnest(services) AS service FROM error_monitor.patterns ORDER BY 1 LIMIT 500"
        )
        return [row["service"] for row in rows]

    async def sources(self, monitor: str) -> list[DictRow]:
        """List the sources, each with its condition."""
        return await self._database.fetch(
            """SELECT source, failures, error, ok_at, failed_at, next_try_at FROM error_monitor.sources
               WHERE monitor = %s ORDER BY source""",
            (monitor,),
        )

    async def gaps(self, limit: int, offset: int = 0) -> tuple[list[DictRow], int]:
        """List the gaps, the newest first, and count them all."""
        rows = await self._database.fetch(
            """SELECT source, stream, kind, detail, since, until, found_at FROM error_monitor.gaps
               ORDER BY gap_id DESC LIMIT %s OFFSET %s""",
            (limit, offset),
        )
        counted = await self._database.fetch_one("SELECT count(*) AS total FROM error_monitor.gaps")
        return rows, counted["total"] if counted else 0

    async def scans(self, monitor: str, limit: int, offset: int = 0) -> tuple[list[DictRow], int]:
        """The newest scans, and how many are on record."""
        rows = await self._database.fetch(
            """SELECT scan_id, fence, trigger, started_at, finished_at, lines, events, new_patterns, errors, is_complete
               FROM error_monitor.scans WHERE monitor = %s ORDER BY scan_id DESC LIMIT %s OFFSET %s""",
            (monitor, limit, offset),
        )
        counted = await self._database.fetch_one(
            "SELECT count(*) AS total FROM error_monitor.scans WHERE monitor = %s", (monitor,)
        )
        return rows, counted["total"] if counted else 0

    async def scanned(self, monitor: str) -> tuple[datetime | None, datetime | None]:
        """When the first scan began that is on record, and when the last one ended that left nothing out."""
        row = await self._database.fetch_one(
            """SELECT min(started_at) AS began, max(finished_at) FILTER (WHERE is_complete) AS ended
               FROM error_monitor.scans WHERE monitor = %s""",
            (monitor,),
        )
        return (row["began"], row["ended"]) if row else (None, None)

    async def last_scan(self, monitor: str) -> DictRow | None:
        """The newest scan that ended, with its age."""
        return await self._database.fetch_one(
            """SELECT scan_id, started_at, finished_at, lines, events, new_patterns, errors, is_complete,
                   extract(epoch FROM now() - finished_at)::float8 AS age_s
               FROM error_monitor.scans WHERE monitor = %s AND finished_at IS NOT NULL ORDER BY scan_id DESC LIMIT 1""",
            (monitor,),
        )

    async def instances(self, monitor: str, seen_within_s: float) -> list[DictRow]:
        """The instances that live, which of them scans, and a digest of what each reads."""
        return await self._database.fetch(
            """SELECT i.instance::text, i.host, i.reads, i.seen_at, l.fence IS NOT NULL AS is_leader, l.fence
               FROM error_monitor.instances i LEFT JOIN error_monitor.leases l
                   ON l.monitor = i.monitor AND l.holder = i.instance AND l.expires_at > now()
               WHERE i.monitor = %s AND i.seen_at > now() - make_interval(secs => %s) ORDER BY i.seen_at DESC""",
            (monitor, seen_within_s),
        )

    async def set_state(self, fingerprint: str, state: str) -> DictRow | None:
        """A person's verdict: resolved, ignored or open again."""
        return await self._database.fetch_one(
            """UPDATE error_monitor.patterns SET state = %s, state_since = now() WHERE fingerprint = %s
               RETURNING fingerprint, state, state_since""",
            (state, fingerprint),
        )

    async def deployed(self, service: str, commit: str) -> None:
        """A service was deployed now."""
        await self._database.execute(
            """INSERT INTO error_monitor.deploys (service, commit) VALUES (%s, %s)
               ON CONFLICT (service, commit) DO UPDATE SET deployed_at = now()""",
            (service, commit),
        )

    async def severe(self, severities: Sequence[str], since: datetime) -> list[DictRow]:
        """The patterns seen within a month: first those that people are told of, the oldest first."""
        return await self._database.fetch(
            """SELECT * FROM (SELECT *,
                   severity = ANY (%s) AND last_seen >= %s AND state IN ('open', 'regressed') AS told
                   FROM error_monitor.patterns WHERE last_seen > now() - interval '30 days') AS every
               ORDER BY told DESC, CASE WHEN told THEN first_seen END, severity = ANY (%s) DESC, last_seen DESC,
                   fingerprint LIMIT 5000""",
            (list(severities), since, list(severities)),
        )


def _without_total(row: DictRow) -> DictRow:
    return {name: value for name, value in row.items() if name != "total"}
