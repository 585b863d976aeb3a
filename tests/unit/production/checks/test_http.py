"""HTTP checks against servers that answer wrongly, slowly, for ever, or not at all; all of them real sockets."""

import errno
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.samples.reports import only, told

from testbay.production.checks.kinds import http
from testbay.production.checks.noanswer import no_answer
from testbay.production.checks.report import Report

Ask = Callable[..., Report]
Listen = Callable[[Callable[[socket.socket], None]], int]


def check(rule: str = "status == 200", *more: str) -> str:
    """One check of /health, asked once."""
    lines = ["[[check]]", 'id = "health"', 'kind = "http"', 'get = "/health"', "attempts = 1"]
    return "\n".join([*lines, f"expect = [{json.dumps(rule)}]", *more])


def answer(body: bytes, *headers: str, status: str = "200 OK") -> Callable[[socket.socket], None]:
    """A server that says this, whatever it is asked."""
    head = "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {len(body)}", *headers])

    def converse(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(head.encode() + b"\r\n\r\n" + body)

    return converse


def test_a_healthy_answer_passes(ask: Ask, listen: Listen) -> None:
    """With how long it took, once."""
    found = only(ask(check("json.status == 'ok'"), listen(answer(b'{"status": "ok"}'))))

    assert (found.verdict, found.said, found.attempts) == ("pass", "GET /health → 200", 1)
    assert len(found.latencies_s) == 1


HTML = b"<html><h1>Bad Gateway</h1></html>"


@pytest.mark.parametrize(
    ("server", "rule", "said"),
    [
        (answer(b"{}", status="404 Not Found"), "status == 200", "status == 200: 404 is not == 200"),
        (
            answer(HTML, "Content-Type: text/html; charset=x"),
            "json.status == 'ok'",
            (
                "json.status == 'ok': there is no json: the answer (text/html) is not JSON (Expecting value): "
                "'<html><h1>Bad Gateway</h1></html>'"
            ),
        ),
        (answer(b'{"a": 1}', status="503 No"), "json.a == 2", "status 503; json.a == 2: 1 is not == 2"),
        (answer(b'{"a": 1}'), "json.depth < 5", "json.depth < 5: json has no 'depth'; it has: a"),
        (answer(b"[" * 100_000), "json == []", None),
        (
            answer(gzip.compress(b"0" * (64 << 20), 1), "Content-Encoding: gzip"),
            "json == 1",
            "json == 1: there is no json: its body is larger than 4 MiB",
        ),
        (
            answer(b"\x1f\x8bnot gzip", "Content-Encoding: gzip"),
            "status == 200",
            ("GET /health: its gzip body is broken: Error -3 while decompressing data: unknown compression method"),
        ),
        (
            answer(gzip.compress(b"half of it" * 99)[:30], "Content-Encoding: gzip"),
            "status == 200",
            "GET /health: its gzip body is broken: it ends in the middle",
        ),
        (
            answer(b"x", "Content-Encoding: zstd"),
            "text == 'x'",
            "text == 'x': there is no text: its content-encoding, 'zstd', was not asked for",
        ),
        (
            answer(b"{}", status="204 No Content"),
            "status == 204",
            "GET /health: no answer: more came than its headers allow",
        ),
        (
            answer(b"", "Set-Cookie: a"),
            "headers['set-cookie'] == 'b'",
            "headers['set-cookie'] == 'b': 'a' is not == 'b'",
        ),
        (
            answer(b'{"you sent": "sid=0123456789abcdef"}', 'Set-Cookie: sid="0123456789abcdef"; HttpOnly'),
            "headers['set-cookie'] == json['you sent']",
            "headers['set-cookie'] == json['you sent']: 'sid=\"***\"; HttpOnly' is not == 'sid=***'",
        ),
        (
            answer(b"Bearer bXkgb3du.x-1, Basic QWxhZGRpbjpvcGVu, Basic authentication, eyJhbGciOiJIUzI1.eyJz.dB"),
            "text == ''",
            "text == '': 'Bearer ***, Basic ***, Basic authentication, ***' is not == ''",
        ),
    ],
)
def test_a_wrong_answer_fails_in_one_line(ask: Ask, listen: Listen, server: Any, rule: str, said: str | None) -> None:
    """What was there instead, whatever came."""
    verdict, line = told(ask(check(rule), listen(server)))

    assert verdict == "fail"
    assert line == said or (said is None and "is not JSON (nested too deeply" in line)


def test_the_beginning_of_an_answer_is_evidence(ask: Ask, listen: Listen) -> None:
    """One line, spelled out where a terminal would obey it."""
    found = only(ask(check("status == 200"), listen(answer(b"<b>\x1b[2J\n[x](y)</b>", status="502 Bad Gateway"))))

    assert found.evidence == ("GET /health → 502 of no type, 18 bytes: <b>\\x1b[2J [x](y)</b>",)


def test_an_answer_without_an_end_is_read_no_further_than_its_limit(ask: Ask, listen: Listen) -> None:
    """Ten gigabytes announced: four mebibytes read, and a status can still be judged."""
    sent = []

    def endless(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        with suppress(OSError):
            while True:
                client.sendall(bytes(1 << 20))
                sent.append(1)

    port = listen(endless)

    assert told(ask(check("status == 200"), port)) == ("pass", "GET /health → 200")
    assert told(ask(check("text == ''"), port))[1] == "text == '': there is no text: its body is larger than 4 MiB"
    assert len(sent) < 100


@pytest.mark.parametrize("part", ["head", "body"])
def test_an_answer_byte_by_byte_meets_the_deadline_of_the_whole_exchange(ask: Ask, listen: Listen, part: str) -> None:
    """A server that always sends something in time is not waited for."""

    def drip(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n" + (b"\r\n" if part == "body" else b"X-A: "))
        with suppress(OSError):
            while True:
                client.sendall(b"x")
                time.sleep(0.05)  # the server's pace, not a wait of ours

    verdict, said = told(ask(check("status == 200", 'timeout = "300ms"'), listen(drip)))

    assert (verdict, said.partition(": ")[0]) == ("fail", "GET /health took longer than 0.3 s")


@pytest.mark.parametrize(
    ("start", "more", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nX-A: ", b"x", "its headers are too long"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", None),
        (
            b"<html>no HTTP at all</html>\r\n\r\n",
            b"x",
            "what came is not HTTP, or longer than it said: b'<html>no HTTP at all</html>'",
        ),
    ],
    ids=["headers", "continue", "nonsense"],
)
def test_a_head_without_an_end_is_given_up(
    ask: Ask, listen: Listen, start: bytes, more: bytes, said: str | None
) -> None:
    """However fast it comes: by its size, or else in time."""

    def flood(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(start)
        with suppress(OSError):
            while True:
                client.sendall(more * 1000)

    within_s = "1" if said else "0.3"  # it keeps a processor busy
    found = told(ask(check("status == 200", f'timeout = "{within_s}s"'), listen(flood)))

    late = f"GET /health took longer than {within_s} s: no answer came"
    assert found == ("fail", f"GET /health: no answer: {said}" if said else late)


def test_a_redirect_is_an_answer_unless_it_is_followed(ask: Ask, listen: Listen) -> None:
    """A loop ends, and another host is told nothing."""
    loop = listen(answer(b"", "Location: /health", status="302 Found"))
    nowhere = listen(answer(b"", "Location: http://[bad", status="302 Found"))
    away = listen(answer(b"", "Location: http://elsewhere.invalid/x", status="302 Found"))

    assert told(ask(check("status == 302"), loop)) == ("pass", "GET /health → 302")
    said = only(ask(check("status == 200"), loop)).evidence
    assert said == ("GET /health → 302 of no type, 0 bytes, redirects to itself",)
    assert told(ask(check("status == 200", "follow = true"), loop)) == (
        "fail",
        "GET /health redirects more than 5 times, last to /health",
    )
    assert told(ask(check("status == 200", "follow = true"), away)) == (
        "fail",
        "GET /health redirects to http://elsewhere.invalid, which is not the target: not followed",
    )
    assert told(ask(check("status == 200", "follow = true"), nowhere)) == (
        "fail",
        "GET /health redirects to an invalid address: Invalid IPv6 URL",
    )


@pytest.mark.parametrize(("status", "then"), [(302, b"GET /b"), (303, b"GET /b"), (307, b"POST /b"), (308, b"POST /b")])
def test_a_redirect_is_followed_as_browsers_do(ask: Ask, listen: Listen, status: int, then: bytes) -> None:
    """What was sent is sent again where the status says so, the rest asks for a page; a cookie goes with it."""
    heard: list[bytes] = []

    def away(client: socket.socket) -> None:
        heard.append(client.recv(65536))
        head = b"200 OK" if len(heard) > 1 else b"%d X\r\nLocation: b\r\nSet-Cookie: a=1" % status
        client.sendall(b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\n\r\n")

    text = check("status == 200", "follow = true", "json = { a = 5 }", "writes = true").replace("get =", "post =")
    target = '[target.here]\nbase_url = "http://127.0.0.1:PORT"\nwrites = true\n'

    assert told(ask(target + text, listen(away))) == ("pass", "POST /health → 200")
    assert heard[1].startswith(then + b" HTTP/1.1\r\n")
    assert b"Cookie: a=1" in heard[1]
    assert heard[1].endswith(b'{"a": 5}') is then.startswith(b"POST")


def test_a_redirect_in_full_is_asked_with_the_same_credentials(ask: Ask, listen: Listen) -> None:
    """Those of the target's address: the redirect to the same host names none."""
    heard: list[bytes] = []

    def away(client: socket.socket) -> None:
        heard.append(client.recv(65536))
        place = b"http://127.0.0.1:%d/b" % client.getsockname()[1]
        head = b"200 OK" if len(heard) > 1 else b"302 Found\r\nLocation: " + place
        client.sendall(b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\n\r\n")

    target = '[target.here]\nbase_url = "http://user:word@127.0.0.1:PORT"\n'
    found = told(ask(target + check("status == 200", "follow = true"), listen(away)))

    assert (found[0], [b"Authorization: Basic dXNlcjp3b3Jk" in one for one in heard]) == ("pass", [True, True])


def test_nobody_listening_is_a_failure(ask: Ask) -> None:
    """The deployment is down, and that is said."""
    assert told(ask(check(), 9)) == ("fail", "GET /health: connection refused")


def test_a_server_that_hangs_up_is_a_failure(ask: Ask, listen: Listen) -> None:
    """Before it says anything, or in the middle."""
    before = told(ask(check(), listen(lambda client: client.close())))
    middle = listen(lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx") if c.recv(65536) else None)

    assert before[0] == "fail"
    assert before[1].startswith("GET /health: no answer: ")  # closed, or reset, as it comes
    assert told(ask(check(), middle)) == (
        "fail",
        "GET /health: no answer: the connection was closed in the middle of it",
    )


def test_a_name_that_nobody_knows_is_said(ask: Ask) -> None:
    """With the resolver's own words."""
    verdict, said = told(ask('[target.here]\nbase_url = "http://nowhere.invalid"\n' + check()))

    assert verdict in {"fail", "error"}  # error where the resolver itself does not answer
    assert said.startswith("GET /health: the host's name is not known: ")


def test_a_server_on_ipv6_only_is_asked_there(ask: Ask) -> None:
    """By its address, which stands in brackets; the stream too, as far as this server goes."""
    target = '[target.here]\nbase_url = "http://[::1]:PORT"\n'
    stream = '[[check]]\nid = "ws"\nkind = "websocket"\nurl = "/ws"\nattempts = 1\n'
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:

        def serve() -> None:
            for _ in range(2):
                client, _ = server.accept()
                with client:
                    answer(b"{}")(client)

        thread = threading.Thread(target=serve)
        thread.start()
        found = ask(target + check() + "\n" + stream, server.getsockname()[1])
        thread.join()

    assert [result.said for result in found.results] == ["GET /health → 200", "WS /ws: no handshake, status 200"]


def test_files_are_sent(ask: Ask, listen: Listen, tmp_path: Path) -> None:
    """As a form does it; one that is not there is no fault of the deployment."""
    heard: list[bytes] = []

    def upload(client: socket.socket) -> None:
        while not b"".join(heard).endswith(b"--\r\n"):
            heard.append(client.recv(65536))
        client.sendall(b"HTTP/1.1 201 X\r\nContent-Length: 0\r\n\r\n")

    (tmp_path / "pixel.png").write_bytes(b"PNG!")
    text = check("status == 201", 'files = { file = "pixel.png" }', "writes = true").replace("get =", "post =")
    text = '[target.here]\nbase_url = "http://127.0.0.1:PORT"\nwrites = true\n' + text

    assert told(ask(text, listen(upload))) == ("pass", "POST /health → 201")
    assert b'name="file"; filename="pixel.png"' in b"".join(heard)
    assert told(ask(text.replace("pixel", "none"), listen(upload))) == (
        "error",
        f"{tmp_path / 'none.png'}: cannot be sent: No such file or directory",
    )


def test_what_cannot_be_sent_is_an_error_of_ours(ask: Ask, listen: Listen) -> None:
    """A header with a line break in it would be two."""
    lines = check("status == 200", 'headers = { A = "{secret.A}" }')

    assert told(ask(lines, listen(answer(b"{}")), environ={"A": "secret-value\r\nB: y"})) == (
        "error",
        (
            "GET /health: cannot be sent: Forbidden control character detected in headers. Potential header injection "
            "attack."
        ),
    )


def test_no_route_is_an_error_of_this_machine() -> None:
    """Where only IPv6 would lead there and this machine has none."""
    found = no_answer("GET /", OSError(errno.ENETUNREACH, "Network is unreachable"))

    assert (found.verdict, found.said) == (
        "error",
        "GET /: no route from here; is it IPv6 only, and this machine is not? (Network is unreachable)",
    )


def test_no_more_than_sixteen_are_asked_at_once(ask: Ask, listen: Listen) -> None:
    """Forty of them are no attack."""
    now, most = [0], [0]
    gate = threading.Lock()

    def count(client: socket.socket) -> None:
        with gate:
            now[0] += 1
            most[0] = max(most[0], now[0])
        client.recv(65536)
        time.sleep(0.05)  # the server's pace, not a wait of ours
        with gate:
            now[0] -= 1
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    forty = f"each = {list(map(str, range(40)))}"
    found = ask(check("status == 200", forty).replace("/health", "/{each}"), listen(count))

    assert (len(found.results), found.exit_code, most[0] <= 16) == (40, 0, True)


def test_a_fault_of_ours_takes_no_other_verdict_with_it(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody thought of is an error of that check alone."""

    def broken(*_: object) -> None:
        raise RuntimeError("never thought of")

    monkeypatch.setattr(http, "ask", broken)

    assert told(ask(check())) == ("error", "testbay itself failed: RuntimeError: never thought of")


def test_a_gzip_body_of_several_members_is_read_whole(ask: Ask, listen: Listen) -> None:
    """As other clients read it, also where a member begins in the middle of a packet."""
    body = gzip.compress(b'{"ok":') + gzip.compress(b" tr") + gzip.compress(b"ue}")

    assert told(ask(check("json.ok"), listen(answer(body, "Content-Encoding: gzip")))) == ("pass", "GET /health → 200")


def test_what_follows_a_gzip_body_is_not_kept(ask: Ask, listen: Listen) -> None:
    """A body that ended is whole, and what a server goes on to send is neither read nor stored."""

    def converse(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b'{"ok": true}'))
        while True:
            client.sendall(bytes(1 << 16))

    assert told(ask(check("json.ok"), listen(converse))) == ("pass", "GET /health → 200")
