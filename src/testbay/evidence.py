"""Why a test failed, beside its traceback: what every server and the service logged while it ran, and how they are."""

import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from testbay import logs
from testbay.logs import Log

_SETTLED_WITHIN_S = 0.5
_LOOK_AGAIN_S = 0.02

_failed = pytest.StashKey[bool]()


class Source(Protocol):
    """Who knows what there is to see."""

    def logs(self) -> Mapping[str, Log]:
        """Every log by title, the most telling one first."""

    def facts(self) -> list[str]:
        """What is worth knowing about the stack in one line each."""

    def lags(self) -> bool:
        """Whether the logs come a moment later than what they tell: those of containers do."""


class Evidence:
    """Adds report sections to a failing phase of a test, cut to the time since the test's setup began."""

    def __init__(self, source: Source, mask: Callable[[str], str]) -> None:
        self._source = source
        self._mask = mask
        self._logs: dict[str, Log] = {}
        self._marks: dict[Path, int] = {}

    def notice(self) -> None:
        """A lease was taken, a service started: their logs' windows open now, and stay open when they are given up."""
        self._logs |= self._source.logs()
        for log in self._logs.values():
            self._marks.setdefault(log.file, _size(log.file))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Every window opens."""
        self._logs, self._marks = {}, {}
        self.notice()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """They close with the failing phase; what the teardown of a failed test logs is a second window."""
        report = yield
        if report.failed or item.stash.get(_failed, False):
            item.stash[_failed] = call.when != "teardown"
            self._add(report, " during teardown" if call.when == "teardown" else "")
        return report

    def _add(self, report: pytest.TestReport, when: str) -> None:
        try:
            found = [(f"{title} log{when}", text) for title, text in self._windows().items()]
            facts = [] if when and not report.failed else self._source.facts()
        except Exception as error:  # noqa: BLE001 - the test's own failure must be told whatever happens here
            found, facts = [], [f"the logs could not be read: {error!r}"]
        found += [("testbay", "\n".join(facts))] if facts else []
        sections = [(title, self._mask(text)) for title, text in found]
        report.sections += sections
        vars(report)["testbay_sections"] = [title for title, _ in sections]  # pytest-xdist carries attributes over

    def _windows(self) -> dict[str, str]:
        """What was logged since the last look, by title."""
        if self._source.lags():
            _await_settled(list(self._marks))
        texts = {}
        for title, log in self._logs.items():
            cut = logs.window(log.file, self._marks[log.file], log.relevant)
            if cut.lines or cut.hidden:
                texts[title] = cut.text(_shown(log.file))
        self._marks = {file: _size(file) for file in self._marks}
        return texts


def _await_settled(files: list[Path]) -> None:
    """Until they have stopped growing, but not for long: a busy server never does."""
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    sizes: list[int] = []
    while (now := [_size(file) for file in files]) != sizes and time.monotonic() < deadline:
        sizes = now
        time.sleep(_LOOK_AGAIN_S)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _shown(file: Path) -> str:
    """From where the tests run, if that is shorter."""
    try:
        return str(file.relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def has_failed(item: pytest.Item) -> bool:
    """Whether a phase of the test has failed so far."""
    return item.stash.get(_failed, False)


def sections_of(report: Any) -> list[tuple[str, str]]:
    """Those of a report's sections that were added here."""
    ours = getattr(report, "testbay_sections", [])
    return [(title, text) for title, text in report.sections if title in ours]
