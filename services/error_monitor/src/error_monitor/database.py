"""The PostgreSQL pool: any PostgreSQL, behind a pooler of transactions too."""

import asyncio
import os
import select
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, LiteralString

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from error_monitor.settings import Settings

TRUST_S = 1.0
"""For so long an answer counts for the next statements, too: the socket of a session that ended since says so."""

# Errors that mean "the database is away, full or being restored": the work is tried again later. A transaction that
# was refused has left nothing behind.
AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
    OSError,
    TimeoutError,
)
NOT_MIGRATED = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedColumn)
NO_TABLES = "the database has no tables of this version: run `error-monitor migrate`"


class Connection(psycopg.AsyncConnection[DictRow]):
    """A connection that knows when it was last seen to answer."""

    answered_at = float("-inf")

    async def check(self, patience_s: float) -> None:
        """Ask the server, unless it answered just now and nothing came since: its goodbye could be read."""
        if time.monotonic() - self.answered_at < TRUST_S and not _has_something_to_read(self.fileno()):
            return
        with _hung_up_after(patience_s, self):
            await AsyncConnectionPool.check_connection(self)
        self.answered_at = time.monotonic()


def _has_something_to_read(descriptor: int) -> bool:
    asked = select.poll()
    asked.register(descriptor, select.POLLIN)
    return bool(asked.poll(0))


class Pool(AsyncConnectionPool[Connection]):
    """A pool whose connections are checked before they are given out.

    The library can check, too, but waits a second after the second dead connection, two after the third and so on:
    after a restart of the server that is most of the outage.
    """

    async def getconn(self, timeout: float | None = None) -> Connection:
        """A connection that answers."""
        ends, dead = time.monotonic() + (self.timeout if timeout is None else timeout), 0
        while True:
            connection = await super().getconn(max(0.0, ends - time.monotonic()))
            try:
                await connection.check(self.timeout)
            except BaseException as exc:
                await self.putconn(connection)
                if not isinstance(exc, Exception):
                    raise
            else:
                return connection
            dead += 1
            await asyncio.sleep(dead > self.max_size)  # new connections die, too: wait a second between them


class Database:
    """A pool that survives the server going away: dead connections are noticed before they are used."""

    def __init__(self, settings: Settings) -> None:
        self._patience_s = settings.db_timeout_s * 4
        self.pool = Pool(
            settings.database_url,
            connection_class=Connection,
            min_size=1,
            max_size=settings.db_pool_max,
            timeout=settings.db_timeout_s,
            # Give a failed attempt up soon: the next caller then starts a fresh one at once.
            reconnect_timeout=settings.db_timeout_s / 4,
            open=False,
            name="error-monitor",
            kwargs={
                "autocommit": True,
                # A pooler of transactions gives the next statement to another server process.
                "prepare_threshold": None,
                "row_factory": dict_row,
                "connect_timeout": max(2, round(settings.db_timeout_s)),
                "application_name": "error-monitor",
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

    @asynccontextmanager
    async def _patient(self) -> AsyncIterator[psycopg.AsyncCursor[DictRow]]:
        """A cursor for one statement. A server that is frozen still acknowledges what it is sent: our deadline ends it.

        The outer deadline is for what the connection's end does not end.
        """
        async with asyncio.timeout(self._patience_s * 2), self.cursor() as cursor:
            with _hung_up_after(self._patience_s, cursor.connection):
                yield cursor

    async def fetch(self, query: LiteralString, params: Any = ()) -> list[DictRow]:
        """All rows of one statement."""
        async with self._patient() as cursor:
            await cursor.execute(query, params)
            return await cursor.fetchall()

    async def fetch_one(self, query: LiteralString, params: Any = ()) -> DictRow | None:
        """The first row of one statement, or None."""
        rows = await self.fetch(query, params)
        return rows[0] if rows else None

    async def execute(self, query: LiteralString, params: Any = ()) -> int:
        """One statement without rows; how many rows it changed."""
        async with self._patient() as cursor:
            await cursor.execute(query, params)
            return cursor.rowcount

    async def ping(self) -> None:
        """Raise unless the database answers and has our tables."""
        await self.fetch("SELECT 1 FROM error_monitor.fix_calls LIMIT 0")


@contextmanager
def _hung_up_after(patience_s: float, connection: psycopg.AsyncConnection[Any]) -> Iterator[None]:
    """End a connection whose server stays silent. Cancelled, psycopg would first ask it to stop, for ten seconds."""

    def hang_up() -> None:
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    timer = asyncio.get_running_loop().call_later(patience_s, hang_up)
    try:
        yield
    finally:
        timer.cancel()
