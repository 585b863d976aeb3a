"""What is kept of a test that fails, when, and what a report says when it cannot be."""

import json
import re
from pathlib import Path

import pytest
from tests.system.conftest import Bay
from tests.system.fakes.program import with_service
from tests.system.harness.test_open import archives, opened

from testbay import masking

pytestmark = pytest.mark.xdist_group("kept")  # what is made once for them all is made on one worker

MANY = """
import pytest

@pytest.mark.parametrize("number", range(8))
def test_number(postgres, number):
    postgres.execute("INSERT INTO items (name) VALUES (%s)", [str(number)])
    assert number == 3
"""


def indexes(bay: Bay) -> list[dict[str, object]]:
    """What each archive says of itself."""
    found: list[dict[str, object]] = [json.loads((folder / "archive.json").read_text()) for folder in archives(bay)]
    return found


@pytest.mark.parametrize("workers", [["-n", "0"], ["-n", "2"]])
def test_the_first_five_are_kept(bay: Bay, workers: list[str]) -> None:
    """Of all workers together, in one folder; plain pytest makes it when the first test fails."""
    bay.tests(MANY)
    done = bay.plain_pytest(*workers)

    assert [folder.name[:2] for folder in archives(bay)] == ["1-", "2-", "3-", "4-", "5-"], done.stdout
    assert done.stdout.count("\nstate kept: ") == done.stdout.count("\ntestbay open 'tests/") == 5
    assert done.stdout.count("state not kept: 5 tests failed before (--testbay-keep 20 keeps more)") == 2
    assert len({folder.parent for folder in archives(bay)}) == 1


def test_how_many_is_an_option(bay: Bay) -> None:
    """None at all is one of its values, and then nothing is said nor made."""
    bay.tests(MANY)
    two, none = bay.plain_pytest("--testbay-keep", "2", "--testbay-strict"), bay.plain_pytest("--testbay-keep", "0")

    assert (two.stdout.count("state kept: "), len(archives(bay))) == (2, 2), two.stdout
    assert "testbay open" not in none.stdout


def test_a_green_run_leaves_no_folder(bay: Bay) -> None:
    """Nor does one whose tests fail without a lease, or as they are expected to."""
    expected = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_known(postgres): assert False\n"
    bay.tests(f"{expected}def test_fine(postgres): pass\ndef test_plain(): assert False\n")
    done = bay.plain_pytest()

    assert ("1 failed, 1 passed, 1 xfailed" in done.stdout, (bay.project / ".testbay").exists()) == (True, False)


PHASES = """
import pytest

@pytest.fixture(scope="module")
def shared(testbay):
    with testbay.lease() as lease:
        yield lease

@pytest.fixture
def broken_setup(postgres):
    postgres.execute("INSERT INTO items (name) VALUES ('setup')")
    raise OSError("no")

@pytest.fixture
def broken_teardown():
    yield
    raise OSError("no")

def test_setup(broken_setup): pass
def test_teardown(shared, broken_teardown): pass
def test_both(broken_teardown, shared, bay): assert False
def test_two(shared, bay): assert False
"""


def test_each_phase_and_each_scope(bay: Bay) -> None:
    """Whichever phase fails first, once a test; and every lease the test has, the narrowest one first."""
    bay.tests(PHASES)
    done = bay.plain_pytest()

    names = ["1-test_setup", "2-test_teardown", "3-test_both", "3-test_both.2", "4-test_two", "4-test_two.2"]
    assert [folder.name for folder in archives(bay)] == names, done.stdout
    assert opened(bay, "--list").lines[2].endswith("/4-test_two")
    assert opened(bay, "test_setup", "psql", "-Atc", "SELECT name FROM items").lines[-1] == "setup"


def test_the_service_log_goes_along(bay: Bay) -> None:
    """What the service said until the test failed."""
    with_service(bay, "python serve.py {port}")
    bay.tests("def test_it(service): assert service.client.get('/').status_code == 500\n")
    bay.plain_pytest()

    assert "listening" in (archives(bay)[0] / "shop.log").read_text()


SECRET = """
import asyncio, os

def test_it(postgres, dragonfly, nats):
    key = os.environ["API_KEY"]
    postgres.execute("INSERT INTO items (name) VALUES (%s)", [f"key {key}"])
    dragonfly.set("text", key)
    dragonfly.set(f"bytes {key}", b"\\xff" + key.encode())
    async def publish():
        async with nats.connect() as client:
            await client.jetstream().publish("orders.new", key.encode() + b"\\xff", headers={"Key": key})
    asyncio.run(publish())
    assert key == ""
"""


def test_secrets_are_not_kept(bay: Bay) -> None:
    """In no form of theirs; what is left of the values can be opened."""
    bay.tests(SECRET)
    manifest: Path = bay.service / "testbay.toml"
    manifest.write_text(manifest.read_text() + '[secrets]\nAPI_KEY = "/shop/api_key"\n')
    secret = "s3cret/+value-of-0815"
    bay.plain_pytest(API_KEY=secret)
    done = opened(bay, "1", "sh", "-c", 'psql -Atc "SELECT name FROM items" && redis-cli -u $REDIS_URL get text')

    files = [file for file in archives(bay)[0].iterdir() if masking.Scan([secret]).finds(file)]
    assert ([file.name for file in files], done.lines[-2:]) == ([], ["key ***", "***"]), done.out


LARGE = """
def test_large(postgres, dragonfly, nats):
    postgres.execute("CREATE TABLE large AS SELECT repeat(md5(i::text), 100) t FROM generate_series(1, 20000) i")
    postgres.execute("INSERT INTO items (name) VALUES ('small')")
    dragonfly.set("large", b"x" * (11 << 20))
    dragonfly.set("small", "1")
    assert False
"""


def test_an_archive_has_a_limit(bay: Bay) -> None:
    """Beyond it the largest things are left out, and named."""
    bay.tests(LARGE)
    bay.plain_pytest()
    done = opened(bay, "test_large", "psql", "-Atc", "SELECT name, (SELECT count(*) FROM large) FROM items")

    assert done.lines[-1] == "small|0", done.out
    assert "    not kept: postgres.sql is without the rows of public.large" in done.lines
    assert "    not kept: dragonfly.jsonl is without 1 keys" in done.lines


UNREACHABLE = """
import os, signal
import psutil, psycopg, pytest

@pytest.fixture
def frozen(bay):
    port = bay.dragonfly.port
    [server] = {c.pid for c in psutil.net_connections("tcp") if c.laddr.port == port and c.status == "LISTEN"}
    os.kill(server, signal.SIGSTOP)
    yield
    os.kill(server, signal.SIGCONT)

@pytest.fixture
def locked(bay):
    with psycopg.connect(bay.postgres.dsn) as connection:
        connection.execute("LOCK items")
        yield

def test_locked(frozen, locked): assert False
"""


def test_a_dependency_that_does_not_answer(bay: Bay) -> None:
    """Is named with its reason, and the others are kept: a lock that a test still has holds nothing up for ever."""
    bay.tests(UNREACHABLE)
    bay.plain_pytest()
    [index] = indexes(bay)

    said = [re.sub(r"[:;,(].*", "", text.partition(": ")[2]) for text in index["missing"]]  # type: ignore[attr-defined]
    assert said == ["canceling statement due to statement timeout", "Timeout reading from socket"]
    assert "not kept: dragonfly: Timeout" in opened(bay, "test_locked", "nats").out


def test_a_folder_that_cannot_be_written(bay: Bay) -> None:
    """Is a line in the report: the test's own failure stays the news."""
    bay.tests("def test_it(bay): assert 1 == 2\n")
    (bay.project / ".testbay").write_text("")
    done = bay.plain_pytest()

    assert "assert 1 == 2" in done.stdout
    assert "state not kept: " in done.stdout


def test_what_uses_a_stack_of_before(bay: Bay) -> None:
    """A manifest that needs less since then: what it does not have any more is said."""
    bay.tests("def test_it(bay): assert False\n")
    bay.plain_pytest()
    manifest: Path = bay.service / "testbay.toml"
    manifest.write_text('needs = ["postgres", "nats"]\n' + manifest.read_text().split("[env]")[0])

    assert "    not restored: dragonfly.jsonl: the service does not need it any more" in opened(bay, "1", "true").lines


def test_what_was_never_kept_cannot_be_shown(bay: Bay) -> None:
    """The streams of a service that needs none."""
    manifest: Path = bay.service / "testbay.toml"
    manifest.write_text('needs = ["postgres"]\n' + manifest.read_text().split("[env]")[0])
    bay.tests("def test_it(bay): assert False\n")
    bay.plain_pytest()
    done = opened(bay, "1", "nats")

    assert (done.code, done.lines[1]) == (10, f"error: {archives(bay)[0]} has no nats.jsonl")
    assert done.lines[3].startswith("  do:       open what is there: postgres")
