"""An interpreter that has loaded the service's libraries and waits for the word to become the service.

Loading them takes a process seconds, and twice that while coverage traces it: measuring begins after them, with the
service's first line. A spare interpreter loads them on an idle core while other tests run, so that a test that kills
the service need not wait for it. Of the service itself nothing is loaded before the word is given.

Usage: warm.py MODULE [ARGUMENT…], then a line on standard input to become `python -m MODULE ARGUMENT…`.
"""

import gc
import importlib
import os
import runpy
import sys

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


def main() -> None:
    gc.disable()  # as the service does while it loads them
    for library in LIBRARIES:
        importlib.import_module(library)
    if sys.stdin.readline():
        for name in [name for name in os.environ if name.startswith("LATER_")]:
            os.environ[name.removeprefix("LATER_")] = os.environ.pop(name)
        coverage.process_startup()
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
