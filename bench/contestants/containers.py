"""testcontainers: a container for each test, or one for all with its tables emptied between them.

PostgreSQL gets the compose file's flags and RAM disk, its reaper is off and the images are there: all of it generous.
"""

import json
import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from common import emptying, migrate
from testcontainers.community.nats import NatsContainer
from testcontainers.community.postgres import PostgresContainer
from testcontainers.community.redis import RedisContainer

COMPOSE = json.loads(os.environ["BENCH_COMPOSE"])
LABEL = {"labels": {os.environ["BENCH_LABEL"]: "yes"}}  # by which the bench removes what an interrupted run left


def _postgres() -> PostgresContainer:
    service = COMPOSE["postgres"]
    container = PostgresContainer(service["image"], driver=None, **LABEL)
    container.with_command(service["command"])
    for path in service["tmpfs"]:
        container.with_tmpfs_mount(path)
    for name in ("PGDATA", "POSTGRES_INITDB_ARGS"):
        container.with_env(name, service["environment"][name])
    return container


@pytest.fixture
def database() -> Iterator[psycopg.Connection[Any]]:
    """A server for this test alone, migrated."""
    with _postgres() as server, psycopg.connect(server.get_connection_url(), autocommit=True) as connection:
        migrate(connection)
        yield connection


@pytest.fixture
def cache() -> Iterator[Any]:
    """A redis server for this test alone."""
    with RedisContainer(COMPOSE["dragonfly"]["image"], **LABEL) as server:
        yield server.get_client()


@pytest.fixture
def broker() -> Iterator[str]:
    """A NATS server for this test alone."""
    with NatsContainer(COMPOSE["nats"]["image"], jetstream=True, **LABEL) as server:
        yield server.nats_uri()


@pytest.fixture(scope="session")
def kept() -> Iterator[psycopg.Connection[Any]]:
    """One server for all tests of this worker, migrated."""
    with _postgres() as server, psycopg.connect(server.get_connection_url(), autocommit=True) as connection:
        migrate(connection)
        yield connection


@pytest.fixture(scope="session")
def statement(kept: psycopg.Connection[Any]) -> bytes:
    """Worked out once."""
    return emptying(kept)


@pytest.fixture
def emptied(kept: psycopg.Connection[Any], statement: bytes) -> psycopg.Connection[Any]:
    """The connection, everything emptied."""
    kept.execute(statement)
    return kept
