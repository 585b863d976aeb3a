"""An interpreter that has loaded the service's libraries, and forks itself to become the service, as often as asked.

Loading them takes a process seconds, and twice that while coverage traces it. Here it is done once, untraced, while
tests are collected; each start of the service, the first one and those after a test has ended it, is a fork that only
has the service's own code left to load. Of that nothing is loaded, and nothing measured, before the fork. No library
starts a thread by being imported, so that nothing is lost in a fork.

Usage: warm.py DESCRIPTOR MODULE [ARGUMENT…]; then each line on standard input, a JSON object of environment variables,
starts `python -m MODULE ARGUMENT…` with them. The descriptor is told `started PID`, and `ended CODE` when it has.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import sys
from collections.abc import Mapping, Sequence

import coverage

LIBRARIES = (
    "fastapi",
    "langgraph.graph",
    "langgraph.checkpoint.postgres.aio",
    "nats",
    "openai",
    "redis.asyncio",
    "uvicorn",
)
PR_SET_PDEATHSIG = 1


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is for pytest, which then ends us
    gc.disable()  # as the service does while it loads them
    for library in LIBRARIES:
        importlib.import_module(library)
    report = int(sys.argv[1])
    while line := sys.stdin.readline():
        pid = os.fork()
        if not pid:
            os.close(report)
            _become(sys.argv[2:], json.loads(line))
            return
        os.write(report, f"started {pid}\n".encode())
        os.write(report, f"ended {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())


def _become(argv: Sequence[str], env: Mapping[str, str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # pytest killed, we are, and then it is
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())  # ours is not for it to read
    os.environ.update(env)
    coverage.process_startup()
    sys.argv = [*argv]
    runpy.run_module(argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
