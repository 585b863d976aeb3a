"""Nothing that one test does is seen by another: not in the database, the keyspace or the bus, on either engine."""

import json
import os
import re
from pathlib import Path

import psutil
import pytest
from tests.system.conftest import Bay

MANY = int(os.environ.get("TESTBAY_ISOLATION_TESTS", "1000"))
FLAT = int(os.environ.get("TESTBAY_FLAT_TESTS", "2000"))

# Every twentieth test writes everywhere it can and listens while it does; each one first looks whether it is alone.
SUITE = """
import asyncio
import os

import nats as library
import psycopg
import pytest

MANY = int(os.environ["MANY"])
SHARED_CHANNELS = os.environ["TESTBAY_ENGINE"] == "compose"


def alone(postgres, dragonfly):
    assert postgres.execute("SELECT count(*) FROM items").fetchone() == (0,)
    assert postgres.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (0,)
    assert postgres.execute("SELECT to_regclass('mine')").fetchone() == (None,)
    assert postgres.execute("SELECT pg_try_advisory_lock(1)").fetchone() == (True,)
    assert dragonfly.dbsize() == 0


async def write_everywhere(me, postgres, dragonfly, bay):
    postgres.execute("LISTEN news")
    subscriber = dragonfly.pubsub()
    subscriber.subscribe("news")
    client = await library.connect(bay.nats.url)
    heard = await client.subscribe(">")
    streams = client.jetstream()

    assert [info.config.name for info in await streams.streams_info()] == ["ORDERS"]
    assert (await streams.publish("orders.new", me)).seq == 1
    bucket = await streams.create_key_value(bucket="bucket")
    await bucket.put("key", me)
    await streams.subscribe("orders.*", durable="mine", manual_ack=True)
    await streams.add_stream(name="MINE", subjects=["mine.>"])
    await client.publish("news", me)
    dragonfly.set("key", me)
    dragonfly.publish("news", me)
    [(number,)] = postgres.execute("INSERT INTO items (name, stock) VALUES ('a', 1) RETURNING id").fetchall()
    assert number == 1
    postgres.execute(f"NOTIFY news, '{me.decode()}'")
    await asyncio.sleep(0.02)  # whoever else writes now would be heard
    await client.flush()

    notices = [notice.payload for notice in postgres.notifies(timeout=0.01)]
    said = []
    while message := subscriber.get_message(timeout=0.01):
        said += [message["data"]] if message["type"] == "message" else []
    bus = []
    while heard.pending_msgs:
        bus.append(await heard.next_msg())
    await client.close()
    subscriber.close()
    assert notices == [me.decode()]
    assert said == [me] or SHARED_CHANNELS and me in said
    assert [message.data for message in bus if message.subject == "news"] == [me]
    assert {message.data for message in bus if message.subject == "orders.new"} == {me}
    assert dragonfly.get("key") == me


@pytest.mark.parametrize("number", range(MANY))
def test_alone(number, postgres, dragonfly, bay):
    alone(postgres, dragonfly)
    if number % 20 == 0:
        asyncio.run(write_everywhere(f"test{number}".encode(), postgres, dragonfly, bay))
        if number % 40 == 0:
            postgres.execute("CREATE TABLE mine (i int)")
            postgres.execute("SELECT lo_from_bytea(0, 'x')")
    else:
        postgres.execute("INSERT INTO items (name, stock) VALUES ('b', 1)")
        dragonfly.set("b", 1)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", ["0", pytest.param("4", marks=pytest.mark.slow)])
def test_nobody_sees_anything_of_another(bay: Bay, engine: str, workers: str) -> None:
    """A thousand tests, one after another and four at a time: no sighting."""
    bay.use(engine)
    bay.tests(SUITE)
    many = MANY if engine == "embedded" else MANY // 4
    done = bay.run("run", "shop", "--", "-n", workers, "-q", "-W", "error", "--no-cov", MANY=str(many))

    assert done.code == 0, done.out[-5000:]
    assert f"✅ Tests: {many} passed" in done.out


LIGHT = """
import os
import pytest

@pytest.mark.parametrize("number", range(int(os.environ["MANY"])))
def test_light(number, postgres, dragonfly, nats):
    postgres.execute("INSERT INTO items (name, stock) VALUES ('b', 1)")
    dragonfly.set("b", 1)
    if number % 100 == 0:
        postgres.execute("CREATE TABLE mine (i int)")
"""


def resident(stack: Path) -> dict[str, int]:
    """Bytes in memory of each server of a stack, its children included."""
    record = json.loads((stack / "stack.json").read_text())
    found = {}
    for name, (pid, _) in record["pids"].items():
        if psutil.pid_exists(pid):
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            found[name] = sum(process.memory_full_info().uss for process in family)
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_thousand_tests_leave_a_stack_as_it_was(bay: Bay) -> None:
    """No database, key, process or stream more than after a few; the servers' memory is flat."""
    bay.tests(LIGHT)
    assert bay.run("up", "shop", "--keep", "--idle", "300s").code == 0
    [stack] = [entry for entry in (bay.cache / "stacks").iterdir() if entry.is_dir()]

    def after(many: int) -> tuple[list[str], list[str], dict[str, int]]:
        done = bay.run("run", "shop", "--", "-q", "--no-cov", MANY=str(many))
        assert done.code == 0, done.out[-3000:]
        names = "SELECT datname FROM pg_database ORDER BY 1"
        databases = bay.run("exec", "shop", "--no-migrate", "--", "psql", "-At", "-c", names).lines
        processes = [re.sub(r"^\\d+ |testbay-shop-\\w+", "", line) for line in bay.processes()]
        return databases, sorted(processes), resident(stack)

    few, many = after(100), after(FLAT)
    bay.run("down")

    assert many[0] == few[0]
    assert len(many[1]) == len(few[1]), (few[1], many[1])
    allowed = 24_000_000  # NATS collects its garbage late: up to 15 MB more were seen, and fewer in the next run
    grown = {name: (few[2][name], size) for name, size in many[2].items() if size > 1.5 * few[2][name] + allowed}
    assert grown == {}
