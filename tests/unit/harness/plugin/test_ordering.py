"""The order in which several workers get the tests."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from tests.unit.conftest import ALONE, ROOT
from tests.warm import Warm

from testbay.harness.run import results
from testbay.harness.run.shards import split
from testbay.settings import Shard

MARKED = "import pytest\npytestmark = pytest.mark.xdist_group('model')\n"
TEST = "def test_it(): pass\n"


def order(
    folder: Path, files: Mapping[str, str], durations: Mapping[str, float], warm_pytest: Warm, *options: str
) -> list[str]:
    """Run the files; the names of those whose tests were to run, in that order."""
    for name, content in files.items():
        (folder / name).write_text(content)
    (folder / "order.json").write_text(json.dumps(dict(durations)))
    argv = ["-p", "testbay.pytest_plugin", f"--testbay-order={folder}/order.json", "--testbay-record=tests.jsonl"]
    warm_pytest.run([*argv, *options], cwd=folder, environ={**os.environ, **ALONE, "PYTHONPATH": f"{ROOT / 'src'}:"})
    done = results.read(folder)
    assert len(done.attempts) == len(done.planned)
    return [nodeid.partition("::")[0] for nodeid in done.planned]


def test_slow_files_come_first_and_groups_stay_together(tmp_path: Path, warm_pytest: Warm) -> None:
    """A group of files counts by its longest test; a file of which nothing is known counts as the average."""
    files = {f"test_{name}.py": (MARKED if name in "ad" else "") + TEST for name in "abcd"}
    durations = {f"test_{name}.py::test_it": seconds for name, seconds in {"a": 1.0, "b": 3.0, "d": 4.0}.items()}

    ran = order(tmp_path, files, durations, warm_pytest)

    assert ran == ["test_a.py", "test_d.py", "test_b.py", "test_c.py"]


def test_without_durations_the_files_with_the_most_tests_come_first(tmp_path: Path, warm_pytest: Warm) -> None:
    """A group that one worker should run is then not cut where the workers' halves meet."""
    files = {"test_a.py": TEST, "test_b.py": MARKED + TEST, "test_c.py": TEST, "test_d.py": MARKED + TEST}

    ran = order(tmp_path, files, {}, warm_pytest)

    assert ran == ["test_b.py", "test_d.py", "test_a.py", "test_c.py"]


def test_each_worker_begins_with_a_slow_file_and_ends_with_a_short_one(tmp_path: Path, warm_pytest: Warm) -> None:
    """`worksteal` gives each worker half of the list, so that each half is sorted; the shortest file fills them up."""
    files = {f"test_{name}.py": TEST for name in "abcd"} | {"test_e.py": TEST + TEST.replace("it", "that")}
    durations = {f"test_{name}.py::test_it": seconds for seconds, name in enumerate("eabcd")}
    durations["test_e.py::test_that"] = 0

    ran = order(tmp_path, files, durations, warm_pytest, "-pxdist.plugin", "-n2", "--dist=worksteal")

    assert ran == [f"test_{name}.py" for name in ("d", "a", "e", "c", "b", "e")]


def test_a_group_is_dealt_to_a_worker_with_room_for_all_of_it(tmp_path: Path, warm_pytest: Warm) -> None:
    """The worker with the least to do has room for one test of it: two workers would have the group at once."""
    files = {f"test_{name}.py": (MARKED if name in "cd" else "") + TEST for name in "abcde"}
    files["test_b.py"] += TEST.replace("it", "that")
    seconds = {
        "a::test_it": 5,
        "b::test_it": 3,
        "b::test_that": 0.5,
        "c::test_it": 2,
        "d::test_it": 0.1,
        "e::test_it": 0.1,
    }
    durations = {f"test_{name.replace('::', '.py::')}": float(value) for name, value in seconds.items()}

    ran = order(tmp_path, files, durations, warm_pytest, "-pxdist.plugin", "-n2", "--dist=worksteal")

    assert ran == [f"test_{name}.py" for name in ("a", "c", "d", "b", "b", "e")]


def test_workers_of_a_shard_begin_with_its_slow_files(tmp_path: Path, warm_pytest: Warm) -> None:
    """The shard's own tests are dealt: in a list of all tests the second half would begin elsewhere."""
    durations = {f"test_{name}.py::test_it": float(seconds) for seconds, name in enumerate("hgfedcba", start=1)}
    split.hand_down(tmp_path / "shard.json", Shard(1, 2), durations)
    options = ("-pxdist.plugin", "-n2", "--dist=worksteal", f"--testbay-shard={tmp_path}/shard.json")

    ran = order(tmp_path, {f"test_{name}.py": TEST for name in "abcdefgh"}, durations, warm_pytest, *options)

    assert ran == [f"test_{name}.py" for name in "ahde"]
