"""A lease that was used is as a fresh one: catalogs, rows, sequences, sessions, keys, streams; whatever a test did."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import psycopg
import pytest
import redis
from tests.samples.deeds import DEEDS, SCHEMA
from tests.system.conftest import ENGINES, Bay, checkout

from testbay import settings
from testbay.errors import EngineUnavailableError
from testbay.harness.dependencies.dragonfly.server import SHARED
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.nats.slots import Talk
from testbay.harness.dependencies.postgres import state
from testbay.harness.leases import pool
from testbay.harness.leases.lease import Lease
from testbay.harness.leases.pool import Pool
from testbay.harness.world import patience

pytestmark = pytest.mark.xdist_group("renewal")  # what is made once for them all is made on one worker

VOLATILE = {"pg_class": ["relpages", "reltuples", "relallvisible", "relallfrozen", "relfrozenxid", "relminmxid"]}


@pytest.fixture(scope="module", params=ENGINES)
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bay]:
    """One stack with that schema, kept for all tests of this file."""
    with checkout(tmp_path_factory.mktemp("renewal")) as bay:
        bay.use(request.param)
        migrations = bay.service / "migrations"
        for file in migrations.iterdir():
            file.unlink()
        (migrations / "0001_all.sql").write_text(SCHEMA)
        started = bay.run("up", "shop", "--keep", "--idle", "120s")
        assert started.code == 0, started.out
        yield bay
        bay.run("down")


@pytest.fixture
def leasing(kept: Bay, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A pool on it, which leaves no database behind."""
    [home] = [entry for entry in (kept.cache / "stacks").iterdir() if entry.is_dir()]
    monkeypatch.setenv("TESTBAY_CACHE_DIR", str(kept.cache))
    opened = pool.open_pool(home, settings.load())
    yield opened
    opened.close()
    endpoint = opened.tenancy["endpoints"]["postgres"]
    with psycopg.connect(
        **{name: endpoint[name] for name in ("host", "port", "user", "password")}, dbname="postgres"
    ) as c:
        assert c.execute("SELECT datname FROM pg_database WHERE datname LIKE '%lease%'").fetchall() == []


def picture(lease: Lease) -> dict[str, Any]:
    """A digest of every catalog, table and sequence; without what only the planner reads."""
    with psycopg.connect(lease.postgres.dsn, autocommit=True) as session:
        relations = session.execute(
            "SELECT c.oid::regclass::text, relkind, relname FROM pg_class c "
            "WHERE relkind IN ('r', 'm', 'S') AND NOT relisshared AND relname NOT LIKE 'pg_toast%' ORDER BY 1"
        ).fetchall()
        seen: dict[str, Any] = {}
        for name, kind, plain in relations:
            columns = "last_value, is_called" if kind == "S" else "*"
            row = f"(to_jsonb(r) - '{{{','.join(VOLATILE[plain])}}}'::text[])::text" if plain in VOLATILE else "r::text"
            query = f"SELECT count(*), md5(string_agg({row}, ' ' ORDER BY {row})) FROM (SELECT {columns} FROM {name}) r"  # noqa: S608
            seen[name] = session.execute(query).fetchone()
        seen["settings"] = session.execute(
            "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase "
            "WHERE datname = current_database()"
        ).fetchall()
        return seen


def do(lease: Lease, statements: str) -> list[tuple[Any, ...]]:
    """As a test does with the `postgres` fixture; without parameters several statements can be sent at once."""
    database = lease.slot("postgres")
    cursor = database.connection().execute(statements)
    rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
    database.end_lending()
    return rows


def settle(leasing: Pool) -> Lease:
    """The same lease again: what was ordered in the background is finished first."""
    leasing._background.submit(lambda: None).result()
    return leasing.take()


@pytest.mark.timeout(240)
def test_a_used_database_is_as_a_fresh_one(leasing: Pool) -> None:
    """Whatever was done to it; rows alone are taken out on the spot, anything else has it cloned anew."""
    lease = leasing.take()
    fresh = picture(lease)
    wrong: dict[str, Any] = {}
    for deed, (statement, renewed) in DEEDS.items():
        before = lease.postgres.db
        do(lease, statement)
        left = leasing.give_back(lease)
        lease = settle(leasing)
        now = picture(lease)
        found = {
            name: [fresh.get(name), now.get(name)]
            for name in fresh.keys() | now.keys()
            if fresh.get(name) != now.get(name)
        }
        if found or left or (lease.postgres.db == before) != renewed:
            wrong[deed] = (found, left, "renewed" if lease.postgres.db == before else "cloned anew")
    leasing.give_back(lease)

    assert wrong == {}


def test_a_lease_has_the_settings_that_migrations_gave_the_database(leasing: Pool) -> None:
    """Those of a role in it, too; PostgreSQL's clones have none."""
    lease = leasing.take()
    found = picture(lease)["settings"]
    [values] = do(lease, "SELECT current_setting('search_path'), current_setting('app.tenant')")
    leasing.give_back(lease)

    assert values == ('public, "$user"', "it's, one")
    assert sorted(name for (names,) in found for name in names) == [
        "TimeZone=Asia/Tokyo",
        "app.tenant=it's, one",
        'search_path=public, "$user"',
    ]


def test_a_lease_has_the_owner_and_the_privileges_of_the_migrated_database(leasing: Pool) -> None:
    """A role that migrations shut out stays out, the owner included, and one that they grant a right has it."""
    lease = leasing.take()
    asked = "SELECT datdba::regrole::text, datacl::text[] FROM pg_database WHERE datname = current_database()"
    [(owner, privileges)] = do(lease, asked)
    leasing.give_back(lease)

    assert owner == "pg_monitor"
    assert set(privileges) == {"=T/pg_monitor", "pg_monitor=Tc/pg_monitor", "pg_signal_backend=C*/pg_monitor"}


def test_rows_come_in_the_order_they_went_in(leasing: Pool) -> None:
    """As in a fresh table, although the one before had rows updated and deleted: nothing fills their places."""
    orders = []
    for _ in range(4):
        lease = leasing.take()
        do(lease, "INSERT INTO parents (name) SELECT 'n' || i FROM generate_series(1, 300) i")
        orders.append([row[0] for row in do(lease, "SELECT id FROM parents")])
        do(lease, "UPDATE parents SET name = name || 'x' WHERE id % 3 = 0")
        do(lease, "DELETE FROM parents WHERE id % 2 = 0")
        leasing.give_back(lease)

    assert orders == [list(range(1, 301))] * 4


def test_a_connection_that_was_taken_back_works_no_more(leasing: Pool) -> None:
    """Nor does a cursor on it: a test that keeps one cannot reach the next test's rows."""
    lease = leasing.take()
    kept = lease.slot("postgres").connection()
    cursor = kept.cursor()
    cursor.execute("SET application_name = 'kept'")
    leasing.give_back(lease)
    lease = leasing.take()
    current = lease.slot("postgres").connection()

    assert kept.closed
    with pytest.raises(psycopg.OperationalError):
        cursor.execute("INSERT INTO parents (name) VALUES ('late')")
    assert current.execute("SELECT count(*), current_setting('application_name') FROM parents").fetchone() == (
        0,
        "testbay",
    )
    leasing.give_back(lease)


@pytest.mark.parametrize("spoil", ["close", "copy", "pipeline"])
def test_a_session_in_any_state_is_mended(leasing: Pool, spoil: str) -> None:
    """Closed, in the middle of a COPY, or in pipeline mode."""
    lease = leasing.take()
    database = lease.slot("postgres")
    connection = database.connection()
    if spoil == "close":
        connection.close()
    elif spoil == "copy":
        connection.pgconn.exec_(b"COPY parents (name) FROM STDIN")
    else:
        connection.pgconn.enter_pipeline_mode()
    database.end_lending()
    left = leasing.give_back(lease)
    lease = leasing.take()
    [(count,)] = do(lease, "SELECT count(*) FROM parents")
    leasing.give_back(lease)

    assert (left, count) == ([], 0)


def test_rows_are_gone_where_the_server_fell_over(leasing: Pool) -> None:
    """A crash loses its counts of them, and ends every session, also the one that makes databases."""
    lease = leasing.take()
    connection = lease.slot("postgres").connection()
    connection.execute("INSERT INTO parents (name) VALUES ('a')")
    if leasing.tenancy["engine"] == "embedded":  # in a container the number is another process's
        os.kill(connection.info.backend_pid, signal.SIGKILL)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL")
    lease.slot("postgres").end_lending()
    leasing.give_back(lease)
    for _ in patience(30):  # until the server is up again
        with contextlib.suppress(EngineUnavailableError):
            lease = settle(leasing)
            break

    assert do(lease, "SELECT count(*) FROM parents") == [(0,)]
    leasing.give_back(lease)


def test_the_database_is_dropped_where_every_session_was_ended(leasing: Pool) -> None:
    """The pool does not notice that its own ended; the fixture sees that no database is left."""
    connection = leasing.take().slot("postgres").connection()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IS NOT NULL")


def test_a_server_that_does_not_count_rows_has_its_databases_cloned(leasing: Pool) -> None:
    """As a compose file's `-c track_counts=off` wants it, or a setting of the database."""
    first = leasing.take()
    template = f'ALTER DATABASE "{leasing.tenancy["endpoints"]["postgres"]["db"]}_pristine"'
    do(first, f"{template} SET track_counts = off")
    other = pool.open_pool(leasing.home, settings.load())
    lease = other.take()
    do(first, f"{template} RESET track_counts")
    do(lease, "INSERT INTO parents (name) VALUES ('a')")
    other.give_back(lease)
    found = do(settle(other), "SELECT count(*) FROM parents")
    other.close()
    leasing.give_back(first)

    assert found == [(0,)]


def hold_session(lease: Lease) -> Any:
    return psycopg.connect(lease.postgres.dsn, application_name="my pool")


def hold_subscriber(lease: Lease) -> Any:
    subscriber = redis.Redis.from_url(lease.dragonfly.url).pubsub()  # type: ignore[no-untyped-call]
    subscriber.subscribe("news")
    assert subscriber.get_message(timeout=5) is not None
    return subscriber


def hold_nats(lease: Lease) -> Any:
    return Talk(lease.slot("nats").endpoint)


@pytest.mark.parametrize(
    ("hold", "said"),
    [
        (hold_nats, "NATS: a connection (testbay, "),
        (hold_session, "PostgreSQL: my pool from "),
        (hold_subscriber, "Dragonfly: a subscriber to 1 channels, from "),
    ],
)
def test_what_is_left_open_is_named_and_cut_off(leasing: Pool, hold: Callable[[Lease], Any], said: str) -> None:
    """The next test's lease cannot be reached with it."""
    lease = leasing.take()
    left_open = hold(lease)
    left = leasing.give_back(lease)
    before, again = lease.nats.user, settle(leasing)
    left_open.hang_up() if hold is hold_nats else left_open.close()
    account = again.nats.user
    leasing.give_back(again)

    assert (account != before) == (hold is hold_nats)
    assert [text.startswith(said) for text in left] == [True], left


def test_keys_are_gone_and_a_changed_server_is_replaced(leasing: Pool) -> None:
    """Keys and scripts are flushed; a server of the lease's own whose settings were changed makes room for another."""
    lease = leasing.take()
    with redis.Redis.from_url(lease.dragonfly.url) as client:
        client.set("key", "value")
        digest = client.script_load("return 1")
    leasing.give_back(lease)
    lease = settle(leasing)
    with redis.Redis.from_url(lease.dragonfly.url) as client:
        assert client.dbsize() == 0
        if not leasing.shared:
            assert client.script_exists(digest) == [False]
            client.config_set("maxmemory", "50mb")
        usual = client.config_get("maxmemory") if leasing.shared else {"maxmemory": "0"}
    before = lease.dragonfly.port
    leasing.give_back(lease)
    lease = settle(leasing)
    with redis.Redis.from_url(lease.dragonfly.url) as client:
        memory = client.config_get("maxmemory")
    leasing.give_back(lease)

    assert (memory, lease.dragonfly.port != before) == (usual, not leasing.shared)


def test_streams_are_as_the_manifest_made_them(leasing: Pool) -> None:
    """Messages, consumers, other streams and buckets are gone, and sequence numbers start at one again."""
    for _ in range(2):
        lease = leasing.take()
        assert asyncio.run(use_everything(lease.nats.url)) == (["ORDERS"], 1)
        assert leasing.give_back(lease) == []


def test_a_message_that_comes_with_the_login_is_gone_too(leasing: Pool) -> None:
    """The server counts it for no account: a client may send all it has to say in its first packet."""
    for _ in range(3):
        lease = leasing.take()
        slot, login = lease.slot("nats"), {"user": lease.nats.user, "pass": lease.nats.password, "verbose": False}
        with socket.create_connection((lease.nats.host, lease.nats.port), 10) as client:
            client.sendall(f"CONNECT {json.dumps(login)}\r\nPUB orders.new 1\r\n1\r\nPING\r\n".encode())
            while b"PONG" not in client.recv(65536):
                pass
        for late in patience(10):  # or the server is asked more because of that client
            assert not late
            if slot._overseer.ask(*slot._statz())["data"]["account_statz"][0]["conns"] == 1:
                break
        [(_, state)] = slot._there().values()
        assert json.loads(state)["last_seq"] == 1
        assert leasing.give_back(lease) == []


async def use_everything(url: str) -> tuple[list[str], int]:
    """The streams that are there, and the number the next message gets; then leave all kinds of things."""
    client = await nats.connect(url)
    streams = client.jetstream()
    names = [info.config.name for info in await streams.streams_info()]
    number = (await streams.publish("orders.new", b"1", headers={"Nats-Msg-Id": "same"})).seq
    await streams.subscribe("orders.*", durable="mine", manual_ack=True)
    await streams.add_stream(name="OTHER", subjects=["other.>"])
    bucket = await streams.create_key_value(bucket="bucket")
    await bucket.put("key", b"value")
    await client.close()
    return [name for name in names if name], number


def test_only_pubsub_on_compose_is_shared(leasing: Pool) -> None:
    """And the pool says so. A lease's number is a lock of the kernel's, so a crashed worker's comes back."""
    lease = leasing.take()
    leasing.give_back(lease)

    assert (leasing.home / f"{lease.name}.lock").exists()
    assert lease.shared == leasing.shared == ([SHARED] if leasing.tenancy["engine"] == "compose" else [])


def test_an_archive_that_never_ends_is_ended(leasing: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its SQL may be a stranger's: it can undo every time-out of the server's, and outlive every cancellation."""
    monkeypatch.setattr(state, "RESTORE_LIMIT_S", 0.5)
    file = tmp_path / state.FILE
    for_ever = "LOOP BEGIN PERFORM pg_sleep(1000); EXCEPTION WHEN query_canceled THEN END; END LOOP"
    file.write_text(f"-- roles: []\nSET statement_timeout = 0; DO $$BEGIN {for_ever}; END$$;\n")
    endpoint = Endpoint(**{**leasing.tenancy["endpoints"]["postgres"], "db": "restored"})

    with pytest.raises(OSError, match="terminating connection due to administrator command"):
        state.restore(endpoint, file)
