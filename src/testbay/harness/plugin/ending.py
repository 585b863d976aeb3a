"""The end of pytest's process in `testbay run`, without Python's last searches for garbage.

Through all modules of a suite they take a fifth of a second, after the last line that pytest has written. Everything
else is as it was: pytest has searched twice, `atexit` runs, modules are cleared. Objects that refer to each other, and
that something still used, end with the process; Python promises no more. Files among them are written to their end.
"""

import atexit
import contextlib
import gc
import io

_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def shorten() -> None:
    """Do so when this process ends; called early, so as to come after what the suite does then."""
    atexit.register(_leave_garbage)


def _leave_garbage() -> None:
    for found in gc.get_objects():
        if issubclass(type(found), _BUFFERED):  # `isinstance` would ask a proxy what it stands for
            with contextlib.suppress(OSError, ValueError):
                found.flush()
    gc.freeze()
