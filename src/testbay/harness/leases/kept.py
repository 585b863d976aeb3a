"""A private slice of a kept stack for one caller: its own database, keyspace and NATS account, under one number.

Who holds a number holds the lock of its file, which the kernel frees however the holder ends. A lease is made anew when
it is taken, so what the last holder left, even one that was killed, is never met.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import IO

from testbay.harness.dependencies import ROOMS
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.stack import registry
from testbay.harness.stack import stack as stacks
from testbay.harness.stack.request import Request
from testbay.harness.stack.stack import Stack


@dataclass(kw_only=True)
class Lease:
    """A number held on a kept stack; `stack` is that stack with the lease's own endpoints."""

    number: int
    stack: Stack
    _lock: IO[bytes] = field(repr=False)

    def give_back(self) -> None:
        """Let the next caller have it; the stack stays."""
        self.stack.leave()
        self._lock.close()


def take(asked: Request, catch_up: Callable[[Stack], None]) -> Lease | None:
    """A lease on the kept stack with this very configuration; None when none runs or none of its leases is free.

    `catch_up` brings the kept stack's migrations up to date before its database is copied.
    """
    kept = None if asked.settings.cold else stacks.join(asked)
    if kept is None:
        return None
    try:
        catch_up(kept)
    except BaseException:
        kept.leave()
        raise
    held = registry.hold_number(kept.home)
    endpoints = _lease_all(kept, held[0]) if held else None
    if held is None or endpoints is None:
        kept.leave()
        return None
    return Lease(number=held[0], stack=replace(kept, endpoints=endpoints), _lock=held[1])


def _lease_all(kept: Stack, number: int) -> dict[str, Endpoint] | None:
    """Every dependency's lease, or none: a half-private stack is a shared one."""
    leased: dict[str, Endpoint] = {}
    for name, endpoint in kept.endpoints.items():
        try:
            own = ROOMS[name].lease(endpoint, number) if name in ROOMS else endpoint  # a stand-in answers everybody
        except OSError:
            return None
        if own is None:
            return None
        leased[name] = own
    return leased
