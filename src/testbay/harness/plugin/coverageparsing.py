"""Parsing each measured file once for all reports of coverage.py: parsing takes most of a report's time."""

import gc
from collections.abc import Callable, Generator
from typing import Any

import pytest

_FILES = 1000  # whose readings are kept until the end: each takes some memory


class OneParse:
    """Shares coverage.py's parse of a file between the total, the JSON and the XML report.

    Meanwhile Python collects no garbage: a syntax tree has no cycles, and looking through it and all that the suite has
    loaded takes a quarter of the reports' time.
    """

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()
        self._collects = False
        self._kept: dict[tuple[Any, Any], Any] = {}

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Begin after the last test, before pytest-cov's own hook writes the reports."""
        try:
            return (yield)
        finally:
            self.begin()

    @pytest.hookimpl(specname="pytest_runtestloop", wrapper=True, tryfirst=True)  # pytest asks for its prefix
    def pytest_after_reports(self) -> Generator[None, object, object]:
        """End after pytest-cov's own hook."""
        try:
            return (yield)
        finally:
            self.end()

    def begin(self) -> None:
        """Parse each file once from now on. A coverage.py with other internal names is left as it is."""
        from coverage import Coverage

        self._collects = gc.isenabled()
        gc.disable()
        make: Callable[[Any, Any], Any] | None = getattr(Coverage, "_get_file_reporter", None)
        if make is None:
            return
        kept = self._kept

        def reporter(measured: Any, morf: Any) -> Any:
            if (measured, morf) in kept:
                return kept[measured, morf]
            found = make(measured, morf)
            try:
                found.lines()
            except Exception:  # noqa: BLE001 - no Python: each report says so by itself, of a fresh one
                return make(measured, morf)
            if len(kept) < _FILES:
                kept[measured, morf] = found
            return found

        self._patch.setattr(Coverage, "_get_file_reporter", reporter)

    def end(self) -> None:
        """Restore coverage.py's own function, and Python's collection; forget the readings, which it would look at."""
        self._patch.undo()
        self._kept.clear()
        if self._collects:
            gc.enable()
