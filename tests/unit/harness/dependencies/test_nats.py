import json
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbay.harness.dependencies.endpoint import Answer, Endpoint, Server
from testbay.harness.dependencies.nats import server as nats
from testbay.harness.dependencies.nats.jetstream import UnansweredError, create_streams
from testbay.harness.dependencies.nats.slots import Account
from testbay.manifest.compose.reading import ComposeService
from testbay.manifest.service import Stream

Listen = Callable[[Callable[[socket.socket], None]], int]
INFO = b'INFO {"server_name": "s1", "version": "2.12.4"}\r\n'
GREETED = b"+OK\r\nPONG\r\n"


def service(*command: str) -> ComposeService:
    return ComposeService(key="queue", image="nats:2.12", command=command)


def at(port: int, user: str = "", password: str = "", identity: str = "s1") -> Endpoint:
    return Endpoint(
        name="nats", title="NATS", host="127.0.0.1", port=port, user=user, password=password, identity=identity
    )


def message(body: object) -> bytes:
    data = json.dumps(body).encode()
    return b"MSG INBOX 1 %d\r\n%s\r\n" % (len(data), data)


def a_server(*answers: bytes, heard: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    """Greets, then gives the next answer to whatever it hears; INBOX in it is where the answer is wanted."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(INFO)
        inbox = b"INBOX"
        for answer in answers:
            said = connection.recv(65536)
            inbox = next(iter(re.findall(rb"PUB \S+ (\S+) ", said)), inbox)
            if heard is not None:
                heard.append(said.replace(inbox.rpartition(b".")[0] or b"-", b"INBOX"))
            connection.sendall(answer.replace(b"INBOX", inbox))
        while connection.recv(65536):
            pass

    return talk


@pytest.mark.parametrize(
    ("command", "carried"),
    [
        ([], []),
        (["--jetstream", "--store_dir=/data"], []),
        (["nats-server", "-js", "-sd", "/data", "-D"], ["-D"]),
        (["-jetstream", "-store_dir", "/data", "-p=4222", "--max_payload", "1MB"], ["--max_payload", "1MB"]),
        (["-m", "8222", "--user", "js", "--pass=p"], ["--user", "js", "--pass=p"]),
        (["--cluster", "nats://0.0.0.0:6222", "-routes=nats://a:1", "-DV"], ["-DV"]),
        (["--name", "n", "--server_name=x", "-c", "/etc/nats.conf"], []),
    ],
)
def test_flags_of_the_compose_file_are_carried(command: list[str], carried: list[str]) -> None:
    """Except paths, ports, addresses and peers, in every spelling: they are the container's."""
    assert list(nats.described(service(*command)).argv) == carried


def test_the_plan_keeps_to_loopback_and_to_its_folder() -> None:
    """With JetStream, whether the compose file asks for it or not."""
    server = Server(program=Path("/bin/nats-server"), version="2.12.4", source="system")
    made = nats.plan(service("-DV"), server, Path("/stacks/s1/nats"))

    argv = ["/bin/nats-server", "-a", "127.0.0.1", "-p", "{port}", "-n", "s1", "-js"]
    assert made["argv"] == [*argv, "-sd", "/stacks/s1/nats/jetstream", "-DV", "-c", "/stacks/s1/nats/nats.conf"]
    assert (made["cwd"], made["log"]) == ("/stacks/s1/nats", "/stacks/s1/nats.log")


def test_a_stack_with_a_password_lets_no_other_client_in() -> None:
    """Every account of ours has it, the one that oversees them too; who names none gets in nowhere."""
    made = nats.configured(replace(service("-DV"), stack_password="5ec"))
    assert made is not None

    lines = made["content"].splitlines()
    assert [line for line in lines if "user:" in line and 'password: "5ec"' not in line] == []
    assert lines[-3:] == [
        '  overseer: { users: [ { user: overseer, password: "5ec" } ] }',
        "}",
        "system_account: overseer",
    ]
    assert nats.url(nats.endpoint(replace(service(), stack_password="5ec"), 7)) == "nats://main:5ec@localhost:7"


def test_each_lease_has_an_account_and_no_other_client_needs_a_name() -> None:
    """In a container by the same file, its command kept; dollars and all are Compose's business elsewhere."""
    made = nats.configured(service("-DV"))

    assert made is not None
    assert made["command"] == ["-js", "-DV", "--config", "/testbay-nats.conf"]
    assert made["content"].splitlines()[1:3] == [
        '  main: { jetstream: enabled, users: [ { user: main, password: "main" } ] }',
        '  lease1: { jetstream: enabled, users: [ { user: lease1, password: "lease1" } ] }',
    ]
    assert made["content"].splitlines()[-2:] == ["no_auth_user: main", "system_account: overseer"]


@pytest.mark.parametrize("flags", [("--user", "ann", "--pass", "pw"), ("-auth=t",), ("--config", "/mine.conf")])
def test_a_service_with_users_of_its_own_keeps_them(flags: tuple[str, ...]) -> None:
    """And is not shared: no accounts of ours, no lease."""
    made = nats.plan(service(*flags), Server(program=Path("/n"), version="2", source="system"), Path("/stacks/s1/nats"))

    assert (nats.configured(service(*flags)), made["files"]) == (None, {"nats.conf": ""})
    assert nats.endpoint(service(*flags), 1).shared == "all of NATS (the compose file gives it a login of its own)"


@pytest.mark.parametrize(
    ("command", "user", "password"),
    [
        ([], "", ""),
        (["--user", "ann", "--pass", "pw"], "ann", "pw"),
        (["-js", "--user=ann", "-pass=p=w"], "ann", "p=w"),
        (["-js", "--auth", "t@k/n"], "", "t@k/n"),
        (["--user"], "", ""),
    ],
)
def test_credentials_are_those_of_the_command(command: list[str], user: str, password: str) -> None:
    """In both spellings."""
    assert nats.endpoint(service(*command), 14222) == Endpoint(
        name="nats",
        title="NATS",
        host="localhost",
        port=14222,
        user=user,
        password=password,
        shared=nats.SHARED if password else "",
    )


@pytest.mark.parametrize(
    ("user", "password", "url"),
    [
        ("", "", "nats://127.0.0.1:5"),
        ("ann", "pw", "nats://ann:pw@127.0.0.1:5"),
        ("", "t/k@n", "nats://t%2Fk@n@127.0.0.1:5"),
        ("a:b", "p/?#%@:!", "nats://a%3Ab:p%2F%3F%23%25@:!@127.0.0.1:5"),
    ],
)
def test_a_service_finds_it_by_one_variable(user: str, password: str, url: str) -> None:
    """The contract of tier 3; what would end the login early is escaped."""
    assert nats.environment(at(5, user, password)) == {"NATS_URL": url}


def test_a_ready_server_answered_for_jetstream(listen: Listen) -> None:
    """The port answers before JetStream does, so JetStream is asked."""
    heard: list[bytes] = []
    port = listen(a_server(GREETED, b"PING\r\n", message({"streams": 0}), heard=heard))

    assert nats.probe(at(port, "ann", "pw"), 5) == Answer("2.12.4")
    options = {"verbose": False, "pedantic": False, "lang": "testbay", "version": "1", "headers": True}
    options |= {"no_responders": True}
    options |= {"user": "ann", "pass": "pw"}
    connected, *rest = heard
    assert re.fullmatch(
        re.escape(b"CONNECT " + json.dumps(options).encode()) + rb"\r\nSUB _INBOX\.testbay\.\w{16}\.\* 1\r\nPING\r\n",
        connected,
    )
    assert rest == [b"PUB $JS.API.INFO INBOX.1 2\r\n{}\r\n", b"PONG\r\n"]


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        (b'"jetstream": false', ()),
        (b'"jetstream": true', (message({"error": {"description": "jetstream not enabled for account"}}),)),
        (b'"jetstream": true', (message({"error": {"description": "JetStream not enabled for account"}}),)),
    ],
)
def test_a_container_with_its_own_login_may_lack_jetstream(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, said: bytes, answers: tuple[bytes, ...]
) -> None:
    """Its configuration is the project's: we do not wait for what it does not enable."""
    monkeypatch.setattr(sys.modules[__name__], "INFO", INFO.replace(b"}", b", " + said + b"}"))
    port = listen(a_server(GREETED, *answers))

    assert nats.probe(replace(at(port), shared=nats.SHARED), 5) == Answer(
        "2.12.4", "without JetStream, as its configuration has it"
    )


def test_an_answer_to_somebody_else_is_left_aside(listen: Listen) -> None:
    """Or one that came too late for an earlier question."""
    strangers = b"MSG _INBOX.testbay.other.1 1 23\r\n" + b'{"error": "not for us"}\r\n'
    port = listen(a_server(GREETED, strangers + message({"streams": 0})))

    assert nats.probe(at(port), 5) == Answer("2.12.4")


def test_streams_are_created_by_the_servers_own_names(listen: Listen) -> None:
    """Seconds become nanoseconds; everything the manifest can say arrives."""
    heard: list[bytes] = []
    port = listen(a_server(GREETED, message({}), message({}), heard=heard))
    stream = Stream(name="ORDERS", subjects=["orders.*"], retention="workqueue", storage="memory", max_age_s=1.5)
    again = Stream(name="AGAIN", subjects=["again"])

    create_streams(at(port), [stream.model_dump(), again.model_dump()])

    first, second = (said.rpartition(b"PUB ")[2].split(b"\r\n") for said in heard[1:])
    assert first[0].startswith(b"$JS.API.STREAM.CREATE.ORDERS INBOX.1 ")
    assert second[0].startswith(b"$JS.API.STREAM.CREATE.AGAIN INBOX.2 ")
    assert json.loads(first[1]) == {
        "name": "ORDERS",
        "subjects": ["orders.*"],
        "retention": "workqueue",
        "storage": "memory",
        "max_age": 1_500_000_000,
        "duplicate_window": 120_000_000_000,
        "discard": "old",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "num_replicas": 1,
    }


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ({"code": 400, "description": "subjects overlap"}, "stream A: subjects overlap"),
        ({"code": 503}, "stream A: {'code': 503}"),
        ("no", "stream A: no"),
    ],
)
def test_a_refused_stream_is_named(listen: Listen, error: Any, said: str) -> None:
    """With the server's reason, in whatever form it comes."""
    port = listen(a_server(GREETED, message({"error": error})))

    with pytest.raises(OSError) as refused:  # noqa: PT011  the whole text follows
        create_streams(at(port), [Stream(name="A", subjects=["a"]).model_dump()])

    assert str(refused.value) == said


def flood(line: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(INFO)
        while True:
            connection.sendall(line * 1000)

    return talk


def drip(connection: socket.socket) -> None:
    connection.settimeout(0.01)
    connection.sendall(INFO)
    while True:
        connection.sendall(b"x")
        try:
            if not connection.recv(65536):
                return
        except TimeoutError:
            continue


def speak(words: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.sendall(words)
        connection.recv(65536)

    return talk


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("conversation", "said"),
    [
        (lambda connection: connection.shutdown(socket.SHUT_RDWR), "closed the connection|reset by peer"),
        (lambda connection: connection.recv(1), "timed out"),
        (
            speak(b"HTTP/1.1 400 Bad Request\r\n"),
            "does not speak NATS' protocol: it said b'HTTP/1.1 400 Bad",
        ),
        (speak(b"INFO {\r\n"), "no JSON object: it said b'{'"),
        (speak(b"INFO [1]\r\n"), r"no JSON object: it said b'\[1\]'"),
        (speak(b"INFO " + b"[" * 50_000 + b"\r\n"), "no JSON object"),
        (a_server(b"-ERR 'Authorization Violation'\r\n"), "^Authorization Violation$"),
        (a_server(b"-ERR 'Permissions Violation for Publish'\r\n"), "^Permissions Violation for Publish$"),
        (a_server(GREETED, b"MSG INBOX 1 y\r\n"), "invalid literal for int"),
        (a_server(GREETED, b"HMSG 5\r\n12345\r\n"), "timed out|in time"),
        (a_server(GREETED, b"HMSG INBOX 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"), "^JetStream is not enabled"),
        (a_server(GREETED, b"MSG INBOX 1 -5\r\n"), "no JSON object: it said b''"),
        (a_server(GREETED, b"MSG INBOX 1 99999999\r\nx"), "timed out|in time"),
        (a_server(GREETED, b"MSG INBOX 1 2\r\n[]\r\n"), "no JSON object"),
        (a_server(GREETED, message({"error": {"description": "not enabled"}})), "^not enabled$"),
        (a_server(GREETED, message({"error": "odd"})), "^odd$"),
        (flood(b"+OK\r\n"), "timed out|in time"),
        (flood(b"PING\r\n"), "timed out|in time|reset"),
        (flood(b"x" * 1000), "an answer without end"),
        (drip, "timed out|in time"),
    ],
    ids=[
        *(
            "hangs-up",
            "silent",
            "http",
            "half-json",
            "list",
            "nested",
            "refused",
            "limited",
            "no-number",
            "short",
            "no-jetstream",
        ),
        *("negative", "cut-off", "not-an-object", "error", "odd-error", "flood", "pings", "endless-line", "drip"),
    ],
)
def test_whatever_answers_instead_is_not_ready(
    listen: Listen, conversation: Callable[[socket.socket], None], said: str
) -> None:
    """An OSError or ValueError within the time limit, never a hang, and nothing else."""
    limit_s = 0.1 if "timed out" in said else 10

    with pytest.raises((OSError, ValueError), match=said):
        nats.probe(at(listen(conversation)), limit_s)


def test_another_stacks_server_is_not_ours(listen: Listen) -> None:
    """It got the port first; its name tells."""
    port = listen(a_server(GREETED, message({})))

    with pytest.raises(OSError) as refused:  # noqa: PT011  the whole text follows
        nats.probe(at(port, identity="s2"), 5)

    assert str(refused.value) == f"another server answers on port {port}: it says it is 's1'"


def test_a_server_that_counts_no_traffic_is_asked_for_its_streams() -> None:
    """NATS before 2.9 has nothing that answers, and says so at once."""
    asked: list[str] = []

    class Talking:
        cid = 1
        server_id = "S"

        def begin(self, subject: str, _: object) -> str:
            asked.append(subject.rpartition(".")[2])
            return asked[-1]

        def has_news(self) -> bool:
            return False

        def ask(self, *call: Any) -> dict[str, Any]:
            return self.end(self.begin(*call))

        def end(self, begun: str) -> dict[str, Any]:
            if begun in ("STATZ", "JSZ"):
                raise UnansweredError("no responders")
            return {}

    account = Account.__new__(Account)
    parts = {"endpoint": at(1, "lease1"), "_overseer": Talking(), "_talk": Talking(), "_pristine": {}}
    vars(account).update(parts)

    assert (list(account.take_back()), asked) == ([None] * 3, ["STATZ", "STATZ", "JSZ", "CONNZ", "JSZ", "LIST"])
