"""A guard that lives and is silent (SIGSTOP): what waits for it ends, in a sentence, and nothing is left."""

import os
import signal
import time
from pathlib import Path

from tests.system.conftest import Bay

# The lease's server is remade after a subscriber is left, for which the guard is asked.
TESTS = """
import os, pathlib, signal, time

def test_one(dragonfly, request):
    dragonfly.config_set("maxmemory", "0")  # so that its server is made anew
    [guard] = [int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit() and worker(p)]
    os.kill(guard, signal.SIGSTOP)

def test_two(dragonfly):
    pass

def worker(process):
    try:
        parent = process.joinpath("stat").read_text().rpartition(")")[2].split()[1]
        return (os.environ["TESTBAY_CACHE_DIR"] in process.joinpath("cmdline").read_text()
                and "guard" in process.joinpath("comm").read_text()
                and "guard" in pathlib.Path("/proc", parent, "comm").read_text())
    except OSError:
        return False
"""


def guards(bay: Bay) -> list[int]:
    return [int(line.split()[0]) for line in bay.processes() if "testbay.harness.stack.guard" in line]


def test_a_lease_does_not_wait_for_a_silent_guard(bay: Bay) -> None:
    """The test that needs it fails and says why; the run ends by itself, and the stack with it."""
    bay.tests(TESTS)
    done = bay.run("run", "shop")

    assert "1 passed, 1 error" in done.out or "1 passed, 1 failed" in done.out, done.out
    assert "the stack's guard lives, but did not answer within 20 s" in done.out
    assert (done.code, bay.left(within_s=30)) == (1, [])


def test_down_ends_a_stack_whose_guard_is_silent(bay: Bay) -> None:
    """Both halves of the guard were stopped: they are ended, and their stack is collected."""
    bay.run("up", "shop", "--keep")
    for guard in guards(bay):
        os.kill(guard, signal.SIGSTOP)
    done = bay.run("down")

    assert (done.code, done.out.startswith("ended shop-")) == (0, True), done.out
    assert bay.left(within_s=30) == []


def test_a_held_lock_does_not_hang_what_comes_after(bay: Bay, tmp_path: Path) -> None:
    """A stopped guard holds the lock of its own stack alone: others start beside it."""
    bay.run("up", "shop", "--keep")
    stopped = guards(bay)
    for guard in stopped:
        os.kill(guard, signal.SIGSTOP)
    began = time.monotonic()
    done = bay.run("run", "shop")
    bay.run("down")

    assert (done.code, time.monotonic() - began < 60) == (0, True), done.out
