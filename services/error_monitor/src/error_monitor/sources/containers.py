"""Containers of a Docker engine: what they write to standard output and to standard error, each a stream."""

import asyncio
import fnmatch
import hashlib
import itertools
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from error_monitor.sources import services
from error_monitor.sources.railway import nanoseconds
from error_monitor.sources.records import MAX_LINE_BYTES, Batch, Chunk, Gap, Position, SourceError, Stream
from error_monitor.sources.timeline import SECOND_NS, moment

if TYPE_CHECKING:
    import docker

_MOST_LINES = 5000
_MOST_BYTES = 16 << 20  # of the lines of one read


class Containers:
    """The containers whose names fit patterns such as `shop-*`; never the one that the monitor runs in."""

    name = "containers"

    def __init__(self, patterns: Sequence[str], monitor: str, *, timeout_s: float, lookback_s: float) -> None:
        self._patterns = patterns
        self._monitor = monitor
        self._timeout_s = timeout_s
        self._lookback_s = lookback_s
        self._client: docker.DockerClient | None = None

    async def streams(self) -> Sequence[Stream]:
        """Two for each container, running or not: a crashed one has the most to say."""
        return await asyncio.to_thread(self._find)

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _find(self) -> list[Stream]:
        import docker  # with what it needs a tenth of the start of a monitor that reads no containers

        own = socket.gethostname()
        try:
            if self._client is None:
                self._client = docker.from_env(timeout=int(self._timeout_s) or 1)
            found: list[Stream] = []
            for container in self._client.containers.list(all=True, ignore_removed=True):
                if str(container.id).startswith(own) or not self._wants(str(container.name)):
                    continue
                labels = container.attrs["Config"].get("Labels") or {}
                service = services.of_container(labels, str(container.name))
                is_terminal = bool(container.attrs["Config"].get("Tty"))
                outputs = ("stdout",) if is_terminal else ("stdout", "stderr")
                found += [Container(container, one, service, self._monitor, self._lookback_s) for one in outputs]
        except _failures() as exc:
            raise SourceError(f"Docker gives no answer: {exc}") from exc
        return found

    def _wants(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self._patterns)


class Container:
    """One output of one container. The cursor is the time of the last line and what was written at that very time."""

    def __init__(self, container: Any, output: str, service: str, monitor: str, lookback_s: float) -> None:
        self.key = f"containers:{monitor}:{container.id}:{output}"
        self._container = container
        self._output = output
        self._service = service
        self._lookback_s = lookback_s

    async def read(self, position: Position | None) -> Chunk:
        """The next lines."""
        try:
            return await asyncio.to_thread(self._read, position)
        except _failures() as exc:
            raise SourceError(f"container {self._container.name}: {exc}") from exc

    def _read(self, position: Position | None) -> Chunk:
        start = datetime.now(UTC).timestamp() - self._lookback_s
        position = position or {"time": int(start * SECOND_NS), "seen": {}}
        last, seen = int(position["time"]), Counter[str](position["seen"])
        was_there = not seen
        left = Counter(seen)
        lines: list[bytes] = []
        room = _MOST_BYTES
        keys: list[str] = []
        times: list[int] = []
        for time_ns, text in itertools.islice(self._lines(last), _MOST_LINES + sum(seen.values())):
            key = hashlib.blake2b(text, digest_size=9).hexdigest()
            if time_ns == last and left[key] > 0:
                left[key] -= 1
                was_there = True
                continue
            lines.append(text[:MAX_LINE_BYTES])
            keys.append(key)
            times.append(time_ns)
            room -= len(lines[-1])
            if room < 0:
                break
        if not lines:
            return Chunk(position=position)
        newest = max(times)
        at_newest = Counter(keys[at] for at, time in enumerate(times) if time == newest)
        said = "the engine no longer has the lines that were read last: its log was rotated or emptied"
        gap = Gap(kind="expired", detail=said, since=moment(last), until=moment(times[0]))
        return Chunk(
            position={"time": newest, "seen": dict(at_newest + seen if newest == last else at_newest)},
            batches=[Batch(origin="", service=self._service, lines=lines, times=[time / SECOND_NS for time in times])],
            gaps=[] if was_there else [gap],
            has_more=len(lines) >= _MOST_LINES or room < 0,
        )

    def _lines(self, since_ns: int) -> Iterator[tuple[int, bytes]]:
        """Lines that are not older, each with its time."""
        # Floating point has no nanoseconds: ask from a little earlier on, and leave out what is too old.
        since = (since_ns - 1_000_000) / SECOND_NS
        wanted = {"stdout": self._output == "stdout", "stderr": self._output == "stderr"}
        stream = self._container.logs(**wanted, timestamps=True, stream=True, follow=False, since=since)
        last = 0
        for line in _whole(stream):
            stamp, _, text = line.partition(b" ")
            try:
                last = nanoseconds(stamp.decode("ascii"))
            except ValueError:
                text = line  # the rest of a line that the engine cut
            else:
                text = text.replace(stamp + b" ", b"")  # which stands before each 16 KiB of a line
            if last >= since_ns:
                yield last, text


def _whole(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Lines out of pieces of any length."""
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        yield from whole
        if len(rest) > 4 * MAX_LINE_BYTES:
            rest = rest[: 2 * MAX_LINE_BYTES]
    if rest:
        yield rest


def _failures() -> tuple[type[Exception], ...]:
    """The errors that the client raises; those of its HTTP library are OSErrors."""
    from docker.errors import DockerException

    return DockerException, OSError
