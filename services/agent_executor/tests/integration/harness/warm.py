"""An interpreter that has loaded the service's libraries and waits for the word to become the service.

Loading them takes a process seconds. A spare one does that on an idle core while other tests run, so that a test
that kills the service need not wait for it. Of the service itself nothing is loaded before the word is given.

Usage: warm.py MODULE [ARGUMENT…], then a line on standard input to become `python -m MODULE ARGUMENT…`.
"""

import gc
import importlib
import runpy
import sys

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
        sys.argv = sys.argv[1:]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
