"""What a shard does inside pytest, on a small file; the plugin is loaded as `testbay run` loads it."""

import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
from tests.unit.conftest import ALONE, ROOT
from tests.warm import Warm

from testbay.harness.run import results, verdict
from testbay.harness.run.shards import split as shards
from testbay.settings import Shard

TESTS = """
import pytest
@pytest.mark.parametrize("of", ["a", "ü", "雪", "a b"])
def test_of(of): pass
def test_other(): pass
"""
IDS = [f"test_it.py::test_of[{name}]" for name in ("a", r"\xfc", r"\u96ea", "a b")]
Pytest = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path, warm_pytest: Warm) -> Pytest:
    """Runs pytest as a shard of what the file holds; its exit code."""

    def start(text: str, shard: Shard, *arguments: str, **durations: float) -> int:
        (tmp_path / "test_it.py").write_text(text, encoding="utf-8")
        shards.hand_down(tmp_path / "shard.json", shard, {f"test_it.py::{key}": s for key, s in durations.items()})
        argv = ["-p", "testbay.pytest_plugin", "test_it.py", "-W", "error"]
        argv += ["--testbay-record", str(tmp_path / "tests.jsonl"), "--testbay-shard", str(tmp_path / "shard.json")]
        environ = {**os.environ, **ALONE, "PYTHONPATH": f"{ROOT / 'src'}:"}
        (tmp_path / "tests.jsonl").unlink(missing_ok=True)
        return warm_pytest.run([*argv, *arguments], cwd=tmp_path, environ=environ).returncode

    return start


@pytest.mark.parametrize(
    "workers",
    [pytest.param([], id="serial"), pytest.param(["-p", "xdist", "-n", "2"], id="xdist", marks=pytest.mark.slow)],
)
def test_shards_are_the_whole_together(run: Pytest, tmp_path: Path, workers: list[str]) -> None:
    """Each records the whole collection, what -k left of it, and its own part; ids are what pytest makes of them."""
    done = []
    for number in (1, 2, 3):
        assert run(TESTS, Shard(number, 3), "-k", "test_of", *workers) == 0
        done.append(results.read(tmp_path))

    assert [sorted(one.collected) for one in done] == [sorted(IDS)] * 3
    assert sorted(chain.from_iterable(one.planned for one in done)) == sorted(IDS)
    assert [sorted(attempt.id for attempt in one.attempts) for one in done] == [sorted(one.planned) for one in done]


def test_what_ran_last_time_does_not_change_the_split(run: Pytest, tmp_path: Path) -> None:
    """--lf and --ff leave tests out or put them first: the split comes after, and asks for no order."""
    failing = "def test_a(): pass\ndef test_b(): assert 0\ndef test_c(): assert 0\n"
    run(failing, Shard(1, 1))
    planned = []
    for number, option in ((1, "--lf"), (2, "--lf"), (1, "--ff"), (2, "--ff")):
        run(failing, Shard(number, 2), option, test_b=9)
        planned.append([nodeid.rpartition("_")[2] for nodeid in results.read(tmp_path).planned])

    assert [sorted(chain(*pair)) for pair in (planned[:2], planned[2:])] == [["b", "c"], ["a", "b", "c"]]


def test_an_empty_shard_says_so(run: Pytest, tmp_path: Path) -> None:
    """More shards than tests: pytest's exit code 5, and a record that tells why."""
    code = run(TESTS, Shard(6, 6))
    done = results.read(tmp_path)

    assert (code, len(done.collected), done.planned) == (5, 5, [])
    assert verdict.verify(done, code, tmp_path) == 0
    assert results.tests_line(done, 1.0) == "Tests: none of 5 fell to this shard, in 1.0s"
