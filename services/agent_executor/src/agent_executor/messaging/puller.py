"""A loop that pulls messages from one durable consumer and handles a bounded number of them at a time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from agent_executor.messaging.bus import fetch_one
from agent_executor.outages import outlast
from agent_executor.tasks import end

Bind = Callable[[], Coroutine[Any, Any, JetStreamContext.PullSubscription]]
Handle = Callable[[Msg], Coroutine[Any, Any, None]]
Ping = Callable[[], Coroutine[Any, Any, None]]

REBIND_PAUSE_S = 0.3
GIVE_BACK_S = 5.0
"""The time in which a cancelled job may give its lease back."""

log = structlog.get_logger(__name__)


class Puller:
    """Fetches only while the database answers: a message we could not even record would waste a delivery.

    And only while the broker does: the requests of an outage would all be sent after it, and bring more messages than
    there are slots.
    """

    def __init__(self, bind: Bind, handle: Handle, ready: Ping, *, slots: int, fetch_timeout_s: float) -> None:
        self._bind = bind
        self._handle = handle
        self._ready = ready
        self._slots = asyncio.Semaphore(slots)
        self._fetch_timeout_s = fetch_timeout_s
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._loop: asyncio.Task[None] | None = None
        self._active: set[asyncio.Task[None]] = set()
        self._fails = False
        self.error: str | None = "not bound yet"

    @property
    def active(self) -> int:
        """The number of messages that are being handled."""
        return len(self._active)

    def start(self) -> None:
        """Begin to pull."""
        self._loop = asyncio.create_task(self._pull(), name="pull")

    async def stop(self, grace_s: float) -> None:
        """Take no more messages, let the running ones end, cancel what is left after the grace time."""
        if self._loop is not None:
            await end(self._loop)
        # Before anything is handed back: an open pull request would fetch it right back to us.
        await self._unbind()
        if self._active:
            log.info("waiting_for_jobs", active=self.active, grace_s=grace_s)
            _, left = await asyncio.wait(self._active, timeout=grace_s)
            await end(*left, again_s=GIVE_BACK_S)

    async def _pull(self) -> None:
        while True:
            await self._slots.acquire()
            message = None
            try:
                message = await self._next()
            finally:
                if message is None:
                    self._slots.release()
            if message is not None:
                task = asyncio.create_task(self._handle(message), name="handle")
                self._active.add(task)
                task.add_done_callback(self._done)

    async def _next(self) -> Msg | None:
        await outlast(self._ready, "pull")
        try:
            if self._subscription is None:
                self._subscription = await self._bind()
                self.error = None
            message = await fetch_one(self._subscription, self._fetch_timeout_s)
        except Exception as exc:  # noqa: BLE001 -- whatever it was, binding anew is the way back
            if self.error is None:
                log.warning("pull_failed", error=repr(exc))
            self.error = f"{type(exc).__name__}: {exc}"
            await self._unbind()
            if self._fails:  # the first time it is tried anew at once
                await asyncio.sleep(REBIND_PAUSE_S)
            self._fails = True
            return None
        self._fails = False
        return message

    async def _unbind(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                await subscription.unsubscribe()
            except Exception as exc:  # noqa: BLE001 -- a dead connection has no subscriptions to end
                log.debug("unsubscribe_failed", error=repr(exc))

    def _done(self, task: asyncio.Task[None]) -> None:
        self._active.discard(task)
        self._slots.release()
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("delivery_failed", exc_info=exc)  # not acknowledged, so it comes again
