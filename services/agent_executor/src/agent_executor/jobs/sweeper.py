"""Finishes what a crash left half-sent: accepted tasks without their event, final jobs without theirs."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from agent_executor.jobs.lifecycle import Jobs
from agent_executor.jobs.store import Store
from agent_executor.messaging.bus import Bus
from agent_executor.outages import AWAY, nudge
from agent_executor.records import Job
from agent_executor.tasks import end

log = structlog.get_logger(__name__)


class Sweeper:
    """Looks into the two outboxes of the jobs table now and then."""

    def __init__(self, store: Store, bus: Bus, jobs: Jobs, *, interval_s: float) -> None:
        self._store = store
        self._bus = bus
        self._jobs = jobs
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to sweep."""
        self._task = asyncio.create_task(self._run(), name="sweep")

    async def stop(self) -> None:
        """End the sweeping."""
        if self._task is not None:
            await end(self._task)

    async def _run(self) -> None:
        postponed = False
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self._sweep()
            except AWAY as exc:
                log.debug("sweep_postponed", error=repr(exc))
                postponed = True
                continue
            except Exception:
                log.exception("sweep_failed")
            if postponed:
                postponed = False
                nudge()

    async def _sweep(self) -> None:
        # Rows younger than one interval are most likely being dealt with right now.
        for job in await self._store.unsent(older_than_s=self._interval_s):
            await self._one(job, self._send, "event_sent_late")
        for job in await self._store.unannounced(older_than_s=self._interval_s):
            await self._one(job, self._jobs.announce, "announced_late")

    async def _send(self, job: Job) -> None:
        await self._bus.send_execute(job)
        await self._store.event_sent(job.job_id)

    async def _one(self, job: Job, step: Callable[[Job], Awaitable[None]], done: str) -> None:
        """Deal with one job; one that can never be sent keeps no other from it."""
        try:
            await step(job)
        except AWAY:
            raise
        except Exception:
            log.exception("sweep_failed", job_id=job.job_id, trace_id=job.trace_id)
        else:
            log.info(done, job_id=job.job_id, trace_id=job.trace_id)
