"""Seeded chaos: kills, takeovers, rotations, truncated copies and outages, against a truth that is kept outside."""

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Self
from uuid import uuid4

import pytest
from harness.logfiles import LogFolder
from harness.peers import SECOND_NS, Loki

from error_monitor.database import Database
from error_monitor.metrics import Metrics
from error_monitor.patterns.records import Writer
from error_monitor.patterns.store import Store
from error_monitor.scanning.lease import Lease, LeaseLostError
from error_monitor.scanning.scan import Scanner
from error_monitor.settings import Settings
from error_monitor.sources.table import sources

if TYPE_CHECKING:
    from testbay.fixtures import Lease as Bay

RUNS = int(os.environ.get("CHAOS_RUNS", "2"))  # .ci/run takes more, a measurement hundreds
STEPS = 25
KINDS = ("pay", "ship", "pack")


class World:
    """Log files and a Loki, and what was ever logged to them."""

    def __init__(self, seed: int, logs: LogFolder, loki: Loki) -> None:
        self.chance = random.Random(seed)  # noqa: S311 -- chance that can be repeated, no cryptography
        self.truth: Counter[str] = Counter()
        self._logs = logs
        self._loki = loki

    def write(self) -> None:
        """A few errors in a file."""
        kind, count = self.chance.choice(KINDS), self.chance.randint(1, 4)
        self._logs.fail(count, where=kind)
        self.truth[f"no {kind}"] += count

    def push(self) -> None:
        """A few errors in Loki, some of them at one time."""
        kind, now = self.chance.choice(KINDS), time.time_ns()
        for number in range(self.chance.randint(1, 3)):
            self._loki.push(now - SECOND_NS // 2 + number // 2, f"ERROR no {kind} in Loki", app="shop", kind=kind)
            self.truth[f"no {kind} in Loki"] += 1

    def rotate(self) -> None:
        """By a new name, as logrotate does."""
        if (self._logs.path / "shop.log").exists():
            self._logs.rotate(keep=40)

    def copytruncate(self) -> None:
        """By a copy, while nobody writes."""
        file = self._logs.path / "shop.log"
        if file.exists() and file.stat().st_size:
            self.rotate()
            copy = self._logs.path / "shop.log.1"
            copy.rename(file)
            copy.write_bytes(file.read_bytes())
            os.truncate(file, 0)

    def outage(self) -> None:
        """Loki answers with an error once or twice."""
        self._loki.next = [(503, "away")] * self.chance.randint(1, 2)


class Crew:
    """Scanners that come and go; each new one takes the lease with the next fence."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._database = Database(settings)
        self._sources = sources(settings)

    async def scan(self, chance: random.Random, *, is_last: bool = False) -> None:
        """A whole scan, one that is killed somewhere, or one that loses its lease to another in the middle."""
        fate = "whole" if is_last else chance.choice(("whole", "whole", "killed", "overtaken"))
        first = asyncio.create_task(self._scan())
        if fate == "killed":
            await asyncio.sleep(chance.random() * 0.05)
            first.cancel()
        elif fate == "overtaken":
            await asyncio.sleep(chance.random() * 0.02)
            with contextlib.suppress(LeaseLostError):
                await self._scan()
        with contextlib.suppress(asyncio.CancelledError, LeaseLostError):
            await first

    async def counted(self) -> dict[str, int]:
        """Each message with its count."""
        rows = await self._database.fetch("SELECT message, events FROM error_monitor.patterns")
        return {row["message"]: row["events"] for row in rows}

    async def __aenter__(self) -> Self:
        await self._database.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        for source in self._sources:
            await source.close()
        await self._database.close()

    async def _scan(self) -> None:
        instance, name = uuid4(), self._settings.monitor
        await self._database.execute("UPDATE error_monitor.leases SET expires_at = now() - interval '1 second'")
        lease = Lease(self._database, monitor=name, instance=instance, lease_s=30)
        fence = await lease.acquire()
        if fence is None:
            return
        writer = Writer(monitor=name, instance=instance, fence=fence, patience_s=5)
        scanner = Scanner(self._settings, Store(self._database), self._sources, Metrics())
        await scanner.scan(writer, "manual")


async def live(settings: Settings, world: World) -> dict[str, int]:
    """One seeded life; what was counted at its end."""
    deeds = [world.write] * 4 + [world.rotate, world.copytruncate, world.push, world.outage]
    async with Crew(settings) as crew:
        for _ in range(STEPS):
            world.chance.choice(deeds)()
            if world.chance.random() < 0.5:
                await crew.scan(world.chance)
        for _ in range(3):
            await crew.scan(world.chance, is_last=True)
        return await crew.counted()


@pytest.mark.parametrize("seed", range(RUNS))
def test_counts_are_the_truth(bay: "Bay", logs: LogFolder, loki: Loki, seed: int) -> None:
    """Whatever happened, each error counts once, and nothing else does."""
    told = {**bay.exports, **loki.environ, "LOG_FILES": f"{logs.path}/*.log", "ERROR_MONITOR_SETTLE_S": "0"}
    settings = Settings.from_env(told | {"ERROR_MONITOR_BACKOFF_S": "0", "ERROR_MONITOR_DB_TIMEOUT_S": "15"})
    world = World(seed, logs, loki)

    counted = asyncio.run(live(settings, world))

    assert counted == dict(world.truth)
