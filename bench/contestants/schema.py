"""Isolation by hand: one connection, and the schema is dropped and migrated again before each test."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from common import migrate, own_database, worker


@pytest.fixture(scope="session")
def kept() -> Iterator[psycopg.Connection[Any]]:
    """One database and one connection for all tests."""
    with own_database(worker()) as connection:
        yield connection


@pytest.fixture
def database(kept: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """The connection, the schema as new."""
    kept.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    migrate(kept)
    return kept
