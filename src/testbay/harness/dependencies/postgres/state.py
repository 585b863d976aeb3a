r"""A database in a file: the SQL that pg_dump writes, schema and rows, to be read, searched and run again.

Rows are INSERT statements: the file is then SQL alone, which a server runs and psql need not, so that nothing in it can
be a command to psql (`\!` would run a program).
"""

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import psycopg
from psycopg import sql

from testbay import process, settings
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.postgres import programs
from testbay.harness.dependencies.postgres.changes import as_oserror, connect
from testbay.harness.dependencies.postgres.cloning import drop
from testbay.harness.dependencies.postgres.server import server_options
from testbay.harness.dependencies.programs import version_of
from testbay.harness.dependencies.state import PATIENCE_S, Taken
from testbay.harness.world import Clock
from testbay.manifest import environments

FILE = "postgres.sql"
LIMIT_BYTES = 40 << 20

RESTORE_LIMIT_S = 60.0
_CONNECT_LIMIT_S = 5
_ROLES = "-- roles: "
_DUMP = (
    *("--no-password", "--encoding=UTF8", "--inserts", "--rows-per-insert=100", "--lock-wait-timeout=5000"),
    *("--no-subscriptions", "--no-tablespaces", "--no-sync"),
)
# psql's own lines around a dump since 2025, and a setting that no server before 17 knows.
_NOT_FOR_A_SERVER = re.compile(rb"^(?:\\(?:un)?restrict \w+|SET transaction_timeout = 0;)\n", re.MULTILINE)
_SIZES = """
SELECT format('%I.%I', n.nspname, c.relname), pg_table_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 2 DESC
"""


def keep(endpoint: Endpoint) -> Taken:
    """Dump the whole database, except what a transaction has not committed yet."""
    # The failed test may still hold a lock that even looking at a table's size waits for.
    with _session(endpoint, options="-c statement_timeout=5s") as session:
        version = session.info.server_version // 10000
        sizes = dict(session.execute(_SIZES).fetchall())
        roles = [name for (name,) in session.execute("SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'")]
    without = _too_large(sizes)
    while (dumped := _dump(endpoint, version, [f"--exclude-table-data={table}" for table in without])) is None:
        if len(without) == len(sizes):
            raise OSError(f"its schema alone is larger than {LIMIT_BYTES >> 20} MB")
        without = list(sizes)[: 2 * len(without) or 1]  # on disk it was smaller: rows are compressed there
    text = _NOT_FOR_A_SERVER.sub(b"", dumped).decode(errors="replace")
    return Taken(f"{_ROLES}{json.dumps(roles)}\n{text}", f"the rows of {', '.join(without)}" if without else "")


def _too_large(sizes: Mapping[str, int]) -> list[str]:
    """The largest tables that must be left out for the others to fit; `sizes` is sorted, the largest first."""
    total, without = sum(sizes.values()), []
    for table, size in sizes.items():
        if total > LIMIT_BYTES:
            without.append(table)
            total -= size
    return without


def _dump(endpoint: Endpoint, version: int, more: Sequence[str]) -> bytes | None:
    """Run pg_dump and return its output; None if that is too long.

    Raises:
        OSError: pg_dump failed, took too long, or is missing; its words, or what to do.
    """
    program, at = _pg_dump(endpoint, version)
    environ = {name: value for name, value in settings.environ().items() if not name.startswith("PG")}
    environ |= {"PGPASSWORD": at.password, "PGCONNECT_TIMEOUT": str(_CONNECT_LIMIT_S), "LC_MESSAGES": "C"}
    with TemporaryFile() as output, TemporaryFile() as errors:  # without names: there may be secrets in it
        argv = [*program, *server_options(at), *_DUMP, *more]
        child = process.spawn(argv, env=environ, stdin=subprocess.DEVNULL, output=output, errors=errors)
        whole = _await(child, output)
        output.seek(0)
        errors.seek(0)
        if whole and child.returncode != 0:
            raise OSError(f"pg_dump: {errors.read(500).decode(errors='replace').strip()}")
        return output.read() if whole else None


def _await(child: process.Child, output: IO[bytes]) -> bool:
    deadline = Clock.monotonic() + PATIENCE_S
    try:
        while child.poll() is None:
            if Clock.monotonic() > deadline:
                raise OSError(f"pg_dump did not end within {PATIENCE_S:g} s")
            if os.fstat(output.fileno()).st_size > LIMIT_BYTES:
                return False
            Clock.sleep(0.005)
    finally:
        child.kill()
        child.wait()
    return os.fstat(output.fileno()).st_size <= LIMIT_BYTES


def _pg_dump(endpoint: Endpoint, version: int) -> tuple[list[str], Endpoint]:
    """The oldest pg_dump that knows the server, else that in the server's container; and the server's address for it.

    Raises:
        OSError: There is neither.
    """
    if fitting := sorted((major, program) for program, major in _programs() if major >= version):
        return [fitting[0][1]], endpoint
    if published := _container(endpoint.port):
        container, port = published
        inside = replace(endpoint, host="127.0.0.1", port=port)
        return ["docker", "exec", "-e", "PGPASSWORD", "-e", "PGCONNECT_TIMEOUT", container, "pg_dump"], inside
    raise OSError(
        f"no pg_dump of version {version} or newer ({environments.adding('embedded')}, or apt-get install "
        f"postgresql-client-{version})"
    )


@cache
def _programs() -> list[tuple[str, int]]:
    """Every pg_dump of this machine, with its major version."""
    on_path = shutil.which("pg_dump")
    found = [str(folder / "pg_dump") for folder in programs.folders()] + ([on_path] if on_path else [])
    majors = ((program, version_of(Path(program), r"\) (\d+)")) for program in found if os.access(program, os.X_OK))
    return [(program, int(major)) for program, major in majors if major]


def _container(port: int) -> tuple[str, int] | None:
    """The container that publishes the port, and the port in it; None if none does."""
    try:
        argv = ["docker", "ps", "--filter", f"publish={port}", "--format", "{{.ID}} {{.Ports}}"]
        answer = process.run(argv, timeout_s=10)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.match(rf"(\w+) .*:{port}->(\d+)/tcp", answer.out)
    return (found[1], int(found[2])) if found else None


def restore(endpoint: Endpoint, file: Path) -> list[str]:
    """Run the file in a new database, which replaces the one that the endpoint names."""
    with file.open("rb") as kept:
        first = kept.readline().decode()
        text = kept.read()
    if not first.startswith(_ROLES):
        raise ValueError(f"{file.name} does not begin as testbay writes it")
    roles = [str(name) for name in json.loads(first.removeprefix(_ROLES))]
    # Not from inside the one that goes.
    with _session(replace(endpoint, db="template1" if endpoint.db == "postgres" else "postgres")) as session:
        there = {name for (name,) in session.execute("SELECT rolname FROM pg_roles")}
        for role in roles:
            if role not in there:
                _run(session, "CREATE ROLE {}", role)
        drop(session, endpoint.db)
        _run(session, "CREATE DATABASE {} TEMPLATE template0", endpoint.db)
    with _session(endpoint) as session, _bounded(session, endpoint):
        session.execute("SET client_encoding = 'UTF8'")
        session.execute(text)
    return []


@contextmanager
def _bounded(session: psycopg.Connection[Any], endpoint: Endpoint) -> Iterator[None]:
    """End a session that takes too long.

    The file may come from a stranger, and could reset a time-out on the server.
    """

    def end() -> None:
        with suppress(OSError), _session(replace(endpoint, db="template1")) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (session.info.backend_pid,))

    timer = threading.Timer(RESTORE_LIMIT_S, end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _run(session: psycopg.Connection[Any], statement: str, name: str) -> None:
    session.execute(sql.SQL(statement).format(sql.Identifier(name)))


@contextmanager
def _session(endpoint: Endpoint, options: str = "") -> Iterator[psycopg.Connection[Any]]:
    with as_oserror(), connect(endpoint, connect_timeout=_CONNECT_LIMIT_S, options=options) as session:
        yield session
