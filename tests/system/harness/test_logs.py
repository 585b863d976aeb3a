"""`testbay logs`, and `testbay up` for a person who watches: what the servers say, while they say it."""

import os
import pty
import signal
import subprocess
import sys
import time

from tests.system.conftest import Bay

ASK = "psql -c 'select 6 * nothing'"
REFUSED = """import psycopg, pytest
def test_it(postgres):
    with pytest.raises(psycopg.Error):
        postgres.execute("select 6 * nothing")
"""
SAID = 'ERROR:  column "nothing" does not exist'


def test_the_newest_run_is_shown_where_nothing_runs(bay: Bay) -> None:
    """Each line behind its server's name; one server alone, and as many lines as asked for."""
    bay.tests(REFUSED)
    assert bay.run("run", "shop").code == 0

    shown = bay.run("logs", "shop", "--only", "postgres", "-n", "-1")
    none = bay.run("logs", "--only", "mongo")

    assert any(SAID in line and line.startswith("postgres | ") for line in shown.lines), shown.out
    assert {line.partition(" ")[0] for line in shown.lines} == {"postgres"}
    assert (none.code, none.lines[0].startswith("error: no log of mongo in ")) == (10, True)


def test_without_stack_and_run_it_says_how_to_get_one(bay: Bay) -> None:
    """No log is no empty answer."""
    done = bay.run("logs")

    assert (done.code, done.lines[0]) == (10, "error: nothing of this project runs, and no run of it is recorded")


def test_a_running_stack_is_followed_until_it_ends(bay: Bay) -> None:
    """What a server logs from here on comes too; the end of the stack ends the command."""
    assert bay.run("up", "shop", "--keep").code == 0
    follower = bay.start("logs", "shop", "-f", "-n", "0")
    try:
        deadline = time.monotonic() + 60
        said = ""
        while SAID not in said and time.monotonic() < deadline:
            bay.run("exec", "shop", "--", "sh", "-c", f"{ASK} || true")
            said += read_new(follower)
        assert SAID in said
        assert bay.run("down", "shop").code == 0
        assert follower.wait(timeout=60) == 0
    finally:
        follower.kill()
        follower.communicate()


def read_new(child: "subprocess.Popen[str]") -> str:
    """What it has said since, without waiting for more."""
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    try:
        return os.read(child.stdout.fileno(), 1 << 20).decode()
    except BlockingIOError:
        return ""


def test_up_on_a_terminal_shows_ports_and_logs(bay: Bay) -> None:
    """Where each server listens, and the last lines of its log; Ctrl-C ends it as before."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "testbay", "up", "shop"]
    child = subprocess.Popen(argv, cwd=bay.project, env=bay.environ | {"TERM": "xterm"}, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = ""
    try:
        deadline = time.monotonic() + 100
        while "postgres" not in said.partition("Ctrl-C ends it")[2] and time.monotonic() < deadline:
            said += os.read(ours, 65536).decode(errors="replace")
        child.send_signal(signal.SIGINT)
        while True:
            said += os.read(ours, 65536).decode(errors="replace")
    except OSError:
        assert child.wait(timeout=60) == 0  # the terminal's other end is closed
    finally:
        child.kill()
        child.wait()
        os.close(ours)

    assert "# PostgreSQL " in said
    assert " on localhost:" in said
    assert "postgres  | " in said
