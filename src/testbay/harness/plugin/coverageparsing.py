"""Parsing each measured file once for all reports of coverage.py: parsing takes most of a report's time."""

from collections.abc import Callable, Generator
from typing import Any

import pytest

_FILES = 1000  # whose readings are kept until the end: each takes some memory


class OneParse:
    """Shares coverage.py's parse of a file between the total, the JSON and the XML report."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Begin after the last test, before pytest-cov's own hook writes the reports."""
        try:
            return (yield)
        finally:
            self.begin()

    def begin(self) -> None:
        """Parse each file once from now on. A coverage.py with other internal names is left as it is."""
        from coverage import Coverage

        make: Callable[[Any, Any], Any] | None = getattr(Coverage, "_get_file_reporter", None)
        if make is None:
            return

        def reporter(measured: Any, morf: Any) -> Any:
            kept = vars(measured).setdefault("testbay_readings", {})
            if morf in kept:
                return kept[morf]
            found = make(measured, morf)
            try:
                found.lines()
            except Exception:  # noqa: BLE001 - no Python: each report says so by itself, of a fresh one
                return make(measured, morf)
            if len(kept) < _FILES:
                kept[morf] = found
            return found

        self._patch.setattr(Coverage, "_get_file_reporter", reporter)

    def pytest_unconfigure(self) -> None:
        """Restore coverage.py's own functions."""
        self._patch.undo()
