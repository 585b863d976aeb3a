"""A fix ends, whatever goes wrong while an instance works on it."""

import asyncio
from typing import Any, cast

import psycopg
import pytest

from error_monitor.database import Database
from error_monitor.fixes.ladder import Ladder
from error_monitor.fixes.store import Owned
from error_monitor.settings import Settings

OWNED = Owned(fix_id=1, fingerprint="v1:0", fence=1)


class Strange(Ladder):
    """A ladder on which the first step raises an error; `ended` is what became of the fix."""

    def __init__(self, error: Exception) -> None:
        super().__init__(Settings.from_env({}).fixes, cast("Database", None), [])
        self._error, self.ended = error, list[Any]()

    async def _fix(self, owned: Owned) -> dict[str, Any]:  # noqa: ARG002 - the ladder names it
        raise self._error

    async def _later(self, owned: Owned, rung: int, reason: str) -> None:
        self.ended += [owned, rung, reason]


def test_an_answer_of_another_shape_is_a_try_that_failed() -> None:
    """Tries are counted: taken over without end, such a fix would keep all others waiting."""
    ladder = Strange(KeyError("tree"))
    asyncio.run(ladder.climb(OWNED))

    assert ladder.ended == [OWNED, 2, "the monitor failed: KeyError"]


def test_a_database_that_is_away_is_no_failed_try() -> None:
    """The instance that takes the fix over goes on where it stands."""
    ladder = Strange(psycopg.OperationalError())
    with pytest.raises(psycopg.OperationalError):
        asyncio.run(ladder.climb(OWNED))

    assert ladder.ended == []
