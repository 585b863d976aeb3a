"""What the sandbox costs: the starts of bench/start.py and the leases of bench/isolation.py, with and without it.

Usage: .venv/bin/python bench/sandbox.py [--starts 40] [--leases 10] [--tests 300]

Both take turns in one run. "Without" is the same code on a kernel that refuses Landlock: a filter of system calls
answers for it, and the other side has one that refuses nothing. The wall clock is the bench's own figure; processor
seconds are those of everything a turn started (servers too). As root it runs before every other program: what those
do moves either ratio by 5 % and more.
"""

import argparse
import contextlib
import ctypes
import errno
import io
import json
import os
import random
import shutil
import statistics
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

_HERE = sys.path.pop(0)
import secrets  # noqa: E402, F401 - that of Python, before the measurement of that name hides it

sys.path.insert(0, _HERE)
import isolation  # noqa: E402
import isolation_project  # noqa: E402
import start  # noqa: E402

from testbay.harness.engines import sandbox  # noqa: E402
from testbay.harness.stack import prepare, stack  # noqa: E402
from testbay.output import Voice  # noqa: E402

_LANDLOCK, _NOTHING = 444, 0xFFFF  # system calls: landlock_create_ruleset, one that no kernel has
_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2


def main() -> None:
    """Measure both, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=40, help="warm starts of three servers, each way (default 40)")
    parser.add_argument("--leases", type=int, default=10, help="runs of pytest, each way (default 10)")
    parser.add_argument("--tests", type=int, default=300, help="tests with all three leases in a run (default 300)")
    arguments = parser.parse_args()
    if not sandbox.abi():
        sys.exit("this kernel has no Landlock: there is nothing to compare")
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # and so all that it starts
    print(f"{'what':<44} {'with':>10} {'without':>10} {'ratio':>7}")
    if arguments.starts:
        starts(arguments.starts)
    if arguments.leases:
        leases(arguments.leases, arguments.tests)


def starts(rounds: int) -> None:
    """As bench/start.py: a warm start, all three ready."""
    with tempfile.TemporaryDirectory(prefix="testbay-bench-") as folder:
        project = Path(folder) / "project"
        shutil.copytree(start.TEMPLATE, project)
        shutil.copy(start.REPOSITORY / "docker-compose.test.yml", project)
        asked = start.asked_for(project, Path(folder) / "cache", "embedded")
        cold = stack.start(asked)
        prepare.prepare(cold, Voice(io.StringIO()))
        cold.stop()
        compare("start to all three ready", "start and stop", rounds, lambda: start.our_start(asked) * 1000)


def leases(rounds: int, tests: int) -> None:
    """As bench/isolation.py: setup and teardown of a test with a lease of all three."""
    [ours] = [one for one in isolation_project.PLAN if one.name == "testbay-all"]
    with isolation_project.site() as here:
        isolation.measure(ours, 5, 1, here)  # makes the templates

        def cost_ms() -> float:
            return isolation.measure(ours, tests, 1, here).cost_ms

        compare("a lease, setup and teardown", f"pytest and its servers, {tests} leases", rounds, cost_ms)


def compare(own: str, everything: str, rounds: int, turn: Callable[[], float]) -> None:
    """Turns in random order, so that no way always comes first; medians."""
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for _ in range(rounds):
        for caged in random.sample((True, False), 2):
            found[caged].append(apart(turn, caged=caged))
    for what, column in ((f"{own}: wall", 0), (f"{everything}: processor", 1)):
        caged, bare = (statistics.median(one[column] for one in found[way]) for way in (True, False))
        print(f"{what:<44} {caged:8.2f}ms {bare:8.2f}ms {caged / bare:6.3f}x", flush=True)


def apart(turn: Callable[[], float], *, caged: bool) -> tuple[float, float]:
    """One turn in a process of its own: its figure in ms, and the processor time of all that it started, in ms."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reads)
        refuse(_NOTHING if caged else _LANDLOCK)
        with open(writes, "w") as answer:  # noqa: PTH123 - a descriptor
            json.dump(turn(), answer)
        os._exit(0)
    os.close(writes)
    with open(reads) as answer:  # noqa: PTH123
        figure = float(json.loads(answer.read()))
    _, _, used = os.wait4(child, 0)
    return figure, (used.ru_utime + used.ru_stime) * 1000


def refuse(number: int) -> None:
    """Have the kernel answer "no such system call" to one, in this process and all that it starts."""
    program = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | errno.ENOSYS), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    prepared = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_SECCOMP, _FILTER, prepared, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel refused a filter of system calls")
    sandbox.abi.cache_clear()
    if bool(sandbox.abi()) != (number != _LANDLOCK):
        raise SystemExit("the filter does not do what it should: the figures would mean nothing")


if __name__ == "__main__":
    main()
