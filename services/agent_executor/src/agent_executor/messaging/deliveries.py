"""One delivery, from message to acknowledgement."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats.errors
import structlog
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError
from structlog.contextvars import bind_contextvars

from agent_executor.agent.executor import Executor
from agent_executor.errors import InvalidEventError, JobFailedError
from agent_executor.jobs.lifecycle import Jobs, UnexpectedError
from agent_executor.messaging import events
from agent_executor.messaging.bus import Bus
from agent_executor.metrics import Metrics
from agent_executor.outages import outlast
from agent_executor.records import ExecuteData, Job
from agent_executor.settings import MAX_DELIVER, Settings
from agent_executor.tasks import end

log = structlog.get_logger(__name__)


class Deliveries:
    """Handlers for the two consumers: execute events, and advisories about exhausted ones."""

    def __init__(self, settings: Settings, jobs: Jobs, executor: Executor, bus: Bus, metrics: Metrics) -> None:
        self._settings = settings
        self._jobs = jobs
        self._executor = executor
        self._bus = bus
        self._metrics = metrics

    async def execute(self, message: Msg) -> None:
        """Run the job of an execute event. Acknowledged only when its final event is in the stream."""
        meta = message.metadata
        bind_contextvars(stream_sequence=meta.sequence.stream, delivery=meta.num_delivered)
        log.debug("delivery_received")
        if meta.num_delivered > 1:
            self._metrics.redeliveries.inc()
        async with self._in_progress(message):
            try:
                data = self._read(message.headers, message.data)
            except InvalidEventError as exc:
                log.warning("event_refused", reason=exc.message, job_id=exc.job_id)
                await self._jobs.refuse(exc, sequence=meta.sequence.stream)
                await self._answer(message, "terminated")
                return
            await self._execute(message, data)

    async def exhausted(self, advisory: Msg) -> None:
        """Fail the job of a message that JetStream will not deliver again."""
        sequence = int(json.loads(advisory.data)["stream_seq"])
        bind_contextvars(stream_sequence=sequence)
        async with self._in_progress(advisory):
            try:
                headers, body = await outlast(lambda: self._bus.stored_message(sequence), "stored_message")
                data = self._read(headers, body)
                await self._jobs.register(data, sequence=sequence)
                # Waits for the lease: the job may be running still, its delivery merely unacknowledged.
                job = await self._jobs.settle(data.job_id, _fail_exhausted, give_up=True)
                await self._jobs.announce(job)
            except InvalidEventError as exc:
                await self._jobs.refuse(exc, sequence=sequence)
            except NotFoundError:
                log.warning("exhausted_message_is_gone")
        await self._answer(advisory, "exhausted")

    async def _execute(self, message: Msg, data: ExecuteData) -> None:
        meta = message.metadata
        try:
            await self._jobs.register(data, sequence=meta.sequence.stream)
            job = await self._jobs.settle(data.job_id, self._executor.run, give_up=meta.num_delivered >= MAX_DELIVER)
            await self._jobs.announce(job)
        except UnexpectedError:
            await self._answer(message, "retried", delay_s=self._settings.retry_pause_s)
        except asyncio.CancelledError:
            await self._answer(message, "handed_back")
            raise
        else:
            await self._answer(message, "acknowledged")

    def _read(self, headers: dict[str, str] | None, body: bytes) -> ExecuteData:
        data = events.read_execute(headers, body, max_bytes=self._settings.max_event_bytes)
        bind_contextvars(job_id=data.job_id, trace_id=data.trace_id)
        return data

    @asynccontextmanager
    async def _in_progress(self, message: Msg) -> AsyncIterator[None]:
        """Tell JetStream now and then that we are still at it, so that a long job is not delivered twice."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(self._settings.heartbeat_s)
                try:
                    await message.in_progress()
                except (nats.errors.Error, OSError) as exc:
                    log.debug("heartbeat_failed", error=repr(exc))

        self._metrics.jobs_active.inc()
        beating = asyncio.create_task(beat())
        try:
            yield
        finally:
            await end(beating)
            self._metrics.jobs_active.dec()

    async def _answer(self, message: Msg, outcome: str, *, delay_s: float | None = None) -> None:
        """Answer JetStream. A lost answer only means one more delivery, which finds the work done."""
        self._metrics.deliveries.labels(outcome).inc()
        log.debug("delivery_answered", outcome=outcome)
        try:
            if outcome == "terminated":
                await message.term()
            elif outcome in ("retried", "handed_back"):
                await message.nak(delay=delay_s)
            else:
                await message.ack()
        except (nats.errors.Error, OSError) as exc:
            log.warning("answer_lost", outcome=outcome, error=repr(exc))


async def _fail_exhausted(_job: Job) -> dict[str, Any]:
    message = f"the event was delivered {MAX_DELIVER} times and never finished"
    raise JobFailedError("deliveries_exhausted", message, deliveries=MAX_DELIVER)
