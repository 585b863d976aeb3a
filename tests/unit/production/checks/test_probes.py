"""Checks of ports and names, asked of real sockets on loopback."""

import errno
import itertools
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import pytest
from pydantic import TypeAdapter, ValidationError
from tests.samples.reports import only, told
from tests.served import running

from testbay.manifest.checks import Check
from testbay.production.checks import loop
from testbay.production.checks.noanswer import no_answer
from testbay.production.checks.report import Report

Ask = Callable[..., Report]


def tcp(port: int, more: str = "") -> str:
    return f'[[check]]\nid = "port"\nkind = "tcp"\nconnect = "127.0.0.1:{port}"\nattempts = 1\n{more}'


def test_a_port_that_takes_connections_passes(ask: Ask, listen: Callable[..., int]) -> None:
    """And says where it was reached."""
    port = listen(lambda client: client.recv(1))
    more = 'expect = ["ip == \'127.0.0.1\'", "response_ms < 30000"]'

    assert told(ask(tcp(port, more))) == ("pass", f"127.0.0.1:{port} takes connections")


def test_what_a_server_says_is_judged(ask: Ask, listen: Callable[..., int]) -> None:
    """In as many pieces as it comes, after what is sent."""

    def greet(client: socket.socket) -> None:
        asked = client.recv(100)
        client.sendall(b"220 ")
        client.sendall(asked.upper())

    found = ask(tcp(listen(greet), 'send = "helo"\nexpect = ["text == \'220 HELO!\'"]'))

    assert told(found) == ("fail", "text == '220 HELO!': '220 HELO' is not == '220 HELO!'")


def test_a_closed_port_is_a_failure(ask: Ask) -> None:
    """In the words of every other check."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]

        assert told(ask(tcp(port))) == ("fail", f"127.0.0.1:{port}: connection refused")


def test_a_port_that_stays_silent_is_one_that_takes_connections(ask: Ask, listen: Callable[..., int]) -> None:
    """Of what takes too long it is said how far it came."""

    def talk(client: socket.socket) -> None:
        with suppress(OSError):  # it hangs up
            while client.send(b"."):
                time.sleep(0.05)

    port = listen(lambda client: client.recv(9999) and client.recv(1))
    says = tcp(port, 'timeout = "1s"\nexpect = ["text != \'\'"]')
    secure = says.replace('"tcp"', '"tls"').replace('"port"', '"secure"').replace("text != ''", "ip != ''")
    talks = says.replace(str(port), str(listen(talk))).replace('"port"', '"talks"')

    assert [one.said.partition(" took longer than 1 s: ")[2] for one in ask(f"{says}\n{talks}\n{secure}").results] == [
        "it takes connections, and says nothing",
        "it goes on sending, with no pause of 0.5 s, which would end what a condition reads",
        "it takes connections, and does not answer in TLS; does it answer without?",
    ]


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (errno.EMFILE, ("error", "a:1: this machine cannot connect: Too many open files")),
        (errno.ECONNRESET, ("fail", "a:1: no answer: the connection was reset")),
        (errno.ETIMEDOUT, ("fail", "a:1: no answer: Connection timed out")),
    ],
)
def test_a_connection_that_fails_is_whose_fault_it_is(number: int, found: tuple[str, str]) -> None:
    """A machine that has no room for one more socket says nothing about the target."""
    error = no_answer("a:1", OSError(number, "Connect call failed ('127.0.0.1', 1)"))

    assert (error.verdict, error.said) == found


class Names(socketserver.BaseRequestHandler):
    """A DNS server's answer: the next of `answers`, the last one for ever."""

    answers: list[list[str]] = []  # noqa: RUF012 - set by the fixture

    def handle(self) -> None:
        data, back = self.request
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if found:
            answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *found))
        back.sendto(answer.to_wire(), self.client_address)


@pytest.fixture
def names() -> Iterator[tuple[str, list[list[str]]]]:
    """Where a DNS server listens, and what it will answer."""
    answers: list[list[str]] = []
    handler = type("Handler", (Names,), {"answers": answers})
    with running(socketserver.ThreadingUDPServer(("127.0.0.1", 0), handler)) as port:
        yield f"127.0.0.1:{port}", answers


def name(server: str, *rules: str) -> str:
    said = ", ".join(f'"{rule}"' for rule in rules)
    head = '[[check]]\nid = "name"\nkind = "dns"\nattempts = 1\nname = "shop.example"'
    return f'{head}\nserver = "{server}"\nexpect = [{said}]'


def test_a_dns_answer_that_changes_is_seen(ask: Ask, names: tuple[str, list[list[str]]]) -> None:
    """It is asked each time: nothing is remembered."""
    server, answers = names
    answers += [["10.0.0.1", "10.0.0.2"], ["10.0.0.9"]]
    rule = "answers == ['10.0.0.1', '10.0.0.2']"
    first, second = (told(ask(name(server, rule, "ttl == 60"))) for _ in range(2))

    assert first == ("pass", "A of shop.example: 10.0.0.1, 10.0.0.2")
    assert second == ("fail", f"{rule}: ('10.0.0.9') is not == ('10.0.0.1', '10.0.0.2')")


def test_a_dns_server_that_is_silent_is_said_to_be(ask: Ask) -> None:
    """For the whole time: the library tells of its last attempt alone, for which 20 ms may have been left."""
    with socket.socket(type=socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        port = mute.getsockname()[1]
        found = told(ask(f'{name(f"127.0.0.1:{port}")}\ntimeout = "2s"'))

    assert found[0] == "fail"
    assert re.fullmatch(rf"A of shop\.example: no answer: 127\.0\.0\.1@{port}: silent for [0-9.]+ s", found[1])


def test_a_name_without_records_fails(ask: Ask, names: tuple[str, list[list[str]]]) -> None:
    """Also where no condition speaks of it."""
    server, answers = names
    answers += [[]]

    assert told(ask(name(server)))[0] == "fail"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"kind": "tcp", "connect": "shop.example"}, "should match pattern"),
        ({"kind": "tcp", "connect": "a:1", "expect": ["status == 200"]}, "status"),
        ({"kind": "tcp", "connect": "a:1", "send": "x"}, "expect is missing"),
        ({"kind": "tls", "connect": "a:1", "expect": ["certificate.days_left()"]}, "certificate"),
        ({"kind": "dns", "name": "a b"}, "should match pattern"),
        ({"kind": "dns", "name": "a..b"}, "should match pattern"),
        ({"kind": "dns", "name": "a" * 64}, "should match pattern"),
        ({"kind": "dns", "name": "a", "server": "999.1.1.1"}, "does not appear to be an IPv4 or IPv6 address"),
        ({"kind": "dns", "name": "a", "server": "[::1]:99999"}, "Port out of range"),
        ({"kind": "postgres", "url": "${A}", "query": "commit; drop table x"}, "could end the transaction"),
        ({"kind": "heartbeat", "token": "abc", "within": "1h"}, "should match pattern"),
        ({"kind": "postgres", "url": "postgresql://u:p@h/db"}, "should match pattern"),
        ({"kind": "redis", "url": "${A}", "ask": ["FLUSHALL"]}, "may change something"),
        ({"kind": "nats", "url": "${A}", "request": "orders.new"}, "say writes = true"),
        ({"kind": "nats", "url": "${A}", "expect": ["json.ok"]}, "belong to request"),
        ({"kind": "tcp", "connect": "a:1", "every": "1s"}, "greater than or equal to 5"),
    ],
)
def test_what_makes_no_sense_is_refused(table: dict[str, Any], says: str) -> None:
    """When the manifest is read; a password never stands in it."""
    with pytest.raises(ValidationError, match=says):
        TypeAdapter(Check).validate_python({"id": "x", **table})


@pytest.mark.parametrize("query", ["select ';'", "select $x$ ; $x$ -- ;", "select 1;\n", '/* ; */ select "a;b" from c'])
def test_a_semicolon_in_a_text_ends_no_statement(query: str) -> None:
    """Nor does the last one begin another."""
    TypeAdapter(Check).validate_python({"id": "x", "kind": "postgres", "url": "${A}", "query": query})


@pytest.mark.parametrize(
    ("kind", "address", "said"),
    [
        ("postgres", "mysql://u:word@h/db", 'the address of PostgreSQL is not valid: missing "=" after'),
        ("nats", "http://u:word@127.0.0.1:9", "the address of NATS is not valid: it begins with nats://, tls://,"),
        ("nats", "nats://u:word@", "the address of NATS is not valid: it has no host"),
        ("nats", "nats://u:word@h:99999", "the address of NATS is not valid: Port out of range 0-65535"),
        ("redis", "http://u:word@127.0.0.1:9", "the address of Redis is not valid: Redis URL must specify one"),
    ],
)
def test_an_address_of_something_else_is_an_error_of_ours(ask: Ask, kind: str, address: str, said: str) -> None:
    """No server was asked, and the password is not shown."""
    found = told(ask(f'[[check]]\nid = "x"\nkind = "{kind}"\nattempts = 1\nurl = "${{A}}"', environ={"A": address}))

    assert (found[0], found[1].startswith(said), "word" in found[1]) == ("error", True, False)


def test_names_that_no_server_answers_for_hold_up_no_other(
    ask: Ask, listen: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look-up takes a thread until it ends, and a loop has six of them on two processors."""
    heard, look_up = threading.Event(), socket.getaddrinfo

    def slow(host: str, *more: Any, **options: Any) -> Any:
        if host == "slow.invalid":
            heard.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        heard.set()
        return look_up(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    slow_ones = [tcp(1).replace("127.0.0.1", "slow.invalid").replace('"port"', f'"slow-{at}"') for at in range(14)]
    well = tcp(listen(lambda client: client.recv(1)), 'timeout = "20s"').replace("127.0.0.1", "localhost")

    assert ask("\n".join([*slow_ones, well])).results[-1].verdict == "pass"


SILENT = {
    "http": ('get = "/"\nexpect = ["status == 200"]', "GET /"),
    "websocket": ('url = "/"\nsteps = [{ recv = "5s", expect = ["message == \'a\'"] }]', "WS /"),
    "journey": ('[[check.step]]\nget = "/"\nexpect = ["status == 200"]', "the journey"),
    "tcp": ('connect = "slow.invalid:80"', "slow.invalid:80"),
    "redis": ('url = "${A}"\nask = ["PING"]\nexpect = ["answer == True"]', "Redis"),
    "nats": ('url = "${A}"', "NATS"),
}


@pytest.mark.parametrize("kind", SILENT)
def test_a_name_that_no_server_answers_for_is_no_outage(ask: Ask, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Silence says as little of the target as the system's own error does; and nobody waits for its end."""
    ended, look_up = threading.Event(), socket.getaddrinfo

    def silent(host: str, *more: Any, **options: Any) -> Any:
        return ended.wait() and [] if host == "slow.invalid" else look_up(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    lines, asked = SILENT[kind]
    target = '[target.here]\nbase_url = "http://slow.invalid"\n'
    head = f'[[check]]\nid = "a"\nkind = "{kind}"\nattempts = 1\ntimeout = "600ms"\n'
    try:
        found = only(ask(f"{target}{head}{lines}", environ={"A": f"{kind}://slow.invalid"}))
    finally:
        ended.set()

    said = f"{asked}: the host's name is not known: no DNS server answers for it"
    assert (found.verdict, found.said) == ("error", said)
    assert found.evidence == ("the system took longer than 0.6 s to look up slow.invalid",)


@pytest.mark.parametrize("kind", ["postgres", "redis", "nats"])
def test_a_server_that_takes_no_login_is_told_from_one_that_is_slow(
    ask: Ask, listen: Callable[..., int], kind: str
) -> None:
    """The port is open, as of a process that hangs, and nothing comes of it."""
    ended = threading.Event()
    more = 'ask = ["PING"]' if kind == "redis" else ""
    check = f'[[check]]\nid = "x"\nkind = "{kind}"\nattempts = 1\ntimeout = "600ms"\nurl = "${{A}}"\n{more}'
    try:
        port = listen(lambda _: ended.wait() and None)
        verdict, said = told(ask(check, environ={"A": f"{kind}://127.0.0.1:{port}"}))
    finally:
        ended.set()

    assert (verdict, said.partition(" took ")[2]) == ("fail", "longer than 0.6 s: no login came about")


@pytest.mark.parametrize(
    ("kind", "more"),
    [("postgres", 'query = "delete from jobs"'), ("redis", 'ask = ["FLUSHALL"]'), ("nats", 'request = "orders.new"')],
)
def test_a_server_is_not_written_to_where_the_target_forbids_it(ask: Ask, kind: str, more: str) -> None:
    """Its address is the check's own, and yet it belongs to the target; nothing listens there."""
    check = f'[[check]]\nid = "x"\nkind = "{kind}"\nwrites = true\nurl = "${{A}}"\n{more}'
    target = '[target.here]\nbase_url = "http://127.0.0.1:9"\n'

    verdict, said = told(ask(target + check, environ={"A": f"{kind}://127.0.0.1:9"}))

    assert (verdict, said) == ("skip", "the check writes, and the target does not allow it (writes = true)")


@pytest.mark.parametrize("answer", [b"", b"no TLS"], ids=["silent", "broken"])
def test_nats_whose_handshake_fails_ends_the_check(ask: Ask, listen: Callable[..., int], answer: bytes) -> None:
    """The library would wait for the end of that connection for ever: a watcher would never ask again."""
    ended = threading.Event()

    def greet(client: socket.socket) -> None:
        client.sendall(b'INFO {"version":"2.10.0","max_payload":1024,"tls_required":true}\r\n')
        client.recv(65536)
        client.sendall(answer)
        ended.wait()

    check = '[[check]]\nid = "x"\nkind = "nats"\nattempts = 1\ntimeout = "2s"\nurl = "${A}"'
    try:
        verdict, said = told(ask(check, environ={"A": f"tls://127.0.0.1:{listen(greet)}"}))
    finally:
        ended.set()

    known = "NATS: no TLS: wrong version number" if answer else "NATS took longer than 2 s: no login came about"
    assert (verdict, said.partition(";")[0]) == ("fail", known)


def test_an_address_that_is_silent_hides_no_other_postgres(ask: Ask, listen: Callable[..., int]) -> None:
    """The library waits two minutes for each; the time of the check is shared among all that its address names."""

    def refuse(client: socket.socket) -> None:
        client.recv(65536)  # the wish for TLS
        client.sendall(b"N")
        client.recv(65536)
        said = b"SFATAL\0C28000\0Mthe second answers\0\0"
        client.sendall(b"E" + (len(said) + 4).to_bytes(4, "big") + said)

    with ExitStack() as held:
        full = held.enter_context(socket.create_server(("127.0.0.2", 0), backlog=0))
        port = full.getsockname()[1]
        held.enter_context(socket.create_connection(("127.0.0.2", port)))  # a second one is not answered
        places = f"127.0.0.2:{port},127.0.0.1:{listen(refuse)}"
        check = '[[check]]\nid = "x"\nkind = "postgres"\nattempts = 1\ntimeout = "6s"\nurl = "${A}"'
        said = told(ask(check, environ={"A": f"postgresql://u:word@{places}/shop"}))[1]

    assert ("the second answers" in said, "127.0.0.2" in said, "word" in said) == (True, True, False)


def test_an_address_that_is_silent_hides_no_other(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a host with IPv6 where this machine's way there ends in nothing."""
    look_up = socket.getaddrinfo
    with ExitStack() as held:
        full = held.enter_context(socket.create_server(("127.0.0.2", 0), backlog=0))
        port = full.getsockname()[1]
        held.enter_context(socket.create_server(("127.0.0.1", port)))
        held.enter_context(socket.create_connection(("127.0.0.2", port)))  # a second one is not answered

        def both(host: str, *more: Any, **options: Any) -> Any:
            names = ["127.0.0.2", "127.0.0.1"] if host == "two.invalid" else [host]
            return [found for name in names for found in look_up(name, *more, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", both)

        assert told(
            ask(tcp(port, 'timeout = "20s"\nexpect = ["ip == \'127.0.0.1\'"]').replace("127.0.0.1:", "two.invalid:"))
        ) == (
            "pass",
            f"two.invalid:{port} takes connections",
        )


def test_a_host_that_takes_no_connection_is_told_from_an_app_that_hangs(ask: Ask) -> None:
    """A firewall that drops what comes, or a machine that is gone: nothing of the request was heard."""
    check = '[[check]]\nid = "a"\nkind = "http"\nget = "/"\nexpect = ["status == 200"]\nattempts = 1\ntimeout = "300ms"'
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        hangs = told(ask(check, port))[1]
        full.accept()[0].close()
        with socket.create_connection(("127.0.0.1", port)):
            gone = told(ask(check, port))[1]

    late = "GET / took longer than 0.3 s"
    assert (hangs, gone) == (f"{late}: no answer came", f"{late}: no connection came")


def test_a_machine_that_is_too_busy_is_no_outage(
    ask: Ask, listen: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system counts for how long a thread that was ready had no processor."""
    monkeypatch.setattr(loop, "starved_s", itertools.count(0.0, 7.5).__next__)
    port = listen(lambda client: client.recv(9999) and client.recv(1))

    found = told(ask(tcp(port, 'timeout = "100ms"\nexpect = ["text != \'\'"]')))

    busy = "and this machine is too busy to tell: testbay had no processor for 7.5 s of that"
    assert found == ("error", f"127.0.0.1:{port} took longer than 0.1 s, {busy}")


def test_the_system_tells_of_a_wait_for_a_processor() -> None:
    """Of this thread alone, in seconds that only grow."""
    before = loop.starved_s()

    assert (before > 0, before <= loop.starved_s() < time.monotonic()) == (
        Path("/proc/thread-self/schedstat").exists(),
        True,
    )
