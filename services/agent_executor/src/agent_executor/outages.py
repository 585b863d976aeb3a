"""The errors that mean "a dependency is away", and the retries that outlast them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import nats.errors
import nats.js.errors
import psycopg
import structlog

T = TypeVar("T")

DATABASE_AWAY = (psycopg.OperationalError, psycopg.InterfaceError)
BROKER_AWAY = (
    nats.errors.TimeoutError,
    nats.errors.ConnectionClosedError,
    nats.errors.NoServersError,
    nats.errors.OutboundBufferLimitError,
    nats.js.errors.NoStreamResponseError,
    nats.js.errors.ServiceUnavailableError,
    OSError,
)
AWAY = (*DATABASE_AWAY, *BROKER_AWAY)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0

log = structlog.get_logger(__name__)
_pausing: set[asyncio.Event] = set()


async def outlast(step: Callable[[], Awaitable[T]], what: str) -> T:
    """Repeat an idempotent step until no dependency is away. Any other error passes through at once."""
    pause = FIRST_PAUSE_S
    failures = 0
    while True:
        try:
            value = await step()
        except AWAY as exc:
            failures += 1
            if failures == 1:
                log.warning("dependency_away", step=what, error=f"{type(exc).__name__}: {exc}")
            await _pause(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
        else:
            if failures:
                log.info("dependency_back", step=what, failures=failures)
                nudge()
            return value


def nudge() -> None:
    """Have every step that pauses try at once, as a dependency was seen to be back."""
    for over in _pausing:
        over.set()


async def _pause(longest_s: float) -> None:
    over = asyncio.Event()
    _pausing.add(over)
    try:
        async with asyncio.timeout(longest_s):
            await over.wait()
    except TimeoutError:
        return
    finally:
        _pausing.discard(over)
