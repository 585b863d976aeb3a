import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from testbay.harness.dependencies.dragonfly import server as dragonfly
from testbay.harness.dependencies.endpoint import Answer, Endpoint, Server
from testbay.harness.plans import ProcessPlan
from testbay.manifest.compose.reading import ComposeService

Listen = Callable[[Callable[[socket.socket], None]], int]


def service(*command: str, image: str = "dragonfly:v1.39.0", **environment: str) -> ComposeService:
    return ComposeService(key="cache", image=image, environment=environment, command=command)


def at(port: int, password: str = "", identity: str = "") -> Endpoint:
    return Endpoint(
        name="dragonfly", title="Dragonfly", host="127.0.0.1", port=port, password=password, db="0", identity=identity
    )


def planned(program: str, asked: ComposeService) -> ProcessPlan:
    server = Server(program=Path("/bin") / program, version="1.0", source="system")
    return dragonfly.plan(asked, server, Path("/stacks/s1/dragonfly"))


STAND_IN = ["/bin/redis-server", "/stacks/s1/dragonfly/redis.conf", "--bind", "127.0.0.1", "--port", "{port}"]
STAND_IN += ["--dir", "/stacks/s1/dragonfly", "--save", "", "--appendonly", "no"]
OWN = ["/bin/dragonfly", "--bind=127.0.0.1", "--port={port}", "--dir=/stacks/s1/dragonfly", "--dbfilename="]


@pytest.mark.parametrize(
    ("asked", "settings"),
    [
        (service(), ""),
        (service("--maxmemory=1gb", DFLY_dbnum="256"), 'maxmemory "1gb"\ndatabases "256"\n'),
        (service("--requirepass", "pw"), 'requirepass "pw"\n'),
        (service(DFLY_dbnum="²"), ""),
        (
            service("redis-server", "--save", "60", "1", "--databases", "64", "--port", "7000", image="redis:7"),
            'databases "64"\n',
        ),
        (
            service("valkey-server", "/etc/valkey.conf", "--aclfile", "/x", "--hz", "5", image="valkey/valkey"),
            'hz "5"\n',
        ),
        (service("--requirepass", 'a"b\\c', image="redis"), 'requirepass "a\\"b\\\\c"\n'),
    ],
)
def test_settings_are_carried_to_their_own_kind(asked: ComposeService, settings: str) -> None:
    """Password, memory and the number of databases of a stand-in; paths, ports and addresses are the container's."""
    made = planned("redis-server", asked)

    assert (made["argv"], made["files"]) == (STAND_IN, {"redis.conf": settings})


@pytest.mark.parametrize(
    ("asked", "argv", "env"),
    [
        (service(), OWN, {}),
        (
            service("--maxmemory", "1gb", "--bind=0.0.0.0", "--dir", "/data", "--requirepass", "pw", "--hz=5"),
            [*OWN, "--maxmemory=1gb", "--hz=5"],
            {"DFLY_requirepass": "pw"},
        ),
        (
            service("--databases", "64", "--hz", "5", "--requirepass=pw", image="redis"),
            [*OWN, "--dbnum=64"],
            {"DFLY_requirepass": "pw"},
        ),
    ],
)
def test_dragonfly_gets_flags_and_its_password_unseen(
    asked: ComposeService, argv: list[str], env: dict[str, str]
) -> None:
    """Every user of the machine can read an argv; an environment is its owner's."""
    made = planned("dragonfly", asked)

    assert (made["argv"], made["env"], made["files"]) == (argv, env, {})


def test_dragonflys_settings_are_variables_too() -> None:
    """Carried as they are; nothing else of the container's environment is."""
    assert planned("dragonfly", service(DFLY_dbnum="16", PATH="/x"))["env"] == {"DFLY_dbnum": "16"}


@pytest.mark.parametrize(
    ("asked", "password"),
    [
        (service(), ""),
        (service("--requirepass", "a"), "a"),
        (service("--requirepass=a=b"), "a=b"),
        (service('--requirepass=it\'s a "b"'), 'it\'s a "b"'),
        (service("--requirepass"), ""),
        (service(DFLY_requirepass="c"), "c"),
        (service(DFLY_PASSWORD="d"), "d"),
    ],
)
def test_the_password_is_found_wherever_it_may_stand(asked: ComposeService, password: str) -> None:
    """In the command, or in one of Dragonfly's variables."""
    assert dragonfly.endpoint(asked, 16380) == Endpoint(
        name="dragonfly", title="Dragonfly", host="localhost", port=16380, password=password, db="0"
    )


@pytest.mark.parametrize(
    ("asked", "password"),
    [
        (service(), "5ecret"),
        (service("redis-server", "--protected-mode", "no", image="redis:7"), "5ecret"),
        (service("--requirepass", "own"), "own"),
        (service("redis-server", "--requirepass", "", image="redis:7"), ""),
        (service("redis-server", "--user", "default", "on", "nopass", "~*", "+@all", image="redis:7"), ""),
        (service(image="bitnami/redis", ALLOW_EMPTY_PASSWORD="yes"), ""),
    ],
)
def test_what_the_file_says_of_a_password_is_honoured(asked: ComposeService, password: str) -> None:
    """One that it sets, and that it wants none; where it says nothing the stack's own is taken."""
    guarded = replace(asked, stack_password="5ecret")
    made = planned("redis-server", guarded)

    assert dragonfly.endpoint(guarded, 1).password == password
    assert [f'requirepass "{password}"' in made["files"]["redis.conf"], "5ecret" in str(made["argv"])] == [
        bool(password),
        False,
    ]


@pytest.mark.parametrize(
    ("asked", "command"),
    [
        (service(image="redis:7-alpine"), []),
        (service("redis-server", "--save", "", image="docker.io/library/redis:8"), ["--save", ""]),
        (service("--maxmemory", "1mb", image="valkey/valkey@sha256:ab"), ["--maxmemory", "1mb"]),
        (service("/etc/own.conf", image="redis:7"), None),
        (service("redis-server", "/etc/own.conf", image="redis:7"), None),
        (service("sh", "-c", "redis-server", image="redis:7"), None),
        (service("--aclfile", "/users", image="redis:7"), None),
        (service("--requirepass", "own", image="redis:7"), None),
        (replace(service(image="redis:7"), entrypoint=("/own",)), None),
        (service(image="team/redis:7"), None),
        (service(image="bitnami/redis"), None),
    ],
)
def test_a_container_of_an_official_image_is_started_with_the_password(
    asked: ComposeService, command: list[str] | None
) -> None:
    """In a file of its own, where the compose file says nothing else of how it starts or who may log in."""
    made = dragonfly.configured(replace(asked, stack_password="5ecret"))

    assert (made and (made["command"], made["content"])) == (
        None if command is None else (["/testbay.conf", *command], 'requirepass "5ecret"\n')
    )
    assert (made and made["environment"]["REDISCLI_AUTH"]) == (None if command is None else "5ecret")
    assert dragonfly.configured(asked) is None


@pytest.mark.parametrize(
    ("password", "url"), [("", "redis://127.0.0.1:5/0"), ("p:/@?%", "redis://:p%3A%2F%40%3F%25@127.0.0.1:5/0")]
)
def test_a_service_finds_it_by_these_variables(password: str, url: str) -> None:
    """The contract of tier 3, special characters escaped."""
    assert dragonfly.environment(at(5, password)) == {
        "DRAGONFLY_HOST": "127.0.0.1",
        "DRAGONFLY_PORT": "5",
        **({"DRAGONFLY_PASSWORD": password} if password else {}),
        "REDIS_URL": url,
    }


def a_server(heard: list[bytes], *answers: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        for answer in answers:
            heard.append(connection.recv(65536))
            connection.sendall(answer)
        connection.recv(1)

    return talk


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


FOLDER = b"*2\r\n" + bulk(b"dir") + bulk(b"/stacks/s1/dragonfly")


def test_a_ready_server_took_a_key_and_gave_it_back(listen: Listen) -> None:
    """Password first; its own version and folder last."""
    heard: list[bytes] = []
    info = bulk(b"# Server\r\nredis_version:7.2.0\r\n")
    port = listen(a_server(heard, b"+OK\r\n", b"+OK\r\n", b":1\r\n", info, FOLDER))

    assert dragonfly.probe(at(port, "pw", "s1"), 5) == Answer("7.2.0", "redis 7.2 stand-in")
    assert heard == [
        b"*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n",
        b"*5\r\n$3\r\nSET\r\n$13\r\ntestbay:ready\r\n$1\r\n1\r\n$2\r\nPX\r\n$4\r\n1000\r\n",
        b"*2\r\n$3\r\nDEL\r\n$13\r\ntestbay:ready\r\n",
        b"*1\r\n$4\r\nINFO\r\n",
        b"*3\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$3\r\ndir\r\n",
    ]


@pytest.mark.parametrize(
    ("info", "answer"),
    [
        (b"redis_version:7.4.0\r\ndragonfly_version:df-v1.39.0\r\n", Answer("1.39.0")),
        (b"redis_version:7.2.4\r\nvalkey_version:8.0.1\r\n", Answer("8.0.1", "valkey 8.0 stand-in")),
        (
            b"redis_version:6.2.14\r\ntotal_connections_received:12\r\n",
            Answer("6.2.14", "redis 6.2 stand-in", connections=12),
        ),
        (b"", Answer("unknown")),
    ],
)
def test_a_server_says_itself_what_it_is(listen: Listen, info: bytes, answer: Answer) -> None:
    """Whatever program was meant to run: a stand-in is never hidden."""
    port = listen(a_server([], b"+OK\r\n", b":1\r\n", bulk(info)))

    assert dragonfly.probe(at(port), 5) == answer


def flood(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


def drip(connection: socket.socket) -> None:
    connection.settimeout(0.01)
    while True:
        connection.sendall(b"+")
        try:
            if not connection.recv(65536):
                return
        except TimeoutError:
            continue


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("conversation", "said"),
    [
        (lambda connection: connection.recv(99) and None, "closed the connection|reset by peer"),
        (lambda connection: connection.recv(99) and connection.recv(1), "timed out"),
        (a_server([], b"-LOADING Redis is loading\r\n"), "^LOADING Redis is loading$"),
        (a_server([], b"-\r\n"), "^an error without a message$"),
        (a_server([], b"-NOAUTH Authentication required.\r\n"), "^NOAUTH"),
        (a_server([], b"+OK\r\n", b"-READONLY no\r\n"), "^READONLY no$"),
        (a_server([], b"+OK\r\n", b":1\r\n", b"$x\r\n"), "invalid literal for int"),
        (a_server([], b"+OK\r\n", b":1\r\n", b"$99999999999\r\nx"), "timed out|in time"),
        (a_server([], b"+OK\r\n", b":1\r\n", b"$-1\r\n", b"*-1\r\n"), "another server answers"),
        (a_server([], b"+OK\r\n", b":1\r\n", b"+OK\r\n", b"*2\r\n$1\r\n"), "timed out|in time"),
        (a_server([], b"+OK\r\n", b":1\r\n", bulk(b""), FOLDER), "another server answers on port .*'s1'"),
        (flood, "an answer without end"),
        (drip, "timed out|in time"),
    ],
    ids=[
        *("hangs-up", "silent", "loading", "wordless", "locked", "read-only", "no-number", "cut-off", "nil"),
        *("half-array", "stranger", "flood", "drip"),
    ],
)
def test_whatever_answers_instead_is_not_ready(
    listen: Listen, conversation: Callable[[socket.socket], None], said: str
) -> None:
    """An OSError or ValueError within the time limit, never a hang, and nothing else."""
    with pytest.raises((OSError, ValueError), match=said):
        dragonfly.probe(at(listen(conversation), identity="s2"), 0.1)
