"""The pytest plugin as a project uses it: plain pytest in the service's folder, no testbay command in sight."""

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.system.conftest import Bay, read_until
from tests.system.fakes.program import with_service

Pytest = Callable[..., subprocess.CompletedProcess[str]]

TESTS = """
import asyncio
import os
import subprocess
import sys

import psycopg
import pytest


def test_database(postgres):
    postgres.execute("INSERT INTO items (name, stock) VALUES ('tea', 1)")
    assert postgres.execute("SELECT id, name FROM items").fetchall() == [(1, "tea")]

def test_database_again(postgres):
    test_database(postgres)

def test_keys(dragonfly):
    assert dragonfly.dbsize() == 0
    dragonfly.set("key", "value")

def test_keys_again(dragonfly):
    test_keys(dragonfly)

def test_stream(nats):
    async def publish():
        async with nats.connect() as client:
            return (await client.jetstream().publish("orders.new", b"1")).seq
    assert asyncio.run(publish()) == 1

def test_stream_again(nats):
    test_stream(nats)

def test_environment(bay):
    assert os.environ["DATABASE_URL"] == os.environ["SHOP_DSN"] == bay.postgres.dsn == bay.postgres.url
    assert bay.exports["NATS_URL"] == bay.nats.url
    asked = [sys.executable, "-c", "import os; print(os.environ['REDIS_URL'], 'PATH' in os.environ)"]
    assert subprocess.check_output(asked, env=bay.env, text=True).split() == [bay.dragonfly.url, "True"]
    assert "password" not in repr(bay.postgres)

def test_environment_is_as_before():
    assert "SHOP_DSN" not in os.environ
"""


def test_plain_pytest_starts_a_stack_and_ends_it(bay: Bay, engine: str) -> None:
    """The header says on which servers; every test has the three dependencies to itself."""
    bay.use(engine)
    bay.tests(TESTS)
    done = bay.plain_pytest("-W", "error")

    assert (done.returncode, "8 passed" in done.stdout) == (0, True), done.stdout
    assert f"\ntestbay: {engine}: PostgreSQL " in done.stdout


COUNT_STACKS = """
import pathlib
import pytest

@pytest.fixture(autouse=True)
def count(bay, request):
    home = request.config.pluginmanager.get_plugin("testbay-leasing").pool().home
    with pathlib.Path("stacks").open("a") as file:
        file.write(home.name + "\\n")
"""


def test_workers_share_one_stack(bay: Bay) -> None:
    """Whoever comes first starts it; the last one's end is its end."""
    bay.tests(TESTS)
    (bay.service / "conftest.py").write_text(COUNT_STACKS)
    done = bay.plain_pytest("-n", "2", "--dist", "worksteal", "-k", "not before")
    again = bay.plain_pytest("-n", "auto", "--dist", "loadscope", "-k", "not before")

    assert (done.returncode, again.returncode) == (0, 0), done.stdout + again.stdout
    assert len(set((bay.service / "stacks").read_text().splitlines())) == 2
    stacks = bay.cache / "stacks"
    assert [entry for entry in stacks.iterdir() if entry.is_dir()] == []  # gone when pytest was: nobody has to wait


def test_pytest_joins_a_kept_stack(bay: Bay) -> None:
    """And leaves it running."""
    bay.tests(TESTS)
    bay.run("up", "shop", "--keep", "--idle", "60s")
    done = bay.plain_pytest()
    stacks = bay.run("ps").lines
    bay.run("down")

    assert done.returncode == 0, done.stdout
    assert [line.split()[1] for line in stacks] == ["STATE", "kept"]


def test_nothing_happens_without_a_fixture(bay: Bay) -> None:
    """Not even where the manifest is broken; nor when tests are only collected, or have fixtures of the same names."""
    bay.tests("import pytest\n@pytest.fixture\ndef bay(): return 1\ndef test_own(bay): assert bay == 1\n")
    (bay.service / "testbay.toml").write_text("nonsense")
    own = bay.plain_pytest()
    bay.tests("def test_it(bay): pass")
    collected = bay.plain_pytest("--collect-only")

    assert (own.returncode, collected.returncode, (bay.cache / "stacks").exists()) == (0, 0, False), (
        own.stdout + collected.stdout
    )


def test_a_stack_that_cannot_start_fails_every_test_at_once(bay: Bay) -> None:
    """With the reason, not a traceback of ours."""
    bay.tests("def test_a(bay): pass\ndef test_b(postgres): pass\n")
    (bay.service / "testbay.toml").write_text('service = "shop"\nmigration = "x"\n')
    done = bay.plain_pytest()

    assert done.returncode == 1
    assert done.stdout.count("unknown key 'migration' (did you mean 'migrations'?)") >= 2
    assert "Traceback" not in done.stdout


def test_a_dependency_the_manifest_does_not_need(bay: Bay) -> None:
    """Is named with what to do; the others are there."""
    manifest = bay.service / "testbay.toml"
    manifest.write_text('needs = ["postgres"]\n' + manifest.read_text().split("[env]")[0])
    bay.tests("def test_a(postgres): pass\ndef test_b(dragonfly): pass\n")
    done = bay.plain_pytest()

    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert "no dragonfly on this stack" in done.stdout
    assert "add 'dragonfly' to needs" in done.stdout


LEAKING = """
import psycopg
KEPT = []
def test_leaks(bay): KEPT.append(psycopg.connect(bay.postgres.dsn))
def test_next(postgres): pass
"""


def test_a_dirty_return_is_a_warning_naming_the_test(bay: Bay) -> None:
    """Which a suite can make an error."""
    bay.tests(LEAKING)
    warned, strict = bay.plain_pytest(), bay.plain_pytest("--testbay-strict")
    said = "tests/integration/test_it.py::test_leaks left open: PostgreSQL: a session from "

    assert (warned.returncode, "2 passed, 1 warning" in warned.stdout) == (0, True), warned.stdout
    assert f"DirtyLeaseWarning: {said}" in warned.stdout
    assert (strict.returncode, "2 passed, 1 error" in strict.stdout, said in strict.stdout) == (1, True, True)


SCOPED = """
import pytest

@pytest.fixture(scope="module")
def bay(testbay):
    with testbay.lease() as bay:
        yield bay

def test_first(postgres):
    postgres.execute("INSERT INTO items (name, stock) VALUES ('tea', 1)")
    postgres.execute("SET search_path = nowhere")

def test_second(postgres):
    assert postgres.execute("SELECT count(*) FROM items").fetchone() == (1,)
"""


def test_a_wider_scope_is_a_fixture_of_the_suites_own(bay: Bay) -> None:
    """Rows stay for the module; the session is as new for each test."""
    bay.tests(SCOPED)
    done = bay.plain_pytest()

    assert done.returncode == 0, done.stdout


CRASHING = """
import os
import pytest

@pytest.mark.parametrize("number", range(40))
def test_number(bay, postgres, number):
    assert bay.name in ("lease1", "lease2")
    assert postgres.execute("SELECT count(*) FROM items").fetchone() == (0,)
    postgres.execute("INSERT INTO items (name, stock) VALUES ('tea', 1)")
    if number == 11:
        os._exit(1)
"""


def test_a_crashed_workers_lease_comes_back(bay: Bay) -> None:
    """The worker that replaces it takes the same number, made anew."""
    bay.tests(CRASHING)
    done = bay.plain_pytest("-n", "2")

    assert "1 failed, 39 passed" in done.stdout, done.stdout
    assert "crashed" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_pytest_that_is_ended_leaves_nothing(bay: Bay, number: signal.Signals) -> None:
    """Killed, or interrupted by Ctrl-C: the stack goes with it."""
    bay.tests("import time\ndef test_slow(bay):\n    print('waiting', flush=True)\n    time.sleep(60)\n")
    child = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-s"], cwd=bay.service, env=bay.environ, stdout=subprocess.PIPE, text=True
    )
    read_until(child, "waiting")
    child.send_signal(number)
    child.communicate(timeout=30)

    assert bay.left() == []


SERVICE_TESTS = """
def test_service(service, postgres):
    assert service.client.get("/").text == "0"
    postgres.execute("INSERT INTO items (name, stock) VALUES ('tea', 1)")
    assert service.client.get("/").text == "1"
    service.restart()
    assert service.client.get("/").text == "1"
    assert service.logs.count("listening") == 2

def test_service_again(service):
    assert service.client.get("/").text == "0"
    service.stop()
    service.stop()
"""


def test_the_service_runs_on_the_lease(bay: Bay) -> None:
    """It sees what the test wrote, is restarted, says what it says, and ends with the test."""
    with_service(bay, "python serve.py {port}")
    bay.tests(SERVICE_TESTS)
    done = bay.plain_pytest("-W", "error")

    assert (done.returncode, bay.left()) == (0, []), done.stdout


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("python serve.py {port} --fail", ["shop ended with exit code 1 before it answered", "no configuration"]),
        ("python -c pass {port}", ["shop ended with exit code 0 before it answered", "nothing", "in the foreground"]),
        ("no-such-program {port}", ["start: cannot run no-such-program", "name a program of this environment"]),
        ("python -c 'import time; time.sleep(9)' {port}", ["shop did not answer / within 1 s: "]),
    ],
)
def test_a_service_that_does_not_come_up_says_why(bay: Bay, start: str, said: list[str]) -> None:
    """Its last lines, at once when it ended."""
    with_service(bay, start)
    bay.tests(SERVICE_TESTS)
    done = bay.plain_pytest("-k", "again", TESTBAY_READY_TIMEOUT="1" if "sleep" in start else "60")

    assert [text in done.stdout for text in said] == [True] * len(said), done.stdout


def test_a_manifest_without_start_is_told_what_to_add(bay: Bay) -> None:
    """Only where a test asks for the service."""
    bay.tests("def test_it(service): pass\n")
    done = bay.plain_pytest()

    assert "the manifest does not say how the service is started" in done.stdout, done.stdout
    assert "Traceback" not in done.stdout
