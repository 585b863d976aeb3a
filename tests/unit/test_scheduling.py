"""The order in which xdist's workers get our own tests."""

import argparse
from pathlib import Path
from typing import Any

from tests.scheduling import ByFile

MARKED = "import pytest\npytestmark = pytest.mark.xdist_group('g')\n".replace("'", '"')


class Worker:
    """A worker that keeps in mind which tests it was given."""

    gateway = argparse.Namespace(id="gw")
    shutting_down = False

    def __init__(self) -> None:
        self.given: list[int] = []

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def run(tmp_path: Path, tests: list[str]) -> list[list[str]]:
    """What two workers are given that take the same time for each test."""
    for name in {test.partition("::")[0] for test in tests}:
        tmp_path.joinpath(name).write_text(MARKED if name.startswith("marked") else "")
    options = argparse.Namespace(loadscopereorder=True)
    config = argparse.Namespace(option=options, rootpath=tmp_path, getvalue=lambda name: {"tx": ["2*popen"]}[name])
    scheduler: Any = ByFile(config, None)
    workers = [Worker(), Worker()]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, tests)
    scheduler.schedule()
    done = [0, 0]
    while any(done[i] < len(worker.given) for i, worker in enumerate(workers)):
        for i, worker in enumerate(workers):
            if done[i] < len(worker.given):
                scheduler.mark_test_complete(worker, worker.given[done[i]])
                done[i] += 1
    assert scheduler.assigned_work == {worker: {} for worker in workers}
    return [[tests[index] for index in worker.given] for worker in workers]


def test_each_worker_has_a_file_of_its_own(tmp_path: Path) -> None:
    """Only when no new file is left is another's file helped with."""
    tests = [f"{file}.py::{i}" for file, count in (("a", 3), ("b", 5), ("c", 12)) for i in range(count)]
    one, two = run(tmp_path, tests)

    assert one[:3] == ["a.py::0", "a.py::1", "a.py::2"]
    assert two[:5] == ["b.py::0", "b.py::1", "b.py::2", "b.py::3", "b.py::4"]
    assert {test[0] for test in one[3:] + two[5:]} == {"c"}
    assert sorted(one + two) == sorted(tests)
    assert len(two) > 5


def test_a_group_is_one_workers(tmp_path: Path) -> None:
    """Modules that name one group are run by one worker, the groups first."""
    tests = ["a.py::0", "marked_b.py::0", "marked_b.py::1", "marked_c.py::0", "a.py::1", "a.py::2"]
    one, two = run(tmp_path, tests)

    assert one[:3] == ["marked_b.py::0", "marked_b.py::1", "marked_c.py::0"]
    assert {test[0] for test in one[3:] + two} == {"a"}
