"""A failed test's state outlives its run: `testbay open` puts it back on servers, whatever became of the old ones."""

import hashlib
import json
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.conftest import ENGINES, Bay, Done, checkout, read_until

pytestmark = pytest.mark.xdist_group("open")  # what is made once for them all is made on one worker

FAILING = """
import asyncio

import pytest


async def publish(nats):
    async with nats.connect() as client:
        stream = client.jetstream()
        for number in range(5):
            await stream.publish("orders.new", b"order %d" % number, headers={"Trace": "a: b"})
        worker = await stream.pull_subscribe("orders.*", durable="worker")
        for message in (await worker.fetch(3))[:2]:
            await message.ack_sync()
        await stream.delete_msg("ORDERS", 4)
        colours = await stream.create_key_value(bucket="colours")
        await colours.put("sky", b"grey")
        await colours.put("sky", b"blue")

def test_fine(postgres):
    pass

@pytest.mark.parametrize("name", ["a/b c[d]", "grün"])
def test_order(postgres, dragonfly, nats, name):
    postgres.execute("INSERT INTO items (name, stock) VALUES (%s, 1)", [name])
    postgres.execute("CREATE TABLE notes (text text); INSERT INTO notes VALUES ('a \\\\! b')")
    dragonfly.set("key", b"value", ex=600)
    dragonfly.hset("hash", mapping={"one": b"\\xff", "two": 2})
    dragonfly.zadd("ranks", {"first": 1.5})
    dragonfly.rpush("list", 1, 2)
    dragonfly.sadd("set", "member")
    dragonfly.xgroup_create("log", "group", mkstream=True)
    dragonfly.xadd("log", {"field": "value"}, "7-1")
    asyncio.run(publish(nats))
    assert name == "coffee"
"""
ORDER = r"test_order[a/b c[d]]"
ASK_NATS = """
import asyncio, nats, os

async def main():
    client = await nats.connect(os.environ["NATS_URL"])
    stream = client.jetstream()
    worker = await stream.pull_subscribe_bind("worker", "ORDERS")
    for message in await worker.fetch(5, timeout=2):
        print(message.metadata.sequence.stream, message.data.decode(), message.headers)
    entry = await (await stream.key_value("colours")).get("sky")
    print(entry.value.decode(), entry.revision)
    await client.close()

asyncio.run(main())
"""
ASK_KEYS = """
import os, redis

keys = redis.Redis.from_url(os.environ["REDIS_URL"])
print(keys.get("key"), 500 < keys.ttl("key") <= 600, keys.hgetall("hash") == {b"one": b"\\xff", b"two": b"2"})
print(keys.zrange("ranks", 0, -1, withscores=True)[0][1], keys.lrange("list", 0, -1), keys.smembers("set"))
print(keys.xrange("log"), keys.xinfo_groups("log")[0]["name"])
"""


@pytest.fixture(scope="module", params=ENGINES)
def failed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bay]:
    """A project whose run is over: two of its tests failed, and its stack is gone."""
    with checkout(tmp_path_factory.mktemp(str(request.param))) as bay:
        bay.use(str(request.param))
        bay.tests(FAILING)
        done = bay.run("run", "shop", "--", "--no-cov")
        assert (done.code, bay.left()) == (1, []), done.out
        yield bay


def opened(bay: Bay, *arguments: str) -> Done:
    """`testbay open`, its end and what it said, with the stack gone."""
    done = bay.run("open", *arguments)
    assert bay.left() == []
    return done


def archives(bay: Bay) -> list[Path]:
    """The folders of every archive, in the order in which they were made."""
    return sorted(bay.project.glob(".testbay/runs/*/leases/[0-9]*"))


def test_the_row_is_there(failed: Bay) -> None:
    """The one that the failed test wrote, in the schema that it left, though its database is long gone."""
    query = "SELECT name, text, nextval('items_id_seq') FROM items, notes"
    done = opened(failed, f"tests/integration/test_it.py::{ORDER}", "--", "psql", "-At", "-c", query)

    assert (done.code, done.lines[-1]) == (0, r"a/b c[d]|a \! b|2"), done.out


def test_the_keys_are_there(failed: Bay) -> None:
    """Of every type, with the time to live that was left."""
    done = opened(failed, ORDER, "--", "python", "-c", ASK_KEYS)

    assert done.lines[-3:] == [
        "b'value' True True",
        "1.5 [b'1', b'2'] {b'member'}",
        "[(b'7-1', {b'field': b'value'})] b'group'",
    ], done.out


def test_the_messages_are_there(failed: Bay) -> None:
    """Under their numbers; the consumer goes on where it had acknowledged; a key-value store still is one."""
    done = opened(failed, ORDER, "--", "python", "-c", ASK_NATS)

    headers = "{'Trace': 'a: b'}"
    assert done.lines[-3:] == [f"3 order 2 {headers}", f"5 order 4 {headers}", "blue 2"], done.out


def test_streams_can_be_looked_at_without_a_server(failed: Bay) -> None:
    """The positions of consumers as they were, and each message with its time."""
    done = opened(failed, ORDER, "nats")

    said = re.sub(r"\d{4}-\S+Z", "TIME", done.out)
    assert "==> Start" not in said
    assert "stream ORDERS  orders.*  (limits, file)  4 messages, #1 to #5\n" in said
    assert (
        "  consumer worker  delivered to #3, acknowledged to #2; 1 not acknowledged yet, 1 not delivered yet\n" in said
    )
    assert "  #5  TIME  orders.new  Trace: a: b  order 4\n" in said


def test_redis_cli_is_told_where_the_keys_are(failed: Bay) -> None:
    """As psql is; where the machine has no client, the wheel's."""
    done = opened(failed, ORDER, "redis-cli", "GET", "key")

    assert done.lines[-1] == "value", done.out


def test_the_failure_says_how_to_open_it(failed: Bay) -> None:
    """In the report and in the record, and by that very line it opens."""
    record = json.loads(failed.run_json())
    kept = {test["id"]: test["kept"] for test in record["tests"] if "kept" in test}
    done = failed.type(f"{sys.executable} -m testbay open '{next(iter(kept))}' -- psql -Atc 'TABLE items'")

    assert [re.sub(r".*/", "", folder) for folder in kept.values()] == ["1-test_order-a-b-c-d", "2-test_order-gr-xfcn"]
    assert done.lines[-1] == "1|a/b c[d]|1"


def test_list_shows_newest_first(failed: Bay) -> None:
    """Number, age, test, its first error line, what was kept, how large, where."""
    lines = opened(failed, "--list").lines

    assert [re.sub(r" +\d+[sm](?=  )", " AGE", line) for line in lines[:2]] == [
        r"  1 AGE  tests/integration/test_it.py::test_order[gr\xfcn]",
        "         AssertionError: assert 'grün' == 'coffee'",
    ]
    assert re.search(r"postgres, dragonfly, nats \(\d kB\) in \.testbay/runs/\S+/leases/2-test_order", lines[2])
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("nothing", "error: no test's state is kept by the name nothing"),
        ("test_order", "error: 2 tests match test_order"),
        ("3", "error: no test's state is kept by the name 3"),
    ],
)
def test_what_cannot_be_found_says_what_there_is(failed: Bay, asked: str, said: str) -> None:
    """A misspelt or ambiguous name lists the tests that are meant."""
    done = opened(failed, asked)

    assert (done.code, done.lines[0]) == (10, said)
    assert [line.split("::")[1] for line in done.lines if "::" in line] == [r"test_order[gr\xfcn]", ORDER]


def test_an_archive_from_elsewhere(failed: Bay, tmp_path: Path) -> None:
    """A folder that was downloaded from CI opens like one of this checkout."""
    folder = shutil.copytree(archives(failed)[0], tmp_path / "from CI")
    done = opened(failed, "--archive", str(folder), "psql", "-Atc", "SELECT name FROM items")

    assert done.lines[-1] == "a/b c[d]", done.out


def test_a_kept_stack_is_used(failed: Bay) -> None:
    """On a lease of its own: the stack's own database stays as it was."""
    assert failed.run("up", "shop", "--keep", "--idle", "60s").code == 0
    query = ["psql", "-Atc", "SELECT count(*) FROM items"]
    done, untouched = failed.run("open", "1", "--", *query), failed.run("exec", "shop", "--", *query)
    failed.run("down")

    assert (done.lines[-1], untouched.lines[-1]) == ("1", "0"), done.out
    assert "    on lease1 of the kept stack shop-" in done.out


def test_the_commands_exit_code_is_ours(failed: Bay) -> None:
    """And Ctrl-C ends command and stack."""
    assert opened(failed, "1", "--", "sh", "-c", "exit 7").code == 7

    child = failed.start("open", "1", "--", "sh", "-c", "echo waiting; exec sleep 60")
    read_until(child, "waiting")
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    assert (child.returncode, failed.left()) == (130, [])


def damaged(bay: Bay, folder: Path, name: str, change: str) -> Done:
    """What `open` says of a copy of an archive in which `change` was made to one file: new text, or nothing."""
    copy = shutil.copytree(archives(bay)[0], folder / "archive")
    file = copy / name
    before = file.read_text(encoding="utf-8")
    file.unlink()
    if change:
        find, _, put = change.partition(" -> ")
        assert find in before
        file.write_text(before.replace(find, put), encoding="utf-8")
    return opened(bay, "--archive", str(copy))


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        ("archive.json", "", "it has no archive.json, which is written last: the archive is incomplete"),
        ("archive.json", "{ -> [", "its archive.json cannot be read: "),
        ("archive.json", '"format": 1 -> "format": 2', "it has format 2, written by testbay 0.1.0; this testbay reads"),
        ("archive.json", '"postgres.sql" -> "../../x.sql"', "parts.0.name in its archive.json: "),
        ("archive.json", '"missing": [] -> "missing": [], "run": "x"', "run in its archive.json: Extra inputs"),
        ("archive.json", '"bytes":  -> "bytes": 9999', "parts.0.bytes in its archive.json: "),
        ("archive.json", "dragonfly.jsonl -> postgres.sql", "it names a part twice"),
        ("postgres.sql", "", "postgres.sql is missing"),
        ("nats.jsonl", "order 2 -> order 7", "nats.jsonl has changed since it was written"),
        ("nats.jsonl", "order 2 -> ", "nats.jsonl has "),
    ],
)
def test_a_damaged_archive_is_refused(failed: Bay, tmp_path: Path, name: str, change: str, why: str) -> None:
    """Cut off, of another format, or tampered with: with the reason, and before anything starts."""
    done = damaged(failed, tmp_path, name, change)

    assert (done.code, done.lines[0]) == (10, f"error: {tmp_path / 'archive'}: this archive cannot be opened"), done.out
    assert f"why:      {why}" in done.out


def test_an_archive_of_another_project(failed: Bay, tmp_path: Path) -> None:
    """Its service is looked for here, under its name."""
    done = damaged(failed, tmp_path, "archive.json", '"service": "shop" -> "service": "shops"')

    assert (done.code, done.lines[0]) == (10, "error: unknown service 'shops' (did you mean 'shop'?)")


def test_a_damaged_one_is_listed(failed: Bay) -> None:
    """With the reason; it has a number like the others, and is never taken for the newest."""
    half_made = archives(failed)[0].with_name("9-half")
    half_made.mkdir()
    listed, refused = opened(failed, "--list").lines, opened(failed, "3")
    half_made.rmdir()

    assert listed[-1].startswith("  3  .testbay/runs/")
    assert "/9-half cannot be opened: it has no archive.json, which is written last: the archive" in listed[-1]
    assert (refused.code, refused.lines[0]) == (10, f"error: {half_made}: this archive cannot be opened")


def rewritten(bay: Bay, folder: Path, name: str, text: str) -> Done:
    """What `open` says of a copy of an archive whose author wrote one file by hand, checksum and all."""
    copy = shutil.copytree(archives(bay)[0], folder / "archive")
    (copy / name).write_text(text, encoding="utf-8")
    index = json.loads((copy / "archive.json").read_text())
    for part in index["parts"]:
        if part["name"] == name:
            part |= {"bytes": len(text.encode()), "sha256": hashlib.sha256(text.encode()).hexdigest()}
    (copy / "archive.json").write_text(json.dumps(index))
    return opened(bay, "--archive", str(copy), "true")


STREAM = {"stream": {"name": "X", "subjects": ["x"]}, "state": {"first_seq": 1}}
MESSAGE = {"seq": 1, "subject": "x", "headers": [], "data": "1"}


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        ("postgres.sql", ["SELECT 1;"], "postgres.sql does not begin as testbay writes it"),
        ("postgres.sql", ["-- roles: []", "\\! touch pwned"], 'syntax error at or near "\\"'),
        ("dragonfly.jsonl", [{"key": "k"}], "KeyError('value')"),
        ("dragonfly.jsonl", ["[" * 100_000], "RecursionError("),
        ("nats.jsonl", [STREAM, MESSAGE | {"subject": "x 1\r\nPUB y"}], "is not a name or subject"),
        ("nats.jsonl", [STREAM, MESSAGE | {"headers": ["a: b\r\nc"]}], "is not a header"),
        ("nats.jsonl", [{**STREAM, "stream": {"name": "\x1b[2J"}}], "is not a name or subject"),
    ],
)
def test_a_hostile_part_is_refused(failed: Bay, tmp_path: Path, name: str, lines: list[Any], said: str) -> None:
    """It cannot reach psql, the shell, the terminal, or more of a server than its own fresh part."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    done = rewritten(failed, tmp_path, name, text)

    assert (done.code, said in done.out, "\x1b" in done.out) == (10, True, False), done.out
    assert not list(tmp_path.rglob("pwned"))


def test_what_cannot_be_put_back_is_said(failed: Bay, tmp_path: Path) -> None:
    """One key, message or consumer less is no reason to refuse the rest."""
    ephemeral = {"consumer": {"name": "passing", "config": {}, "ack_floor": {"stream_seq": 0}}}
    mirror = {"stream": {"name": "Y", "mirror": {"name": "X"}}, "state": {"first_seq": 1}}
    facts = [STREAM, ephemeral, MESSAGE, MESSAGE | {"seq": 9999}, MESSAGE | {"seq": 10_000, "subject": "z"}, mirror]
    done = rewritten(failed, tmp_path, "nats.jsonl", "".join(json.dumps(fact) + "\n" for fact in facts))

    assert (done.code, [line.strip() for line in done.lines if "not restored" in line]) == (
        0,
        [
            "not restored: consumer passing: not durable; `testbay open TEST nats` shows it",
            "not restored: numbers of X: from message 9999 on, which is 2 here",
            "not restored: message 10000 of X: z is not one of its subjects",
            "not restored: stream Y: it has mirror; `testbay open TEST nats` shows it",
        ],
    )


MANY_STREAMS = """
import asyncio

from nats.js.api import RetentionPolicy as Keep, StorageType, StreamConfig

async def fill(nats):
    async with nats.connect() as client:
        stream = client.jetstream()
        for name, keep in [("WORK", Keep.WORK_QUEUE), ("WANTED", Keep.INTEREST), ("LONG", Keep.LIMITS)]:
            await stream.add_stream(StreamConfig(name, subjects=[f"{name}.>"], retention=keep,
                storage=StorageType.MEMORY, max_msgs=3 if name == "LONG" else -1))
            worker = await stream.pull_subscribe(f"{name}.>", durable="worker")
            for number in range(1, 3007 if name == "LONG" else 4):
                await stream.publish(f"{name}.a", b"%d" % number)
            if name != "LONG":
                [message] = await worker.fetch(1)
                await message.ack_sync()
        await stream.add_stream(StreamConfig("EMPTY", subjects=["EMPTY"]))
        await stream.publish("EMPTY", b"")
        await stream.purge_stream("EMPTY")

def test_streams(nats):
    asyncio.run(fill(nats))
    assert False
"""
ASK_STREAMS = """
import asyncio, nats, os

async def main():
    client = await nats.connect(os.environ["NATS_URL"])
    stream = client.jetstream()
    for name in ("WORK", "WANTED", "LONG"):
        worker = await stream.pull_subscribe_bind("worker", name)
        print(name, [(m.metadata.sequence.stream, m.data) for m in await worker.fetch(5, timeout=1)])
    print((await stream.publish("EMPTY", b"")).seq)
    await client.close()

asyncio.run(main())
"""


def test_streams_of_every_kind(bay: Bay) -> None:
    """What a work queue or an interested consumer still had to do; the newest of a long stream; the next number."""
    bay.tests(MANY_STREAMS)
    bay.run("run", "shop", "--", "--no-cov")
    done = opened(bay, "test_streams", "--", "python", "-c", ASK_STREAMS)

    assert done.lines[-4:] == [
        "WORK [(2, b'2'), (3, b'3')]",
        "WANTED [(2, b'2'), (3, b'3')]",
        "LONG [(3004, b'3004'), (3005, b'3005'), (3006, b'3006')]",
        "2",
    ], done.out
    assert "not restored" not in done.out
