"""Services as people bring them: what is wrong there is found, and the message names that and nothing else."""

import gzip
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from testbay.errors import ManifestError
from testbay.production.checks.report import Report

Ask = Callable[..., Report]
Talk = Callable[[socket.socket], None]
Listen = Callable[[Talk], int]
OK = b'{"status": "ok"}'
CHECK = """
[[check]]
id = "health"
kind = "http"
get = "/health"
attempts = 1
timeout = "%s"
expect = ["json.status == 'ok'"]
"""
NO_JSON = "json.status == 'ok': there is no json: the answer (%s) is %s"


def says(head: str, body: bytes = b"") -> Talk:
    """A service that answers so, whatever it is asked, and closes the connection."""

    def converse(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(head.encode("latin-1") + b"\r\n\r\n" + body)

    return converse


def endless(client: socket.socket) -> None:
    """Begin to answer in chunks, and never end."""
    client.recv(65536)
    client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with suppress(OSError):
        while True:
            client.sendall(b"1\r\nx\r\n")
            time.sleep(0.05)  # the server's pace


def silent(client: socket.socket) -> None:
    """Take the request, and say nothing until the other side leaves."""
    while client.recv(65536):
        pass


WELL = {
    "HTTP/1.0, no length": says("HTTP/1.0 200 OK", OK),
    "gzip": says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip", gzip.compress(OK)),
    "chunks": says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"10\r\n" + OK + b"\r\n0\r\n\r\n"),
    "a hint before": says("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 16", OK),
    "a byte order mark": says("HTTP/1.1 200 OK\r\nContent-Length: 19", b"\xef\xbb\xbf" + OK),
    "no reason, no type": says("HTTP/1.1 200\r\nContent-Length: 16", OK),
}
ILL = {
    "an error page with status 200": (
        says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html", b"<h1>Oops</h1>"),
        NO_JSON % ("text/html", "not JSON (Expecting value): '<h1>Oops</h1>'"),
        "GET /health → 200 text/html, 13 bytes: <h1>Oops</h1>",
    ),
    "an empty answer": (
        says("HTTP/1.1 204 No Content"),
        NO_JSON % ("of no type", "empty"),
        "GET /health → 204 of no type, 0 bytes",
    ),
    "a redirect within": (
        says("HTTP/1.1 301 Moved\r\nLocation: /health/?key=s3cr3t\r\nContent-Length: 0"),
        NO_JSON % ("of no type", "empty"),
        "GET /health → 301 of no type, 0 bytes, redirects to /health/ (follow = true follows it)",
    ),
    "a redirect away": (
        says("HTTP/1.1 302 Found\r\nLocation: https://sso.example.org/login?key=s3cr3t\r\nContent-Length: 0"),
        NO_JSON % ("of no type", "empty"),
        "GET /health → 302 of no type, 0 bytes, redirects to https://sso.example.org/login",
    ),
    "a redirect nowhere": (
        says("HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0"),
        NO_JSON % ("of no type", "empty"),
        "GET /health → 302 of no type, 0 bytes, redirects to an invalid address",
    ),
    "a password": (
        says('HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0'),
        "status 401; " + NO_JSON % ("of no type", "empty"),
        "GET /health → 401 of no type, 0 bytes, asks for Basic credentials",
    ),
    "chunks without an end": (
        endless,
        "GET /health took longer than 2 s: status 200 came, and its body did not end",
        "",
    ),
    "silence": (silent, "GET /health took longer than 2 s: no answer came", ""),
    "half of an answer": (
        says("HTTP/1.1 200 OK\r\nContent-Length: 99", OK),
        "GET /health: no answer: the connection was closed in the middle of it",
        "",
    ),
    "half of a head": (
        lambda client: client.sendall(b"HTTP/1.1 200 O"),
        "GET /health: no answer: the connection was closed in the middle of its headers",
        "",
    ),
    "HTTP/2": (
        lambda client: client.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
        "GET /health: no answer: it was in HTTP/2, and checks ask in HTTP/1.1",
        "",
    ),
    "SSH": (
        says("SSH-2.0-OpenSSH_9.2"),
        "GET /health: no answer: what came is not HTTP, or longer than it said: b'SSH-2.0-OpenSSH_9.2'",
        "",
    ),
    "TLS": (
        lambda client: client.sendall(b"\x15\x03\x01\x00\x02\x02\x46"),
        "GET /health: no answer: it was in TLS; does the address begin with https://?",
        "",
    ),
}


@pytest.mark.parametrize("name", WELL)
def test_a_service_that_is_well_passes(ask: Ask, listen: Listen, name: str) -> None:
    """However it frames its answer."""
    [found] = ask(CHECK % "60s", listen(WELL[name])).results

    assert (found.verdict, found.said) == ("pass", "GET /health → 200")


@pytest.mark.parametrize("name", ILL)
def test_what_is_wrong_is_named(ask: Ask, listen: Listen, name: str) -> None:
    """And what to do about it, where that is clear; no part of an address that may be a key is shown."""
    talk, said, evidence = ILL[name]
    [found] = ask(CHECK % ("2s" if "longer" in said else "60s"), listen(talk)).results

    assert (found.verdict, found.said, *found.evidence) == ("fail", said, *filter(None, [evidence]))


def test_a_cookie_that_is_ignored_is_not_spoken_of(
    ask: Ask, listen: Listen, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The library logs it in the server's words, which belong on nobody's terminal."""
    monkeypatch.setattr(logging.root, "handlers", [])
    talk = says("HTTP/1.1 200 OK\r\nSet-Cookie: a\xff=b\r\nContent-Length: 16", OK)
    [found] = ask(CHECK % "60s", listen(talk)).results

    assert (found.verdict, capsys.readouterr().err) == ("pass", "")


PROBE = '[[check]]\nid = "server"\nkind = "%s"\nurl = "${URL}"\nattempts = 1\ntimeout = "60s"\n'


@pytest.mark.parametrize(
    ("kind", "scheme", "more", "said"),
    [
        ("redis", "redis", 'ask = ["PING"]', "Redis: connection refused"),
        ("nats", "nats", "", "NATS: connection refused"),
        ("postgres", "postgresql", 'query = "select 1"', "Connection refused"),
    ],
)
def test_a_server_that_is_down_is_a_connection_refused(ask: Ask, kind: str, scheme: str, more: str, said: str) -> None:
    """At once, not when the time of the check is over."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"{scheme}://127.0.0.1:{held.getsockname()[1]}"
        [found] = ask((PROBE % kind) + more, environ={"URL": url}).results

    assert (found.verdict, said in found.said, found.duration_s < 60) == ("fail", True, True)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('kind = "redis"\nurl = "redis://:pw@x"\nask = ["PING"]', r"check.0.url: write \${NAME}: an address that may"),
        ('kind = "tcp"\nconnect = "shop.example.org"', "check.0.connect: write HOST:PORT, e.g. shop.example.org:443"),
    ],
)
def test_a_value_of_another_shape_is_refused_in_words(ask: Ask, line: str, said: str) -> None:
    """Not with a regular expression."""
    with pytest.raises(ManifestError, match=said):
        ask(f'[[check]]\nid = "a"\n{line}')


def test_a_build_that_cannot_be_asked_for_is_named_by_its_status(ask: Ask, listen: Listen) -> None:
    """A version page that is not there is that, before it is no JSON."""
    port = listen(says("HTTP/1.1 404 Not Found\r\nContent-Length: 0"))
    live = 'live = { url = "/version", expect = "json.commit == expected_sha", every = "10ms", give_up = "10ms" }'
    found = ask(f'[target.here]\nbase_url = "http://127.0.0.1:{port}"\n{live}', expected_commit="a" * 40).results

    assert found[0].said.startswith(
        "status 404; json.commit == expected_sha: there is no json: the answer (of no type) "
    )
