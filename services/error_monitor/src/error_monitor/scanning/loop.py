"""The loop: hold the lease, scan every interval, and go on whatever happens."""

import asyncio
import contextlib
import socket
from uuid import UUID, uuid4

from error_monitor import logs
from error_monitor.database import AWAY, NO_TABLES, NOT_MIGRATED, Database
from error_monitor.metrics import Metrics
from error_monitor.patterns.records import Writer
from error_monitor.scanning.lease import Lease, LeaseLostError
from error_monitor.scanning.scan import Outcome, Scanner
from error_monitor.settings import Settings
from error_monitor.tasks import end, together

log = logs.get(__name__)

_BEATS_A_LEASE = 4


class StuckScanError(Exception):
    """A scan did not end at its deadline."""


class Loop:
    """One task that watches the lease and, while it holds it, scans. It is supervised: an error starts it anew."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        scanner: Scanner,
        metrics: Metrics,
    ) -> None:
        self.instance: UUID = uuid4()
        self.error = ""
        self._fence: int | None = None
        self._settings = settings
        self._database = database
        self._scanner = scanner
        self._metrics = metrics
        self._lease = Lease(database, monitor=settings.monitor, instance=self.instance, lease_s=settings.lease_s)
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[Outcome]] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Return whether the loop's task lives, whichever instance scans."""
        return self._task is not None and not self._task.done()

    @property
    def fence(self) -> int | None:
        """The fence while this instance leads. An instance that froze says that it does not, before it notices."""
        return self._fence if self._lease.is_good else None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._supervise(), name="error-monitor")

    async def stop(self) -> None:
        """End; the lease is free at once for the next instance."""
        if self._task is None:
            return
        await end(self._task)
        fence, self._fence = self._fence, None
        if fence is not None:
            with contextlib.suppress(*AWAY):
                await self._lease.release(fence)

    async def scan_now(self, timeout_s: float) -> Outcome | None:
        """A scan at once, and what it came to; None while another instance scans, which then does it."""
        if self.fence is None:
            return None
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._wanted.set()
        return await asyncio.wait_for(waiting, timeout_s)

    async def _supervise(self) -> None:
        pause_s = min(1.0, self._settings.heartbeat_s / _BEATS_A_LEASE)
        while True:
            try:
                await self._lead_or_wait()
            except NOT_MIGRATED:
                self._fail(NO_TABLES)
            except LeaseLostError as exc:
                self._fail("", f"{exc}")
            except StuckScanError as exc:
                self._fail(str(exc))
            except AWAY as exc:
                self._fail(f"the database is away: {type(exc).__name__}")
            except Exception as exc:  # noqa: BLE001 -- the loop survives everything, and says what it was
                self._fail(f"the loop failed: {type(exc).__name__}")
                self._metrics.restarted()
                log.error("loop_failed", error=logs.trace(exc))  # noqa: TRY400 -- one line: a traceback would become a pattern
            await asyncio.sleep(pause_s)

    def _fail(self, error: str, why: str = "") -> None:
        if error != self.error or why:
            log.warning("loop_interrupted", error=error or why)
        self.error = error
        self._resign()

    def _resign(self) -> None:
        self._fence = None
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_exception(LeaseLostError(self.error or "another instance scans now"))

    async def _lead_or_wait(self) -> None:
        """Take the lease when it is free, then scan until it is lost."""
        await self._announce()
        fence = await self._lease.acquire()
        self.error = ""
        if fence is None:
            return
        self._fence = fence
        log.info("lease_acquired", fence=fence)
        writer = Writer(
            monitor=self._settings.monitor,
            instance=self.instance,
            fence=fence,
            patience_s=max(0.2, self._settings.heartbeat_s / 2),
        )
        await together(self._beat(fence), self._scan_on(writer))

    async def _beat(self, fence: int) -> None:
        """Renew the lease; an outage that is shorter than the lease costs nothing."""
        while True:
            await asyncio.sleep(self._settings.heartbeat_s / _BEATS_A_LEASE)
            try:
                async with asyncio.timeout(self._settings.lease_s):
                    if not await self._lease.renew(fence):
                        raise LeaseLostError(f"fence {fence} was taken over")
                    await self._announce()
            except AWAY:
                if not self._lease.is_good:
                    raise

    async def _scan_on(self, writer: Writer) -> None:
        trigger = "start"
        while True:
            self._wanted.clear()
            served = len(self._waiting)  # who asks while this scan runs may mean lines that it has passed
            outcome = await self._scanned(writer, trigger)
            for one in self._waiting[:served]:
                if not one.done():
                    one.set_result(outcome)
            del self._waiting[:served]
            pause_s = self._settings.interval_s if outcome.is_complete or outcome.errors else 0.0
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), pause_s)
            trigger = "manual" if self._wanted.is_set() else "interval"

    async def _scanned(self, writer: Writer, trigger: str) -> Outcome:
        """One scan, which ends by itself at its deadline: one that does not is given up."""
        limit = asyncio.timeout(self._settings.scan_deadline_s * 2)
        try:
            async with limit:
                return await self._scanner.scan(writer, trigger)
        except TimeoutError:
            if not limit.expired():
                raise
        raise StuckScanError(f"a scan was given up after {self._settings.scan_deadline_s * 2:g} s: a source hangs")

    async def _announce(self) -> None:
        """Say that this instance is there, and what it reads."""
        await self._database.execute(
            """INSERT INTO error_monitor.instances AS known (instance, monitor, host, reads, seen_at)
               VALUES (%s, %s, %s, %s, now()) ON CONFLICT (instance) DO UPDATE SET seen_at = now()""",
            (self.instance, self._settings.monitor, socket.gethostname(), self._settings.reads),
        )
        await self._database.execute("DELETE FROM error_monitor.instances WHERE seen_at < now() - interval '1 day'")
