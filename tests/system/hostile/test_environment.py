"""What a developer has set for something else does not lead testbay away from its own servers."""

import subprocess
import sys

import pytest
from tests.system.conftest import Bay

ELSEWHERE = {
    "PGSSLMODE": "require",
    "PGSERVICE": "elsewhere",
    "PGHOSTADDR": "127.0.0.9",
    "PGTARGETSESSIONATTRS": "standby",
    "PGCHANNELBINDING": "require",
    "PGREQUIREAUTH": "none",
    "PGOPTIONS": "-c statement_timeout=1 -c default_transaction_read_only=on",
    "PGGSSENCMODE": "require",
    "PGPASSFILE": "/nowhere",
    "PGMINPROTOCOLVERSION": "latest",
    "PGSSLNEGOTIATION": "direct",
    "PGCLIENTENCODING": "SQL_ASCII",
}

TESTS = """
import os

def test_a_session(postgres):
    postgres.execute("INSERT INTO items (name) VALUES ('tea')")
    assert postgres.execute("SHOW client_encoding").fetchone() == ("UTF8",)
    assert "PGSERVICE" not in os.environ

def test_a_session_through_faults(postgres, faults):
    postgres.execute("INSERT INTO items (name) VALUES ('tea')")
"""


def test_libpqs_variables_lead_nowhere(bay: Bay) -> None:
    """All of them at once, for the tests own code, too."""
    bay.tests(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", bay.service],
        env=bay.environ | ELSEWHERE,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "2 passed" in done.stdout


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_a_proxy_is_not_asked_for_the_service(bay: Bay, name: str) -> None:
    """It could not reach our loopback."""
    bay.tests("def test_it(service):\n    assert service.client.get('/').status_code < 500\n")
    manifest = bay.service / "testbay.toml"
    server = 'start = "python -m http.server {port} --bind 127.0.0.1"\nready = "/"\n'
    manifest.write_text(server + manifest.read_text())
    done = bay.run("run", "shop", **{name: "http://127.0.0.1:9"})

    assert done.code == 0, done.out


def test_a_python_that_would_stay_makes_no_green_run_red(bay: Bay) -> None:
    """With PYTHONINSPECT each Python begins a dialogue at its end, and ends with 1: pytest, and testbay itself."""
    bay.tests("def test_it():\n    pass\n")
    done = bay.type(f"umask 777; {sys.executable} -m testbay run shop", PYTHONINSPECT="1", PYTHONOPTIMIZE="1")

    assert (done.code, "✅ Tests: 1 passed" in done.out, "Traceback" in done.out) == (0, True, False), done.out
    assert "    note: PYTHONOPTIMIZE is set: Python executes no `assert` outside of the test files" in done.out
