"""The event loop of checks: tries the addresses of a host as browsers do, and knows what it waits for."""

import asyncio
import math
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

_T = TypeVar("_T")
_NEXT_ADDRESS_S = 0.25  # RFC 8305: when the next address is tried beside the one that is silent
_LATELY_S = 0.1
_SCHEDULE = Path("/proc/thread-self/schedstat")


class CheckLoop(asyncio.SelectorEventLoop):
    """An event loop that also counts the look-ups of names that are under way."""

    def __init__(self) -> None:
        super().__init__()
        self._looked_up: Counter[Any] = Counter()
        self._starved = -math.inf, 0.0
        self.left: set[asyncio.Future[Any]] = set()

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:  # type: ignore[override]
        """Connect; one address that is silent, such as IPv6 without a way there, does not hide the others."""
        if host is not None:
            options.setdefault("happy_eyeballs_delay", _NEXT_ADDRESS_S)
        return await super().create_connection(factory, host, port, **options)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Look up a name, in a thread of its own: the system may ask a silent server for a minute."""
        found: asyncio.Future[Any] = self.create_future()
        self._looked_up[host] += 1

        def end(result: Any, error: OSError | ValueError | None) -> None:
            self._looked_up[host] -= 1
            if found.cancelled():
                return
            if error is None:
                found.set_result(result)
            else:
                found.set_exception(error)

        def look_up() -> None:
            result: Any = None
            error = None
            try:
                result = socket.getaddrinfo(host, port, **options)
            except (OSError, ValueError) as caught:  # the latter of a name that no server could know
                error = caught
            with suppress(RuntimeError):  # the loop is closed
                self.call_soon_threadsafe(end, result, error)

        threading.Thread(target=look_up, name=f"looking up {host}", daemon=True).start()
        return await found

    def is_looking_up(self, host: str) -> bool:
        return self._looked_up[host] > 0

    def starved_lately_s(self) -> float:
        now, (then, found_s) = self.time(), self._starved
        if now - then > _LATELY_S:
            found_s = starved_s()
            self._starved = now, found_s
        return found_s


def run(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end in a loop of its own."""
    runner = asyncio.Runner(loop_factory=CheckLoop)
    try:
        return runner.run(coroutine)
    finally:
        if left_behind(own := runner.get_loop()):  # the runner would wait for their end
            own.set_exception_handler(lambda _loop, _context: None)
            own.close()
        else:
            runner.close()


def leave(task: asyncio.Future[Any]) -> None:
    """Note a task that was cancelled: as long as it does not end, the loop's end must not wait for it."""
    running = asyncio.get_running_loop()
    if isinstance(running, CheckLoop) and not task.done():
        running.left.add(task)
        task.add_done_callback(running.left.discard)


def left_behind(running: asyncio.AbstractEventLoop) -> int:
    """Count the tasks that were left alone and have not ended."""
    return len(running.left) if isinstance(running, CheckLoop) else 0


async def apart(call: Callable[..., _T], *arguments: Any) -> _T:
    """Call in a daemon thread: one of asyncio.to_thread would delay an interrupt, and the process's end, by its own."""
    done: Future[_T] = Future()

    def run() -> None:
        with suppress(InvalidStateError):  # the caller has gone on
            try:
                done.set_result(call(*arguments))
            except Exception as error:  # noqa: BLE001 - it is raised where it is awaited
                done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(done)


def is_looking_up(host: str) -> bool:
    """Return whether the system was asked for the addresses of a host, and has not answered."""
    loop = asyncio.get_running_loop()
    return isinstance(loop, CheckLoop) and loop.is_looking_up(host)


def starved_lately_s() -> float:
    """Return `starved_s` as it was a moment ago: each check begins with it, and to ask the system takes some time."""
    loop = asyncio.get_running_loop()
    return loop.starved_lately_s() if isinstance(loop, CheckLoop) else starved_s()


def starved_s() -> float:
    """The seconds for which this thread was ready to run and had no processor; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        return int(_SCHEDULE.read_bytes().split()[1]) / 1e9
    return 0.0
