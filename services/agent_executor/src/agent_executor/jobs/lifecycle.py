"""The life of a job: exactly one final state and one final event, however the process ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import structlog

from agent_executor.errors import InvalidEventError, JobFailedError
from agent_executor.jobs.store import Store
from agent_executor.messaging import events
from agent_executor.messaging.bus import Bus
from agent_executor.messaging.progress import Progress, end_event
from agent_executor.metrics import Metrics
from agent_executor.outages import AWAY, outlast
from agent_executor.records import ExecuteData, Job, new_id
from agent_executor.settings import Settings
from agent_executor.tasks import end

# How often we look whether a job that somebody else holds has ended.
HELD_POLL_S = 0.2

Run = Callable[[Job], Awaitable[dict[str, Any]]]
Outcome = tuple[dict[str, Any] | None, dict[str, Any] | None]

log = structlog.get_logger(__name__)


class UnexpectedError(Exception):
    """Running a job raised something that is neither the job's fault nor an outage; another delivery may help."""


class LeaseLostError(Exception):
    """Somebody else has the job now."""


class Jobs:
    """Takes jobs through their states, each step safe to repeat."""

    def __init__(self, settings: Settings, store: Store, bus: Bus, progress: Progress, metrics: Metrics) -> None:
        self._lease_s = settings.ack_wait_s
        self._beat_s = settings.heartbeat_s
        self._store = store
        self._bus = bus
        self._progress = progress
        self._metrics = metrics

    async def register(self, data: ExecuteData, *, sequence: int) -> None:
        """Make sure the event's job has a row."""
        await outlast(lambda: self._store.register(data, sequence=sequence), "register")

    async def settle(self, job_id: str, run: Run, *, give_up: bool) -> Job:
        """The job in its final state: run here, or by whoever holds its lease.

        With `give_up`, an unexpected error fails the job; without, it is raised for another delivery to try.
        """
        owner = uuid4()
        try:
            while True:
                job = await outlast(lambda: self._attempt(job_id, run, owner, give_up=give_up), "settle")
                if job is not None:
                    return job
                await asyncio.sleep(HELD_POLL_S)
        except (UnexpectedError, asyncio.CancelledError):
            await self._release(job_id, owner)
            raise

    async def refuse(self, error: InvalidEventError, *, sequence: int) -> None:
        """Publish the failed event of a message that cannot become a job."""
        if error.job_id is not None:
            job_id, trace_id = error.job_id, error.trace_id or new_id()
            job = await outlast(
                lambda: self._store.refuse(job_id, trace_id, error.as_dict(), sequence=sequence), "refuse"
            )
            if job is not None:
                await self.announce(job)
                return
            # The name belongs to another job, whose outcome this message must not seem to be.
            error.details["job_id"] = job_id
        body = events.poison_event(error, sequence)
        await outlast(lambda: self._bus.send_poison(body, events.poison_id(sequence)), "send_poison")

    async def announce(self, job: Job) -> None:
        """Tell the stream's followers and the status subject how the job ended, once."""
        if job.announced_at is not None:
            return
        await self._progress.publish(job.job_id, end_event(job))
        await outlast(lambda: self._bus.send_status(job), "send_status")
        await outlast(lambda: self._store.announced(job.job_id), "announced")

    async def _attempt(self, job_id: str, run: Run, owner: UUID, *, give_up: bool) -> Job | None:
        """Claim, run and finish; None when the job is not ours and not yet final."""
        job = await self._store.claim(job_id, owner=owner, lease_s=self._lease_s)
        if job is None:
            known = await self._store.get_job(job_id)
            return known if known is not None and known.is_final else None
        try:
            result, error = await self._outcome(job, run, owner, give_up=give_up)
        except LeaseLostError:
            log.warning("lease_lost")
            return None
        finished = await outlast(lambda: self._store.finish(job_id, owner=owner, result=result, error=error), "finish")
        if finished is not None:
            self._count(finished)
        return finished

    async def _outcome(self, job: Job, run: Run, owner: UUID, *, give_up: bool) -> Outcome:
        try:
            async with self._holding(job.job_id, owner):
                return await run(job), None
        except JobFailedError as exc:
            return None, exc.as_dict()
        except (*AWAY, LeaseLostError):
            raise
        except Exception as exc:
            log.exception("job_raised", give_up=give_up)
            if not give_up:
                raise UnexpectedError from exc
            error = JobFailedError("internal_error", "the job could not be run", type=type(exc).__name__)
            return None, error.as_dict()

    @asynccontextmanager
    async def _holding(self, job_id: str, owner: UUID) -> AsyncIterator[None]:
        """Renew the lease for as long as the body runs; cancel the body when the lease is lost."""
        body = asyncio.current_task()
        assert body is not None
        cancelled = 0

        async def renew() -> None:
            nonlocal cancelled
            lost = False
            while True:
                await asyncio.sleep(self._beat_s)
                try:
                    lost = lost or not await self._store.renew(job_id, owner=owner, lease_s=self._lease_s)
                except AWAY:
                    continue  # the lease may lapse; `finish` finds out whether it was taken
                if lost:
                    # At every beat: one alone was seen to get lost in the libraries, and the job ran on.
                    body.cancel()
                    cancelled += 1

        keeper = asyncio.create_task(renew())
        try:
            yield
        except asyncio.CancelledError:
            if cancelled and body.cancelling() == cancelled:
                raise LeaseLostError from None
            raise
        finally:
            await end(keeper)
            for _ in range(cancelled):
                body.uncancel()

    async def _release(self, job_id: str, owner: UUID) -> None:
        try:
            await self._store.release(job_id, owner=owner)
        except AWAY as exc:
            log.warning("lease_not_released", error=repr(exc))  # it lapses by itself

    def _count(self, job: Job) -> None:
        self._metrics.jobs.labels(job.state).inc()
        seconds = (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else 0
        self._metrics.job_seconds.observe(seconds)
        code = (job.error or {}).get("code")
        log.info("job_finished", state=job.state, seconds=seconds, attempts=job.attempts, error=code)
