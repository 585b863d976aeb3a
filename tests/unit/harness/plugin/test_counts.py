"""Every account of a run has pytest's numbers, beside other people's plugins too."""

import json
import re
from pathlib import Path

import pytest
from tests.samples.guests import tool
from tests.samples.records import record
from tests.unit.conftest import Pytest

from testbay.errors import TestsDidNotRunError
from testbay.harness.plugin.coveragerc import Reporting
from testbay.harness.run import results, verdict
from testbay.harness.run.report.recorded import RecordedRun

TESTS = """
import unittest
import pytest

tried = []

@pytest.fixture
def broken():
    raise OSError("no table")

@pytest.fixture
def leaky():
    yield
    raise OSError("left open")

def test_flaky():
    tried.append(1)
    assert len(tried) > 1, "the first time"

def test_red(): assert 1 == 2
def test_green(): pass
def test_setup(broken): pass
def test_teardown(leaky): pass
def test_skipped(): pytest.skip("later")
@pytest.mark.xfail(reason="known")
def test_expected(): assert 0
@pytest.mark.xfail(reason="known", strict=False)
def test_unexpected(): pass

def test_parts(subtests):
    for number in range(3):
        with subtests.test(number=number):
            assert number != 1

class Old(unittest.TestCase):
    def test_old(self):
        with self.subTest("part"):
            self.fail("old")
"""

BESIDE = {
    "nothing": ("", ()),
    "rerunfailures": ("pytest-rerunfailures", ("-p", "pytest_rerunfailures", "--reruns", "2")),
    "flaky": ("flaky", ("-p", "flaky.flaky_pytest_plugin", "--force-flaky", "--max-runs", "2", "--no-flaky-report")),
    "chosen": ("", ("-k", "not green")),
    "xdist": ("", ("-p", "xdist", "-n", "2")),
    "both": ("pytest-rerunfailures", ("-p", "xdist", "-n", "2", "-p", "pytest_rerunfailures", "--reruns", "2")),
    "ours": ("", ("--testbay-reruns", "2")),
}
FAILING = {"test_red", "test_setup", "test_teardown", "test_parts", "Old::test_old"}


def said(line: str) -> dict[str, int]:
    """`3 passed, 2 errors` as numbers by word."""
    words = ("passed", "flaky", "failed", "error", "skipped", "deselected", "xfailed", "xpassed")
    return {word: int(count) for count, word in re.findall(r"(\d+) (\w+?)s?\b", line) if word in words}


@pytest.mark.parametrize(
    "beside", [pytest.param(name, marks=[pytest.mark.slow] if name == "both" else []) for name in BESIDE]
)
def test_all_accounts_agree_with_pytest(
    run: Pytest, tmp_path: Path, beside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record and the closing line have the numbers of pytest's last line, and name every failing test."""
    name, arguments = BESIDE[beside]
    monkeypatch.setenv("TOOL", str(tool(name)) if name else "")
    done = run(TESTS, *arguments)
    read = results.read(tmp_path)
    line, *named = results.tests_line(read, 1.0).splitlines()
    told = said(done.stdout.splitlines()[-1])

    assert read.counts == told, done.stdout
    counted = {word: number for word, number in _without_flaky(told).items() if number}
    on_record = [attempt.model_dump(exclude_unset=True) for attempt in read.attempts]
    page = RecordedRun.of(record(*on_record, counts=read.counts))
    assert said(line.replace(" (1 flaky)", "")) == counted
    assert said(", ".join(page.counted.values())) == counted
    failing = {entry.strip().partition("::")[2].partition(": ")[0] for entry in named if "flaky:" not in entry}
    assert FAILING - failing == set(), line
    assert json.loads((tmp_path / "tests.jsonl").read_text().splitlines()[-2]) == {"counts": told}


def _without_flaky(told: dict[str, int]) -> dict[str, int]:
    """Our own reruns have a word of their own in pytest's line; the closing line counts them as passed."""
    more = told.get("flaky", 0)
    return {word: count + (more if word == "passed" else 0) for word, count in told.items() if word != "flaky"}


def test_a_test_that_passed_in_the_end_is_flaky_beside_rerunfailures(
    run: Pytest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt is on record with what it said."""
    monkeypatch.setenv("TOOL", str(tool("pytest-rerunfailures")))
    run(TESTS, "-p", "pytest_rerunfailures", "--reruns", "2", "-k", "test_flaky")

    attempts = [(one.attempt, one.outcome, one.error) for one in results.read(tmp_path).attempts]
    assert attempts == [(1, "rerun", "AssertionError: the first time"), (2, "passed", "")]


def test_a_plugin_that_drops_tests_silently_is_counted(run: Pytest, tmp_path: Path) -> None:
    """As some that split a suite do: pytest's last line says nothing of them."""
    (tmp_path / "conftest.py").write_text("def pytest_collection_modifyitems(items):\n    del items[1:]\n")
    run("def test_a(): pass\ndef test_b(): assert 0\n")

    assert results.read(tmp_path).counts == {"passed": 1, "deselected": 1}


def test_workers_that_end_at_once_are_the_reason(run: Pytest, tmp_path: Path) -> None:
    """Xdist starts others, gives up, and ends as if there were no tests."""
    ends = "import os\ndef pytest_configure(config):\n    hasattr(config, 'workerinput') and os._exit(0)\n"
    (tmp_path / "conftest.py").write_text(ends)
    done = run("def test_a(): pass\n", "-p", "xdist", "-n", "1", "--max-worker-restart", "0")

    with pytest.raises(TestsDidNotRunError, match=r"(?s)no test was collected.*worker gw0 ended before it had"):
        verdict.verify(results.read(tmp_path), done.returncode, tmp_path)


def test_workers_count_what_they_deselect(run: Pytest, tmp_path: Path) -> None:
    """Pytest's own last line does not say it there."""
    run(TESTS, "-p", "xdist", "-n", "2", "-k", "test_green or test_skipped")

    assert results.read(tmp_path).counts == {"passed": 1, "skipped": 1, "deselected": 8}


LOSES_ONE = """
def pytest_sessionstart(session):
    if getattr(session.config, "workerinput", {}).get("workerid") == "gw1":
        session.config.pluginmanager.unregister(name="_cov")
"""


def test_worker_without_coverage_data_is_named(run: Pytest, tmp_path: Path) -> None:
    """The percentage lacks what ran there: the closing line says so, and is red."""
    (tmp_path / "conftest.py").write_text(LOSES_ONE)
    report = ("--cov=.", f"--cov-report=json:{tmp_path / 'coverage.json'}", "-W", "ignore")
    done = run("def test_it():\n    pass\n", "-p", "xdist", "-n", "2", "-p", "pytest_cov", *report)

    text, whole = results.coverage_line(results.read(tmp_path), Reporting())

    assert (text.partition("%")[2], whole) == (" (no data from gw1: what ran there is missing)", False), done.stdout
