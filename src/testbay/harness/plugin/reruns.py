"""Reruns of failed tests on a fresh lease, with every attempt on record: a flaky test stays visible."""

from typing import Any

import pytest
from _pytest.runner import runtestprotocol  # as pytest-rerunfailures does: pytest has no public way

from testbay.harness.plugin.recorder import fact_of

POLICIES = ("report", "fail")
Status = tuple[str, str, tuple[str, dict[str, bool]]]


class Reruns:
    """Reruns each failed test, at most `times` times, in the process that runs the tests."""

    def __init__(self, times: int) -> None:
        self._times = times

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool:
        """Run a test in pytest's place: only the last attempt is reported, and carries the earlier ones."""
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        attempts: list[dict[str, Any]] = []
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        done = 0
        while done < self._times and any(report.failed for report in reports) and not item.session.shouldstop:
            done += 1
            attempts += [_attempt(report, done) for report in reports]
            item._report_sections.clear()  # noqa: SLF001 - what it printed is in the attempt's report
            _forget_failed_fixtures(item)
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if attempts:
            vars(reports[-1])["testbay_attempts"] = attempts
        flaky = done > 0 and all(report.passed for report in reports)
        for report in reports:
            vars(report).update(testbay_attempt=done + 1, testbay_flaky=flaky)
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True


def _attempt(report: pytest.TestReport, number: int) -> dict[str, Any]:
    fact = fact_of(report) | {"attempt": number}
    return fact | ({"outcome": "rerun"} if report.failed else {})


def _forget_failed_fixtures(item: pytest.Item) -> None:
    """Drop cached exceptions of wider fixtures: pytest would raise them again instead of retrying."""
    if not isinstance(item, pytest.Function):
        return
    item._initrequest()  # noqa: SLF001 - what pytest itself does for a test that is run again
    for definitions in item._fixtureinfo.name2fixturedefs.values():  # noqa: SLF001
        for definition in definitions:
            if definition.cached_result is not None and definition.cached_result[2] is not None:
                definition.finish(item._request)  # type: ignore[arg-type] # noqa: SLF001 - only its node is asked for


class Flaky:
    """Counts and prints flaky tests, in the process that sees every report; with the policy `fail` the run fails."""

    def __init__(self, policy: str) -> None:
        self._policy = policy
        self._found: dict[str, list[str]] = {}

    def pytest_report_teststatus(self, report: pytest.TestReport) -> Status | None:
        """Show an R for a test that passed on a rerun, and count it as flaky."""
        if report.when != "call" or not getattr(report, "testbay_flaky", False):
            return None
        return "flaky", "R", ("FLAKY", {"yellow": True})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the errors of a flaky test's failed attempts."""
        if getattr(report, "testbay_flaky", False) and (attempts := getattr(report, "testbay_attempts", [])):
            self._found[report.nodeid] = [fact["error"] for fact in attempts if fact["outcome"] == "rerun"]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let the run fail if a test was flaky and the policy is `fail`."""
        if self._found and self._policy == "fail" and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print each flaky test with the errors of its failed attempts."""
        if not self._found:
            return
        terminalreporter.section("flaky tests: failed, then passed on a fresh lease", yellow=True)
        for nodeid, errors in self._found.items():
            terminalreporter.write_line(f"{nodeid}: {' | '.join(errors)}")
        if self._policy == "fail":
            terminalreporter.write_line("--testbay-flaky=fail: they make this run fail", red=True)
