"""Four shards as four processes, and `testbay merge`, which proves that they are one run."""

import json
import re
import shutil
import signal
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from tests.system.conftest import Bay, checkout, read_until

pytestmark = pytest.mark.xdist_group("shards")  # what is made once for them all is made on one worker

SHARDS = 4
PRICES = """
def price(number):
    if number % 3:
        return number
    elif number == 9:
        return 0
    return -number


def alone(number):
    if number:
        return number
    return price(number)


def never(number):
    return number if number else 1


if __name__ == "__main__":
    alone(0)
"""
MANY = """
import os, subprocess, sys, time
import pytest
from shop.prices import price

@pytest.mark.parametrize("number", range(40))
def test_price(number):
    price(number)
    time.sleep(0.8 / (number + 1))  # a few are long, most are short

def test_process():
    subprocess.run([sys.executable, "-m", "shop.prices"], env=os.environ | {"PYTHONPATH": "src"}, check=True)

def test_database(postgres):
    postgres.execute("INSERT INTO items (name) VALUES ('tea')")
"""


@dataclass(frozen=True, kw_only=True)
class Sharded:
    """One suite, run whole and in shards; where the shards' folders are, by number, and what each said."""

    whole: Path
    folders: list[Path]
    outs: list[str]


def add_tests(bay: Bay) -> None:
    """Forty-two; which lines they run does not depend on what happens when."""
    (bay.service / "src/shop/prices.py").write_text(PRICES)
    bay.tests(MANY)
    (bay.project / "pytest.ini").write_text("[pytest]\n")  # the project's, which is not the service's
    with (bay.service / "pytest.ini").open("a") as ini:
        ini.write("pythonpath = src\n")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharded]:
    """A whole run, which records durations, then four shards at once."""
    with checkout(tmp_path_factory.mktemp("there")) as bay:
        bay.measure()
        add_tests(bay)
        done = bay.run("run", "shop")
        assert done.code == 0, done.out
        whole = max((bay.project / ".testbay/runs").iterdir())
        children = [bay.start("run", "shop", f"--shard={number}/{SHARDS}") for number in range(1, SHARDS + 1)]
        outs = [child.communicate(timeout=90)[0] for child in children]
        assert [child.returncode for child in children] == [0] * SHARDS, "\n".join(outs)
        names = [re.findall(r"record: (\S+)", out)[-1] for out in outs]
        yield Sharded(whole=whole, folders=[bay.project / name for name in names], outs=outs)


@pytest.fixture
def here(tmp_path: Path, sharded: Sharded) -> Iterator[Bay]:
    """Another checkout, as of the job that merges, with the shards' folders as download-artifact leaves them."""
    with checkout(tmp_path) as bay:
        bay.measure()
        add_tests(bay)
        for number, folder in enumerate(sharded.folders, 1):
            shutil.copytree(folder, artifact(bay, number) / folder.name)
        yield bay


def artifact(bay: Bay, number: int) -> Path:
    return bay.project / "artifacts" / f"runs-shop-{number}"


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def edit(bay: Bay, number: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the record of one shard."""
    (folder,) = artifact(bay, number).iterdir()
    facts = record(folder)
    change(facts)
    (folder / "run.json").write_text(json.dumps(facts))


def merged(bay: Bay) -> Path:
    return max((bay.project / ".testbay/runs").iterdir())


def test_four_shards_run_each_test_once(sharded: Sharded) -> None:
    """The union of what they ran is what a whole run runs, and they agree on what that is."""
    records = [record(folder) for folder in sharded.folders]
    ran = [fact["id"] for facts in records for fact in facts["tests"]]

    assert sorted(ran) == sorted(record(sharded.whole)["planned"])
    assert [facts["collected"] for facts in records] == [record(sharded.whole)["planned"]] * SHARDS
    assert [[fact["id"] for fact in facts["tests"]] for facts in records] == [facts["planned"] for facts in records]


def test_four_shards_take_equally_long(sharded: Sharded) -> None:
    """By the durations that the whole run recorded, the slowest is at most 1.15 of the mean."""
    given = json.loads((sharded.whole / "durations.json").read_text())
    took = [json.loads((folder / "durations.json").read_text()) for folder in sharded.folders]
    parts = [sum(given[nodeid] for nodeid in record(folder)["planned"]) for folder in sharded.folders]
    real = [sum(durations.values()) for durations in took]
    sys.stdout.write(f"slowest / mean: {max(parts) / mean(parts):.3f} planned, {max(real) / mean(real):.3f} in truth\n")

    assert all("split by the durations of 42 tests" in out for out in sharded.outs)
    assert max(parts) <= 1.15 * mean(parts), parts


def test_the_merged_run_is_the_whole_run(here: Bay, sharded: Sharded) -> None:
    """The same closing lines but for the times, the same coverage by line and branch, a record that looks the same."""
    done = here.run("merge", "artifacts")
    whole, one = record(sharded.whole), record(merged(here))

    assert (done.code, [re.sub(r"[\d.]+s", "N s", line) for line in done.lines if line.startswith("✅")]) == (
        0,
        [
            "✅ Shards: 4 of 4, the slowest N s, the mean N s",
            "✅ Tests: 42 passed in N s",
            f"✅ Coverage: {whole['coverage_percent']:.0f}%",
        ],
    )
    assert list(one) == list(whole)
    same = ("service", "engine", "engine_reason", "migrations", "coverage_percent", "exit_code", "error")
    assert {key: one[key] for key in same} == {key: whole[key] for key in same}
    assert sorted(one["planned"]) == sorted(fact["id"] for fact in one["tests"]) == sorted(whole["planned"])
    assert [server["name"] for server in one["dependencies"]] == ["postgres", "dragonfly", "nats"]


def test_merged_coverage_is_that_of_the_whole_run(here: Bay, sharded: Sharded) -> None:
    """Line by line and branch by branch, from another folder; also in the XML that other tools read."""
    here.run("merge", "artifacts")

    def read(folder: Path) -> tuple[Any, list[dict[str, str]]]:
        lines = ET.parse(folder / "coverage.xml").getroot().iter("line")
        found = json.loads((folder / "coverage.json").read_text())
        return (found["files"], found["totals"]), [line.attrib for line in lines]

    assert read(merged(here)) == read(sharded.whole)
    assert len(read(merged(here))[1]) > 10


def test_merged_reports_are_complete(here: Bay, sharded: Sharded) -> None:
    """JUnit has every test in one suite, and durations.json what the next split needs."""
    here.run("merge", "artifacts")

    (suite,) = ET.parse(merged(here) / "junit.xml").getroot()
    durations = json.loads((merged(here) / "durations.json").read_text())
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["42", "0", "0", "0"]
    assert len(suite.findall("testcase")) == 42
    assert sorted(durations) == sorted(record(sharded.whole)["planned"])


def test_the_merged_record_lists_its_shards(here: Bay, sharded: Sharded) -> None:
    """Each with its run's id, its times and its counts; the timeline has the steps of all."""
    here.run("merge", "artifacts")
    one = record(merged(here))

    assert [(shard["shard"], shard["id"], shard["exit_code"]) for shard in one["shards"]] == [
        (f"{number}/{SHARDS}", folder.name, 0) for number, folder in enumerate(sharded.folders, 1)
    ]
    assert [(s["planned"], s["failed"], s["skipped"]) for s in one["shards"]] == [
        (s["passed"], 0, 0) for s in one["shards"]
    ]
    assert all(shard["duration_s"] > shard["tests_s"] > 0 for shard in one["shards"])
    assert [step["name"] for step in one["steps"] if step["name"].startswith("Tear down")] == [
        f"Tear down [{number}/{SHARDS}]" for number in range(1, SHARDS + 1)
    ]


def test_a_missing_shard_is_found(here: Bay) -> None:
    """Three of four are no run, however green; what they did is merged all the same."""
    shutil.rmtree(artifact(here, 3))

    done = here.run("merge", "artifacts")

    assert (done.code, record(merged(here))["exit_code"]) == (15, 15)
    assert "error: shard 3/4 is missing" in done.lines
    assert "  do:       run it again: testbay run shop --shard 3/4" in done.lines
    assert re.search(r"❌ Shards: 3 of 4.*\n❌ Tests: \d+ passed", done.out)


def test_a_test_that_ran_twice_is_found(here: Bay, sharded: Sharded) -> None:
    """Which happens when shards are split by different durations: those of the second are none."""
    first = record(sharded.folders[0])["planned"][0]
    edit(here, 2, lambda facts: facts["planned"].append(first))
    edit(here, 2, lambda facts: facts["tests"].append({"id": first, "outcome": "passed"}))
    edit(here, 2, lambda facts: facts["shard"].update(durations="none"))

    done = here.run("merge", "artifacts")

    assert done.code == 15
    assert "error: 1 of 42 tests ran in more than one shard" in done.lines
    assert "  why:      the shards were split by different durations" in done.lines
    assert f"  evidence: {first}" in done.lines


def test_a_test_in_no_shard_is_found(here: Bay) -> None:
    """The union is compared with what was collected, not with itself."""
    lost: list[str] = []
    edit(here, 2, lambda facts: lost.append(facts["planned"].pop()))
    edit(here, 2, lambda facts: facts["tests"].pop())

    done = here.run("merge", "artifacts")

    assert done.code == 15
    assert "error: 1 of 42 collected tests were in no shard" in done.lines
    assert "  why:      the records are not of one run, or were changed" in done.lines
    assert f"  evidence: {lost[0]}" in done.lines


def test_shards_of_different_suites_are_found(here: Bay) -> None:
    """A shard that ran another commit collected something else."""
    edit(here, 4, lambda facts: facts["collected"].append("tests/test_new.py::test_new"))

    done = here.run("merge", "artifacts")

    assert done.code == 15
    assert "error: shards 1/4 and 4/4 did not collect the same tests" in done.lines
    assert "  evidence: tests/test_new.py::test_new" in done.lines


def test_a_shard_that_was_killed_is_found(here: Bay) -> None:
    """Its folder is uploaded as it is: a record without an exit code."""
    here.tests("import time\ndef test_slow():\n    print('waiting', flush=True)\n    time.sleep(60)\n")
    shutil.rmtree(artifact(here, 2).parent)
    child = here.start("run", "shop", "--shard=1/1", "--", "-s", "-k", "slow")
    read_until(child, "waiting")
    child.send_signal(signal.SIGKILL)
    child.communicate()
    here.left()  # wait until the guard has ended what it left

    done = here.run("merge", ".testbay/runs")

    assert done.code == 15
    assert "error: shard 1/1 was killed: its tests are not known" in done.lines
    assert "❌ Tests: none ran in 0.0s" in done.lines


def test_a_shard_that_ended_early_is_found(here: Bay) -> None:
    """With -x, or after an error of ours: those of its tests that did not run are named, and why."""
    left: list[str] = []
    edit(here, 2, lambda facts: left.append(facts["tests"].pop()["id"]))
    edit(here, 2, lambda facts: facts.update(exit_code=12, error={"what": "postgres ended"}))
    planned = len(record(next(artifact(here, 2).iterdir()))["planned"])

    done = here.run("merge", "artifacts")

    assert done.code == 15
    assert f"error: shard 2/4 ended with exit code 12: 1 of its {planned} tests did not run" in done.lines
    assert ["  why:      postgres ended", f"  evidence: {left[0]}"] == [
        line for line in done.lines if line.startswith(("  why", "  evid"))
    ]


def test_a_failed_shard_is_a_failed_run(here: Bay) -> None:
    """A test that failed in one shard fails the merged run with that shard's exit code, and is named."""
    edit(here, 3, lambda facts: facts.update(exit_code=1))
    edit(here, 3, lambda facts: facts["tests"][0].update(outcome="failed", error="assert 1 == 2\n::warning::no"))

    done = here.run("merge", "artifacts")

    assert (done.code, record(merged(here))["exit_code"]) == (1, 1)
    assert "❌ Tests: 41 passed, 1 failed in" in done.out
    assert re.search(r"(?m)^   tests/.*: assert 1 == 2\\n::warning::no$", done.out)


def test_two_runs_are_not_mixed(here: Bay) -> None:
    """A shard that is there twice, or one of another number of shards: nothing is guessed, nothing merged."""
    shutil.copytree(artifact(here, 1), artifact(here, 9))
    twice = here.run("merge", "artifacts")
    edit(here, 9, lambda facts: facts["shard"].update(of=3))
    mixed = here.run("merge", "artifacts")

    assert (twice.code, twice.lines[0]) == (15, "error: shard 1/4 is there twice")
    assert (mixed.code, mixed.lines[0]) == (15, "error: shards 1/3 and 1/4 are not parts of one whole")
    assert not (here.project / ".testbay").exists()


def test_more_shards_than_tests(bay: Bay) -> None:
    """A shard without tests is green, and so is the whole."""
    bay.tests("def test_a(): pass\n")
    done = [bay.run("run", "shop", environment) for environment in ("--shard=1/2", "--shard=2/2")]

    assert [one.code for one in done] == [0, 0]
    assert [line for line in done[0].lines + done[1].lines if "Tests:" in line] == [
        line for line in (done[0].lines + done[1].lines) if re.match(r"✅ Tests: (1 passed in|none of 1 fell to)", line)
    ]
    assert "✅ Tests: 1 passed in" in bay.run("merge", ".testbay/runs").out


def test_no_shard_has_a_test(bay: Bay) -> None:
    """When there is nothing to run at all, every shard is red, and so is the whole."""
    bay.tests("")
    assert bay.run("run", "shop", TESTBAY_SHARD="1/1").code == 15

    done = bay.run("merge", ".testbay/runs")

    assert done.code == 15
    assert "error: no shard collected a test" in done.lines
    assert "  why:      no test was collected in " in done.out


def test_shards_work_under_xdist(bay: Bay) -> None:
    """Each worker splits alike; the durations of an unknown, damaged file are said and done without."""
    bay.tests("import pytest\n@pytest.mark.parametrize('n', range(9))\ndef test_n(n, postgres): pass\n")
    (bay.project / "bad.json").write_text("{")

    done = [bay.run("run", "shop", f"--shard={number}/2", "--durations", "bad.json", "--", "-n2") for number in (1, 2)]

    assert [one.code for one in done] == [0, 0]
    assert all(f"{bay.project / 'bad.json'}: no durations: Expecting property name" in one.out for one in done)
    assert all("split by number: no durations are recorded" in one.out for one in done)
    assert "✅ Tests: 9 passed in" in bay.run("merge", ".testbay/runs").out
