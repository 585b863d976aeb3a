"""The scanner's lease: one holder at a time, with a fence that grows whenever it changes hands."""

import time
from collections.abc import Callable
from uuid import UUID

from psycopg.errors import UniqueViolation

from error_monitor.database import Database


class LeaseLostError(Exception):
    """Another instance scans now; what this one still wanted to write was refused."""


def uptime_s() -> float:
    """Seconds on a clock that nothing sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    """A row in the database. Its times are the database's: no clock of ours decides who may take it.

    A clock of ours decides when we stop saying that we hold it: `is_good` ends a lease's length after we sent the last
    renewal that was granted, which is before the row ends in the database. So two instances never say it at once.

    A holder that dies or freezes is not renewed, and another instance takes the row, with a fence that is one higher.
    Each write of a scan locks the row FOR KEY SHARE with its own fence. Taking it over changes the key and so waits for
    such a write to end; afterwards none with the old fence finds its row. A frozen holder cannot make others wait for
    long: the server ends its idle transaction.
    """

    def __init__(
        self,
        database: Database,
        *,
        monitor: str,
        instance: UUID,
        lease_s: float,
        clock: Callable[[], float] = uptime_s,
    ) -> None:
        self._database = database
        self._monitor = monitor
        self._instance = instance
        self._lease_s = lease_s
        self._clock = clock
        self._good_until = clock()

    @property
    def is_good(self) -> bool:
        """Return whether no other instance can hold the lease now, judging by the database's last answer."""
        return self._clock() < self._good_until

    async def acquire(self) -> int | None:
        """The new fence; None while another holder's lease is good."""
        asked_at = self._clock()
        try:
            row = await self._database.fetch_one(
                """INSERT INTO error_monitor.leases AS lease (monitor, fence, holder, expires_at)
                   VALUES (%(monitor)s, 1, %(holder)s, clock_timestamp() + make_interval(secs => %(lease)s))
                   ON CONFLICT (monitor) DO UPDATE SET fence = lease.fence + 1, holder = EXCLUDED.holder,
                       expires_at = clock_timestamp() + make_interval(secs => %(lease)s)
                       WHERE lease.expires_at < clock_timestamp() OR lease.holder IS NULL
                           OR lease.holder = EXCLUDED.holder
                   RETURNING fence""",
                {"monitor": self._monitor, "holder": self._instance, "lease": self._lease_s},
            )
        except UniqueViolation:  # the very first row: another instance wrote it at the same moment
            return None
        if row is None:
            return None
        self._good_until = asked_at + self._lease_s
        return int(row["fence"])

    async def renew(self, fence: int) -> bool:
        """Keep it; False when another instance has it."""
        asked_at = self._clock()
        changed = await self._database.execute(
            """UPDATE error_monitor.leases SET expires_at = clock_timestamp() + make_interval(secs => %s)
               WHERE monitor = %s AND fence = %s AND holder = %s""",
            (self._lease_s, self._monitor, fence, self._instance),
        )
        self._good_until = asked_at + self._lease_s if changed == 1 else asked_at
        return changed == 1

    async def release(self, fence: int) -> None:
        """Give it back, so that the next instance need not wait."""
        self._good_until = self._clock()
        await self._database.execute(
            """UPDATE error_monitor.leases SET holder = NULL, expires_at = clock_timestamp()
               WHERE monitor = %s AND fence = %s AND holder = %s""",
            (self._monitor, fence, self._instance),
        )
