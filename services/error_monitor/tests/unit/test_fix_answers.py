"""The recorded answers of bench/fixes that the rails refuse: all of them, without the jail."""

import sys
from pathlib import Path

import pytest

from error_monitor.fixes import rails, tools
from error_monitor.fixes.checkout import Checkout
from error_monitor.fixes.records import RefusedError
from error_monitor.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from harness import seeded

BUGS = seeded.bugs()


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_the_rails_refuse_what_the_benchmark_says(bug: seeded.Bug, tmp_path: Path) -> None:
    """And let through what only the runs can judge."""
    checkout = Checkout(tmp_path / "clone", seeded.clone(bug, tmp_path / "clone"))
    settings = Settings.from_env(bug.settings).fixes
    kind = (bug.folder / "log.txt").read_text().splitlines()[-1].partition(":")[0]
    ends = {}
    for name in seeded.KINDS:
        answer = rails.compared(tools.submitted(seeded.answer(bug, name, checkout.root)), checkout)
        try:
            rails.check(answer, checkout, settings, kind)
        except RefusedError as exc:
            ends[name] = exc.reason if answer.confidence != "low" else ""

    expected = {name: one.says for name, one in bug.answers.items() if one.rung == 4}
    assert {name: says for name, says in expected.items() if says not in ends.get(name, "")} == {}, ends
    assert {name for name, said in ends.items() if said} == set(expected), ends
