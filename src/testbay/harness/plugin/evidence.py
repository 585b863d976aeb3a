"""The evidence for a failed test: what the servers and the service logged while it ran, and their condition."""

import json
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

import pytest

from testbay import logs
from testbay.harness import world
from testbay.harness.plugin import cause
from testbay.harness.plugin.cause import Raised
from testbay.harness.world import Clock, Disk
from testbay.logs import Log
from testbay.text import visible

_SETTLED_WITHIN_S = 0.5  # of a container, whose log `docker logs` has to bring
_TOLD_WITHIN_S = 0.1  # of the service: it answers, and then logs why it answered so
_LOOK_AGAIN_S = 0.02
_ASSERTION = "AssertionError: "

_failed = pytest.StashKey[bool]()


class EvidenceSource(Protocol):
    """A source of facts about the stack."""

    def logs(self) -> Mapping[str, Log]:
        """Every log by title, the most important first."""

    def facts(self) -> list[str]:
        """Facts about the stack, one line each."""

    def root(self) -> Path:
        """The folder of the service's program."""

    def lasting(self, log: Path) -> str:
        """Name the file of a log that outlives the stack."""

    def lags(self) -> bool:
        """Return whether logs are written with a delay, as those of containers are."""


class Windows:
    """For each log, the offset at which the running test begins; not a time, as a container's clock may differ."""

    def __init__(self) -> None:
        self._logs: dict[str, Log] = {}
        self._marks: dict[Path, int] = {}

    def open(self, found: Mapping[str, Log]) -> None:
        """Start windows on logs that have none; they stay when the lease or service is gone."""
        self._logs |= found
        for log in found.values():
            self._marks.setdefault(log.file, _size(log.file))

    def cut(self, named: Callable[[Path], str] = str, *, lags: bool = False) -> dict[str, str]:
        """Cut the logs since they were opened or last cut, by title; `named` names the whole log's file."""
        self._await_settled(lags=lags)
        texts = {}
        for title, log in sorted(self._logs.items(), key=lambda one: not one[1].tested):  # the rest as it was opened
            window = logs.window(log.file, self._marks[log.file], _relevant(log))
            if window.lines or window.hidden:
                texts[title] = window.text(named(log.file) if window.hidden else "")
        self._marks = {file: _size(file) for file in self._marks}
        return texts

    def raised(self, root: Path) -> tuple[str, Raised] | None:
        """The last exception in the log of the service under test, with the log's title; to be called before `cut`."""
        self._await_settled(lags=False)
        for title, log in self._tested:
            if raised := cause.last_exception(logs.since(log.file, self._marks[log.file]), root):
                return title, raised
        return None

    @property
    def _tested(self) -> list[tuple[str, Log]]:
        return [(title, log) for title, log in self._logs.items() if log.tested]

    def _await_settled(self, *, lags: bool) -> None:
        """Wait a moment until the logs stop growing: a busy server's never do."""
        files = list(self._marks) if lags else [log.file for _, log in self._tested]
        if not files:
            return
        deadline = Clock.monotonic() + (_SETTLED_WITHIN_S if lags else _TOLD_WITHIN_S)
        sizes: list[int] = []
        while Clock.monotonic() < deadline:
            now = [_size(file) for file in files]
            if now == sizes and (
                lags or any(cause.last_exception(logs.since(file, self._marks[file]), Path()) for file in files)
            ):
                return
            sizes = now
            Clock.sleep(_LOOK_AGAIN_S)

    def as_json(self) -> bytes:
        """Serialise the windows for another process, in case this one crashes."""
        marks = self._marks
        facts = {t: [str(log.file), log.databases, log.tested, marks[log.file]] for t, log in self._logs.items()}
        return json.dumps(facts).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Windows":
        """Read the windows of a crashed process; empty if it left none."""
        windows = cls()
        for title, (file, databases, tested, mark) in json.loads(text or b"{}").items():
            windows._logs[title] = Log(Path(file), databases, tested)
            windows._marks[Path(file)] = mark
        return windows


def _relevant(log: Log) -> Callable[[list[str]], list[str]]:
    if log.databases is None:
        return cause.fold
    from testbay.harness.dependencies.postgres import server as postgres  # not before a test has failed

    databases = log.databases
    return lambda lines: postgres.relevant(lines, databases)


class Evidence:
    """Adds report sections to a failing phase of a test, cut to the time since the test's setup began.

    Args:
        source: Supplies logs and facts when they are needed.
        mask: Masks secrets in all texts.
        notes: The file in which a pytest-xdist worker leaves its open windows for its controller; see `Crashes`.
    """

    def __init__(self, source: EvidenceSource, mask: Callable[[str], str], notes: IO[bytes] | None) -> None:
        self._source = source
        self._mask = mask
        self._windows = Windows()
        self._notes = notes

    def notice(self) -> None:
        """Open windows on the logs of a new lease or service: the test's report shows them from now on."""
        self._windows.open(self._source.logs())
        if self._notes is not None:
            text = self._windows.as_json()
            with suppress(OSError):  # a full disk: a crash will be told without logs
                Disk.pwrite(self._notes.fileno(), text, 0)
                Disk.truncate(self._notes.fileno(), len(text))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        item.stash[_failed] = False
        self._windows = Windows()
        self.notice()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the logs to the report of a failed phase, and those of the teardown to its own report."""
        report = yield
        if report.failed:
            self._take_secrets_out(report)  # before the logs are added: they are long, and masked as they come
        if report.failed or item.stash.get(_failed, False):
            item.stash[_failed] = call.when != "teardown"
            self._add(report, " during teardown" if call.when == "teardown" else "")
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Mask secrets in why a file could not be imported."""
        if report.failed:
            self._take_secrets_out(report)

    def _take_secrets_out(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Mask secrets in pytest's own sections: values in a traceback, captured output."""
        text = report.longreprtext
        if (masked := self._mask(text)) != text:
            report.longrepr = masked
        report.sections = [(title, self._mask(said)) for title, said in report.sections]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Mask secrets in what JUnit has of a test besides: its properties, and why it was skipped or could fail.

        `-rA` shows the output of tests that passed, too.
        """
        if report.passed and report.sections:
            report.sections = [(title, self._mask(said)) for title, said in report.sections]
        if report.skipped and isinstance(report.longrepr, tuple):
            file, line, why = report.longrepr
            report.longrepr = (file, line, self._mask(why))
        if why := getattr(report, "wasxfail", ""):
            vars(report)["wasxfail"] = self._mask(why)
        told = report.user_properties
        report.user_properties = [(name, self._mask(said) if isinstance(said, str) else said) for name, said in told]

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Mask secrets in a test's warning, which pytest prints at its end."""
        said = str(warning_message.message)
        if (masked := self._mask(said)) != said:
            warning_message.message = masked

    @world.really
    def _add(self, report: pytest.TestReport, when: str) -> None:
        raised = None
        try:
            raised = self._windows.raised(self._source.root()) if report.failed else None
            windows = self._windows.cut(self._source.lasting, lags=self._source.lags())
            facts = [] if when and not report.failed else self._source.facts()
        except Exception as error:  # noqa: BLE001 - the test's own failure must be told whatever happens here
            windows, facts = {}, [f"the logs could not be read: {error!r}"]
        if raised is not None:
            blame(report, *raised, self._mask)
        found = {f"{title} log{when}": text for title, text in windows.items()}
        add_sections(report, found | ({"testbay": "\n".join(facts)} if facts else {}), self._mask)


def blame(report: Any, title: str, raised: Raised, mask: Callable[[str], str]) -> None:
    """Put the service's exception into the error's first line, and its traceback before all other sections."""
    told = f"{title}: {mask(str(raised))}"
    said = f" · {told}"
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        # As pytest itself shortens it where it can: a line of 80 columns has little room.
        first, newline, rest = crash.message.removeprefix(_ASSERTION).partition("\n")
        crash.message = f"{first}{said}{newline}{rest}"
    elif isinstance(report.longrepr, str):
        first, newline, rest = report.longrepr.partition("\n")
        report.longrepr = f"{first}{said}{newline}{rest}"
    section = f"{cause.SECTION}{title}"
    report.sections.insert(0, (section, mask("\n".join(raised.lines))))
    vars(report)["testbay_sections"] = [section, *getattr(report, "testbay_sections", [])]
    vars(report)["testbay_cause"] = told


class Causes:
    """Prints each cause in full at the end of the session: pytest cuts its summary lines at the terminal's width."""

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print before pytest's own short summary."""
        failed = [report for word in ("failed", "error") for report in terminalreporter.stats.get(word, ())]
        told = {report.nodeid: cause for report in failed if (cause := getattr(report, "testbay_cause", ""))}
        if told:
            terminalreporter.section("raised by the service", red=True)
        for nodeid, cause in told.items():
            terminalreporter.write_line(f"{nodeid}: {visible(cause)}")


def add_sections(report: Any, sections: Mapping[str, str], mask: Callable[[str], str]) -> None:
    """Add sections to a report, and note their titles in an attribute, which pytest-xdist transfers."""
    report.sections += [(title, mask(text)) for title, text in sections.items()]
    vars(report)["testbay_sections"] = [*getattr(report, "testbay_sections", []), *sections]


def _size(file: Path) -> int:
    try:
        return Disk.stat(file).st_size
    except OSError:
        return 0


def has_failed(item: pytest.Item) -> bool:
    return item.stash.get(_failed, False)
