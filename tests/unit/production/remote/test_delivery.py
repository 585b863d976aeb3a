"""What has to arrive: sent again while that helps, in bounded time and memory, and shown nowhere."""

import asyncio
import gzip
import signal
import socket
from collections.abc import Callable

import pytest
from tests.unit.conftest import Listen

from testbay import process
from testbay.errors import InterruptedRunError, NotDeliveredError
from testbay.production.remote import exchange
from testbay.production.remote.delivery import Address, Reply, send
from testbay.production.remote.exchange import is_private

KEY = "canaryKey0123456789"


def twice(attempt: int, _: float | None) -> bool:
    """Two attempts, without waiting."""
    return attempt < 1


@pytest.fixture
def serve(listen: Listen) -> Callable[..., Address]:
    """A server that gives these answers, one for each connection, and hangs up."""

    def make(*answers: bytes) -> Address:
        left = list(answers)

        def converse(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(left.pop(0))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

        return Address(name="Bell", url=f"http://127.0.0.1:{listen(converse)}/{KEY}", secrets=[KEY])

    return make


BUSY = b"HTTP/1.1 503 X\r\nContent-Length: 4\r\n\r\nbusy"
TAKEN = b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\nok"
ENDLESS = b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n" + b"x" * 100_000


@pytest.mark.parametrize("first", [BUSY, b"", b"nonsense\r\n\r\n", ENDLESS])
def test_what_did_not_arrive_is_sent_again(serve: Callable[..., Address], first: bytes) -> None:
    """Whatever went wrong the first time."""
    assert send(serve(first, TAKEN), "POST", b"x", twice) == Reply(status=200, text="ok")


@pytest.mark.parametrize(
    ("last", "what", "evidence"),
    [
        (BUSY, "status 503", "busy"),
        (ENDLESS, "no answer", "an answer of more than 64 KiB, or too slow"),
        (f"HTTP/1.1 429 X\r\nContent-Length: 19\r\n\r\n{KEY}".encode(), "status 429", "***"),
    ],
)
def test_who_gives_up_says_why(serve: Callable[..., Address], last: bytes, what: str, evidence: str) -> None:
    """The last answer is the evidence, without what nobody may read."""
    address = serve(last, last)
    with pytest.raises(NotDeliveredError) as refused:
        send(address, "POST", b"x", twice)

    assert (refused.value.what, refused.value.evidence) == (f"Bell cannot be reached: {what}", evidence)
    assert KEY not in f"{refused.value} {address!r}"


def test_nobody_at_home_is_no_answer() -> None:
    """A port where nobody listens is named by nothing but its name."""
    with pytest.raises(NotDeliveredError, match=r"^Bell cannot be reached: no answer\n") as refused:
        send(Address(name="Bell", url=f"http://127.0.0.1:9/{KEY}"), "POST", b"x", twice)

    assert refused.value.evidence.startswith("ConnectError: ")


@pytest.mark.parametrize(
    ("url", "expected"),
    [("https://a.invalid/x", True), ("http://127.0.0.1:1/x", True), ("http://a.invalid/x", False), ("https://", False)],
)
def test_only_private_ways_are_private(url: str, *, expected: bool) -> None:
    """Encrypted, or not leaving this machine."""
    assert is_private(url) is expected


def test_what_is_packed_is_not_unpacked(serve: Callable[..., Address]) -> None:
    """A kilobyte that is packed twice would be a gigabyte."""
    packed = gzip.compress(gzip.compress(bytes(64 << 20)))
    answer = b"HTTP/1.1 200 X\r\nContent-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)

    assert len(send(serve(answer + packed), "POST", b"x", twice).text) <= len(packed)


def test_a_variable_that_is_of_no_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: a proxy of a kind that nobody speaks here will not be another one in a minute."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(
        NotDeliveredError, match=r"^Bell cannot be reached: no request can be sent from here"
    ) as refused:
        send(Address(name="Bell", url=f"https://127.0.0.1:9/{KEY}"), "POST", b"x", lambda *_: pytest.fail("it waits"))

    assert refused.value.why.startswith("ImportError: Using SOCKS proxy")


def test_a_signal_ends_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    """It interrupts no coroutine before that is awaited, of which Python would warn."""

    async def wait(*_: object, **__: object) -> None:
        forever = asyncio.Event().wait()
        signal.raise_signal(signal.SIGTERM)
        await forever

    monkeypatch.setattr(exchange, "ask", wait)
    with pytest.raises(InterruptedRunError, match="interrupted by SIGTERM"), process.signals_as_errors():
        exchange.exchange("GET", "http://127.0.0.1:9", {}, None, most_bytes=1, within_s=1)
