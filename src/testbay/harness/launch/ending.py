"""The end of a forked Python. Part of the program `forkserver.py`, and of the tests' forks: nothing is imported."""

import atexit
import contextlib
import gc
import io
import sys
import threading


def finish(code: int) -> None:
    """Do what Python does at its end, without its last step; what follows is `os._exit(code)`.

    That step finalises every library, and so copies the fork's memory: it costs five times the rest of a start and an
    end. It also flushes files that were left open; so does this. Objects from before the fork have to be frozen.
    """
    threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 - waits for the threads that are no daemons
    atexit._run_exitfuncs()  # noqa: SLF001 - coverage saves what it measured, logging flushes
    for found in gc.get_objects():
        if issubclass(type(found), io.IOBase):  # isinstance would ask the object, which may be of any library
            with contextlib.suppress(OSError, ValueError):
                found.flush()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        sys.exit(code)  # nothing reads it, or it is closed: Python knows what to make of that
