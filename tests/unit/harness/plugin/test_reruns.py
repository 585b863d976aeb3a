import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from tests.unit.conftest import Pytest

from testbay.harness.run import results

# A test that fails as often as the file says, and then passes.
FLAKY = """
import pathlib
import pytest

def fails(times):
    count = pathlib.Path("count")
    tried = len(count.read_text()) if count.exists() else 0
    count.write_text("x" * (tried + 1))
    return tried < times

def test_flaky():
    assert not fails(1), "the first time"

def test_good(): pass
"""


def attempts(folder: Path) -> list[tuple[Any, ...]]:
    """Id, number, outcome and error line of every attempt on record."""
    found = results.read(folder).attempts
    return [(one.id.partition("::")[2], one.attempt, one.outcome, one.error) for one in found]


def case(folder: Path, name: str) -> list[tuple[str, str | None]]:
    """Tag and message of what a test's element has."""
    found = [case for case in ET.parse(folder / "out.xml").iter("testcase") if case.get("name") == name]
    return [(child.tag, child.get("message")) for each in found for child in each]


@pytest.mark.parametrize("more", [(), ("-p", "xdist", "-n", "2")])
def test_a_flaky_test_passes_and_stays_visible(run: Pytest, tmp_path: Path, more: tuple[str, ...]) -> None:
    """Once in JUnit, as one test, with what it said; in the record as two attempts; in the summary."""
    done = run(FLAKY, "--testbay-reruns", "2", "--junitxml=out.xml", *more)
    error = "AssertionError: the first time\nassert not True\n +  where True = fails(1)"

    assert (done.returncode, "1 flaky" in done.stdout) == (0, True), done.stdout
    assert sorted(attempts(tmp_path)) == [
        ("test_flaky", 1, "rerun", error.splitlines()[0]),
        ("test_flaky", 2, "passed", ""),
        ("test_good", 1, "passed", ""),
    ]
    assert case(tmp_path, "test_flaky") == [("flakyFailure", error.splitlines()[0])]
    assert "test_it.py::test_flaky: AssertionError: the first time" in done.stdout.splitlines()


def test_a_test_that_never_passes_has_failed(run: Pytest, tmp_path: Path) -> None:
    """It counts once, with all that was tried."""
    done = run(FLAKY.replace("fails(1)", "fails(9)"), "--testbay-reruns", "2", "--junitxml=out.xml")

    assert (done.returncode, "1 failed, 1 passed" in done.stdout) == (1, True)
    assert [outcome for name, _, outcome, _ in attempts(tmp_path) if name == "test_flaky"] == [
        "rerun",
        "rerun",
        "failed",
    ]
    assert [tag for tag, _ in case(tmp_path, "test_flaky")] == ["failure", "rerunFailure", "rerunFailure"]


def test_each_attempt_shows_what_it_printed_itself(run: Pytest, tmp_path: Path) -> None:
    """And not what the ones before it did."""
    run("def test_it():\n    print('hello')\n    assert 0\n", "--testbay-reruns", "2")

    sections = [attempt.sections for attempt in results.read(tmp_path).attempts]
    assert sections == [[("Captured stdout call", "hello\n")]] * 3


def test_the_policy_can_be_to_fail(run: Pytest) -> None:
    """After everything ran, with the reason."""
    done = run(FLAKY, "--testbay-reruns", "1", "--testbay-flaky", "fail")

    assert done.returncode == 1
    assert "--testbay-flaky=fail: they make this run fail" in done.stdout


def test_nothing_is_run_again_unless_asked(run: Pytest, tmp_path: Path) -> None:
    """A test that fails once has failed."""
    done = run(FLAKY)

    assert (done.returncode, (tmp_path / "count").read_text()) == (1, "x")


FIXTURES = """
import pytest

calls = []

@pytest.fixture(scope="session")
def wide():
    calls.append("wide")
    assert len(calls) > 1, "the server was not there"

@pytest.fixture(scope="module")
def kept():
    calls.append("kept")
    yield
    calls.append("kept ended")

@pytest.fixture
def fresh():
    calls.append("fresh")
    yield
    calls.append("fresh ended")

def test_wide(wide): pass
def test_fresh(kept, fresh):
    assert calls.count("fresh") > 1, calls
def test_last():
    assert calls == ["wide", "wide", "kept", "fresh", "fresh ended", "fresh", "fresh ended"]
"""


def test_fixtures_are_set_up_as_for_another_test(run: Pytest, tmp_path: Path) -> None:
    """A test's own are made again; those of wider scope only when they had failed."""
    done = run(FIXTURES, "--testbay-reruns", "1")

    assert (done.returncode, "1 passed, 2 flaky" in done.stdout) == (0, True), done.stdout
    assert [a[:3] for a in attempts(tmp_path) if a[0] != "test_last"] == [
        ("test_wide", 1, "rerun"),
        ("test_wide", 2, "passed"),
        ("test_fresh", 1, "rerun"),
        ("test_fresh", 2, "passed"),
    ]


LATE = """
import pytest

seen = []

@pytest.fixture
def late():
    yield
    seen.append(1)
    assert len(seen) > 1

def test_late(late): pass
"""


def test_the_teardown_counts_too(run: Pytest, tmp_path: Path) -> None:
    """A test whose teardown failed is run again as a whole."""
    done = run(LATE, "--testbay-reruns", "1")
    lines = (tmp_path / "tests.jsonl").read_text(encoding="utf-8").splitlines()

    assert done.returncode == 0
    assert [(f["when"], f["outcome"]) for f in map(json.loads, lines[1:-2]) if f.get("attempt") != 2] == [
        ("setup", "passed"),
        ("call", "passed"),
        ("teardown", "rerun"),
    ]
