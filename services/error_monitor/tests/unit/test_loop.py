"""The loop goes on whatever a scan does, and says what it was."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from error_monitor.scanning.loop import Loop


class Answering:
    """A database that grants every lease and takes every write."""

    async def fetch_one(self, *_: Any) -> dict[str, int]:
        """The lease."""
        return {"fence": 1}

    async def execute(self, *_: Any) -> int:
        """One row was changed."""
        return 1


class Hanging:
    """A scanner whose scan does not end, or ends in an error of its own."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def scan(self, *_: Any) -> None:
        """Never an outcome."""
        if self.error is not None:
            raise self.error
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, "a scan was given up after 0.02 s: a source hangs"),
        (TimeoutError(), "the database is away: TimeoutError"),
        (ValueError(), "the loop failed: ValueError"),
    ],
)
def test_what_ended_a_scan_is_told(error: Exception | None, told: str) -> None:
    """A scan that hangs is not blamed on the database, which answers."""
    settings = SimpleNamespace(monitor="m", lease_s=60.0, heartbeat_s=40.0, scan_deadline_s=0.01, reads=[])
    metrics = SimpleNamespace(restarted=lambda: None)

    async def until_told() -> str:
        loop = Loop(*cast("Any", (settings, Answering(), Hanging(error), metrics)))
        loop.start()
        async with asyncio.timeout(60):
            while not loop.error:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        said = loop.error
        await loop.stop()
        return said

    assert asyncio.run(until_told()) == told
