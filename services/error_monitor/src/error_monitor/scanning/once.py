"""One scan without a loop: for cron, and for files that are finished."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from error_monitor.database import Database
from error_monitor.metrics import Metrics
from error_monitor.patterns.records import Writer
from error_monitor.patterns.store import Store
from error_monitor.scanning.lease import Lease, LeaseLostError
from error_monitor.scanning.scan import Outcome, Scanner
from error_monitor.settings import Settings
from error_monitor.sources.finished import FinishedFiles
from error_monitor.sources.records import Source
from error_monitor.sources.table import sources
from error_monitor.tasks import end


async def scan_once(settings: Settings, files: Sequence[Path] | None, service: str) -> dict[str, Any]:
    """Scan until everything that is there is read; of these files, or else of every source.

    Raises:
        LeaseLostError: An instance that serves, or another call, scans now.
        Exception: One of AWAY or NOT_MIGRATED.
    """
    monitor = settings.monitor if files is None else f"{settings.monitor}:import"
    database = Database(settings)
    read: Sequence[Source] = sources(settings) if files is None else [FinishedFiles(files, service)]
    await database.open()
    try:
        lease = Lease(database, monitor=monitor, instance=(instance := uuid4()), lease_s=settings.lease_s)
        if (fence := await lease.acquire()) is None:
            raise LeaseLostError(f"another instance scans as {monitor!r} now; nothing is read twice or left out")
        writer = Writer(monitor=monitor, instance=instance, fence=fence, patience_s=max(0.2, settings.heartbeat_s / 2))
        beat = asyncio.create_task(_beat(lease, fence, settings.heartbeat_s / 4))
        try:
            return await _scan(Scanner(settings, Store(database), read, Metrics()), writer)
        finally:
            await end(beat)
            await lease.release(fence)
    finally:
        for source in read:
            await source.close()
        await database.close()


async def _scan(scanner: Scanner, writer: Writer) -> dict[str, Any]:
    outcomes: list[Outcome] = []
    while not outcomes or not (outcomes[-1].is_complete or outcomes[-1].errors):
        outcomes.append(await scanner.scan(writer, "manual"))
    return {
        **{name: sum(getattr(one, name) for one in outcomes) for name in ("lines", "events", "new_patterns")},
        "errors": outcomes[-1].errors,
    }


async def _beat(lease: Lease, fence: int, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        await lease.renew(fence)
