"""What the tests of every contestant share: one row in and out again, for some also one key and one message."""

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg


def one_row(connection: psycopg.Connection[Any], table: str) -> None:
    """Insert, commit, read back. Id 1 and no other row prove the isolation: nobody was here before."""
    connection.execute(f"INSERT INTO {table} (name) VALUES ('mine')")  # noqa: S608 - a name that the bench made up
    connection.commit()
    rows = connection.execute(f"SELECT id, name FROM {table}").fetchall()  # noqa: S608 - the same
    assert rows == [(1, "mine")], rows


def one_row_inside(connection: psycopg.Connection[Any], table: str) -> None:
    """The same in a transaction that is not committed. The id goes on from test to test: no sequence is rolled back."""
    with connection.transaction():
        connection.execute(f"INSERT INTO {table} (name) VALUES ('mine')")  # noqa: S608 - a name that the bench made up
    rows = connection.execute(f"SELECT name FROM {table}").fetchall()  # noqa: S608 - the same
    assert rows == [("mine",)], rows


def one_key(client: Any) -> None:
    """Set and get one key that nobody has set before."""
    assert client.get("key") is None
    client.set("key", "mine")
    assert client.get("key") in (b"mine", "mine")


def one_message(url: str) -> None:
    """Publish to NATS and wait until the server has it; by hand, as a client's event loop costs more than that."""
    server = urlsplit(url)
    user, password = unquote(server.username or ""), unquote(server.password or "")
    account = f'"user":"{user}","pass":"{password}",' if user else ""
    with socket.create_connection((server.hostname or "", server.port or 4222), 10) as connection:
        lines = connection.makefile("rb")
        assert lines.readline().startswith(b"INFO")
        connection.sendall(f'CONNECT {{{account}"verbose":false}}\r\nPUB mine 4\r\nmine\r\nPING\r\n'.encode())
        answer = lines.readline()
        assert answer.startswith(b"PONG"), answer


def migrations() -> list[Path]:
    """The generated schema's files, in order."""
    return sorted(Path(os.environ["BENCH_MIGRATIONS"]).glob("*.sql"))


def migrate(connection: psycopg.Connection[Any]) -> None:
    """The whole schema in one round trip: quicker than any tool that applies file by file."""
    connection.execute("\n".join(file.read_text(encoding="utf-8") for file in migrations()).encode())


def admin() -> psycopg.Connection[Any]:
    """A connection to the bench's server on which databases can be made and dropped."""
    return psycopg.connect(os.environ["BENCH_DSN"], dbname="postgres", autocommit=True)


def own_database(worker: str) -> psycopg.Connection[Any]:
    """A migrated database for this worker, made anew, and an open connection to it."""
    name = f"bench_{worker}"
    with admin() as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE migrated STRATEGY file_copy")
    return psycopg.connect(os.environ["BENCH_DSN"], dbname=name, autocommit=True)


def emptying(connection: psycopg.Connection[Any]) -> bytes:
    """One statement that empties all tables; identities start again, as a test that names an id expects."""
    names = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    tables = [name for (name,) in connection.execute(names)]
    return f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE".encode()


def worker() -> str:
    """This process's name among those of one run."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")
