"""The lease of an instance, judged by its holder's own clock."""

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

from error_monitor.database import Database
from error_monitor.scanning.lease import Lease
from error_monitor.settings import Settings

if TYPE_CHECKING:
    from testbay.fixtures import Lease as Bay


def test_a_lease_ends_by_its_holders_own_clock(bay: "Bay") -> None:
    """A holder whose renewal is late says that it does not lead, before another instance can."""

    async def told() -> list[bool]:
        now = 1000.0
        database = Database(Settings.from_env(bay.exports))
        await database.open()
        try:
            lease = Lease(database, monitor="m", instance=uuid4(), lease_s=30, clock=lambda: now)
            fence = await lease.acquire()
            said = [lease.is_good]
            now += 30
            said.append(lease.is_good)
            said += [await lease.renew(fence or 0), lease.is_good]
            await lease.release(fence or 0)
            return [*said, lease.is_good]
        finally:
            await database.close()

    assert asyncio.run(told()) == [True, False, True, True, False]
