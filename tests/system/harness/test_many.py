"""Many runs on one host: several checkouts of one user, several runs in each, nothing shared."""

import json
import shutil
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.system.conftest import Bay

# engine: runs in each of the four checkouts
RUNS = {"embedded": 2, "compose": 1}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_runs_of_four_checkouts_at_once_are_green(bay: Bay, tmp_path: Path, engine: str) -> None:
    """Eight runs (four on compose) from four checkouts with one cache: all green, no port twice."""
    bay.use(engine)
    checkouts = [bay, *(_another(bay, tmp_path / f"checkout {number}") for number in range(2, 5))]
    children = [checkout.start("run", "shop") for checkout in checkouts for _ in range(RUNS[engine])]
    outs = [child.communicate(timeout=380)[0] for child in children]

    assert [child.returncode for child in children] == [0] * len(children), "\n".join(outs)
    stays = [_stay(file) for checkout in checkouts for file in checkout.project.glob(".testbay/runs/*/run.json")]
    assert [len(stay.ports) for stay in stays] == [3] * len(children)
    assert [a for a, b in combinations(stays, 2) if a.meets(b) and a.ports & b.ports] == []


class Stay(NamedTuple):
    """The time in which a run's servers surely hold their ports: they may be free again as soon as their end begins."""

    began: float
    ended: float
    ports: set[int]

    def meets(self, other: "Stay") -> bool:
        return self.began < other.ended and other.began < self.ended


def _stay(file: Path) -> Stay:
    record = json.loads(file.read_text(encoding="utf-8"))
    began = datetime.fromisoformat(record["started"]).timestamp()
    (migrate,) = (step for step in record["steps"] if step["name"] == "Apply migrations")
    (end,) = (step for step in record["steps"] if step["name"] == "Tear down")
    return Stay(began + migrate["start_s"], began + end["start_s"], {one["port"] for one in record["dependencies"]})


def _another(bay: Bay, folder: Path) -> Bay:
    """A further checkout of the same project by the same user."""
    shutil.copytree(bay.project, folder)
    other = Bay(folder, bay.cache)
    other.environ = dict(bay.environ)
    return other
