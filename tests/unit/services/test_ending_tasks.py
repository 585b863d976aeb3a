"""The services end their tasks even when a library drops a cancellation."""

import asyncio
import importlib

import pytest


@pytest.mark.parametrize("service", ["agent_executor", "error_monitor"])
def test_end_cancels_again_when_a_cancellation_is_dropped(service: str) -> None:
    """A task that swallows its first cancellation has ended when `end` returns."""
    tasks = importlib.import_module(f"{service}.tasks")
    cancellations = 0

    async def deaf() -> None:
        nonlocal cancellations
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancellations += 1
                if cancellations > 1:
                    raise

    async def main() -> bool:
        task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await asyncio.wait_for(tasks.end(task, again_s=0.01), timeout=60)
        return task.cancelled()

    assert (asyncio.run(main()), cancellations) == (True, 2)
