"""WebSocket checks against servers that talk, stay silent, send what nobody can read, or break off."""

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest
from tests.samples.reports import told
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from testbay.production.checks.report import Report

Ask = Callable[..., Report]
Talk = Callable[[Callable[[ServerConnection], None]], int]
Listen = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def talk() -> Iterator[Talk]:
    """Starts a real WebSocket server that holds this conversation."""
    with ExitStack() as running:

        def start(conversation: Callable[[ServerConnection], None]) -> int:
            def polite(client: ServerConnection) -> None:
                with suppress(ConnectionClosed):
                    conversation(client)

            server = running.enter_context(serve(polite, "127.0.0.1", 0))
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            running.callback(thread.join)
            running.callback(server.shutdown)
            return int(server.socket.getsockname()[1])

        yield start


def check(*lines: str) -> str:
    """One check of /ws, asked once."""
    return "\n".join(["[[check]]", 'id = "ws"', 'kind = "websocket"', 'url = "/ws"', "attempts = 1", *lines])


ECHO = """steps = [
    { send = { type = "ping", id = "{run.id}" } },
    { recv = "5s", until = ["json.id == run.id"], expect = ["json.type == 'pong'"] },
]"""


def handshake(client: socket.socket) -> bytes:
    """What a server answers first."""
    key = re.findall(rb"(?i)sec-websocket-key: (\S+)", client.recv(65536))[0]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    head = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    return head + base64.b64encode(digest) + b"\r\n\r\n"


def pong(client: ServerConnection) -> None:
    """Noise first, of every sort; then the answer."""
    asked = json.loads(client.recv())
    client.send("no JSON")
    client.send(b"\x00\x01")
    client.send(json.dumps({"type": "pong", "id": asked["id"]}))


def test_the_message_that_is_meant_is_waited_for(ask: Ask, talk: Talk) -> None:
    """Whatever else comes before it, text or binary."""
    assert told(ask(check(ECHO), talk(pong))) == ("pass", "3 messages on /ws")


@pytest.mark.parametrize(
    ("server", "lines", "said"),
    [
        (lambda c: c.close(4404, "no such job"), ECHO, "WS /ws: closed with 4404 (no such job) after 0 messages"),
        (lambda c: c.close(4404), "close = 1000", "WS /ws: closed with 4404, not 1000"),
        (
            lambda c: c.send('{"n": "5"}'),
            'steps = [{ recv = "5s", expect = ["json.n == 5"] }]',
            "json.n == 5: '5' (a text) cannot be compared with 5 (a number)",
        ),
        (
            lambda c: c.send(b"\x00" * 12),
            'steps = [{ recv = "5s", expect = ["json.n == 5"] }]',
            "json.n == 5: there is no json: it is a binary frame of 12 bytes",
        ),
        (
            lambda c: [c.send('{"n": 1}'), c.recv()],
            'steps = [{ recv = "200ms", until = ["json.n == 2"] }]',
            "WS /ws: no such message within 0.2 s, 1 others; of the last: json.n == 2: 1 is not == 2",
        ),
        (
            lambda c: c.send("x" * (2 << 20)),
            'steps = [{ recv = "5s", expect = ["size > 0"] }]',
            "WS /ws: a message of more than 1 MiB after 0 messages",
        ),
        (
            lambda c: c.recv(),
            'timeout = "300ms"\nclose = 1000',
            "WS /ws took longer than 0.3 s: the conversation did not end",
        ),
    ],
    ids=["closed", "code", "type", "binary", "never", "large", "silent"],
)
def test_a_conversation_that_goes_wrong_says_where(
    ask: Ask, talk: Talk, server: Callable[[ServerConnection], None], lines: str, said: str
) -> None:
    """Each in one line."""
    assert told(ask(check(lines), talk(server))) == ("fail", said)


def test_what_was_heard_is_evidence(ask: Ask, talk: Talk) -> None:
    """The last few messages, shortened."""
    lines = 'steps = [{ recv = "200ms", until = ["json.n == 2"] }]'

    def chat(client: ServerConnection) -> None:
        client.send('{"n": 1}')
        client.send(b"ab")
        client.recv()

    found = ask(check(lines), talk(chat))

    assert found.results[0].evidence == ('heard: {"n": 1}', "heard: it is a binary frame of 2 bytes")


def test_a_code_that_is_expected_passes(ask: Ask, talk: Talk) -> None:
    """A refusal can be what is right."""
    assert told(ask(check("close = 4404"), talk(lambda c: c.close(4404)))) == ("pass", "0 messages on /ws")


def test_a_page_where_a_stream_should_be_is_a_failure(ask: Ask, listen: Listen) -> None:
    """A proxy that answers for a dead service; a redirect is not followed either."""
    status = "502 Bad Gateway"

    def page(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}".encode())

    port = listen(page)
    first = told(ask(check(ECHO), port))
    status = "302 Found\r\nLocation: ws://elsewhere.invalid/"

    assert first == ("fail", "WS /ws: no handshake, status 502")
    assert told(ask(check(ECHO), port)) == ("fail", "WS /ws: no handshake, status 302")


def test_nobody_there_is_a_failure(ask: Ask) -> None:
    """Without a word of the library's."""
    assert told(ask(check(ECHO), 9)) == ("fail", "WS /ws: connection refused")


def test_a_server_that_breaks_off_in_a_frame_is_a_failure(ask: Ask, listen: Listen) -> None:
    """Half a message is no message."""

    def half(client: socket.socket) -> None:
        client.sendall(handshake(client) + b"\x81\x7d{")

    found = told(ask(check('steps = [{ recv = "5s", expect = ["size > 0"] }]'), listen(half)))

    assert found == ("fail", "WS /ws: closed with 1006 (the connection broke off) after 0 messages")


@pytest.mark.parametrize(
    ("frame", "lines", "said"),
    [
        (b"\x88\x02\x0f\xa1", "close = 4001", ("pass", "0 messages on /ws")),
        (b"\x88\x02\x03\xf0", "close = 4001", ("fail", "WS /ws: closed with 1008, not 4001")),
        (b"\x88\x02\x0f\xa1" + b"\x81\x01x" * 9, "close = 4001", ("pass", "0 messages on /ws")),
        (b"\x88\x02\x0f\xa1", ECHO, ("fail", "WS /ws: closed with 4001 after 0 messages")),
        (b"\x88\x00", "close = 1000", ("fail", "WS /ws: closed with 1005 (no code was given), not 1000")),
        (b"\x88\x02\x03\xed", "close = 1005", ("fail", "WS /ws: closed with 1006 (it broke the protocol), not 1005")),
        (b"\x88\x01\x0f", "close = 4001", ("fail", "WS /ws: closed with 1006 (it broke the protocol), not 4001")),
    ],
    ids=["code", "other code", "more after it", "in a conversation", "none", "a reserved one", "half a code"],
)
def test_a_goodbye_counts_while_the_connection_stays_open(
    ask: Ask, listen: Listen, frame: bytes, lines: str, said: tuple[str, str]
) -> None:
    """A server that keeps TCP open after a close frame, or a broken one, has closed all the same, with that code."""

    def parting(client: socket.socket) -> None:
        client.sendall(handshake(client) + frame)
        while client.recv(65536):  # until the other side gives up
            pass

    assert told(ask(check(lines), listen(parting))) == said
