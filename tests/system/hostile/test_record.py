"""Secrets and a run's record: its logs are masked while they are copied, so that no kill leaves a value there."""

import os
import signal
from pathlib import Path

import pytest
from tests.system.conftest import Bay

from testbay.fixtures import eventually

CANARY = "sk-canary-9f8e7d6c5b4aZZQQ11"
SERVICE = """
import os, sys
from http.server import HTTPServer, SimpleHTTPRequestHandler
print("key", os.environ["CANARY_KEY"], os.environ["CANARY_KEY"][::-1], flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""
TESTS = """
import os, time, warnings, pytest

def test_logs(service, postgres):
    with pytest.raises(Exception):
        postgres.execute("SELECT nothing FROM nowhere WHERE key = '" + os.environ["CANARY_KEY"] + "'")
    open("held", "w").close()
    time.sleep(float(os.environ.get("HOLD", "0")))

@pytest.mark.parametrize("key", [os.environ["CANARY_KEY"], "other", *(
    pytest.param(n, id=os.environ["CANARY_KEY"] + " " * n) for n in range(3)
)])
def test_named(key):
    print(os.environ["CANARY_KEY"])
    warnings.warn(f"key {key}")

@pytest.mark.skip(reason=os.environ["CANARY_KEY"])
def test_not_now():
    pass

@pytest.mark.xfail(reason=os.environ["CANARY_KEY"])
def test_never(record_property):
    record_property("key", os.environ["CANARY_KEY"])
    assert 0
"""


@pytest.fixture
def secretive(bay: Bay) -> Bay:
    """A service whose secret gets into two logs."""
    bay.tests(TESTS)
    (bay.service / "speaking.py").write_text(SERVICE)
    manifest = bay.service / "testbay.toml"
    start = 'start = "python speaking.py {port}"\nready = "/"\n'
    manifest.write_text(start + manifest.read_text() + '\n[secrets]\n"CANARY_*" = "/keys/*"\n')
    bay.environ |= {"CANARY_KEY": CANARY}
    return bay


def holding(folder: Path) -> list[str]:
    """The files that hold the value, one way or the other."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    forms = (CANARY.encode(), CANARY[::-1].encode())
    return [str(file) for file in files if any(form in file.read_bytes() for form in forms)]


def test_no_log_of_a_record_holds_a_secret(secretive: Bay) -> None:
    """That of a server, that of the service; all else of them is there."""
    done = secretive.run("run", "shop", "--", "-rA")
    [run] = (secretive.project / ".testbay/runs").iterdir()

    assert (done.code, CANARY in done.out, "UserWarning: key ***" in done.out) == (0, False, True), done.out
    assert holding(secretive.project / ".testbay") == []
    assert "key *** ***" in (run / "logs/service-lease1.log").read_text()
    assert "WHERE key = '***'" in (run / "logs/postgres.log").read_text()


@pytest.mark.parametrize("name", ["conftest.py", "test_broken.py"])
def test_a_file_that_cannot_be_imported_shows_no_secret(secretive: Bay, name: str) -> None:
    """Pytest prints the error before any test, and of a conftest without a report."""
    (secretive.service / "tests/integration" / name).write_text(
        "import os\nraise RuntimeError(os.environ['CANARY_KEY'])\n"
    )

    done = secretive.run("run", "shop")

    assert (done.code != 0, CANARY in done.out, "RuntimeError: ***" in done.out) == (True, False, True), done.out
    assert holding(secretive.project / ".testbay") == []


def test_a_failed_migration_shows_no_secret(secretive: Bay) -> None:
    """What it printed is the evidence, in the log of CI and in the record."""
    manifest = secretive.service / "testbay.toml"
    kept = [line for line in manifest.read_text().splitlines(keepends=True) if not line.startswith("migrations")]
    manifest.write_text('migrate = "echo key $CANARY_KEY; exit 3"\n' + "".join(kept))

    done = secretive.run("run", "shop")

    assert (done.code, CANARY in done.out, "evidence: key ***" in done.out) == (13, False, True), done.out
    for words in (["up", "shop"], ["exec", "shop", "--", "true"]):
        done = secretive.run(*words)
        assert (done.code, CANARY in done.out, "evidence: key ***" in done.out) == (13, False, True), done.out
    assert holding(secretive.project / ".testbay") == []


@pytest.mark.parametrize("word", [["run", "shop"], ["with-secrets", "shop", "--from-env", "--"]])
def test_a_kill_leaves_no_value(secretive: Bay, word: list[str]) -> None:
    """Whoever was killed: what is in the record at any moment has been masked."""
    own = [] if word[0] == "run" else ["testbay", "run", "shop"]
    secretive.environ["PATH"] = f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"  # type: ignore[attr-defined]
    child = secretive.start(*word, *own, HOLD="30")
    eventually(lambda: list(secretive.project.rglob("held")), "the test to hold", 200)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()  # type: ignore[union-attr]

    assert list(secretive.project.rglob("held")) != []
    assert holding(secretive.project / ".testbay") == []
    assert secretive.left(within_s=30) == []  # the one that lives on tears down in order
