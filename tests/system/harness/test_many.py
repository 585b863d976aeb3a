"""Many runs on one host: several checkouts of one user, several runs in each, nothing shared."""

import re
import shutil
from pathlib import Path

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
    ports = [port for out in outs for port in re.findall(r"Running on port (\d+)", out)]
    assert len(ports) == len(set(ports)) == 3 * len(children)


def _another(bay: Bay, folder: Path) -> Bay:
    """A further checkout of the same project by the same user."""
    shutil.copytree(bay.project, folder)
    other = Bay(folder, bay.cache)
    other.environ = dict(bay.environ)
    return other
