"""Ten ways for a test to fail (the others are in the files beside): each must be understood from its report alone."""

import asyncio
import contextlib
import ctypes
import time
from typing import Any

import psycopg
import pytest


def test_assert(postgres: Any) -> None:
    """A wrong expectation."""
    stock = postgres.execute("SELECT count(*) FROM items").fetchone()[0]
    assert stock == 3, "the shop opens with three items"


@pytest.mark.timeout(1)
def test_hang(postgres: Any) -> None:
    """A wait for something that never comes."""
    postgres.execute("SELECT 'waiting for stock'")
    while True:
        time.sleep(0.1)


def test_service_crash(service: Any) -> None:
    """The service ends itself."""
    service.client.get("/crash")


def test_out_of_memory(service: Any) -> None:
    """The kernel ends the service."""
    service.client.get("/eat")


def test_sql_error(postgres: Any) -> None:
    """A statement the server refuses."""
    postgres.execute("INSERT INTO items (name, stock) VALUES ('tea', 'three')")


def test_migration_missing(service: Any) -> None:
    """The service asks for a table that no migration made."""
    assert service.client.get("/orders").status_code == 200


def test_broker_cut(faults: Any, nats: Any) -> None:
    """The way to NATS is cut while it is needed."""

    async def publish() -> None:
        async with nats.connect() as client:
            faults.nats.cut()
            await client.jetstream().publish("orders.new", b"1", timeout=2)

    asyncio.run(publish())


@pytest.fixture
def stocked(postgres: Any) -> None:
    postgres.execute("UPDATE items SET price = 1")


@pytest.mark.usefixtures("stocked")
def test_fixture_error() -> None:
    """It never begins."""


def test_worker_crash(postgres: Any) -> None:
    """The process that runs it is gone."""
    with contextlib.suppress(psycopg.Error):
        postgres.execute("SELECT last_words")
    ctypes.string_at(0)
