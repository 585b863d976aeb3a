"""`testbay run`: the five steps, the closing lines, the record, the exit codes."""

import json
import re
import xml.etree.ElementTree as ET

import pytest
from tests.system.conftest import Bay, Done

pytestmark = pytest.mark.xdist_group("run")  # one run for the tests that only look at what it left


def test_green_run_ends_with_the_closing_lines(ran: tuple[Bay, Done]) -> None:
    """A passing service is told in six lines, in the order the contract gives them."""
    done = ran[1]

    closing = [re.sub(r" \(.*\)$|\d+\.\ds$|\d+%$", "", line) for line in done.lines if line.startswith(("✅", "❌"))]
    assert (done.code, closing) == (
        0,
        [
            "✅ PostgreSQL: Running on port " + _port(done.out, "PostgreSQL"),
            "✅ Dragonfly: Running on port " + _port(done.out, "Dragonfly"),
            "✅ NATS: Running on port " + _port(done.out, "NATS"),
            "✅ Migrations: Applied successfully",
            "✅ Tests: 4 passed in ",
            "✅ Coverage: ",
        ],
    )


def test_coverage_of_nothing_says_where_to_look(ran: tuple[Bay, Done]) -> None:
    """The service's program may lie elsewhere than in src/; here the tests call none of it."""
    note = "    note: none of the measured code ran: `source` in the manifest selects it"

    assert (note in ran[1].lines, "✅ Coverage: 0%" in ran[1].lines) == (True, True)


def test_conftests_above_the_suite_are_not_read(bay: Bay) -> None:
    """Pytest looks for them from the suite's root on, as by hand."""
    (bay.service / "testbay.toml").write_text('service = "shop"\nneeds = []\n')
    bay.tests("def test_it(): pass\n")
    (bay.project / "conftest.py").write_text("raise AssertionError('this is another project')\n")

    done = bay.run("run", "shop", "--no-cov")

    assert done.code == 0, done.out


def _port(out: str, title: str) -> str:
    found = re.search(rf"{title}: Running on port (\d+)", out)
    assert found is not None
    return found[1]


def test_record_tells_the_whole_run(ran: tuple[Bay, Done]) -> None:
    """run.json has the engine and why, every dependency's version, every step with its time, every test."""
    bay = ran[0]

    record = json.loads(bay.run_json())
    assert [step["name"].split(" (")[0] for step in record["steps"]] == [
        "Start postgres, dragonfly, nats",
        "Apply migrations",
        "Run the tests",
        "Tear down",
    ]
    assert {step["outcome"] for step in record["steps"]} == {"ok"}
    assert (record["engine"], record["exit_code"], record["migrations"]) == (
        "embedded",
        0,
        ["0001_items.sql", "0002_stock.sql"],
    )
    assert [d["name"] for d in record["dependencies"] if d["version"]] == ["postgres", "dragonfly", "nats"]
    assert len(record["planned"]) == len(record["tests"]) == 4
    assert "password" not in bay.run_json()


def test_reports_stand_in_the_run_folder(ran: tuple[Bay, Done]) -> None:
    """JUnit, coverage and every server's log are kept with the run."""
    folder = max((ran[0].project / ".testbay" / "runs").iterdir())
    suite = ET.parse(folder / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "0", "0")
    assert sorted(log.name for log in (folder / "logs").iterdir()) == ["dragonfly.log", "nats.log", "postgres.log"]
    assert (folder / "coverage.xml").exists()


def test_failing_test_is_named_with_its_first_error_line(bay: Bay) -> None:
    """The closing line of a red run has the failing test's id and what it said."""
    bay.tests("def test_sum():\n    assert 1 + 1 == 3\n\n\ndef test_fine():\n    pass\n")

    done = bay.run("run", "shop")

    assert done.code == 1
    assert "❌ Tests: 1 passed, 1 failed in" in done.out
    assert "   tests/integration/test_it.py::test_sum: assert (1 + 1) == 3" in done.lines


def test_file_that_cannot_be_imported_is_named(bay: Bay) -> None:
    """An import error is pytest's exit code 2, and the closing line names the file and the cause."""
    bay.tests("import nothing_of_that_name\n\n\ndef test_it():\n    pass\n")

    done = bay.run("run", "shop")

    assert done.code == 2
    assert "   tests/integration/test_it.py: ModuleNotFoundError: No module named 'nothing_of_that_name'" in done.out


def test_conftest_that_cannot_be_imported_is_named(bay: Bay) -> None:
    """The session never begins: the closing line and the report say why, and no secret."""
    bay.tests("def test_it():\n    pass\n")
    conftest = bay.service / "tests/integration/conftest.py"
    conftest.write_text("import os\nraise RuntimeError(os.environ['API_KEY'])\n")
    with (bay.service / "testbay.toml").open("a") as manifest:
        manifest.write('[secrets]\nAPI_KEY = "/shop/key"\n')

    done = bay.run("run", "shop", API_KEY="sk-a-secret-of-ours")

    assert (done.code, done.lines[-2]) == (4, "   tests/integration/conftest.py: RuntimeError: ***")
    assert "❌ Tests: 1 error in " in done.out
    assert json.loads(bay.run_json())["tests"][0]["error"] == "RuntimeError: ***"


@pytest.mark.parametrize(
    ("word", "said"),
    [("--reuse-db", "unrecognized arguments: --reuse-db"), ("nowhere.py", "file or directory not found: nowhere.py")],
)
def test_what_pytest_refuses_is_named(bay: Bay, word: str, said: str) -> None:
    """Most often an option of a plugin that is not installed here."""
    bay.tests("def test_it():\n    pass\n")

    done = bay.run("run", "shop", "--", word)

    assert (done.code, done.lines[-2]) == (4, f"   pytest: {said}")


def test_plugin_that_ends_pytest_while_it_configures_itself_is_quoted(bay: Bay) -> None:
    """Such an error comes before our own plugin is configured."""
    bay.tests("def test_it():\n    pass\n")
    conftest = bay.service / "tests/integration/conftest.py"
    conftest.write_text("def pytest_configure():\n    raise RuntimeError('unset')\n")

    done = bay.run("run", "shop")

    said = "   pytest ended early: an error inside pytest or a plugin: RuntimeError: unset"
    assert (done.code, done.lines[-2]) == (3, said)


def test_no_test_at_all_is_an_error(bay: Bay) -> None:
    """Zero tests collected is exit code 15, never green."""
    bay.tests("")

    done = bay.run("run", "shop")

    assert done.code == 15
    assert "error: no test was collected in " in done.out
    assert "❌ Tests: none ran" in done.out


def test_planned_test_that_never_ran_is_an_error(bay: Bay) -> None:
    """A pytest that leaves early with exit code 0 is caught: planned and run are counted."""
    bay.tests("import os\n\n\ndef test_a():\n    pass\n\n\ndef test_b():\n    os._exit(0)\n")

    done = bay.run("run", "shop")

    assert done.code == 15
    assert "error: 1 of 2 planned tests did not run" in done.out
    assert "tests/integration/test_it.py::test_b" in done.out


HANGING = """
import time

def test_hang():
    try:
        time.sleep(60)
    finally:
        time.sleep(11)
"""


def test_hanging_test_ends_with_a_timeout(bay: Bay) -> None:
    """A test that hangs is a failed test with a traceback, not a hanging run, also if its own cleanup takes long."""
    bay.tests(HANGING)

    done = bay.run("run", "shop", TESTBAY_TEST_TIMEOUT="1")

    assert done.code == 1
    assert "test_hang: Failed: Timeout (>1.0s) from pytest-timeout." in done.out


WITHOUT = """
from contextlib import suppress

def test_a(postgres):
    with suppress(Exception):
        postgres.execute("CREATE EXTENSION nosuch")
    raise LookupError("no table")
"""


def test_an_extension_that_the_server_lacks_is_named_where_a_test_fails(bay: Bay) -> None:
    """The program went on without it, so the test's own error speaks of something else."""
    bay.tests(WITHOUT)

    done = bay.run("run", "shop")

    assert (
        "    note: this PostgreSQL server has no extension 'nosuch', which a test asks for: an image that has it"
        in done.out
    )


LOCKED_TWICE = """
import ctypes

def test_a():
    pass

def test_stuck():
    lock = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(lock)
"""


def test_a_test_that_python_cannot_interrupt_ends_the_run_with_its_stack(bay: Bay) -> None:
    """A call of C that waits, as psycopg2 for a lock, starts no handler of a signal: pytest is ended from a thread."""
    bay.tests(LOCKED_TWICE)

    done = bay.run("run", "shop", TESTBAY_TEST_TIMEOUT="1")

    assert done.code == 15
    assert (
        "error: pytest ended while tests/integration/test_it.py::test_stuck ran; 1 of 2 tests had not run" in done.out
    )
    assert 'test_it.py", line 10 in test_stuck' in done.out


def test_what_follows_the_dashes_goes_to_pytest(bay: Bay) -> None:
    """`-- -k dragonfly` runs one test of four, and that is no error; pytest may be silent about it."""
    done = bay.run("run", "shop", "--", "-k", "dragonfly", "-p", "no:terminal")

    assert done.code == 0
    assert "✅ Tests: 1 passed in" in done.out


def test_locale_without_unicode_gets_words(bay: Bay) -> None:
    """On a terminal that has no such characters the marks are words, and nothing crashes."""
    done = bay.run("run", "shop", LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert done.code == 0
    assert "[ok] Migrations: Applied successfully" in done.lines


@pytest.mark.parametrize("asked_for", ["auto", "embedded", "compose"])
def test_a_service_that_needs_nothing_needs_no_compose_file(bay: Bay, asked_for: str) -> None:
    """Nothing is started, so nothing has to be listed, and no engine has to be there."""
    (bay.project / "docker-compose.test.yml").unlink()
    (bay.service / "testbay.toml").write_text('service = "shop"\nneeds = []\n')
    bay.tests("def test_nothing(): pass\n")
    done = bay.run("run", "shop", TESTBAY_ENGINE=asked_for)

    assert (done.code, done.lines[0]) == (0, "==> Start no dependency (embedded: it needs nothing)")
    assert "testbay: embedded: no dependency" in done.lines
    assert "✅ Tests: 1 passed" in done.out


def test_a_name_can_be_left_out_before_the_dashes(bay: Bay) -> None:
    """What stands behind them is pytest's, or a program of its own, in a project with one service."""
    bay.tests("def test_a(dragonfly):\n    pass\n\ndef test_b(dragonfly):\n    assert 0\n")

    assert bay.run("run", "--", "-k", "not test_b").code == 0
    assert bay.run("run", "--", "-k", "test_b").code == 1
    assert bay.run("open", "--", "true").code == 0
    assert bay.run("exec", "--", "sh", "-c", "exit 7").code == 7
