"""Steps that wait for a dependency."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agent_executor import outages


def away_once() -> Callable[[], Awaitable[str]]:
    """A step that finds its dependency away at its first attempt only."""
    attempts = iter([ConnectionRefusedError("away")])

    async def step() -> str:
        for error in attempts:
            raise error
        return "done"

    return step


def test_a_step_that_outlasted_an_outage_ends_the_pauses_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step in the middle of an hour's pause goes on when another one finds its dependency back."""

    async def both() -> list[str]:
        monkeypatch.setattr(outages, "FIRST_PAUSE_S", 3600.0)
        pausing = asyncio.create_task(outages.outlast(away_once(), "the first"))
        await asyncio.sleep(0)  # it pauses now
        monkeypatch.setattr(outages, "FIRST_PAUSE_S", 0.0)
        return [await outages.outlast(away_once(), "the second"), await asyncio.wait_for(pausing, 30)]

    assert asyncio.run(both()) == ["done", "done"]


def test_an_error_of_the_steps_own_is_not_outlasted() -> None:
    """What is not an outage passes through at the first attempt."""

    async def broken() -> None:
        raise KeyError("name")

    with pytest.raises(KeyError):
        asyncio.run(outages.outlast(broken, "a step"))
