import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_database_is_migrated() -> None:
    import psycopg

    with psycopg.connect(os.environ["SHOP_DSN"]) as connection:
        connection.execute("INSERT INTO items (name, stock) VALUES ('tea', 3)")
        assert connection.execute("SELECT name, stock FROM items").fetchall() == [("tea", 3)]


def test_dragonfly_answers() -> None:
    import redis

    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        assert client.set("key", "value") is True


def test_stream_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)  # for WebSockets; its import outlasts this suite
    import nats

    async def publish() -> int:
        connection = await nats.connect(os.environ["NATS_URL"])
        acknowledged = await connection.jetstream().publish("orders.new", b"1")
        await connection.close()
        return acknowledged.seq

    assert asyncio.run(publish()) == 1


def test_service_process_is_measured() -> None:
    source = Path(__file__).parents[2] / "src"
    environ = {**os.environ, "PYTHONPATH": str(source)}
    service = subprocess.Popen([sys.executable, "-m", "shop.serve"], env=environ, stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    assert service.stdout.readline() == "serving\n"
    service.terminate()
    service.communicate()
