import base64
import hashlib
import hmac
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from testbay.harness.dependencies.endpoint import Answer, Endpoint, RefusedError, Server
from testbay.harness.dependencies.postgres import native, programs
from testbay.harness.dependencies.postgres import server as postgres
from testbay.manifest.compose.reading import ComposeService

Listen = Callable[[Callable[[socket.socket], None]], int]
ENDPOINT = Endpoint(name="postgres", title="PostgreSQL", host="127.0.0.1", port=1, user="app", password="pw", db="shop")
AUTHENTICATED = b"R" + struct.pack("!II", 8, 0)
READY = b"Z" + struct.pack("!I", 5) + b"I"


def service(*command: str, **environment: str) -> ComposeService:
    return ComposeService(key="db", image="postgres:18", environment=environment, command=command)


def at(port: int, identity: str = "") -> Endpoint:
    return Endpoint(**{**vars(ENDPOINT), "port": port, "identity": identity})


@pytest.mark.parametrize(
    ("environment", "user", "password", "db"),
    [
        ({"POSTGRES_PASSWORD": "pw"}, "postgres", "pw", "postgres"),
        ({"POSTGRES_PASSWORD": "pw", "POSTGRES_USER": "ann"}, "ann", "pw", "ann"),
        ({"POSTGRES_USER": "ann", "POSTGRES_PASSWORD": "pw", "POSTGRES_DB": "shop"}, "ann", "pw", "shop"),
        ({"POSTGRES_PASSWORD": "pw", "POSTGRES_USER": "", "POSTGRES_DB": ""}, "postgres", "pw", "postgres"),
        ({"POSTGRES_HOST_AUTH_METHOD": "trust"}, "postgres", "", "postgres"),
    ],
)
def test_credentials_are_those_of_the_official_image(
    environment: dict[str, str], user: str, password: str, db: str
) -> None:
    """The database is called like the user unless it is named."""
    assert postgres.endpoint(service(**environment), 15433) == Endpoint(
        name="postgres", title="PostgreSQL", host="localhost", port=15433, user=user, password=password, db=db
    )


def test_a_service_finds_it_by_these_variables() -> None:
    """The contract of tier 3."""
    assert postgres.environment(ENDPOINT) == {
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": "1",
        "POSTGRES_USER": "app",
        "POSTGRES_PASSWORD": "pw",
        "POSTGRES_DB": "shop",
        "DATABASE_URL": "postgresql://app:pw@127.0.0.1:1/shop",
    }


def test_special_characters_do_not_break_the_address() -> None:
    """Every part is escaped, the slash too."""
    strange = Endpoint(**{**vars(ENDPOINT), "user": "a@b", "password": "p:/?#%é ", "db": "x/y"})

    assert postgres.url(strange) == "postgresql://a%40b:p%3A%2F%3F%23%25%C3%A9%20@127.0.0.1:1/x%2Fy"


@pytest.mark.parametrize(
    ("command", "carried"),
    [
        (["postgres", "-c", "fsync=off", "-c", "jit=off"], ["-c", "fsync=off", "-c", "jit=off"]),
        (["-c", "log_line_prefix=%m "], ["-c", "log_line_prefix=%m "]),
        (["--work-mem=4MB", "--fsync=off"], ["-c", "work_mem=4MB", "-c", "fsync=off"]),
        (["-c", "hba_file=/etc/x", "--ssl-cert-file=/x", "-c", "a=b"], ["-c", "a=b"]),
        (["-c"], []),
        (["-c", "novalue", "--help"], []),
        ([], []),
    ],
)
def test_settings_of_the_compose_file_are_carried(command: list[str], carried: list[str]) -> None:
    """Except paths: they are the container's. They come after testbay's word on fsync, so that theirs counts."""
    server = Server(program=Path("/pg/postgres"), version="18.1", source="system")
    made = native.plan(service(*command, POSTGRES_PASSWORD="pw"), server, Path("/stacks/s1/postgres"))

    not_durable = ["-c", "fsync=off", "-c", "full_page_writes=off"]
    assert made["argv"][1 : made["argv"].index("-D")] == [*not_durable, *carried]


def test_the_plan_makes_a_cluster_and_a_database(tmp_path: Path) -> None:
    """Initdb with a password nobody can read from the command line, then the database in single-user mode."""
    server = Server(program=Path("/pg/postgres"), version="18.1", source="system")
    home = tmp_path / "stack-1/postgres"
    made = native.plan(service(POSTGRES_USER="app", POSTGRES_DB='a"b', POSTGRES_PASSWORD="hunter2"), server, home)
    initdb, create = made["prepare"]

    assert initdb["argv"][:7] == ["/pg/initdb", "-D", str(home / "data"), "-U", "app", "--pwfile", str(home / "secret")]
    assert {"--auth=scram-sha-256", "--no-sync", "--encoding=UTF8"} < set(initdb["argv"])
    assert create["argv"][:4] == ["/pg/postgres", "--single", "-D", str(home / "data")]
    assert create["stdin"] == 'CREATE DATABASE "a""b";\n'
    assert "hunter2" not in str(made)


def test_the_default_database_is_not_made_twice(tmp_path: Path) -> None:
    """Initdb made `postgres` already; its own arguments may be named."""
    server = Server(program=Path("/pg/postgres"), version="18.1", source="system")
    asked = service(POSTGRES_INITDB_ARGS="--locale=C --data-checksums", POSTGRES_PASSWORD="pw")
    made = native.plan(asked, server, tmp_path)

    assert len(made["prepare"]) == 1
    assert made["prepare"][0]["argv"][-2:] == ["--locale=C", "--data-checksums"]


def test_settings_that_initdb_would_write_are_the_servers(tmp_path: Path) -> None:
    """Every initdb creates the cluster, also one before 16 that knows no `-c`, and a container's own are left out."""
    server = Server(program=Path("/pg/postgres"), version="15.1", source="system")
    words = "--encoding=UTF8 -c jit=off --set work_mem=8MB --set=listen_addresses=* -cfull_page_writes=off -k"
    made = native.plan(service(POSTGRES_INITDB_ARGS=words, POSTGRES_PASSWORD="pw"), server, tmp_path)

    assert made["prepare"][0]["argv"][-2:] == ["--encoding=UTF8", "-k"]
    assert {"jit=off", "work_mem=8MB", "full_page_writes=off"} < set(made["argv"])
    assert "listen_addresses=*" not in made["argv"]


@pytest.mark.parametrize(
    "hostile", ["listen_addresses=*", "port=5432", "ssl=on", "logging_collector=on", "cluster_name=x"]
)
def test_a_container_setting_cannot_open_the_server(tmp_path: Path, hostile: str) -> None:
    """In a container listening everywhere is right; here none of it is carried, and ours stands in its place."""
    server = Server(program=Path("/pg/postgres"), version="18.1", source="system")
    asked = service("postgres", "-c", hostile, POSTGRES_PASSWORD="pw")
    argv = native.plan(asked, server, tmp_path / "s1/postgres")["argv"]

    assert hostile not in argv
    assert {"listen_addresses=127.0.0.1", "ssl=off", "cluster_name=s1"} < set(argv)


def test_an_old_initdb_gets_its_password_afterwards(tmp_path: Path) -> None:
    """It cuts what it reads from a file after 100 characters."""
    server = Server(program=Path("/pg/postgres"), version="13.23", source="added")
    made = native.plan(service(POSTGRES_PASSWORD="pw"), server, tmp_path)
    initdb, single = made["prepare"]

    assert "--no-instructions" not in initdb["argv"]
    assert single["stdin"] == f"ALTER ROLE \"postgres\" PASSWORD '{native._scram_secret('pw', 1)}';\n"


@pytest.mark.parametrize("password", ["secret", "", "p:/?#%", "pässwörd", "x" * 500])
def test_the_stored_secret_proves_the_password(password: str) -> None:
    """Computed as RFC 5802 says for a client, with the salt and the rounds that are in the secret."""
    head, keys = native._scram_secret(password, 1).removeprefix("SCRAM-SHA-256$").split("$")
    rounds, salt = head.split(":")
    stored, server_key = (base64.b64decode(key) for key in keys.split(":"))

    block = hmac.new(password.encode(), base64.b64decode(salt) + b"\0\0\0\1", hashlib.sha256).digest()
    client_key = hmac.new(block, b"Client Key", hashlib.sha256).digest()

    assert (rounds, hashlib.sha256(client_key).digest()) == ("1", stored)
    assert hmac.new(block, b"Server Key", hashlib.sha256).digest() == server_key


@pytest.mark.parametrize(
    ("zone", "found"),
    [
        ("Europe/Vienna", ["timezone=Europe/Vienna"]),
        ("", []),
        ("../UTC", []),
        ("Nowhere/Land", []),
    ],
)
def test_the_server_has_the_containers_zone(tmp_path: Path, zone: str, found: list[str]) -> None:
    """As the image's initdb takes it from TZ; what the server has no file of would keep it from starting."""
    for name in ("Europe/Vienna", "UTC"):
        file = tmp_path / "share/timezone" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    server = Server(program=tmp_path / "bin/postgres", version="18.1", source="wheel")

    argv = native.plan(service(POSTGRES_PASSWORD="pw", TZ=zone), server, tmp_path)["argv"]

    assert [word for word in argv if "timezone=" in word] == found


def test_pg8000_gets_as_many_rounds_as_it_asks_for(tmp_path: Path) -> None:
    """Its library refuses a server that asks for fewer."""
    server = Server(program=tmp_path / "bin/postgres", version="18.1", source="wheel", hash_rounds=4096)

    made = native.plan(service(POSTGRES_PASSWORD="pw"), server, tmp_path)

    assert made["files"]["secret"].startswith("SCRAM-SHA-256$4096:")


def text_row(value: bytes) -> bytes:
    """One row of one text column, as the protocol writes it."""
    column = b"x\0" + struct.pack("!IHIhih", 0, 0, 25, -1, -1, 0)
    data = struct.pack("!Hi", 1, len(value)) + value
    parts = [(b"T", struct.pack("!H", 1) + column), (b"D", data), (b"C", b"SHOW\0")]
    return b"".join(kind + struct.pack("!I", len(body) + 4) + body for kind, body in parts) + READY


def a_server(*answers: bytes) -> Callable[[socket.socket], None]:
    """Lets everybody in and answers each query with the next of `answers`."""

    def talk(connection: socket.socket) -> None:
        while struct.unpack("!II", connection.recv(65536)[:8])[1] != 196608:
            connection.sendall(b"N")  # no encryption here
        connection.sendall(AUTHENTICATED + READY)
        for answer in answers:
            connection.recv(65536)
            connection.sendall(answer)
        connection.recv(65536)

    return talk


def test_a_ready_server_tells_its_version(listen: Listen) -> None:
    """Asked with the real psql."""
    port = listen(a_server(text_row(b"18.1 (Debian)"), text_row(b"stack-1"), text_row(b"12")))

    assert postgres.probe(at(port, "stack-1"), 5) == Answer("18.1", connections=12)


def silence(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("conversation", "said"),
    [
        (lambda connection: connection.recv(1) and None, "reset by peer|closed the connection"),
        (
            lambda connection: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n") or connection.recv(99),
            "does not speak|reset",
        ),
        (
            lambda connection: (
                connection.recv(99)
                and connection.sendall(b"E\0\0\0\x20SFATAL\0Mthe database system is starting up\0\0")
            ),
            "^the database system is starting up$",
        ),
        (silence, "timed out"),
        (lambda connection: connection.recv(99) and connection.sendall(AUTHENTICATED), "psql: error: |not answer"),
        (lambda connection: connection.recv(99) and connection.sendall(b"R" * 9), "psql: error: |not answer"),
        (a_server(READY, READY, READY), "^an empty answer$"),
        (a_server(text_row(b""), text_row(b""), READY), "^an empty answer$"),
        (a_server(text_row(b"18"), text_row(b"stranger"), READY), "another server answers on port .*'stranger'"),
    ],
    ids=["hangs-up", "http", "starting", "silent", "then-gone", "garbage", "no-row", "empty", "stranger"],
)
def test_whatever_answers_instead_is_not_ready(
    listen: Listen, conversation: Callable[[socket.socket], None], said: str
) -> None:
    """An OSError within the time limit, never a hang, and nothing else."""
    with pytest.raises(OSError, match=said):
        postgres.probe(at(listen(conversation), "stack-1"), 0.3)


def refusing(code: bytes, message: bytes) -> Callable[[socket.socket], None]:
    body = b"SFATAL\0C" + code + b"\0M" + message + b"\0\0"

    def talk(connection: socket.socket) -> None:
        connection.recv(99)
        connection.sendall(b"E" + struct.pack("!I", len(body) + 4) + body)

    return talk


@pytest.mark.parametrize(
    ("conversation", "said"),
    [
        (refusing(b"28000", b'role "ann" does not exist'), '^role "ann" does not exist$'),
        (refusing(b"3D000", b'database "shop" does not exist'), '^database "shop" does not exist$'),
        (
            lambda connection: connection.sendall(b"INFO {}\r\n"),
            "does not speak PostgreSQL's protocol: it said b'INFO",
        ),
    ],
)
def test_a_refusal_is_an_answer(listen: Listen, conversation: Callable[[socket.socket], None], said: str) -> None:
    """Waiting longer would not make the role, the database or the protocol another one."""
    with pytest.raises(RefusedError, match=said):
        postgres.probe(at(listen(conversation)), 1)


def test_a_starting_server_is_no_refusal(listen: Listen) -> None:
    """It will let us in later."""
    with pytest.raises(OSError, match="starting up") as refused:
        postgres.probe(at(listen(refusing(b"57P03", b"the database system is starting up"))), 1)

    assert not isinstance(refused.value, RefusedError)


def test_nobody_there_is_not_ready() -> None:
    """Refused at once."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]

    with pytest.raises(ConnectionRefusedError):
        postgres.probe(at(port), 0.3)


def test_psql_sees_nothing_of_the_users_own_settings(listen: Listen, tmp_path: Path) -> None:
    """A PGDATABASE or a psqlrc of the caller must not decide where migrations go."""
    hello: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        said = connection.recv(4096)
        if len(said) == 8:  # may we encrypt?
            connection.sendall(b"N")
            said = connection.recv(4096)
        hello.append(said)

    (tmp_path / ".psqlrc").write_text("\\echo read\n", encoding="utf-8")
    environ = {"PGDATABASE": "other", "PGAPPNAME": "other", "PGOPTIONS": "-c a=b", "HOME": str(tmp_path)}
    done = postgres.psql(at(listen(talk)), ["-c", "SELECT 1"], timeout_s=5, environ=environ)

    assert b"user\0app\0database\0shop\0application_name\0psql\0" in hello[0]
    assert b"options" not in hello[0]
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize("db", ["d" * 63, "д" * 31])
def test_a_long_name_leaves_room_for_the_suffix(db: str) -> None:
    """PostgreSQL cuts a name after 63 bytes: the database that is set aside would be the first one."""
    long = postgres.pristine(Endpoint(name="postgres", title="PostgreSQL", host="h", port=1, db=db)).db

    assert (long.endswith("_pristine"), len(long.encode()) <= 63) == (True, True)


def test_the_wheels_beside_testbay_serve_a_project_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' Python cannot import them, and pg_dump is one of their programs."""
    monkeypatch.setattr(programs, "_WHEELS", (("a_wheel_apart", "pginstall"), ("another_apart", "pginstall")))
    bins = tmp_path / "a_wheel_apart/pginstall/bin"
    bins.mkdir(parents=True)

    assert list(programs._wheel_bins(tmp_path)) == [bins]


def test_psql_speaks_english_in_every_locale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of an error is read from what it says; the rest of the locale stays."""
    (tmp_path / "psql").write_text('#!/bin/sh\necho "$LC_ALL $LC_MESSAGES $LANG"\n')
    (tmp_path / "psql").chmod(0o755)
    monkeypatch.setattr(programs, "psql", lambda: str(tmp_path / "psql"))

    done = postgres.psql(ENDPOINT, [], timeout_s=30, environ={"LC_ALL": "de_DE.UTF-8", "LANG": "en_US.UTF-8"})
    assert done.out == " C de_DE.UTF-8\n"
