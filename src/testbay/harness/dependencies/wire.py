"""A conversation in a server's text protocol, with one deadline however slowly the server answers."""

import socket
from typing import Self

from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.world import Clock, real

_LIMIT_BYTES = 1_000_000


class Wire:
    """One connection; every method raises OSError `timeout_s` after it was opened.

    A time limit per read would not do: a server that sends single bytes, or floods us with unrelated lines, never
    exceeds one.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float, *, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._deadline = Clock.monotonic() + timeout_s
        with real():  # the rest of it uses nothing that a test can fake
            self._socket = socket.create_connection((endpoint.host, endpoint.port), timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._limit_bytes = limit_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def within(self, timeout_s: float) -> None:
        """Set a new deadline, for the next exchange on a kept connection."""
        self._deadline = Clock.monotonic() + timeout_s

    def send(self, data: bytes) -> None:
        self._limit()
        self._socket.sendall(data)

    def line(self) -> bytes:
        """Receive a line up to the next line feed, without surrounding white space."""
        while b"\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.strip()

    def exactly(self, count: int) -> bytes:
        """Read that many bytes; none when the server announced a negative number."""
        while len(self._buffer) < count:
            self._more()
        data, self._buffer = self._buffer[: max(0, count)], self._buffer[max(0, count) :]
        return data

    def _more(self) -> None:
        self._limit()
        data = self._socket.recv(65536)
        if not data:
            raise OSError("closed the connection")
        self._buffer += data
        if len(self._buffer) > self._limit_bytes:
            raise OSError("an answer without end")

    def _limit(self) -> None:
        left = self._deadline - Clock.monotonic()
        if left <= 0:
            raise TimeoutError("no whole answer in time")
        self._socket.settimeout(left)
