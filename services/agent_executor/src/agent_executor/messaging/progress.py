"""Progress events on Dragonfly: one channel per job, best effort, never a reason for a job to fail."""

import asyncio
import time
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import redis.asyncio as redis
import structlog
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from agent_executor import jsonsafe
from agent_executor.metrics import Metrics
from agent_executor.records import Job
from agent_executor.settings import Settings

AWAY = (RedisError, OSError, asyncio.TimeoutError)
# How often a follower looks at the row in case the `end` event was lost.
TICK_S = 0.25

log = structlog.get_logger(__name__)


def channel(job_id: str) -> str:
    """The channel of a job; thread_id is its job_id."""
    return f"langgraph:stream:{job_id}"


def event(job: Job, kind: str, data: dict[str, Any], at: datetime | None = None) -> dict[str, Any]:
    """The one shape of a progress event."""
    moment = (at or datetime.now(UTC)).isoformat()
    return {"event": kind, "job_id": job.job_id, "trace_id": job.trace_id, "time": moment, "data": data}


def end_event(job: Job) -> dict[str, Any]:
    """The last event of a final job; the same whoever makes it, and whenever."""
    return event(job, "end", job.outcome(), job.finished_at)


class Progress:
    """Publisher and follower of progress events."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._closed_until = 0.0
        self._pause_s = settings.dragonfly_timeout_s
        self._client: redis.Redis = redis.Redis.from_url(
            settings.redis_url,
            socket_timeout=settings.dragonfly_timeout_s,
            socket_connect_timeout=settings.dragonfly_timeout_s,
            # Once, at once: a pooled connection may have died unnoticed. More would make jobs wait for their progress.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            client_name="agent-executor",
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def ping(self) -> None:
        """Raise unless Dragonfly answers; if it does, the next event is published again."""
        await self._client.ping()
        self._closed_until = 0.0

    async def publish(self, job_id: str, message: dict[str, Any]) -> None:
        """Publish an event; when Dragonfly is away it is counted as lost, and that is all."""
        if time.monotonic() < self._closed_until:
            self._metrics.stream_lost.inc()
            return
        try:
            await self._client.publish(channel(job_id), jsonsafe.dumps(message))
        except AWAY as exc:
            self._metrics.stream_lost.inc()
            # Or a streaming model would wait for Dragonfly again at every token.
            self._closed_until = time.monotonic() + self._pause_s
            log.warning("stream_event_lost", error=f"{type(exc).__name__}: {exc}")

    async def follow(self, job_id: str) -> AsyncGenerator[bytes | None, None]:
        """Events as they come, with a None now and then: first when subscribed, later when nothing happens.

        None means "look at the job's row": it may have ended before we subscribed, or while Dragonfly was away.
        """
        while True:
            try:
                async with self._client.pubsub() as pubsub:
                    await _subscribed(pubsub, channel(job_id))
                    yield None
                    while True:
                        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=TICK_S)
                        yield message["data"] if message else None
            except AWAY:
                yield None
                await asyncio.sleep(TICK_S)


async def _subscribed(pubsub: PubSub, name: str) -> None:
    await pubsub.subscribe(name)
    # Only the server's confirmation means that no later event can be missed.
    if await pubsub.get_message(timeout=TICK_S) is None:
        raise TimeoutError("Dragonfly did not confirm the subscription")
