"""The record of a plain pytest session in which a test with a lease failed, for `testbay report`."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from testbay.harness import world
from testbay.harness.plugin.recorder import Recorder, append


class PlainSession(Recorder):
    """Collects the facts of a session, and writes them at its end if a test with a lease has failed."""

    def __init__(self, root: Path, mask: Callable[[str], str]) -> None:
        super().__init__(None, mask)
        self._root = root
        self._began = time.time()
        self._stack: dict[str, Any] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the phase, and the stack of a failed test."""
        self._stack = self._stack or getattr(report, "testbay_stack", {})
        super().pytest_runtest_logreport(report)

    def pytest_terminal_summary(self, terminalreporter: Any, exitstatus: int) -> None:
        """Write the record, and name the command that reads it."""
        if not self._stack:
            return
        try:
            self._save(int(exitstatus))
        except OSError as error:
            terminalreporter.write_line(f"testbay: this session could not be recorded: {error}")
        else:
            terminalreporter.write_line("testbay: `testbay report --open` shows what failed, with logs and timeline")

    @world.really
    def _save(self, code: int) -> None:
        from testbay.harness.run import results
        from testbay.harness.run.record import Record

        stack = dict(self._stack)
        folder = Path(stack.pop("folder"))
        append(folder / "tests.jsonl", self.facts)
        done = results.read(folder)
        record = Record(id=folder.name, started=datetime.fromtimestamp(self._began, UTC), **stack)
        record.finished, record.exit_code = datetime.now(UTC).isoformat(), code
        record.duration_s = round(time.time() - self._began, 4)
        results.relocate(done.attempts, self._root, folder.parents[2])
        record.attempts = done.attempts
        record.planned, record.counts = done.planned, done.counts
        record.save(folder)
