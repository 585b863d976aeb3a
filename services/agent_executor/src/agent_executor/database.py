"""The PostgreSQL pool. Every statement of this process, the checkpointer's included, is counted here."""

import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString, Self

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from typing_extensions import override

from agent_executor.metrics import QueryLog
from agent_executor.settings import Settings

TRUST_S = 1.0
"""For so long an answer counts for the next statements, too: the socket of a session that ended since says so."""


class Connection(psycopg.AsyncConnection[DictRow]):
    """A connection that knows when it was last seen to answer."""

    answered_at = float("-inf")

    async def check(self) -> None:
        """Ask the server, unless it answered just now and nothing came since: its goodbye could be read."""
        if time.monotonic() - self.answered_at < TRUST_S and not _has_something_to_read(self.fileno()):
            return
        await AsyncConnectionPool.check_connection(self)
        self.answered_at = time.monotonic()


def _has_something_to_read(descriptor: int) -> bool:
    asked = select.poll()
    asked.register(descriptor, select.POLLIN)
    return bool(asked.poll(0))


def _text(query: Any) -> str:
    return query.decode() if isinstance(query, bytes) else str(query)


def _measured_cursor(log: QueryLog) -> type[psycopg.AsyncCursor[Any]]:
    class MeasuredCursor(psycopg.AsyncCursor[Any]):
        @override
        async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Self:
            started = time.perf_counter()
            try:
                return await super().execute(query, *args, **kwargs)
            finally:
                log.record(_text(query), (time.perf_counter() - started) * 1000)

        @override
        async def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
            started = time.perf_counter()
            try:
                await super().executemany(query, *args, **kwargs)
            finally:
                log.record(_text(query), (time.perf_counter() - started) * 1000)

    return MeasuredCursor


class Database:
    """A pool that survives the server going away: dead connections are noticed before they are used."""

    def __init__(self, settings: Settings, log: QueryLog) -> None:
        self._log = log
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            settings.database_url,
            connection_class=Connection,
            min_size=settings.db_pool_min,
            max_size=max(settings.db_pool_max, settings.db_pool_min),
            timeout=settings.db_timeout_s,
            # Give a failed attempt up soon: the next caller then starts a fresh one at once, instead of
            # waiting out the pool's exponential back-off after the server is long since back.
            reconnect_timeout=settings.db_timeout_s / 4,
            check=Connection.check,
            open=False,
            name="agent-executor",
            kwargs={
                # What AsyncPostgresSaver asks of its connections.
                "autocommit": True,
                "prepare_threshold": 0,
                "row_factory": dict_row,
                "cursor_factory": _measured_cursor(log),
                "connect_timeout": max(2, round(settings.db_timeout_s)),
                "application_name": "agent-executor",
                # A peer that vanished without a word is noticed in seconds, not hours.
                "tcp_user_timeout": 10_000,
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
            },
        )

    async def open(self) -> None:
        """Start filling the pool; does not wait, so that the service starts while the database is down."""
        await self.pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self.pool.close(timeout=2)

    @asynccontextmanager
    async def cursor(self) -> AsyncIterator[psycopg.AsyncCursor[DictRow]]:
        """A cursor on a pooled connection, in autocommit."""
        async with self.pool.connection() as connection, connection.cursor() as cursor:
            yield cursor

    async def fetch(self, query: LiteralString, params: tuple[Any, ...] | dict[str, Any] = ()) -> list[DictRow]:
        """All rows of one statement."""
        async with self.cursor() as cursor:
            await cursor.execute(query, params)
            return await cursor.fetchall()

    async def fetch_one(self, query: LiteralString, params: tuple[Any, ...] | dict[str, Any] = ()) -> DictRow | None:
        """The first row of one statement, or None."""
        rows = await self.fetch(query, params)
        return rows[0] if rows else None

    async def ping(self) -> None:
        """Raise unless the database answers."""
        await self.fetch("SELECT 1")

    def pool_numbers(self) -> dict[str, int]:
        """Count the pool's connections: `used` of at most `size`."""
        stats = self.pool.get_stats()
        opened, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        return {
            "used": opened - idle,
            "size": self.pool.max_size,
            "open": opened,
            "idle": idle,
            "waiting": stats.get("requests_waiting", 0),
        }
