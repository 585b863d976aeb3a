"""Asynchronous clients of a lease, opened and closed in the test's event loop, whichever plugin runs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from testbay.errors import ManifestError

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from redis.asyncio import Redis


class AsyncPostgres:
    """Opens psycopg's async connections to the lease's database."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    @asynccontextmanager
    async def connect(self, **options: Any) -> "AsyncIterator[AsyncConnection[Any]]":
        """An open connection, in autocommit; `options` are those of `psycopg.AsyncConnection.connect`."""
        from psycopg import AsyncConnection

        connection = await AsyncConnection.connect(self.dsn, **({"autocommit": True} | options))
        try:
            yield connection
        finally:
            await connection.close()


class Asyncpg:
    """Opens asyncpg's connections to the lease's database.

    Raises:
        ManifestError: It is not installed.
    """

    def __init__(self, dsn: str) -> None:
        if find_spec("asyncpg") is None:
            raise ManifestError(
                "the fixture postgres_asyncpg needs asyncpg, which is not installed",
                todo="pip install asyncpg; the fixture postgres_async does without",
            )
        self.dsn = dsn

    @asynccontextmanager
    async def connect(self, **options: Any) -> AsyncIterator[Any]:
        """An open connection; `options` are those of `asyncpg.connect`."""
        import asyncpg  # type: ignore[import-not-found] # the project's own, if any

        connection = await asyncpg.connect(self.dsn, **options)
        try:
            yield connection
        finally:
            await connection.close()


class AsyncRedis:
    """Opens redis-py's async clients on the lease's keyspace."""

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def connect(self, **options: Any) -> "AsyncIterator[Redis]":
        """A client; `options` are those of `redis.asyncio.Redis.from_url`."""
        from redis.asyncio import Redis

        async with Redis.from_url(self.url, **options) as client:
            yield client
