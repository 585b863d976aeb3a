"""Workers that `testbay run` starts by itself: when, and in what order they begin."""

import json

import pytest
from tests.system.fakes.guest import Guest

MANIFEST = 'service = "guest"\nneeds = []\ntests = "tests"\nworkers = 2\n'
NOTE = """import os, time
def note(name):
    with open("order.txt", "a") as file:
        file.write(f"{name} {os.environ.get('PYTEST_XDIST_WORKER', 'alone')}\\n")
"""
QUICK = "from note import note\ndef test_quick(): note('quick')\n"
SLOW = "from note import note\ndef test_first(): note('first')\ndef test_second(): note('second')\n"
EARLY = """import subprocess, sys
def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):
        subprocess.run([sys.executable, "early.py"], check=True)
"""


def noted(guest: Guest, *arguments: str, **environ: str) -> dict[str, str]:
    """Which worker ran each test, in the order in which they began."""
    guest.write({"testbay.toml": MANIFEST, "tests/note.py": NOTE, "tests/test_a.py": QUICK, "tests/test_b.py": SLOW})
    done = guest.run("run", "--no-cov", "--", "-p", "no:cacheprovider", *arguments, **environ)
    assert done.code == 0, done.out
    order = guest.project / "order.txt"
    lines = order.read_text(encoding="utf-8").splitlines()
    order.unlink()
    return dict(line.split() for line in lines)


def test_manifest_asks_for_workers(guest: Guest) -> None:
    """Each runs a part of the tests."""
    assert set(noted(guest).values()) == {"gw0", "gw1"}


@pytest.mark.parametrize("better", [["-n", "0"], ["-s"], ["tests/test_a.py::test_quick"], ["--pdb"]])
def test_caller_knows_better(guest: Guest, better: list[str]) -> None:
    """Who says how tests are spread, or wants to look at them, is obeyed."""
    assert set(noted(guest, *better).values()) == {"alone"}


def test_environment_knows_better(guest: Guest) -> None:
    """A CI whose machines are shared says so."""
    assert set(noted(guest, TESTBAY_WORKERS="1").values()) == {"alone"}


def test_files_that_took_long_come_first(guest: Guest) -> None:
    """By what earlier runs recorded; the tests of a file stay in their order."""
    run = guest.project / ".testbay/runs/20260101-000000-guest-aaaa"
    run.mkdir(parents=True)
    seconds = {
        "tests/test_a.py::test_quick": 0.1,
        "tests/test_b.py::test_first": 9.0,
        "tests/test_b.py::test_second": 9.0,
    }
    (run / "durations.json").write_text(json.dumps(seconds), encoding="utf-8")

    assert list(noted(guest, "-n", "0", TESTBAY_WORKERS="2")) == ["first", "second", "quick"]


def test_what_was_measured_before_the_workers_began_counts(guest: Guest) -> None:
    """A process that the controller starts may end before pytest-cov begins in a worker."""
    tests = {"tests/test_a.py": "def test_one(): pass\n", "tests/test_b.py": "def test_two(): pass\n"}
    manifest = f'{MANIFEST}coverage = "all"\n'
    guest.write({"testbay.toml": manifest, "early.py": "x = 1\n", "tests/conftest.py": EARLY, **tests})

    done = guest.run("run")

    (report,) = guest.project.glob(".testbay/runs/*/coverage.json")
    covered = json.loads(report.read_text(encoding="utf-8"))["files"]
    assert (done.code, covered["early.py"]["executed_lines"]) == (0, [1]), done.out
