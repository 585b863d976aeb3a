"""Faults on purpose, as a suite uses them: real servers, real clients, the service between them."""

import subprocess
import sys

import pytest
from tests.system.conftest import Bay, read_until
from tests.system.fakes.program import with_service

FAULTS = """
import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import redis


def connect():
    return psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)

def seconds(call):
    began = time.monotonic()
    call()
    return time.monotonic() - began

def test_cut(faults, postgres, dragonfly, bay):
    dragonfly.set("key", "value")
    with faults.postgres.cut():
        with pytest.raises(psycopg.OperationalError):
            postgres.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="refused"):
            connect()
        with psycopg.connect(bay.direct.postgres.dsn) as direct:
            assert direct.execute("SELECT 1").fetchone() == (1,)
        assert dragonfly.get("key") == b"value"
    with connect() as again:
        assert again.execute("SELECT 1").fetchone() == (1,)

def test_refuse(faults, postgres):
    faults.postgres.refuse()
    assert postgres.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect()
    faults.postgres.heal()
    connect().close()

def test_latency(faults, dragonfly):
    dragonfly.ping()
    with faults.dragonfly.latency(ms=100, jitter_ms=20):
        assert seconds(dragonfly.ping) >= 0.08
        with dragonfly.pipeline(transaction=False) as many:
            for number in range(50):
                many.echo(str(number))
            assert many.execute() == [str(number).encode() for number in range(50)]

def test_bandwidth(faults, dragonfly):
    faults.dragonfly.bandwidth(kb_per_s=100)
    assert seconds(lambda: dragonfly.echo("x" * 30_000)) >= 0.5

def test_freeze(faults, postgres, bay):
    with ThreadPoolExecutor() as pool:
        with faults.postgres.freeze():
            waiting = pool.submit(postgres.execute, "INSERT INTO items (name, stock) VALUES ('tea', 1) RETURNING name")
            with psycopg.connect(bay.direct.postgres.dsn) as direct:
                assert direct.execute("SELECT count(*) FROM items").fetchone() == (0,)
            assert not waiting.done()
        assert waiting.result(10).fetchone() == ("tea",)

def test_drop_after(faults, dragonfly):
    dragonfly.set("key", "x" * 1000)
    client = redis.Redis.from_url(os.environ["REDIS_URL"], retry=None)
    assert client.get("key") == b"x" * 1000
    with faults.dragonfly.drop_after(bytes=100), pytest.raises(redis.ConnectionError):
        client.get("key")
    assert client.get("key") == b"x" * 1000
    client.close()

def test_restart(faults, nats):
    async def reconnects():
        broken, back = asyncio.Event(), asyncio.Event()
        async def on_broken(): broken.set()
        async def on_back(): back.set()
        options = {"disconnected_cb": on_broken, "reconnected_cb": on_back, "reconnect_time_wait": 0.01}
        async with nats.connect(allow_reconnect=True, max_reconnect_attempts=-1, **options) as client:
            assert "connect_urls" not in client._server_info  # nothing that leads around the proxy
            faults.nats.restart(down_ms=50)
            await asyncio.wait_for(broken.wait(), 10)
            await asyncio.wait_for(back.wait(), 10)
            return (await client.jetstream().publish("orders.new", b"1")).seq
    assert asyncio.run(reconnects()) == 1

def test_what_a_test_leaves_broken(faults):
    for way in (faults.postgres, faults.dragonfly, faults.nats):
        way.cut()
        way.freeze()

def test_is_whole_for_the_next(faults, postgres, dragonfly):
    assert (postgres.execute("SELECT 1").fetchone(), dragonfly.ping()) == ((1,), True)

def test_is_nothing_to_the_others(bay):
    assert bay.direct is bay
"""


@pytest.mark.parametrize(
    "arguments", [pytest.param([], id="serial"), pytest.param(["-n", "2"], id="xdist", marks=pytest.mark.slow)]
)
def test_every_fault_is_felt_by_real_clients(bay: Bay, engine: str, arguments: list[str]) -> None:
    """And by nobody else; what a test breaks is whole for the next one."""
    bay.use(engine)
    bay.tests(FAULTS)
    done = bay.plain_pytest("-W", "error", *arguments)

    assert (done.returncode, "10 passed" in done.stdout) == (0, True), done.stdout


DYING = """
import os
import pytest

@pytest.mark.parametrize("number", range(20))
def test_number(faults, postgres, dragonfly, number):
    assert (postgres.execute("SELECT 1").fetchone(), dragonfly.ping()) == ((1,), True)
    faults.postgres.freeze()
    faults.dragonfly.cut()
    if number == 7:
        os._exit(1)
    assert number % 5, "on purpose"
"""


def test_a_test_that_dies_in_mid_fault_heals(bay: Bay) -> None:
    """By an assertion, or with its whole worker: the next one meets nothing of it."""
    bay.tests(DYING)
    done = bay.plain_pytest("-n", "2")

    assert "5 failed, 15 passed" in done.stdout, done.stdout
    assert bay.left() == []


def test_the_seed_is_shown_and_can_be_given(bay: Bay) -> None:
    """What failed by chance can be had again."""
    bay.tests("def test_it(faults):\n    assert faults.seed == 0\n")
    failed, passed = bay.plain_pytest("--testbay-seed", "7"), bay.plain_pytest("--testbay-seed", "0")

    assert "7 (the same delays again: --testbay-seed 7)" in failed.stdout, failed.stdout
    assert (failed.returncode, passed.returncode) == (1, 0)


KILLED = """
import os
import signal
import redis

def test_killed(faults, dragonfly, request):
    os.kill(request.config.pluginmanager.get_plugin("testbay-fault_proxies")._proxies._child.pid, signal.SIGKILL)
    try:
        while True:
            dragonfly.ping()
    except redis.ConnectionError:
        pass

def test_used(faults, request):
    os.kill(request.config.pluginmanager.get_plugin("testbay-fault_proxies")._proxies._child.pid, signal.SIGKILL)
    faults.nats.cut()

def test_next(faults, dragonfly):
    assert dragonfly.ping()
"""


def test_a_proxy_that_is_killed_is_said(bay: Bay) -> None:
    """At the test in which it went; the next one gets another."""
    bay.tests(KILLED)
    done = bay.plain_pytest("-rA")

    assert "1 failed, 2 passed, 2 errors" in done.stdout, done.stdout
    assert done.stdout.count("why:      something killed it; every connection through it broke") >= 3
    assert "PASSED tests/integration/test_it.py::test_next" in done.stdout


WAITING = "import time\ndef test_slow(faults):\n    print('waiting', flush=True)\n    time.sleep(60)\n"


def test_the_proxy_ends_with_its_holder(bay: Bay) -> None:
    """Even when that is killed."""
    bay.tests(WAITING)
    argv = [sys.executable, "-m", "pytest", "-s"]
    child = subprocess.Popen(argv, cwd=bay.service, env=bay.environ, stdout=subprocess.PIPE, text=True)
    read_until(child, "waiting")
    running = [line for line in bay.processes() if "testbay.harness.faults.proxy" in line]
    child.kill()
    child.communicate(timeout=30)

    assert (len(running), bay.left()) == (1, [])


WRONG = """
import pytest
from testbay.errors import EngineUnavailableError, ManifestError

@pytest.mark.parametrize(("fault", "values", "said"), [
    ("latency", {"ms": -5}, "faults.nats.latency: ms=-5 is impossible\\n  do:       give it a number, 0 or more"),
    ("latency", {"ms": float("nan")}, "faults.nats.latency: ms=nan is impossible"),
    ("latency", {"ms": 5, "jitter_ms": 6}, "jitter_ms=6 is impossible\\n  do:       give it at most as much as ms"),
    ("bandwidth", {"kb_per_s": 0}, "kb_per_s=0 is impossible\\n  do:       give it more than 0; `freeze`"),
    ("drop_after", {"bytes": -1}, "faults.nats.drop_after: bytes=-1 is impossible"),
    ("restart", {"down_ms": float("inf")}, "faults.nats.restart: down_ms=inf is impossible"),
])
def test_value(faults, fault, values, said):
    with pytest.raises(ManifestError) as refused:
        getattr(faults.nats, fault)(**values)
    assert said in str(refused.value)

def test_dependency(faults):
    with pytest.raises(EngineUnavailableError, match="no kafka on this stack"):
        faults.of("kafka")

def test_hidden(bay, request):
    request.getfixturevalue("faults")
"""


def test_what_makes_no_sense_is_refused(bay: Bay) -> None:
    """Numbers out of range, a dependency that is not there, a fixture asked for too late."""
    bay.tests(WRONG)
    done = bay.plain_pytest()

    assert "1 failed, 7 passed" in done.stdout, done.stdout
    assert "lease1 has no proxies for faults" in done.stdout


SCOPED = """
import os
import psycopg
import pytest

@pytest.fixture(scope="module")
def bay(testbay):
    with testbay.lease(faults=True) as bay:
        yield bay

@pytest.fixture(scope="module")
def connection(bay):
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        yield connection

def test_first(connection, faults):
    connection.execute("INSERT INTO items (name, stock) VALUES ('tea', 1)")
    faults.postgres.refuse()
    faults.postgres.freeze()

def test_second(connection):
    assert connection.execute("SELECT count(*) FROM items").fetchone() == (1,)
"""


def test_a_wider_scope_has_faults_too(bay: Bay) -> None:
    """Healed after each of its tests; connections stay."""
    bay.tests(SCOPED)
    done = bay.plain_pytest("-W", "error")

    assert done.returncode == 0, done.stdout


FELT = """
import httpx
import pytest

def test_cut_off(service, faults):
    assert service.client.get("/").text == "0"
    with faults.postgres.cut(), pytest.raises(httpx.RemoteProtocolError):
        service.client.get("/")
    assert service.client.get("/").text == "0"

def test_killed(service, postgres):
    postgres.execute("INSERT INTO items (name, stock) VALUES ('tea', 1)")
    service.kill()
    service.kill()
    with pytest.raises(httpx.ConnectError):
        service.client.get("/")
    service.start()
    assert service.client.get("/").text == "1"
"""


def test_the_service_feels_it(bay: Bay, engine: str) -> None:
    """The way of its process to a dependency is broken like that of the test; and it can be killed itself."""
    bay.use(engine)
    with_service(bay, "python serve.py {port}")
    bay.tests(FELT)
    done = bay.plain_pytest()

    assert (done.returncode, bay.left()) == (0, []), done.stdout
