"""A bug of bench/fixes with all its answers in the real jail, where `REQUIRE_JAIL=1` asks for it."""

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest
from harness import climbing, seeded

if TYPE_CHECKING:
    from testbay.fixtures import Lease

CHOSEN = [(bug, kind) for bug in seeded.bugs() if bug.name == "health-text" for kind in seeded.KINDS]


@pytest.mark.skipif(
    os.environ.get("REQUIRE_JAIL") != "1",
    reason="REQUIRE_JAIL=1 climbs in the jail; .ci/run does",
)
@pytest.mark.timeout(1800)  # six runs of the harness in a jail, each with a PostgreSQL of its own
@pytest.mark.parametrize(("bug", "kind"), CHOSEN, ids=[kind for _, kind in CHOSEN])
def test_an_answer_ends_where_it_should(bay: "Lease", bug: seeded.Bug, kind: str) -> None:
    """A good one in one draft pull request with its runs, each other at the rung that its folder names."""
    env: Mapping[str, str] = {**os.environ, **bay.exports}
    found = asyncio.run(climbing.climb(bug, kind, env))

    assert found.faults == []
