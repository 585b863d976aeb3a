"""Nothing is left, really: what a service or a test starts ends with it, also daemons in sessions of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.system.conftest import Bay

from testbay.fixtures import eventually

SECONDS = 70_000 + os.getpid() % 10_000
SPAWN = f"""
import os, subprocess, sys

def daemons(env):
    subprocess.Popen(["sleep", "{SECONDS}"], start_new_session=True, env=env)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execve("/bin/sleep", ["sleep", "{SECONDS}"], env)
        os._exit(0)
    os.wait()
"""
SERVICE = f"""{SPAWN}
from http.server import HTTPServer, SimpleHTTPRequestHandler
daemons({{}})
daemons(os.environ)
HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""
WAIT = 'open("started", "w").close(); time.sleep(float(os.environ.get("HOLD", "0")))'
BY_A_SERVICE = f"import os, time\ndef test_it(service):\n    {WAIT}\n    assert not os.environ.get('FAIL')\n"
BY_A_TEST = f"""{SPAWN}
import time

def test_it(dragonfly):
    daemons(os.environ)
    if "TESTBAY_RUN_DIR" in os.environ:  # plain pytest has no reaper above it, which alone knows such a daemon
        daemons({{}})
    {WAIT}
    assert not os.environ.get("FAIL")
"""


def sleeping() -> list[int]:
    """The daemons that still live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cmdline").read_bytes() == f"sleep\0{SECONDS}\0".encode():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def left(within_s: float = 30.0) -> list[int]:
    deadline = time.monotonic() + within_s
    while (found := sleeping()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return found


@contextmanager
def held(bay: Bay, how: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run that waits once its daemons are there; it is killed at the end."""
    env = bay.environ | {"HOLD": "60"}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command(bay, how), cwd=bay.project, env=env, stdout=quiet, stderr=quiet) as child:
        try:
            eventually(lambda: list(bay.project.rglob("started")) and len(sleeping()) >= 2, "two daemons", 60)
            yield child
        finally:
            child.kill()


@pytest.fixture(params=["service", "test"])
def daemonic(bay: Bay, request: pytest.FixtureRequest) -> Bay:
    """A project whose service, or whose test, leaves four daemons."""
    bay.tests(BY_A_SERVICE if request.param == "service" else BY_A_TEST)
    (bay.service / "daemonic.py").write_text(SERVICE)
    manifest = bay.service / "testbay.toml"
    manifest.write_text('start = "python daemonic.py {port}"\nready = "/"\n' + manifest.read_text())
    return bay


def command(bay: Bay, how: str) -> list[str]:
    plain = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(bay.service)]
    return plain if how == "pytest" else [sys.executable, "-m", "testbay", "run", "shop"]


@pytest.mark.parametrize("how", ["pytest", "testbay run"])
@pytest.mark.parametrize(
    "fail", [pytest.param("", id="passed"), pytest.param("1", id="failed", marks=pytest.mark.slow)]
)
def test_daemons_end_with_what_started_them(daemonic: Bay, how: str, fail: str) -> None:
    """After a pass and a failure alike."""
    env = daemonic.environ | {"FAIL": fail}
    done = subprocess.run(command(daemonic, how), cwd=daemonic.project, env=env, capture_output=True, check=False)

    assert (list(daemonic.project.rglob("started")) != [], done.returncode) == (True, 1 if fail else 0)
    assert left() == []


@pytest.mark.parametrize("how", ["pytest", "testbay run"])
def test_daemons_end_when_their_owner_is_killed(daemonic: Bay, how: str) -> None:
    """SIGKILL lets nobody say goodbye."""
    with held(daemonic, how) as child:
        child.kill()
        child.wait()

    assert left() == []


@pytest.mark.parametrize("which", [0, 1], ids=["outer", "inner"])
def test_a_killed_reaper_leaves_what_it_watched_to_the_other(bay: Bay, which: int) -> None:
    """Whichever of the two, and the caller too; an empty environment hides no daemon."""
    bay.tests(BY_A_TEST)
    with held(bay, "testbay run") as child:
        reapers = sorted(int(line.split()[0]) for line in bay.processes() if "reaper.py" in line)
        os.kill(reapers[which], signal.SIGSTOP)  # it cannot do its work before it is killed
        os.kill(reapers[which], signal.SIGKILL)
        child.kill()
        child.wait()

    assert (len(reapers), left()) == (2, [])


def test_a_kept_stack_ends_what_one_caller_started(daemonic: Bay) -> None:
    """The stack stays for others; what the tests of one caller left does not."""
    daemonic.run("up", "shop", "--keep")
    done = daemonic.run("run", "shop")
    found = left()
    daemonic.run("down")

    assert (done.code, found) == (0, [])
