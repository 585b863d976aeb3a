"""The record of a pytest session: what was planned, and the outcome of each phase of each test, as JSON lines."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from testbay.harness.world import Disk
from testbay.text import visible

_ERROR_CHARACTERS = 500
_NAME_ALONE = re.compile(r"[\w.]+:\s*")  # an exception's, and nothing behind it in its line
_TEXT_CHARACTERS = 64 << 10
_SECTIONS = 20
_OUTCOMES = ("passed", "failed", "skipped")  # pytest's own; plugins that run a test again report its attempts as others
_as_json = json.JSONEncoder().encode  # also while a test replaces `json.dumps`
_process_id = os.getpid  # also while a test replaces it
_COUNTED = ("passed", "flaky", "failed", "error", "skipped", "xfailed", "xpassed")  # in pytest's last line
_DESELECTED = "testbay_deselected"
# Pytest's options to show something and run no test, by their names in its configuration.
_SHOWS = {
    "collectonly": "--collect-only lists them",
    "setupplan": "--setup-plan lists their fixtures",  # implies the next one
    "setuponly": "--setup-only sets them up",
    "showfixtures": "--fixtures lists fixtures",
    "show_fixtures_per_test": "--fixtures-per-test lists their fixtures",
    "markers": "--markers lists markers",
    "cacheshow": "--cache-show shows the cache",
    "help": "--help shows options",
}


class Deselected:
    """Counts the tests that were collected and are not run, also where a plugin drops them without a word.

    A worker of xdist hands the number to the controller, where pytest's own last line lacks it.
    """

    def __init__(self) -> None:
        self._collected = 0
        self.number = 0

    def pytest_itemcollected(self) -> None:
        self._collected += 1

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Compare with those that are left."""
        self.number = max(0, self._collected - len(session.items))
        vars(session.config).get("workeroutput", {})[_DESELECTED] = self.number

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take it over from a worker; each deselects the same."""
        self.number = max(self.number, getattr(node, "workeroutput", {}).get(_DESELECTED, 0))


class Recorder:
    """Writes {"planned": […]} once, then a line per phase of a test, so that the record of a killed run is readable.

    Args:
        file: The record, written line by line; None keeps the lines in `facts`.
        mask: Applied to every text that may come from a test.
    """

    def __init__(self, file: Path | None, mask: Callable[[str], str]) -> None:
        self._file = file
        self._mask = mask
        self._process = _process_id()
        self._planned: set[str] = set()
        self._attempts: dict[str, int] = {}  # for tests that another plugin reruns: the current attempt
        self._lost_worker = ""
        self._tried: set[str] = set()  # whose next setup begins another attempt
        self.facts: list[dict[str, Any]] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Record the tests that are about to run, after -k, --lf and the like."""
        self._plan([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Record them under xdist, where only workers collect, each of them all tests."""
        self._plan(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Remember an xdist worker that ended by itself: xdist starts others until it gives up."""
        if error:
            self._lost_worker = f"worker {node.gateway.id} ended before it had collected the tests"

    def _plan(self, ids: list[str]) -> None:
        if new := [nodeid for nodeid in ids if nodeid not in self._planned]:
            self._planned.update(new)
            self._write([{"planned": new}])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a file that could not be imported."""
        if report.failed:
            fact = {
                "id": report.nodeid,
                "when": "collect",
                "outcome": "failed",
                "trace": _bounded(str(report.longrepr)),
            }
            self._write([fact | {"error": first_error_line(report)}])
        elif report.skipped:
            self._write([{"reason": _reason(report)}])

    def never_began(self, name: str, error: Exception) -> None:
        """Record what ended pytest before its session: a conftest that cannot be imported, Django's settings."""
        told = pytest.ExceptionInfo.from_exception(error)
        self.refused(name, told.exconly(), str(told.getrepr(style="short", chain=False)))

    def refused(self, name: str, error: str, trace: str) -> None:
        """Record why there are no tests, such as an option or a path unknown to pytest."""
        fact = {"id": name, "when": "collect", "outcome": "failed", "error": _line(error), "trace": _bounded(trace)}
        self._write([fact, {"counts": {"error": 1}}])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record the end of a phase; the last phase of a test carries its earlier attempts."""
        fact = fact_of(report)
        if (number := self._attempt(report)) > 1:
            fact["attempt"] = number
        self._write([*getattr(report, "testbay_attempts", []), fact])

    def _attempt(self, report: pytest.TestReport) -> int:
        """Count the attempts that pytest-rerunfailures and the like report separately under one id."""
        nodeid = report.nodeid
        if report.when == "setup" and nodeid in self._tried:
            self._tried.discard(nodeid)
            self._attempts[nodeid] = self._attempts.get(nodeid, 1) + 1
        if report.outcome not in _OUTCOMES:
            self._tried.add(nodeid)
        return self._attempts.get(nodeid, getattr(report, "testbay_attempt", 1))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record why pytest stops: Ctrl-C, `pytest.exit`, `-x`, files that could not be imported."""
        self._end(str(excinfo.value) or excinfo.typename)

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Record an error in a hook of the suite or of a plugin."""
        if excinfo.errisinstance(SystemExit):  # by a test file that calls itself, for example
            last = excinfo.traceback[-1]
            self._end(f"sys.exit was called at {last.path}:{last.lineno + 1}")
        else:
            self._end(f"an error inside pytest or a plugin: {excinfo.exconly()}")

    def _end(self, why: str) -> None:
        self._write([{"ended": _line(why)}])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Record the counts of pytest's last line, which every report of the run repeats."""
        if isinstance(error := sys.exc_info()[1], pytest.UsageError):  # pytest calls this while it is on its way out
            self.refused("pytest", str(error), str(error))
        if why := session.shouldstop or session.shouldfail:
            self._end(str(why))
        if self._lost_worker and not self._planned:
            self._end(self._lost_worker)
        self._write([{"counts": _counts(session.config)}])
        if unmeasured := _unmeasured(session.config):
            self._write([{"unmeasured": unmeasured}])

    @pytest.hookimpl(specname="pytest_sessionfinish", wrapper=True, tryfirst=True)  # pytest asks for its prefix
    def pytest_verdict(self, session: pytest.Session) -> Generator[None, object, object]:
        """Record pytest's exit code after all plugins have acted: a later end of the process may hide it."""
        done = yield
        self._write([{"exit": int(session.exitstatus)}])
        return done

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Record an option that has pytest run no test; some of them begin no session."""
        for name, does in _SHOWS.items():
            if getattr(config.option, name, None):
                self._end(f"{does} and runs none")

    def _write(self, facts: list[dict[str, Any]]) -> None:
        if _process_id() != self._process:
            return  # a fork that a test let go on with pytest: its results are not the session's
        masked = [_masked(fact, self._mask) for fact in facts]
        if self._file is None:
            self.facts += masked
        else:
            append(self._file, masked)


def _counts(config: pytest.Config) -> dict[str, int]:
    """The counts of pytest's last line, without those that are zero."""
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return {}
    reports = {name: reporter.stats.get(name, ()) for name in _COUNTED}
    counts = {name: sum(getattr(r, "count_towards_summary", True) for r in of) for name, of in reports.items()}
    left_out: Any = config.pluginmanager.get_plugin("testbay-deselected")
    counts["deselected"] = left_out.number
    return {name: count for name, count in counts.items() if count}


def _unmeasured(config: pytest.Config) -> list[str]:
    """Workers that returned no coverage data to pytest-cov: the percentage lacks what they ran."""
    coverage: Any = getattr(config.pluginmanager.get_plugin("_cov"), "cov_controller", None)
    return [str(worker.gateway.id) for worker in getattr(coverage, "failed_workers", ())]


def append(file: Path, facts: list[dict[str, Any]]) -> None:
    """Append facts to a record, one per line."""
    # A full disk ends no test; that the record lacks some is found by its reader, and is red.
    with contextlib.suppress(OSError):
        Disk.append(str(file), "".join(_as_json(fact) + "\n" for fact in facts).encode())


def fact_of(report: pytest.TestReport) -> dict[str, Any]:
    """Turn a phase's report into plain values, with texts bounded and printable."""
    outcome: str = report.outcome if report.outcome in _OUTCOMES else "rerun"
    failed = outcome in ("failed", "rerun")
    fact: dict[str, Any] = {"id": report.nodeid, "when": report.when, "outcome": outcome}
    fact |= {"start": round(report.start, 4), "duration_s": round(report.duration, 4)}
    if (attempt := getattr(report, "testbay_attempt", 1)) > 1:
        fact["attempt"] = attempt
    for name, attribute in (("kept", "testbay_kept"), ("worker", "worker_id")):
        if value := getattr(report, attribute, ""):
            fact[name] = value
    if report.skipped and isinstance(report.longrepr, tuple):
        fact["reason"] = _reason(report)
    if failed:
        fact |= {"error": first_error_line(report), "trace": _bounded(report.longreprtext), "location": _place(report)}
    # The sections of a passing phase come again with the next one, or are not asked for.
    if failed or getattr(report, "testbay_sections", []):
        shown = [(title, _bounded(text)) for title, text in report.sections if failed or _is_ours(report, title)]
        fact |= {"sections": shown[-_SECTIONS:]} if shown else {}
    return fact


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The reason of a skip."""
    told = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    return visible(told.removeprefix("Skipped: "))[:_ERROR_CHARACTERS]


def _is_ours(report: pytest.TestReport, title: str) -> bool:
    return title in getattr(report, "testbay_sections", [])


def _line(text: str) -> str:
    return visible(text.strip().partition("\n")[0])[:_ERROR_CHARACTERS]


def _bounded(text: str) -> str:
    """Keep the end of a text, which is the most informative part."""
    text = visible(text)
    more = len(text) - _TEXT_CHARACTERS
    return text if more <= 0 else f"… {more} characters more\n{text[more:]}"


def _masked(fact: dict[str, Any], mask: Callable[[str], str]) -> dict[str, Any]:
    """Mask only the texts that a test may have written: searching for secrets takes time."""
    texts = {name: mask(fact[name]) for name in ("error", "trace", "reason", "ended") if name in fact}
    sections = [(title, mask(text)) for title, text in fact.get("sections", ())]
    return fact | texts | ({"sections": sections} if sections else {})


def first_error_line(report: pytest.TestReport | pytest.CollectReport) -> str:
    """The exception's first line, as in pytest's short summary; for a failed import, the line that pytest marks.

    A message that begins with an empty line tells in the next one what `ConnectorException:` is about.
    """
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = [line for line in (crash.message if crash else str(report.longrepr or "")).splitlines() if line.strip()]
    first, *others = [line[1:].strip() for line in lines if line.startswith("E ")] or lines or [""]
    if others and _NAME_ALONE.fullmatch(first):
        first = f"{first.rstrip()} {others[0].strip()}"
    return visible(first)[:_ERROR_CHARACTERS]


def _place(report: pytest.TestReport) -> list[Any]:
    """The file and line of a failure: the last frame in the project's own code, else the test's first line."""
    entries = getattr(getattr(report.longrepr, "reprtraceback", None), "reprentries", [])
    places = [entry.reprfileloc for entry in entries if getattr(entry, "reprfileloc", None)]
    # Of the project's own code pytest shows paths as seen from here.
    own = [[place.path, place.lineno] for place in places if not place.path.startswith(("/", "<", ".."))]
    own = [place for place in own if "site-packages" not in place[0]]
    path, line, _ = report.location
    return own[-1] if own else [path, (line or 0) + 1]


class JUnit:
    """Adds our sections and rerun attempts to pytest's JUnit file.

    Attempts are elements of Maven's Surefire, which Jenkins and GitLab show: `flakyFailure` if the test passed in the
    end, `rerunFailure` if not.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(tryfirst=True)  # pytest's own hook finishes the test's element
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the properties before the element is finished."""
        from _pytest.junitxml import xml_key  # an element of a report has no public door

        xml = self._config.stash.get(xml_key, None)
        if xml is None:
            return
        attempts = [fact for fact in getattr(report, "testbay_attempts", []) if fact["outcome"] == "rerun"]
        for element in [*_system_out(report), *_reruns(attempts, flaky=getattr(report, "testbay_flaky", False))]:
            xml.node_reporter(report).append(element)


def _system_out(report: pytest.TestReport) -> list[Element]:
    ours = [(title, text) for title, text in report.sections if _is_ours(report, title)]
    text = "\n\n".join(f"--- {title} ---\n{text}" for title, text in ours)
    return [_element("system-out", text)] if ours else []


def _reruns(attempts: Sequence[dict[str, Any]], *, flaky: bool) -> list[Element]:
    tag = "flakyFailure" if flaky else "rerunFailure"
    return [_element(tag, fact["trace"], message=fact["error"], type=fact["when"]) for fact in attempts]


def _element(tag: str, text: str, **attributes: str) -> Element:
    element = Element(tag, attributes)
    element.text = text
    return element
