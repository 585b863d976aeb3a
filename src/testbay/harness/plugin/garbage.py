"""Python's garbage collection in pytest's processes, left out where it breaks a report or takes time for nothing."""

import atexit
import contextlib
import gc
import io
import sys
from collections.abc import Generator

import pytest

# gh-106905: on these Pythons the parser cannot be entered again while it works.
PARSER_IS_FRAGILE = sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2)
_BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


class PausedForReports:
    """Keeps Python from collecting garbage while pytest parses the source of a failed test.

    A finaliser that raises then, such as that of a client that outlived its event loop, has its own traceback parsed.
    The interrupted parse fails with a SystemError, "AST constructor recursion depth mismatch", and pytest ends.
    """

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Generator[None, object, object]:
        """Collect after the report of a failure, not during it."""
        if call.excinfo is None or not gc.isenabled():
            return (yield)
        gc.disable()
        try:
            return (yield)
        finally:
            gc.enable()


class SkippedInController:
    """Spares pytest-xdist's controller, which runs no tests, the five collections at pytest's end.

    pytest collects to warn of what tests left open: in the controller that is half a second for nothing.
    """

    def pytest_sessionfinish(self) -> None:
        """Exclude all present objects from collection."""
        gc.freeze()


def skip_at_exit() -> None:
    """End this process without Python's last collections; call it early, so that it acts after the suite's handlers.

    Through all modules of a suite they take a fifth of a second, after pytest's last line. pytest has collected twice
    by then, `atexit` still runs, modules are cleared, and buffered files are flushed. Only objects in reference cycles
    are not finalised, which Python does not promise either.
    """
    atexit.register(_skip)


def _skip() -> None:
    for found in gc.get_objects():
        if issubclass(type(found), _BUFFERED):  # `isinstance` would call a proxy's `__class__`
            with contextlib.suppress(OSError, ValueError):
                found.flush()
    gc.freeze()
