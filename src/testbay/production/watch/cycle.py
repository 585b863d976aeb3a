"""The watcher's cycle, once a second: judge results, choose notices, write both to the store, then send."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from testbay.errors import BayError, NotDeliveredError
from testbay.production.checks import loop
from testbay.production.remote.exchange import exchange
from testbay.production.watch.channels import Send
from testbay.production.watch.notifier import Delivery, Notifier
from testbay.production.watch.recorder import RoundRecorder

_T = TypeVar("_T")
_BEAT_S = 1.0
_TIDY_S = 300.0
_ALIVE_S = 60.0
_LAST_WORDS_S = 25.0  # for messages that are on their way when the watcher ends
_LONGEST_CALL_S = 120.0  # beyond what a channel takes by its own limits


@dataclass(kw_only=True)
class Cycle:
    """Judges, stores and notifies. `alive` is an address that is called while the store can be written."""

    recorder: RoundRecorder
    notifier: Notifier
    senders: Mapping[str, Send]
    keeper: ThreadPoolExecutor
    keep_s: float
    facts: dict[str, Any]
    alive: str = field(default="", repr=False)
    _sending: set[asyncio.Task[None]] = field(default_factory=set)
    _calls: dict[str, asyncio.Future[Any]] = field(default_factory=dict)  # the last one of each channel
    _tidied: float = field(default_factory=time.monotonic)
    _called: float = float("-inf")

    async def run(self) -> None:
        """Run cycles until the task is cancelled."""
        while True:
            began = time.monotonic()
            written = await self._whole_beat()
            if time.monotonic() - self._tidied > _TIDY_S:
                self._tidied = time.monotonic()
                await self._kept(self._tidy)
            if self.alive and written and time.monotonic() - self._called > _ALIVE_S:
                self._called = time.monotonic()
                self._start(self._call())
            await asyncio.sleep(max(0.05, _BEAT_S - (time.monotonic() - began)))

    async def beat(self) -> bool:
        """Run one cycle; return whether it could be written. Notices are sent in any case."""
        recorder = self.recorder
        recorder.settle()
        deliveries = self.notifier.choose(recorder.clock())
        recorder.tally.untold = self.notifier.untold
        recorder.gather()
        written = bool(await self._kept(recorder.write, self.facts))
        recorder.tally.judged_s = time.monotonic()
        if written:
            self.facts = {}
        for delivery in deliveries:
            self._start(self._send(delivery))
        return written

    async def _whole_beat(self) -> bool:
        """Run one cycle to its end, also if the watcher ends meanwhile: chosen messages must be sent."""
        beat = asyncio.ensure_future(self.beat())
        try:
            return await asyncio.shield(beat)
        except asyncio.CancelledError:
            await asyncio.wait([beat])
            raise

    async def finish(self) -> bool:
        """Run a last cycle, wait for messages under way, and write the rest; return whether that worked."""
        await self.beat()
        if self._sending:
            await asyncio.wait(self._sending, timeout=_LAST_WORDS_S)
        self.recorder.gather()
        return bool(await self._kept(self.recorder.write, None))

    def _start(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _kept(self, call: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.keeper, call, *arguments)

    async def _send(self, delivery: Delivery) -> None:
        send = self.senders[delivery.channel]
        try:
            await self._answer(delivery.channel, send, delivery.notification)
        except Exception as error:  # noqa: BLE001 - whatever a library of a hundred services raises, it was not told
            why = f"{error.what}: {error.why}" if isinstance(error, BayError) else type(error).__name__
            self.notifier.failed(delivery, why, self.recorder.clock(), getattr(error, "asked_s", 0.0))
            self.recorder.say(f"{delivery.channel} was not told: {why}")
        else:
            self.notifier.sent(delivery, self.recorder.clock())

    async def _answer(self, channel: str, call: Callable[..., _T], argument: Any) -> _T:
        """Call in a thread. One that hangs is left alone, and until it ends its channel gets no other one.

        Raises:
            NotDeliveredError: The call, or the one before it, does not end.
        """
        if channel not in self._calls or self._calls[channel].done():
            self._calls[channel] = calling = asyncio.ensure_future(loop.apart(call, argument))
            await asyncio.wait([calling], timeout=_LONGEST_CALL_S)
            if calling.done():
                return calling.result()
        raise NotDeliveredError(
            "a call does not end",
            why=f"nothing came of it within {_LONGEST_CALL_S:g} s; it is not sent again before it ends",
            todo="look at the service behind the channel's address; a restart of testbay watch sends again at once",
        )

    async def _call(self) -> None:
        """Call the `alive` address; report a failure once."""
        tally = self.recorder.tally
        try:
            reply = await self._answer("", _called, self.alive)
            trouble = "" if reply < 300 else f"status {reply}"  # no redirect is followed
        except Exception as error:  # noqa: BLE001 - it is told below, whatever it is
            trouble = type(error).__name__
        if trouble and not tally.alive_trouble:
            self.recorder.say(f"watch.alive: the address cannot be called: {trouble}")
        tally.alive_trouble = trouble

    def _tidy(self) -> None:
        try:
            self.recorder.store.tidy(self.recorder.clock(), self.keep_s)
        except (sqlite3.Error, ValueError) as error:  # the latter of an hour that cannot be unpacked
            self.recorder.tally.store_trouble = self.recorder.tally.store_trouble or str(error)


def _called(url: str) -> int:
    response, _ = exchange("GET", url, {"User-Agent": "testbay"}, None, most_bytes=64 << 10, within_s=20.0)
    return response.status_code
