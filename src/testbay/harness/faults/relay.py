"""One connection through the proxy: bytes in both directions, delayed, limited or broken by its treatment.

The number of held bytes is bounded; at the bound nothing more is read, so that the sender has to wait, as for a slow
server. The end of either direction is passed on.
"""

import random
import selectors
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

_READ_BYTES = 1 << 20
_HELD_BYTES, _HELD_PIECES = 1 << 20, 4096
_AHEAD_S = 0.1  # with `bandwidth`, no more is read ahead than may pass in this time
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER without patience: closing sends RST
NEVER = float("inf")
Bytes = bytes | memoryview

# What is read into. A flow whose sink is full keeps the buffer until it is empty: copying what is left, into memory
# that has to be asked for first, would halve the throughput.
_spare: list[memoryview] = []
_SPARE = 4


class Treatment(NamedTuple):
    """The treatment of bytes in transit. Latency and `drop_after_bytes` apply to those from the server."""

    is_frozen: bool = False
    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    drop_after_bytes: int | None = None

    @property
    def is_plain(self) -> bool:
        """Return whether bytes pass at once, without limit."""
        return self[1:] == _PLAIN[1:]


_PLAIN = Treatment()


class Flow:
    """One direction of a connection; `chance` is set for the direction from the server."""

    def __init__(self, source: socket.socket, sink: socket.socket, chance: random.Random | None) -> None:
        self.source = source
        self.is_blocked = False  # the sink takes no more just now
        self.is_over = False  # the end has come, and the sink knows
        self.left_bytes: int | None = None  # until the connection breaks
        self._sink = sink
        self._chance = chance
        self._held: deque[tuple[float, Bytes | None]] = deque()  # due when, and what: none is the end, None breaks
        self._held_bytes = 0
        self._buffer: memoryview | None = None  # the buffer with the held bytes
        self._has_ended = False
        self._is_free_at = 0.0  # when `bandwidth` lets the next byte pass

    def reshape(self, shape: Treatment) -> None:
        """Change the treatment: release held bytes, and restart the counting."""
        self._held = deque((0.0, data) for _, data in self._held)
        self._is_free_at = 0.0
        self.left_bytes = shape.drop_after_bytes if self._chance else None

    def room(self, shape: Treatment) -> int:
        """The number of bytes that may be read now."""
        if self._has_ended or shape.is_frozen or len(self._held) >= _HELD_PIECES:
            return 0
        if shape.is_plain:
            return 0 if self._held else _READ_BYTES
        may_hold = _HELD_BYTES
        if shape.bytes_per_s:
            may_hold = min(may_hold, max(1, int(shape.bytes_per_s * (_AHEAD_S + shape.latency_s))))
        return min(may_hold - self._held_bytes, _READ_BYTES)

    def due(self) -> float:
        """The time (monotonic) at which the next held piece is due; infinite without one."""
        return self._held[0][0] if self._held and not self.is_blocked else NEVER

    def read(self, shape: Treatment, now: float) -> None:
        """Read what has arrived, and pass it on or hold it.

        Raises:
            OSError: The connection has to break.
        """
        room = self.room(shape)
        if room <= 0:
            return
        if not _spare:
            _spare.append(memoryview(bytearray(_READ_BYTES)))
        count = self.source.recv_into(_spare[-1], room)
        data: Bytes = _spare[-1][:count]
        if count and shape.is_plain:
            sent = self._send(data)
            if sent < count:
                self._buffer = _spare.pop()
                self._hold(data[sent:], now)
            return
        if self.left_bytes is not None:
            data, self.left_bytes = data[: self.left_bytes], max(0, self.left_bytes - count)
        if data or not count:
            self._hold(bytes(data), self._due(len(data), shape, now))
        self._has_ended = not count or self.left_bytes == 0
        if count and self._has_ended:
            self._hold(None, now)
        self.flush(shape, now)

    def _due(self, count: int, shape: Treatment, now: float) -> float:
        due = now
        if shape.bytes_per_s:
            due = self._is_free_at = max(now, self._is_free_at) + count / shape.bytes_per_s
        if self._chance is not None and shape.latency_s:
            due += shape.latency_s + shape.jitter_s * self._chance.uniform(-1, 1)
        return due

    def _hold(self, data: Bytes | None, due: float) -> None:
        """Hold a piece until it is due, and until all before it are gone."""
        self._held.append((max(due, self._held[-1][0]) if self._held else due, data))
        self._held_bytes += len(data or b"")

    def flush(self, _: Treatment, now: float) -> None:
        """Pass on what is due.

        Raises:
            OSError: The connection has to break.
        """
        self.is_blocked = False
        while self._held and self._held[0][0] <= now and not self.is_blocked:
            due, data = self._held.popleft()
            if data is None:
                raise ConnectionResetError
            if not data:
                self._sink.shutdown(socket.SHUT_WR)
                self.is_over = True
                return
            sent = self._send(data)
            self._held_bytes -= sent
            if sent < len(data):
                self._held.appendleft((due, data[sent:]))
        if self._buffer is not None and not self._held:
            if len(_spare) < _SPARE:
                _spare.append(self._buffer)
            self._buffer = None

    def _send(self, data: Bytes) -> int:
        try:
            sent = self._sink.send(data)
        except BlockingIOError:  # it is full, or not connected yet
            sent = 0
        self.is_blocked = sent < len(data)
        return sent


class Connection:
    """A client, the server it is connected to, and the flows between them."""

    def __init__(
        self, client: socket.socket, target: tuple[str, int], selector: selectors.BaseSelector, chance: random.Random
    ) -> None:
        server = socket.socket()
        for end in (client, server):
            end.settimeout(0)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.connect_ex(target)  # the first read reports a refusal
        up, down = Flow(client, server, None), Flow(server, client, chance)
        self.is_open = True
        self._shape = _PLAIN
        self._selector = selector
        self._ends = ((client, up, down), (server, down, up))  # what comes from it, what goes to it
        self._watched = {client: 0, server: 0}

    def reshape(self, shape: Treatment, now: float) -> None:
        """Change the treatment of both directions."""
        self._shape = shape
        for _, coming, _ in self._ends:
            coming.reshape(shape)
        self.wake(now)

    def due(self) -> float:
        """The time (monotonic) at which `wake` has something to do; infinite if never."""
        if self._shape.is_plain or self._shape.is_frozen or not self.is_open:
            return NEVER
        return min(coming.due() for _, coming, _ in self._ends)

    def wake(self, now: float) -> None:
        """Pass on what is due."""
        if not self._shape.is_frozen:
            for _, coming, _ in self._ends:
                self._attempt(coming.flush, now)
        self._watch()

    def serve(self, end: object, events: int, now: float) -> None:
        """Handle an end that is readable or writable."""
        coming, going = next((coming, going) for own, coming, going in self._ends if own is end)
        if events & selectors.EVENT_WRITE:
            self._attempt(going.flush, now)
        if events & selectors.EVENT_READ:
            self._attempt(coming.read, now)
        self._watch()

    def _attempt(self, move: "Callable[[Treatment, float], None]", now: float) -> None:
        if not self.is_open:
            return
        try:
            move(self._shape, now)
        except BlockingIOError:
            return
        except OSError:
            self.reset()

    def _watch(self) -> None:
        """Register both sockets for the events that can be handled now; close the connection if both ends have."""
        if self.is_open and all(coming.is_over for _, coming, _ in self._ends):
            self._close()
        if not self.is_open:
            return
        for end, coming, going in self._ends:
            wanted = selectors.EVENT_READ if coming.room(self._shape) > 0 else 0
            wanted |= selectors.EVENT_WRITE if going.is_blocked and not self._shape.is_frozen else 0
            if wanted == self._watched[end]:
                continue
            if not wanted:
                self._selector.unregister(end)
            elif self._watched[end]:
                self._selector.modify(end, wanted, self)
            else:
                self._selector.register(end, wanted, self)
            self._watched[end] = wanted

    def reset(self) -> None:
        """Break the connection: both sides get RST at once, and bytes in transit are lost."""
        if self.is_open:
            for end, _, _ in self._ends:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._close()

    def _close(self) -> None:
        self.is_open = False
        for end, _, _ in self._ends:
            if self._watched[end]:
                self._selector.unregister(end)
            end.close()
