"""Rules for every test: independence of how this run was started, shares of several machines, the count."""

import gc
import importlib
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import pytest

from testbay.harness.plugin.splitter import Splitter
from testbay.harness.run.shards import split as shards
from testbay.settings import Shard

LEFT_OUT = pytest.StashKey[list[str]]()  # a line for each group of tests that this machine cannot run
REQUIRED = "required here: "  # how such a line begins where that is an error


def pytest_addoption(parser: pytest.Parser) -> None:
    """CI runs the tests on several machines: each takes its part, split by testbay's own splitter."""
    parser.addoption("--shard", metavar="I/N", default="", help="run only this part of testbay's own tests")


def pytest_configure(config: pytest.Config) -> None:
    """A background shell, and nohup, hand down ignored signals; the programs under test would inherit them.

    Garbage is looked for less often: the tests stay until the end, and every look goes through all of them. They are
    not frozen: Hypothesis would take what it may hold for what nothing refers to.
    """
    gc.set_threshold(20_000, 20, 100)
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)
    if signal.getsignal(signal.SIGQUIT) == signal.SIG_IGN:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        config.pluginmanager.register(Count(config))
    if asked := config.getoption("--shard"):
        number, _, of = asked.partition("/")
        folder = tempfile.TemporaryDirectory()
        file = Path(folder.name, "shard.json")
        shards.hand_down(file, Shard(int(number), int(of)), {})
        config.pluginmanager.register(Splitter(file))
        config.add_cleanup(folder.cleanup)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands what it left out to the controller, which collects nothing itself.

    Garbage is looked for once, and then not in what is left: pytest and Python would each do it again, for a second.
    """
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["left_out"] = session.config.stash.get(LEFT_OUT, [])
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Workers begin with what takes minutes: at the end, one of them would be waited for."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Spread what waits; `tests/scheduling.py` is imported here alone, as workers need no scheduler."""
    return importlib.import_module("tests.scheduling").ByFile(config, log)


def _equipment_is_required() -> bool:
    return any(name.startswith("TESTBAY_REQUIRE_") and value == "1" for name, value in os.environ.items())


class Count:
    """Which tests were collected and which ran: one that did neither pass nor fail turns the run red.

    A test that asks for what this machine lacks (root, Landlock) is named with its reason. It turns the run red only
    where equipment is required, as in CI: an ordinary user's run has to be green.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._planned: set[str] = set()
        self._ran: set[str] = set()
        self._said: list[str] = []
        self._missing: list[str] = []
        self._skipped: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._planned |= {item.nodeid for item in session.items}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        self._planned |= set(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", [])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or (report.when == "call" and (report.passed or hasattr(report, "wasxfail"))):
            self._ran.add(report.nodeid)
        if report.when == "setup" and report.skipped and isinstance(report.longrepr, tuple):
            self._skipped[report.nodeid] = report.longrepr[2]
        if report.when == "teardown":
            self._said += [str(text) for name, text in report.user_properties if name == "said"]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not (session.shouldstop or session.shouldfail or session.config.option.collectonly):
            allowed = set() if _equipment_is_required() else set(self._skipped)
            self._missing = sorted(self._planned - self._ran - allowed)
        if session.exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return  # red as it is
        if any(line.startswith(REQUIRED) for line in self._left_out()):
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif self._missing:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self._said:
            terminalreporter.write_line(line)
        terminalreporter.write_line(f"{len(self._planned)} tests collected, {len(self._ran)} ran")
        for line in self._left_out():
            terminalreporter.write_line(line, red=line.startswith(REQUIRED), yellow=not line.startswith(REQUIRED))
        for name, reason in sorted(self._skipped.items()):
            terminalreporter.write_line(f"left out on this machine: {name}: {reason}", yellow=True)
        for name in self._missing[:20]:
            terminalreporter.write_line(f"did not run: {name}", red=True)

    def _left_out(self) -> list[str]:
        return self._config.stash.get(LEFT_OUT, [])
