"""Isolation by a transaction that is rolled back: one connection, nothing committed, nothing seen from outside."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from common import own_database, worker


@pytest.fixture(scope="session")
def kept() -> Iterator[psycopg.Connection[Any]]:
    """One database and one connection for all tests."""
    with own_database(worker()) as connection:
        yield connection


@pytest.fixture
def database(kept: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """The connection inside a transaction; what the test calls a commit is a savepoint."""
    with kept.transaction(force_rollback=True):
        yield kept
