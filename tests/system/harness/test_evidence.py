"""A suite that fails in ten ways, run once on each engine: what is shown must name the cause."""

import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.conftest import ENGINES, Bay, checkout

pytestmark = pytest.mark.xdist_group("evidence")  # what is made once for them all is made on one worker

FAILING = Path(__file__).parents[1] / "failing"
SERVED = 'start = "python src/shop/serve.py {port}"\nready = "/"\n'
QUIET = "-p no:cacheprovider --continue-on-collection-errors"

# The test, what its error line says, what else must stand in its report.
CAUSES = {
    "test_assert": ("the shop opens with three items", ["assert 0 == 3"]),
    "test_hang": ("Timeout (>1.0s) from pytest-timeout", ["time.sleep(0.1)"]),
    "test_service_crash": ("Server disconnected", ["shop: the ledger is corrupt, giving up", "ended with exit code 3"]),
    "test_out_of_memory": (
        "Server disconnected",
        ["shop: loading the whole catalogue", "shop: ended by SIGKILL (out of memory, or killed by hand)"],
    ),
    "test_sql_error": (
        'invalid input syntax for type integer: "three"',
        ["ERROR:  invalid input syntax", "STATEMENT:  INSERT INTO items"],
    ),
    "test_migration_missing": (
        "Server disconnected",
        [
            'psycopg.errors.UndefinedTable: relation "orders" does not exist',
            "migrations: 0001_items.sql, 0002_stock.sql",
        ],
    ),
    "test_broker_cut": ("nats: ", ["faults: nats cut"]),
    "test_fixture_error": (
        'column "price" of relation "items" does not exist',
        ['postgres.execute("UPDATE items SET price = 1")', "STATEMENT:  UPDATE items SET price = 1"],
    ),
    "test_worker_crash": ("ended by SIGSEGV", ["Fatal Python error: Segmentation fault", "in test_worker_crash"]),
    "test_import.py": ("No module named 'shop'", ["from shop.basket import Basket"]),
}


class Failed:
    """What a run of the suite left."""

    def __init__(self, bay: Bay) -> None:
        self.done = bay.run("run", "shop", "--", "-n", "2", *QUIET.split())
        folder = max((bay.project / ".testbay" / "runs").iterdir())
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        self.tests = {test["id"].rpartition("/")[2].rpartition("::")[2]: test for test in record["tests"]}
        self.junit = {str(case.get("name")): case for case in ET.parse(folder / "junit.xml").iter("testcase")}

    def report(self, name: str) -> str:
        """All that the record has on a test."""
        test = self.tests[name]
        return "\n".join([test["trace"], *(f"--- {title}\n{text}" for title, text in test.get("sections", []))])


@pytest.fixture(scope="module", params=ENGINES)
def failed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failed]:
    """The suite, run once."""
    with checkout(tmp_path_factory.mktemp("failing")) as bay:
        bay.use(request.param)
        shutil.rmtree(bay.service / "tests")
        shutil.copytree(FAILING, bay.service, dirs_exist_ok=True)
        manifest = bay.service / "testbay.toml"
        manifest.write_text(SERVED + manifest.read_text(encoding="utf-8"), encoding="utf-8")
        yield Failed(bay)


def test_each_failed_in_its_own_way(failed: Failed) -> None:
    """None passed, none is missing."""
    outcomes: dict[str, Any] = {name: test["outcome"] for name, test in failed.tests.items()}

    assert outcomes == dict.fromkeys(CAUSES, "failed"), failed.done.out
    assert failed.done.code == 1


@pytest.mark.parametrize("name", CAUSES)
def test_the_report_names_the_cause(failed: Failed, name: str) -> None:
    """In the line that stands in every summary, and in the evidence below it."""
    error, evidence = CAUSES[name]

    assert error in failed.tests[name]["error"]
    assert [text for text in evidence if text not in failed.report(name)] == [], failed.report(name)


@pytest.mark.parametrize("name", ["test_sql_error", "test_service_crash", "test_worker_crash"])
def test_junit_and_the_terminal_show_the_same(failed: Failed, name: str) -> None:
    """For those who read elsewhere."""
    title, text = next((title, text) for title, text in failed.tests[name]["sections"] if title.endswith(" log"))
    shown = "".join(case.text or "" for case in failed.junit[name].iter("system-out"))

    assert f"--- {title} ---\n{text}" in shown
    assert re.search(rf"(?m)^-+ {title} -+$", failed.done.out)


HOSTILE = """
import os
import pytest

@pytest.fixture(autouse=True)
def helper(testbay, tmp_path):
    testbay.watch("helper", tmp_path / "helper.log")
    return tmp_path / "helper.log"

@pytest.mark.parametrize("what", ["a/b", "t\\u00e4ter \\u202e", "x" * 300, "</script>"])
def test_it(helper, what):
    key = os.environ["SHOP_KEY"]
    helper.write_bytes(b"\\x1b]0;gone\\x07 \\xff </script> ]]>\\n" + key.encode() + b"\\n" + key[::-1].encode())
    print(f"the key is {key}")
    raise ValueError(f"refused: {key}")
"""


@pytest.mark.parametrize("workers", [(), pytest.param(("-n", "2"), marks=pytest.mark.slow)])
def test_hostile_words_reach_nobody(bay: Bay, workers: tuple[str, ...]) -> None:
    """A log may hold escapes, markup and a secret, an id anything: all is shown as text, the secret not at all."""
    bay.tests(HOSTILE)
    with (bay.service / "testbay.toml").open("a", encoding="utf-8") as manifest:
        manifest.write('[secrets]\n"SHOP_*" = "/shop/*"\n')
    done = bay.run("run", "shop", "--", *workers, SHOP_KEY="a-very-secret-key")

    folder = max((bay.project / ".testbay" / "runs").iterdir())
    record = (folder / "run.json").read_text(encoding="utf-8")
    log = dict(json.loads(record)["tests"][0]["sections"])["helper log"]
    assert log == "\\x1b]0;gone\\x07 \ufffd </script> ]]>\n***\n***"
    assert [test["error"] for test in json.loads(record)["tests"]] == ["ValueError: refused: ***"] * 4
    assert len(ET.parse(folder / "junit.xml").findall(".//failure")) == 4
    kept = [file.name for file in folder.rglob("*") if file.is_file() and b"a-very-secret-key" in file.read_bytes()]
    assert (kept, "a-very-secret-key" in done.out) == ([], False)
