"""The outer limit of a check, for a library that neither ends in the check's own time nor when it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from testbay.manifest.checks import Check, ContainerCheck, HttpCheck, JourneyCheck
from testbay.production.checks import loop
from testbay.production.checks.context import FoundError

_T = TypeVar("_T")
GRACE_S = 10.0  # for what follows a check's own limit: the end of a conversation, the closing of a connection
_LAST_S = 1.0  # to end when it is cancelled


class UnendedError(FoundError):
    """A check did not end, even when cancelled. `task` is what is left of it; asking again would leave another one."""

    def __init__(self, said: str, where: str, task: asyncio.Future[Any]) -> None:
        super().__init__("error", said, [f"it waits in {where}"] if where else ())
        self.task = task


def most_s(check: Check) -> float:
    """Return the longest time that a check takes by its own limits, of which some kinds have several, and a grace."""
    match check:
        case JourneyCheck():
            parts = 1 + len(check.cleanup)
        case ContainerCheck():
            parts = 1 + len(check.services)
        case HttpCheck() if check.latency:
            parts = check.latency.probes
        case _:
            parts = 1
    return check.timeout * parts + GRACE_S


async def limited(asking: Coroutine[Any, Any, _T], most_s: float) -> _T:
    """Await a finding for so long at most; what does not end then is left alone.

    Raises:
        UnendedError: It did not end.
    """
    task = asyncio.ensure_future(asking)
    patience_s = most_s  # after an interrupt, in which a journey cleans up
    where = ""
    try:
        grace_s = min(GRACE_S, most_s)
        await asyncio.wait([task], timeout=most_s - grace_s)
        await asyncio.wait([task], timeout=grace_s)  # by itself: when a machine goes on that stood still, all are over
        patience_s, where = _LAST_S, _where(asking)
    finally:
        if is_late := not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=patience_s)
            loop.leave(task)
    if not is_late:
        return task.result()
    said = f"the check itself did not end within {most_s:g} s, a fault of testbay or of a library that it asks with"
    raise UnendedError(said, where, task)


def _where(asking: Any) -> str:
    """Name the innermost function that a coroutine waits in."""
    found = ""
    while (frame := getattr(asking, "cr_frame", None)) is not None:
        found = f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_name}, line {frame.f_lineno}"
        asking = asking.cr_await
    return found
