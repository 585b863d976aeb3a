"""The order in which several workers get the tests."""

import json
import os
from pathlib import Path

from tests.unit.conftest import ALONE, ROOT
from tests.warm import Warm

from testbay.harness.run import results

MARKED = "import pytest\npytestmark = pytest.mark.xdist_group('model')\n"
TEST = "def test_it(): pass\n"


def order(folder: Path, files: dict[str, str], durations: dict[str, float], warm_pytest: Warm) -> list[str]:
    """Run the files; the names of those whose tests ran, in that order."""
    for name, content in files.items():
        (folder / name).write_text(content)
    (folder / "order.json").write_text(json.dumps(durations))
    argv = ["-p", "testbay.pytest_plugin", f"--testbay-order={folder}/order.json", "--testbay-record=tests.jsonl"]
    warm_pytest.run(argv, cwd=folder, environ={**os.environ, **ALONE, "PYTHONPATH": f"{ROOT / 'src'}:"})
    return [attempt.id.partition("::")[0] for attempt in results.read(folder).attempts]


def test_slow_files_come_first_and_groups_stay_together(tmp_path: Path, warm_pytest: Warm) -> None:
    """A group of files counts as one; a file of which nothing is known counts as the average."""
    files = {f"test_{name}.py": (MARKED if name in "ad" else "") + TEST for name in "abcd"}
    durations = {f"test_{name}.py::test_it": seconds for name, seconds in {"a": 2.0, "b": 3.0, "d": 2.0}.items()}

    ran = order(tmp_path, files, durations, warm_pytest)

    assert ran == ["test_a.py", "test_d.py", "test_b.py", "test_c.py"]


def test_without_durations_the_files_with_the_most_tests_come_first(tmp_path: Path, warm_pytest: Warm) -> None:
    """A group that one worker should run is then not cut where the workers' halves meet."""
    files = {"test_a.py": TEST, "test_b.py": MARKED + TEST, "test_c.py": TEST, "test_d.py": MARKED + TEST}

    ran = order(tmp_path, files, {}, warm_pytest)

    assert ran == ["test_b.py", "test_d.py", "test_a.py", "test_c.py"]
