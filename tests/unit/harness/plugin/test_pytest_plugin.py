import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.conftest import Pytest

from testbay.harness.plugin.evidence import Evidence
from testbay.harness.run import results

TESTS = """
import os
import pytest

@pytest.fixture
def broken():
    raise OSError("no table")

@pytest.fixture
def leaky():
    yield
    raise OSError("left open")

def test_good(): pass
def test_bad(): assert 1 == 2
def test_setup(broken): pass
def test_teardown(leaky): pass
@pytest.mark.skip(reason="later")
def test_skipped(): pass
"""


def facts(folder: Path) -> list[dict[str, Any]]:
    """What was recorded of phases that decided something, without what differs each time."""
    lines = (folder / "tests.jsonl").read_text(encoding="utf-8").splitlines()
    found = [fact for line in lines if not {"counts", "exit", "ended"} & (fact := json.loads(line)).keys()]
    told = [fact for fact in found if "planned" in fact or fact["when"] == "call" or fact["outcome"] != "passed"]
    return [{k: v for k, v in fact.items() if k in ("planned", "id", "when", "outcome", "error")} for fact in told]


def ended(name: str, when: str, outcome: str, **more: str) -> dict[str, Any]:
    return {"id": f"test_it.py::{name}", "when": when, "outcome": outcome, **more}


ENDED = [
    ended("test_good", "call", "passed"),
    ended("test_bad", "call", "failed", error="assert 1 == 2"),
    ended("test_setup", "setup", "failed", error="OSError: no table"),
    ended("test_teardown", "call", "passed"),
    ended("test_teardown", "teardown", "failed", error="OSError: left open"),
    ended("test_skipped", "setup", "skipped"),
]


def test_what_was_planned_and_what_ran_is_recorded(run: Pytest, tmp_path: Path) -> None:
    """Whichever phase ended a test, with the first line of its error."""
    assert run(TESTS).returncode == 1

    names = ["test_good", "test_bad", "test_setup", "test_teardown", "test_skipped"]
    assert facts(tmp_path) == [{"planned": [f"test_it.py::{name}" for name in names]}, *ENDED]
    assert results.tests_line(results.read(tmp_path), 1).splitlines()[0] == (
        "Tests: 2 passed, 1 failed, 2 errors, 1 skipped in 1.0s"
    )


def test_xdist_changes_nothing(run: Pytest, tmp_path: Path) -> None:
    """Workers collect and run; the controller writes, each fact once, in whatever order they end."""
    run(TESTS, "-p", "xdist", "-n", "2")
    first, *others = facts(tmp_path)

    assert len(first["planned"]) == 5
    assert sorted(others, key=str) == sorted(ENDED, key=str)


def test_a_killed_run_shows_what_was_to_go(run: Pytest, tmp_path: Path) -> None:
    """Line by line, so that the end of the process loses nothing; what -k leaves out was never planned."""
    text = "import os\ndef test_a(): pass\ndef test_b(): os._exit(0)\ndef test_c(): pass\ndef test_d(): pass\n"
    run(text, "-k", "not test_d")

    assert facts(tmp_path) == [
        {"planned": ["test_it.py::test_a", "test_it.py::test_b", "test_it.py::test_c"]},
        ended("test_a", "call", "passed"),
    ]


def test_an_exception_whose_message_begins_with_an_empty_line_says_what_it_is_about(
    run: Pytest, tmp_path: Path
) -> None:
    """As those of Procrastinate: its name alone would tell nothing."""
    run("def test_a():\n    raise ValueError('\\n    Database error.\\n    ')\n")

    assert facts(tmp_path)[1]["error"] == "ValueError: Database error."


def test_a_file_that_cannot_be_imported_is_a_failure(run: Pytest, tmp_path: Path) -> None:
    """With the line that says why."""
    run("import no_such_module\n")

    error = "ModuleNotFoundError: No module named 'no_such_module'"
    assert facts(tmp_path)[0] == {"id": "test_it.py", "when": "collect", "outcome": "failed", "error": error}


TWO = "import pytest\ndef test_a(): {}\ndef test_b(): pass\n"


@pytest.mark.parametrize(
    ("text", "arguments", "why"),
    [
        (TWO.format("pytest.exit('enough', 0)"), [], "enough"),
        (TWO.format("raise KeyboardInterrupt"), [], "KeyboardInterrupt"),
        (TWO.format("assert 0"), ["-x"], "stopping after 1 failures"),
        (TWO.format("pass"), ["--collect-only"], "--collect-only lists them and runs none"),
        (TWO.format("pass"), ["--setup-plan"], "--setup-plan lists their fixtures and runs none"),
        (TWO.format("pass"), ["--fixtures"], "--fixtures lists fixtures and runs none"),
        ("def pytest_runtest_logreport(): 1 / 0\n" + TWO.format("pass"), ["-p", "test_it"], "ZeroDivisionError"),
        ("def pytest_runtest_logreport(): raise SystemExit\n" + TWO.format("pass"), ["-p", "test_it"], "test_it.py:1"),
    ],
)
def test_why_pytest_stopped_early_is_told(
    run: Pytest, tmp_path: Path, text: str, arguments: list[str], why: str
) -> None:
    """The closing line alone would show tests that passed, and a red mark."""
    run(text, *arguments)

    last = results.tests_line(results.read(tmp_path), 1).splitlines()[-1]
    assert ("planned tests did not run: " in last, why in last) == (True, True), last


@pytest.mark.parametrize("option", ["--help", "--markers"])
def test_an_option_without_a_session_is_named_too(run: Pytest, tmp_path: Path, option: str) -> None:
    """With it pytest collects nothing and ends with exit code 0."""
    run("def test_a(): pass\n", option)

    assert results.read(tmp_path).ended.startswith(f"{option} shows " if option == "--help" else f"{option} lists ")


def test_a_file_that_skips_itself_says_why(run: Pytest, tmp_path: Path) -> None:
    """Pytest counts one skipped test then, although the file has none."""
    run("import pytest\npytest.importorskip('no_such_module', reason='no module, no tests')\n")

    assert results.read(tmp_path).skipped_files == ["no module, no tests"]


WORLD = """import json, os
def test_patches(monkeypatch):
    monkeypatch.setattr(json, "dumps", None)
def test_forks():
    if child := os.fork():
        os.waitpid(child, 0)
    assert child != 0  # its pytest fails here, and goes on
def test_last(): pass
"""


def test_recording_survives_what_tests_do(run: Pytest, tmp_path: Path) -> None:
    """A fake that stays until the test is torn down, and a fork that runs the rest of the tests again."""
    assert run(WORLD, "-p", "no:junitxml").returncode == 0

    assert results.tests_line(results.read(tmp_path), 1) == "Tests: 3 passed in 1.0s"


def test_without_the_option_nothing_happens(run: Pytest, tmp_path: Path) -> None:
    """Loaded by accident, it does no harm."""
    done = run("def test_a(): pass\n", record=False)

    assert (done.returncode, list(tmp_path.glob("*.jsonl"))) == (0, [])


def test_a_plugin_that_is_switched_off_says_so(run: Pytest) -> None:
    """Its fixtures are known all the same, where it was named before."""
    done = run("def test_it(bay): pass\n", "-p", "no:testbay.pytest_plugin", record=False)

    assert "testbay is switched off by `-p no:testbay`, in `addopts` for example: take it out" in done.stdout


def test_our_modules_are_imported_as_they_are(run: Pytest) -> None:
    """Not rewritten as tests are, which each process would do anew where Python may write no bytecode."""
    text = """
import pytest
pytest.register_assert_rewrite("testbay.harness.leases")  # as for a plugin's modules

def test_ours():
    from testbay.harness.leases import attach
    assert type(attach.__loader__).__name__ == "SourceFileLoader"
"""
    assert run(text).returncode == 0


def test_a_worker_that_cannot_leave_notes_goes_on(tmp_path: Path) -> None:
    """As on a full disk: they are for a crash alone."""

    class Nothing:
        def logs(self) -> dict[str, Any]:
            return {}

        def facts(self) -> list[str]:
            return []

    (tmp_path / "notes").touch()
    with (tmp_path / "notes").open("rb") as read_only:
        Evidence(Nothing(), str, read_only).notice()  # type: ignore[arg-type]
    assert (tmp_path / "notes").read_bytes() == b""
