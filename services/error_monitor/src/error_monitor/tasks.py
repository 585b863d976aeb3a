"""Running several coroutines at once, and ending tasks."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

AGAIN_S = 1.0
"""The pause before a task that has not ended is cancelled again."""


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Return all results in order. The first error ends the rest and is raised as it is, not in a group."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await end(*tasks)


async def end(*tasks: asyncio.Task[Any], again_s: float = AGAIN_S) -> None:
    """Cancel tasks until all have ended; what they raise is dropped.

    Once is not enough: before Python 3.12, `asyncio.wait_for` drops a cancellation that arrives together with its
    result, and psycopg's pool waits with it. A loop that loses its cancellation runs for ever, and so does the wait
    for its end.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=again_s)
    await asyncio.gather(*tasks, return_exceptions=True)
