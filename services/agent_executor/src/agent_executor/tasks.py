"""Ending the asyncio tasks of this process."""

import asyncio
from typing import Any

AGAIN_S = 1.0
"""The pause before a task that has not ended is cancelled again."""


async def end(*tasks: asyncio.Task[Any], again_s: float = AGAIN_S) -> None:
    """Cancel tasks until all have ended.

    Once is not enough: before Python 3.12, `asyncio.wait_for` drops a cancellation that arrives together with its
    result, and psycopg's pool waits with it. A loop that loses its cancellation runs for ever, and so does the wait
    for its end.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=again_s)
