"""Writes down how long setup, call and teardown of each test took; the same plugin for every contestant."""

import json
import os
from pathlib import Path
from typing import Any

import pytest


class Recorder:
    """Keeps all reports in memory until the end: writing belongs to no test."""

    def __init__(self) -> None:
        self.phases: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Under xdist the controller sees the reports of all workers."""
        facts = {"test": report.nodeid, "phase": report.when, "passed": report.passed}
        self.phases.append({**facts, "start": report.start, "stop": report.stop, "seconds": report.duration})

    def pytest_unconfigure(self) -> None:
        """The run is over."""
        Path(os.environ["BENCH_RECORD"]).write_text(json.dumps(self.phases), encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Record in the process that sees every report."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(), "bench-recorder")
