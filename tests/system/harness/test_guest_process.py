"""testbay in a stranger's test process: what tests fake, fork and leave open, and what callers have set."""

import os
import signal

import pytest
from tests.system.fakes.guest import MANIFEST, Guest
from tests.system.fakes.watched import soon

OLD = """import os, psycopg, pytest
@pytest.fixture(scope="session")
def connection():
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as open_connection:
        yield open_connection
def test_old(connection):
    connection.execute("INSERT INTO items (name) VALUES ('old')")
"""
LEASED = """def test_leased(postgres):
    assert postgres.execute("SELECT count(*) FROM items").fetchone() == (0,)
"""


def test_old_tests_and_leased_ones_live_in_one_suite(guest: Guest) -> None:
    """A session that stays open stops no lease, and what its tests wrote is in none."""
    guest.write({"tests/test_a.py": OLD, "tests/test_b.py": LEASED})

    done = guest.run("run")

    assert done.code == 0, done.out


FAKES = {
    "freezegun": """import pytest
from freezegun import freeze_time
@pytest.fixture(autouse=True)
def frozen():
    with freeze_time("2020-01-01"):
        yield
""",
    "time-machine": """import pytest, time_machine
@pytest.fixture(autouse=True)
def frozen():
    with time_machine.travel(0, tick=False):
        yield
""",
    "pyfakefs": """import pytest
@pytest.fixture(autouse=True)
def faked(fs):
    yield
""",
    "pytest-socket": """import pytest, pytest_socket
@pytest.fixture(autouse=True)
def no_sockets():
    pytest_socket.disable_socket()
    yield
    pytest_socket.enable_socket()
@pytest.fixture
def real_sockets(no_sockets):
    pytest_socket.enable_socket()
""",
    "eventlet": "import eventlet\neventlet.monkey_patch()\n",
    "gevent": "from gevent import monkey\nmonkey.patch_all()\n",
    "": """import os, pytest, socket, time
def never(*_, **__): raise RuntimeError("faked")
@pytest.fixture(autouse=True)
def faked(monkeypatch):
    for name in ("open", "stat", "getpid"):
        monkeypatch.setattr(os, name, never)
    for module, name in ((time, "monotonic"), (time, "sleep"), (socket, "socket")):
        monkeypatch.setattr(module, name, never)
    monkeypatch.setattr("builtins.open", never)
    yield
""",
}
SESSIONS = """import psycopg
def test_leaves_a_session(bay, real_sockets):
    test_leaves_a_session.kept = psycopg.connect(bay.postgres.dsn)
def test_makes_a_table(postgres, dragonfly_url):
    postgres.execute("CREATE TABLE more ()")
def test_next(postgres, dragonfly_url):
    assert postgres.execute("SELECT to_regclass('more')").fetchone() == (None,)
def test_without():
    pass
def test_client(redis):
    redis.set("key", "value")
def test_last(postgres):
    assert postgres.execute("SELECT count(*) FROM items").fetchone() == (0,)
"""
URL = "\n@pytest.fixture\ndef real_sockets():\n    pass\n"
URL += "\n@pytest.fixture\ndef dragonfly_url(bay):\n    return bay.dragonfly.url\n"


@pytest.mark.parametrize("tool", list(FAKES))
def test_fixtures_hold_in_a_faked_world(guest: Guest, tool: str) -> None:
    """Clocks, files and sockets that a test fakes are not those of testbay."""
    if tool:
        guest.tools(tool)
    conftest = f"import pytest\n{URL}\n{FAKES[tool]}"
    manifest = MANIFEST.replace('["postgres"]', '["postgres", "dragonfly"]')
    guest.write({"tests/conftest.py": conftest, "tests/test_it.py": SESSIONS, "testbay.toml": manifest})

    done = guest.pytest("-q", *([] if tool else ["--deselect=tests/test_it.py::test_client"]))  # redis-py's own clock

    assert (done.code, f"{6 if tool else 5} passed" in done.out) == (0, True), done.out


def test_test_in_a_fork_is_told_that_it_has_no_lease(guest: Guest) -> None:
    """Leases cannot be made there, and two forks would take the same one; pytest-forked may lose the child's words."""
    guest.tools("pytest-forked")
    guest.write({"tests/test_it.py": LEASED + "def test_again(bay):\n    pass\n"})

    done = guest.run("run", "--", "--forked")

    assert (done.code, "2 failed" in done.out) == (1, True), done.out
    said = "no lease: a fork of pytest's process asks for it, and two forks would get the same one"
    assert done.lines.count(said) == 2, done.out


def test_test_that_forks_takes_no_lease_in_its_child(guest: Guest) -> None:
    """The refusal comes at once, without a wait for a thread that the fork lacks."""
    text = """import os, pytest
def test_forks(bay, testbay):
    if (child := os.fork()) == 0:
        with pytest.raises(pytest.fail.Exception, match="no lease: a fork of pytest's process"), testbay.lease():
            pass
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""
    guest.write({"tests/test_it.py": text})

    done = guest.pytest("-q")

    assert done.code == 0, done.out


def test_forked_child_keeps_no_stack(guest: Guest) -> None:
    """A child of a test outlives a killed pytest; the stack does not."""
    text = """import os, pathlib, time
def test_forks(postgres):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    pathlib.Path("pids").write_text(f"{os.getpid()} {child}")
    time.sleep(60)
"""
    guest.write({"tests/test_it.py": text})
    with guest.start_pytest() as started:
        parent, child = guest.await_text("pids").split()
        os.kill(int(parent), signal.SIGKILL)
        started.wait()

    try:
        assert soon(lambda: [line.split()[0] for line in guest.left(0)] == [child])
    finally:
        os.kill(int(child), signal.SIGKILL)


@pytest.mark.parametrize(
    "variable",
    [
        "PGSSLMODE=require",
        "PGSERVICE=prod",
        "PGHOSTADDR=127.0.0.9",
        "PGOPTIONS=-c search_path=prod",
        "PGREQUIREAUTH=none",
    ],
)
def test_variables_of_libpq_lead_nowhere(guest: Guest, variable: str) -> None:
    """They are for another database: of the caller's, in whose environment the tests run."""
    text = """import os, subprocess, sys
ASK = "import psycopg, sys; psycopg.connect(sys.argv[1]).execute('SELECT 1 FROM items')"  # libpq, as psql is
def test_leased(postgres, bay):
    postgres.execute("SELECT 1 FROM items")
    subprocess.run([sys.executable, "-c", ASK, bay.postgres.dsn], env=bay.env, check=True)
def test_without():
    assert os.environ[NAME]
"""
    name, _, value = variable.partition("=")
    guest.write({"tests/test_it.py": text.replace("NAME", repr(name))})

    done = guest.pytest("-q", **{name: value})

    assert done.code == 0, done.out


def test_proxy_is_not_asked_for_loopback(guest: Guest) -> None:
    """Neither for whether the service is ready nor by its client."""
    start = 'start = "python -m http.server --bind 127.0.0.1 {port}"\n'
    text = "def test_asked(service):\n    assert service.client.get('/').status_code == 200\n"
    guest.write({"testbay.toml": MANIFEST + start, "tests/test_it.py": text})

    done = guest.pytest("-q", http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9", all_proxy="socks5://x")

    assert done.code == 0, done.out


def test_command_of_a_background_shell_can_be_interrupted(guest: Guest) -> None:
    """Such a shell has its children ignore Ctrl-C; and it may return before them."""
    ask = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    guest.write({"tests/test_it.py": LEASED})
    line = f'{guest.testbay} exec -- python -c "{ask}" > out.txt 2>&1 & echo returned'

    done = guest.type(line)

    assert done.lines == ["returned"]
    assert "True" in guest.await_text("out.txt", "True").splitlines()
