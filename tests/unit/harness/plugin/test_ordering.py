"""The order in which several workers get the tests."""

import json
import os
from pathlib import Path

from tests.unit.conftest import ALONE, ROOT
from tests.warm import Warm

from testbay.harness.run import results

MARKED = "import pytest\npytestmark = pytest.mark.xdist_group('model')\n"
TEST = "def test_it(): pass\n"


def test_slow_files_come_first_and_groups_stay_together(tmp_path: Path, warm_pytest: Warm) -> None:
    """A group of files counts as one; a file of which nothing is known counts as the average."""
    for name in "abcd":
        (tmp_path / f"test_{name}.py").write_text((MARKED if name in "ad" else "") + TEST)
    durations = {f"test_{name}.py::test_it": seconds for name, seconds in {"a": 2.0, "b": 3.0, "d": 2.0}.items()}
    (tmp_path / "order.json").write_text(json.dumps(durations))
    argv = ["-p", "testbay.pytest_plugin", f"--testbay-order={tmp_path}/order.json", "--testbay-record=tests.jsonl"]

    warm_pytest.run(argv, cwd=tmp_path, environ={**os.environ, **ALONE, "PYTHONPATH": f"{ROOT / 'src'}:"})

    assert [fact["id"][:6] for fact in results.read(tmp_path).tests] == ["test_a", "test_d", "test_b", "test_c"]
