"""The record of a pytest session: what was planned and what each test did, one JSON object per line."""

import json
from pathlib import Path
from typing import Any

import pytest


class Recorder:
    """Appends one JSON object per fact: {"planned": […]} once, then a report per test and phase that matters."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._planned: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """What is about to run, after -k, --lf and the like had their say."""
        self._plan([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """The same under xdist, where only the workers collect; each sees all tests."""
        self._plan(ids)

    def _plan(self, ids: list[str]) -> None:
        if new := [nodeid for nodeid in ids if nodeid not in self._planned]:
            self._planned.update(new)
            self._write({"planned": new})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that could not be imported."""
        if report.failed:
            fact = {"id": report.nodeid, "when": "collect", "outcome": "failed", "error": _first_error_line(report)}
            self._write(fact)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's call, or whichever phase ended it."""
        if report.when == "call" or report.outcome != "passed":
            fact: dict[str, Any] = {"id": report.nodeid, "when": report.when, "outcome": report.outcome}
            fact |= {"duration_s": round(report.duration, 4), "start": report.start}
            if report.outcome == "failed":
                fact["error"] = _first_error_line(report)
            self._write(fact)

    def _write(self, fact: dict[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(fact) + "\n")


def _first_error_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The exception's first line, as pytest's short summary shows it; of a failed import the line pytest marks."""
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = [line for line in (crash.message if crash else str(report.longrepr or "")).splitlines() if line.strip()]
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return next(iter(marked or lines), "")[:500]
