"""Isolation by hand: one connection, and all tables are emptied before each test."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from common import emptying, own_database, worker


@pytest.fixture(scope="session")
def kept() -> Iterator[psycopg.Connection[Any]]:
    """One database and one connection for all tests."""
    with own_database(worker()) as connection:
        yield connection


@pytest.fixture(scope="session")
def statement(kept: psycopg.Connection[Any]) -> bytes:
    """Worked out once."""
    return emptying(kept)


@pytest.fixture
def database(kept: psycopg.Connection[Any], statement: bytes) -> psycopg.Connection[Any]:
    """The connection, everything emptied."""
    kept.execute(statement)
    return kept
