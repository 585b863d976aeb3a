"""PostgreSQL as a server: finding, reading from the compose file, probing and addressing it."""

import re
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from subprocess import TimeoutExpired
from urllib.parse import quote

from testbay import process
from testbay.harness.dependencies.endpoint import Answer, Endpoint, Reading, RefusedError, Server, check_identity
from testbay.harness.dependencies.postgres import image, mounts, programs
from testbay.harness.plans import Configured, ProcessPlan
from testbay.manifest.compose.reading import ComposeService

NAME = "postgres"
TITLE = "PostgreSQL"
IMAGES = ("postgres", "pgvector", "timescale", "postgis")
DEFAULT_PORT = 15433
LEASE_MARK = "_lease"  # in the name of a lease's database, before its number
PRISTINE_LOCK = "pristine.lock"  # in a stack's folder: held exclusively while the cloned database is made or changed

# https://www.postgresql.org/docs/current/errcodes-appendix.html: no such user, a wrong password, no such database.
_REFUSAL_CODES = (b"28000", b"28P01", b"3D000")
_REFUSED = re.compile(r"password authentication failed|no pg_hba.conf entry|does not exist|no password supplied")
# Of all databases: a test may make one of its own. Before PostgreSQL 14 nothing is counted, and the answer is empty.
_SESSIONS = "SELECT sum((row_to_json(d)->>'sessions')::bigint) FROM pg_stat_database d"
_DATA_MOVED_IN = 18
_STRATEGIES_SINCE = 15
_HIGH_AVAILABILITY_DATA = str(PurePosixPath("/home", "postgres", "pgdata"))  # of TimescaleDB's image of that name
_LEAST_NAME = 40  # bytes
# Tables in which tools keep the list of what they applied, as their documentation names them.
_LISTS = (
    "_prisma_migrations", "_sqlx_migrations", "_yoyo_log", "_yoyo_migration", "_yoyo_version", "aerich",
    "alembic_version", "atlas_schema_revisions", "databasechangelog", "databasechangeloglock", "django_migrations",
    "flyway_schema_history", "goose_db_version", "gorp_migrations", "knex_migrations", "knex_migrations_lock",
    "migration", "schema_migrations", "yoyo_lock",
)  # fmt: skip
# From FirstNormalObjectId: https://www.postgresql.org/docs/current/system-catalog-initial-data.html
_MADE = """
SELECT 'relation', relname FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm', 'f')
    AND relnamespace::regnamespace::text !~ '^pg_'
UNION SELECT 'function', '' FROM pg_proc WHERE oid >= 16384
UNION SELECT 'schema', nspname FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'
UNION SELECT 'type', '' FROM pg_type WHERE oid >= 16384 AND typrelid = 0 AND typelem = 0
"""

find = programs.find


def described(service: ComposeService) -> Reading:
    """Read the service as its image does; both engines use the result.

    Raises:
        ManifestError: The image would refuse to start.
    """
    config = image.config_of(service)
    return Reading(
        user=config.user,
        password=config.password,
        db=config.db,
        port=config.port,
        argv=tuple(word for name, value in config.settings for word in ("-c", f"{name}={value}")),
        set_up=tuple(script.name for script in config.scripts),
        named=tuple(mounts.named(service, config.scripts).places),
        data=_data_folders(service, config),
        notes=config.notes,
        unreachable=config.unreachable,
    )


def _data_folders(service: ComposeService, config: image.PostgresConfig) -> tuple[str, ...]:
    """List the image's data folders; 18 moved its cluster, and refuses to start with a mount at the old place."""
    said = [value for name, value in config.settings if name == "data_directory"]
    if folder := service.environment.get("PGDATA"):
        return (folder, *said)
    if "bitnami" in service.based_on:
        return ("/bitnami/postgresql", *said)
    if service.repository == "timescaledb-ha":
        return (_HIGH_AVAILABILITY_DATA, *said)
    major = programs.major_of(service.tag)
    return ("/var/lib/postgresql/data" if major and int(major) < _DATA_MOVED_IN else "/var/lib/postgresql", *said)


def endpoint(service: ComposeService, port: int) -> Endpoint:
    """The endpoint on loopback, with the compose file's credentials."""
    config = image.config_of(service)
    return Endpoint(
        name=NAME, title=TITLE, host="localhost", port=port, user=config.user, password=config.password, db=config.db
    )


def probe(endpoint: Endpoint, timeout_s: float) -> Answer:
    """Run a real query, once the server accepts sessions.

    The first probe is a bare start-up packet: while the server starts, it refuses that in a millisecond, whereas psql
    would take a process each time (and importing psycopg longer than the whole start).
    """
    _ask_for_session(endpoint, timeout_s)
    asked = ["-At", "-c", "SHOW server_version", "-c", "SHOW cluster_name", "-c", _SESSIONS]
    answer = psql(endpoint, asked, timeout_s=timeout_s)
    version, name, sessions, *_ = [*answer.out.split("\n"), "", "", ""]
    if answer.code != 0 or not version:
        said = answer.err.strip() or "an empty answer"
        raise RefusedError(said) if _REFUSED.search(said) else OSError(said)
    check_identity(endpoint, name)
    return Answer(version.split()[0], connections=int(sessions) if sessions.isdecimal() else None)


def configured(service: ComposeService) -> Configured | None:  # noqa: ARG001 - the Protocol's
    """Configure nothing: a server has many databases as it is."""
    return None


def keep_pristine(endpoint: Endpoint) -> None:
    """Copy the migrated database before any test uses it; leases are clones of the copy.

    Raises:
        OSError: The server refused.
    """
    # Copying files takes a quarter of the usual way, which logs each page, in memory, and four fifths on a disk.
    by_file = int(programs.major_of(endpoint.version) or 0) >= _STRATEGIES_SINCE
    made = f"CREATE DATABASE {quoted(pristine(endpoint).db)} TEMPLATE {quoted(endpoint.db)}"
    made += " STRATEGY file_copy" if by_file else ""
    _admin(endpoint, end_workers(endpoint.db), made)


def end_workers(db: str) -> str:
    """The statement that ends extensions' workers (TimescaleDB's) in a database: they keep it from being copied.

    The server starts them again.
    """
    name = db.replace("'", "''")
    others = "'client backend', 'walsender', 'autovacuum worker'"
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    return f"{query} WHERE datname = '{name}' AND backend_type NOT IN ({others})"


def pristine(endpoint: Endpoint) -> Endpoint:
    """The endpoint of the copy that was set aside."""
    return replace(endpoint, db=f"{beginning(endpoint.db)}_pristine")


def beginning(db: str) -> str:
    """The beginning of a database's name, short enough for a suffix within PostgreSQL's 63 bytes."""
    return db.encode()[:_LEAST_NAME].decode(errors="ignore")


def further(service: ComposeService, server: Server) -> ProcessPlan | None:  # noqa: ARG001 - the Protocol's
    """Plan no further server: a database is quicker to make."""
    return None


def _admin(endpoint: Endpoint, *statements: str) -> None:
    """Run statements on the database that every server has: a database cannot be copied or dropped from inside."""
    arguments = ["-v", "ON_ERROR_STOP=1", *(word for statement in statements for word in ("-c", statement))]
    done = psql(replace(endpoint, db="postgres"), arguments, timeout_s=60)
    if done.code != 0:
        raise OSError(done.err.strip())


def quoted(name: str) -> str:
    """Quote an SQL identifier."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _ask_for_session(endpoint: Endpoint, timeout_s: float) -> None:
    words = b"user\0" + endpoint.user.encode() + b"\0database\0" + endpoint.db.encode() + b"\0\0"
    packet = struct.pack("!II", len(words) + 8, 196608) + words  # protocol 3.0
    with socket.create_connection((endpoint.host, endpoint.port), timeout_s) as connection:
        connection.sendall(packet)
        answer = connection.recv(1024)
    if answer.startswith(b"R"):
        return
    code, message = re.search(rb"\0C([^\0]*)", answer), re.search(rb"\0M([^\0]*)", answer)
    said = message[1].decode(errors="replace") if message else "closed the connection"
    if answer and not answer.startswith((b"E", b"N")):
        raise RefusedError(f"it does not speak PostgreSQL's protocol: it said {answer[:80]!r}")
    raise RefusedError(said) if code and code[1] in _REFUSAL_CODES else OSError(said)


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
        EngineUnavailableError: psql is missing on this machine.
        OSError: It did not answer in time.
    """
    env = {name: value for name, value in (environ or {}).items() if not name.startswith("PG")}
    if locale := env.pop("LC_ALL", ""):  # it would beat LC_MESSAGES: what psql says is read
        env["LANG"] = locale
    env |= {
        "PGPASSWORD": endpoint.password,
        "PGCLIENTENCODING": "UTF8",
        "PGCONNECT_TIMEOUT": "10",
        "LC_MESSAGES": "C",
    }
    argv = [programs.psql(), "-X", "-q", *server_options(endpoint), *arguments]
    try:
        return process.run(argv, env=env, cwd=cwd, timeout_s=timeout_s)
    except TimeoutExpired:
        raise OSError(f"psql did not answer within {timeout_s:g} s") from None


def server_options(endpoint: Endpoint) -> list[str]:
    """The options by which psql and pg_dump find a database; the password is in the environment."""
    return ["-h", endpoint.host, "-p", str(endpoint.port), "-U", endpoint.user, "-d", endpoint.db]


def made_by_migrations(endpoint: Endpoint) -> tuple[bool, list[str]]:
    """Return whether a database has a schema, and the tables in which a tool lists the migrations that it applied.

    Raises:
        OSError: The server did not say.
    """
    asked = psql(endpoint, ["-At", "-c", _MADE], timeout_s=10)
    if asked.code:
        raise OSError(asked.err.strip())
    made = [row.partition("|")[::2] for row in asked.out.splitlines()]
    lists = [name for kind, name in made if kind == "relation" and name in _LISTS]
    return len(made) > len(lists), lists


def environment(endpoint: Endpoint) -> dict[str, str]:
    return {
        "POSTGRES_HOST": endpoint.host,
        "POSTGRES_PORT": str(endpoint.port),
        "POSTGRES_USER": endpoint.user,
        "POSTGRES_PASSWORD": endpoint.password,
        "POSTGRES_DB": endpoint.db,
        "DATABASE_URL": url(endpoint),
    }


def client_environment(endpoint: Endpoint) -> dict[str, str]:
    """The variables of libpq, so that a plain `psql` needs no argument."""
    return {
        "PGHOST": endpoint.host,
        "PGPORT": str(endpoint.port),
        "PGUSER": endpoint.user,
        "PGPASSWORD": endpoint.password,
        "PGDATABASE": endpoint.db,
    }


def url(endpoint: Endpoint) -> str:
    user, password, db = (quote(part, safe="") for part in (endpoint.user, endpoint.password, endpoint.db))
    login = f"{user}:{password}" if password else user  # `trust` needs no password
    return f"postgresql://{login}@{endpoint.host}:{endpoint.port}/{db}"


_OF_DATABASE = re.compile(r"\[\d+\] (\S*) ?[A-Z]+[0-9]?:  ")  # after our log_line_prefix: process, database, severity


def relevant(lines: Sequence[str], databases: Sequence[str]) -> list[str]:
    """Drop a log's lines about other leases, and about the checkpoints that cloning forces."""
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
