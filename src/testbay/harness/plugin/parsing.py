"""Reports of failures on Pythons whose parser cannot be entered again while it works (gh-106905)."""

import gc
import sys
from collections.abc import Generator

import pytest

IS_NEEDED = sys.version_info < (3, 11, 8) or (3, 12) <= sys.version_info < (3, 12, 2)


class Undisturbed:
    """Keeps Python from collecting garbage while pytest parses the source of what failed.

    A finaliser that raises just then has its own traceback parsed, as a client does that outlived its event loop. The
    parse that it interrupted fails with a SystemError, "AST constructor recursion depth mismatch", and pytest ends.
    """

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> Generator[None, object, object]:
        """Collect later, where there is a failure to describe."""
        if call.excinfo is None or not gc.isenabled():
            return (yield)
        gc.disable()
        try:
            return (yield)
        finally:
            gc.enable()
