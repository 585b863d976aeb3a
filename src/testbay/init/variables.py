"""The variables with the addresses of a program's servers, and those that it does not start without."""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from testbay.init import runners
from testbay.init.composefiles import Candidate
from testbay.init.guesses import needed_to_start, quoted, stand_in
from testbay.init.own import PARTS, Own
from testbay.init.project import Finding, Project, Source
from testbay.init.reads import reads
from testbay.init.variable import WORDS, Read

_KINDS = {
    "url": {"URL", "URLS", "URI", "DSN", "SERVERS", "BACKEND", "CONNECTION", "CONNSTR", "CONNINFO", "STRING", "CONN"},
    "host": {"HOST", "HOSTNAME", "SERVER", "ADDRESS", "IP"},
    "port": {"PORT"},
    "user": {"USER", "USERNAME", "LOGIN"},
    "password": {"PASSWORD", "PASS", "PASSWD", "PWD"},
    "db": {"NAME", "DB", "DATABASE", "DBNAME", "BASE"},
}
_JOINED = re.compile(
    r"(^|_)(PG|DB|REDIS|POSTGRES|NATS)(?=(HOST|PORT|USER|USERNAME|PASSWORD|PASS|NAME|DATABASE|UR[IL])$)"
)
# Of servers that testbay has no room for: SQLALCHEMY_TEST_MYSQL_USER does not name a user of PostgreSQL, and at
# REDIS_SENTINEL_PORT a test that would be skipped without a Sentinel fails with a Redis. POSTGRES_IMAGE=postgres:15 is
# not an address, and REDIS_ALLOWED_IP not the server's.
_OTHERS = re.compile(
    r"(^|_)(MYSQL|MARIADB|MSSQL|ORACLE|SQLITE|MONGO|MONGODB|RABBITMQ|AMQP|KAFKA|MEMCACHED|ELASTICSEARCH|REPL"
    r"|CLICKHOUSE|INFLUX|INFLUXDB|NEO4J|CASSANDRA|SENTINELS?|CLUSTER|IMAGE)(_|$)"
    r"|(ALLOWED|BIND|CLIENT|POD)_IP$"
)
# What is left without the project's prefix, where that names the server: POSTGRESQL_AUDIT_TEST_USER.
_OF_TESTS = re.compile(r"TESTS?_(HOST|PORT|USER|USERNAME|PASSWORD)")
_LAST_TEST = re.compile(r"(?<=.)_TESTS?$")  # DATABASE_URL_TEST is what TEST_DATABASE_URL is
_OF_SEVERAL = re.compile(r"(^|_)(SENTINELS?|CLUSTER)(_|$)")  # whose Redis client fails at a single server
_SCHEMES = {
    "postgres": "postgres",
    "postgis": "postgres",
    "psql": "postgres",  # django-environ's own names
    "pgsql": "postgres",
    "asyncpg": "postgres",
    "psycopg": "postgres",
    "redis": "dragonfly",
    "valkey": "dragonfly",
    "nats": "nats",
}
_PLAIN = "postgresql://"
_DATABASE = ("DB", "DATABASE", "DBNAME")  # SHOP_DB=shop
_TRACKERS = {"SENTRY", "GLITCHTIP", "UPTRACE", "BUGSNAG", "RAVEN"}  # of errors, which call their address a DSN, too
# What the query of an address says of the place or of its login, which is another one at testbay's server.
_OF_PLACE = re.compile(r"(ssl|tls|host|port|user|password|dbname|db=|options=endpoint|target_session|channel_binding)")
_NAME = re.compile(r"(?!(?:true|false|yes|no|on|off|none)$)[a-z_]\w*", re.IGNORECASE)
_ADDRESS = re.compile(r"[\w.-]+:\d{2,5}")  # a host and a port
_OF_TORTOISE = "TORTOISE_TEST_DB"  # its helpers for tests create the database, and fill in a part of its name
_ENGINES = re.compile(r"\b(create_(async_)?engine|SQLAlchemy(Async|Sync)Config)\(")
# The variables that every command gets anyway.
_EXPORTED = {
    **{f"POSTGRES_{part}": f"{{postgres.{part.lower()}}}" for part in ("HOST", "PORT", "USER", "PASSWORD", "DB")},
    **{f"DRAGONFLY_{part}": f"{{dragonfly.{part.lower()}}}" for part in ("HOST", "PORT")},
    "DATABASE_URL": "{postgres.url}",
    "REDIS_URL": "{dragonfly.url}",
    "NATS_URL": "{nats.url}",
}


@dataclass(frozen=True, kw_only=True)
class Role:
    """The address of a server, or a part (`kind`) of it, that a variable holds."""

    need: str
    kind: str
    scheme: str = ""
    query: str = ""


def environment(
    project: Project,
    needs: Mapping[str, str],
    chosen: Candidate | None = None,
    made: Own | None = None,
    local: Collection[str] = (),
) -> Iterator[Finding]:
    """Make a line of `[env]` for each variable that testbay does not export by itself as the program needs it.

    A variable whose example names a database or login that is `made` at the server leads there. What the `chosen`
    compose file gives the program itself is better than a guess. The tests meet the `local` servers at a fixed port.
    """
    known = {read.name: _role(read, "") for read in reads(project)}
    given = runners.for_tests(project, known)
    left_out = _of_users(project, local)
    chosen = chosen or Candidate()
    by_itself = {*given, *runners.of_dotenv(project)}
    for read in reads(project):
        role = _role(read, project.example(read.name))
        is_open = read.name not in by_itself
        if read.name == "TESTING" and not read.required and is_open:
            yield Finding(key=read.name, value="false", source=f"{read.where} reads it, and nothing sets it for tests")
        if read.name in left_out:
            continue
        if role and role.need in needs:
            yield from _leading(read, role, project, chosen, made or Own())
        elif read.required and is_open:
            yield from needed_to_start(read, project, chosen.said)
        elif "postgres" in needs and is_open:
            yield from stand_in(read, project, chosen.said)
    for name, (value, file) in given.items():
        unread = Read(name=name, default="", required=False, where="")
        if not (known[name] if name in known else _role(unread, value)):  # an address: of testbay's server
            yield Finding(key=name, value=quoted(value), source=f"{file}, for pytest")


def _leading(read: Read, role: Role, project: Project, chosen: Candidate, made: Own) -> Iterator[Finding]:
    """Lead the program to testbay's server, there to what is `made` under its name, where no export does so."""
    value = _template(role, project, read.name)
    example = project.example(read.name)
    if not example and "TEST" in read.name.split("_"):
        example, _ = chosen.said.get(read.name, ("", ""))
    value = made.keep(value, example or read.default)
    if _EXPORTED.get(read.name) != value:
        yield Finding(key=read.name, value=f"'[\"{value}\"]'" if read.is_json else f'"{value}"', source=read.where)


def _of_users(project: Project, local: Collection[str]) -> set[str]:
    """Name the variables of a library's users, where its tests have the address in a variable of their own or fixed.

    To the tests they are further addresses, which change what they test. One with a default may lead the program
    elsewhere: it does not count.
    """
    if not project.is_library:
        return set()
    tests = {str(source.path) for source in project.tests}
    known = list(roles(project))
    led = {role.need for read, role in known if _is_whole(role) and _file(read) in tests} | {*local}
    optional = [(read, role) for read, role in known if not read.required and not read.default]
    return {read.name for read, role in optional if role.need in led and _file(read) not in tests}


def of_several(project: Project) -> Iterator[Read]:
    """Yield the variables that name a cluster of Redis or a Sentinel, and that no client of a single server takes."""
    for read in reads(project):
        words = read.name.upper().split("_")
        is_of_redis = WORDS["dragonfly"] & {*words} and words[-1] in _KINDS["url"] | _KINDS["host"]
        is_address = re.match(r"(redis|valkey)s?://", read.default)
        if _is_of_several(read) and (is_of_redis or is_address) and not read.client:
            yield read


def _is_of_several(read: Read) -> bool:
    """Return whether a variable's name speaks of several servers of Redis, and no client of a single one takes it."""
    return bool(_OF_SEVERAL.search(read.name.upper())) and read.client != "dragonfly"


def _is_whole(role: Role) -> bool:
    return role.kind in ("url", "address")


def _file(read: Read) -> str:
    return read.where.rpartition(":")[0]


def _role(read: Read, example: str) -> Role | None:
    """Determine server and kind of a variable, by an example of its value, by its client or by its name."""
    value = example or read.default
    if re.search(r"\b(dbname|host)=\w", value):
        return Role(need="postgres", kind="url")  # libpq's own words, for which a URL does as well
    if match := re.match(r"(?:(?:db|sqla)\+)?(\w+)(\+\w+)?://", value):  # db+postgresql: as Celery's backend has it
        for begin, need in _SCHEMES.items():
            if match[1].lower().removesuffix("s").startswith(begin.removesuffix("s")):
                if need == "dragonfly" and _is_of_several(read):
                    return None
                return Role(need=need, kind="url", scheme=match[0], query=_query(value))
        if match[1].lower() != "sqlite":  # which stands in until another one is named
            return None
    return _by_name(read, value)


def _query(address: str) -> str:
    """Return what the query of an address asks of the client, such as decode_responses=True, with its `?`."""
    found = re.search(r"\?([\w.,=&%:/+-]+)$", address)
    parts = [part for part in found[1].split("&") if not _OF_PLACE.match(part.lower())] if found else []
    return f"?{'&'.join(parts)}" if parts else ""


def _by_name(read: Read, value: str) -> Role | None:
    """Determine server and kind of a variable by the client that takes it, else by the words of its name."""
    own = read.name if _OF_TESTS.fullmatch(read.short.upper()) else read.short or read.name
    name = re.sub(r"(^|_)TESTDB(?=_|$)", r"\1DB", own.upper())
    words = _JOINED.sub(r"\1\2_", _LAST_TEST.sub("", name)).split("_")
    kind = next((kind for kind, ends in _KINDS.items() if words[-1] in ends), "")
    kind = "address" if _ADDRESS.fullmatch(value) else kind
    if kind != "url" and value.startswith("sqlite:") and WORDS["postgres"] & set(words):
        return Role(need="postgres", kind="url")  # SHOP_TEST_DB=sqlite://:memory:
    if _OTHERS.search(name) and (_is_of_several(read) or not _OF_SEVERAL.search(name)):
        return None
    if read.client:
        return Role(need=read.client, kind="url")
    need = _need(words, kind, value) or ("" if words[-1] in ("NAME", "BASE") and kind == "db" else read.beside)
    return Role(need=need, kind=kind) if need and kind else None


def _need(words: list[str], kind: str, value: str) -> str:
    """Name the server of which the words of a variable's name speak; empty if of none."""
    *before, end = words
    if end in WORDS["nats"] or (not before and kind not in ("", "url")):
        return ""
    owners = set(before or words) - (set() if kind == "url" else {"CELERY"})  # CELERY_RDB_PORT is its debugger's
    if need := next((need for need, names in WORDS.items() if names & owners), ""):
        is_queue = need == "dragonfly" and end in ("NAME", "BASE")  # the databases there have numbers
        return "" if is_queue else need
    is_dsn = end == "DSN" and not _TRACKERS & set(words)
    is_database = end in _DATABASE and _NAME.fullmatch(value)
    return "postgres" if is_dsn or is_database else ""


def _template(role: Role, project: Project, name: str) -> str:
    if name == _OF_TORTOISE:
        driver = "psycopg" if project.has("psycopg") and not project.has("asyncpg") else "asyncpg"
        return f"{driver}://{PARTS.replace('{postgres.db}', 'test_{}')}"
    if role.kind == "address":
        return f"{{{role.need}.host}}:{{{role.need}.port}}"
    if role.kind != "url" or role.need != "postgres":
        return f"{{{role.need}.{role.kind}}}{role.query}"
    scheme = role.scheme if "+" in role.scheme or not _has_sqlalchemy(project) else ""
    scheme = scheme or _sqlalchemy_scheme(project, role.scheme, sync="SYNC" in name.upper().split("_"))
    return f"{{postgres.url}}{role.query}" if scheme in ("", _PLAIN) else f"{scheme}{PARTS}{role.query}"


def _has_sqlalchemy(project: Project) -> bool:
    makes_engine = any(_ENGINES.search(source.text) for source in project.code)  # advanced-alchemy brings SQLAlchemy
    return makes_engine or bool(project.has("sqlalchemy", "sqlmodel", "flask-sqlalchemy", "alembic"))


def _sqlalchemy_scheme(project: Project, said: str, *, sync: bool) -> str:
    """Return the scheme with the project's driver; SQLAlchemy's default is psycopg2 until 2.1, then psycopg.

    The scheme that the project has `said` leaves the choice between these two to SQLAlchemy if it names no driver.
    With `sync` the variable's name says that an engine without asyncio reads it, beside one with.
    """
    if not _has_sqlalchemy(project):
        return ""
    texts = "".join(source.text for source in project.code)
    if re.search(r"""replace\(\s*["']postgres(ql)?:""", texts) or "drivername=" in texts:
        return ""  # the program names its driver itself
    if "create_async_engine" not in texts and re.search(r"\basyncpg\.(connect|create_pool)\(", texts):
        return ""  # which takes no other scheme; an engine beside it, as of Alembic, takes this one, too
    if (
        not sync
        and project.has("asyncpg")
        and ("create_async_engine" in texts or not project.has("psycopg", "psycopg2-binary"))
    ):
        return "postgresql+asyncpg://"
    if project.has("psycopg2", "psycopg2-binary"):
        return "" if said == _PLAIN or "psycopg2.connect(" in texts else "postgresql+psycopg2://"
    return "postgresql+psycopg://" if project.has("psycopg", "psycopg-binary") else ""


def unread(project: Project, needs: Mapping[str, str]) -> list[str]:
    """List the servers whose address no variable holds; empty if the project has no sources."""
    named = {role.need for _, role in roles(project)}
    return [need for need in needs if need not in named] if project.code else []


def taken_back(project: Project, local: Collection[str]) -> Iterator[Finding]:
    """Take back addresses that a library reads and its tests do not, as they meet these servers at a fixed port.

    Without the variable it comes to the same server; with it, a test of how it reads its settings fails.
    """
    if not project.is_library:
        return
    read_names = {read.name for read in reads(project)} - _of_users(project, local)
    urls = {f"{{{need}.url}}" for need in local}
    for name in (name for name, value in _EXPORTED.items() if value in urls and name not in read_names):
        if place := next(filter(None, (_place(source, name) for source in project.code)), ""):
            yield Finding(key=name, value="false", source=f"{place} names it, and the tests have a fixed port")


def _place(source: Source, name: str) -> str:
    """Find the place where a source holds this text; empty if it does not."""
    places = (source.at(node) for node in source.of(ast.Constant) if node.value == name)
    return next(places, "") if name in source.text else ""


def of_databases(project: Project) -> set[str]:
    """Name the variables that hold the name of PostgreSQL's database."""
    return {read.name.upper() for read, role in roles(project) if (role.need, role.kind) == ("postgres", "db")}


def led(project: Project) -> set[str]:
    """Name the files that read a server's whole address from a variable."""
    return {_file(read) for read, role in roles(project) if _is_whole(role)}


def portless(project: Project) -> dict[str, str]:
    """Map the servers whose host is read from a variable, but not the port, to the place of the variable."""
    hosts: dict[str, str] = {}
    for read, role in roles(project):
        if role.kind == "host":
            hosts.setdefault(role.need, f"{read.where} reads {read.name}")
    lacking = without("port", project)
    return {need: where for need, where in hosts.items() if need in lacking}


def parts(project: Project, said: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return what these values of variables say of each server, part by part; of whole addresses nothing."""
    found: dict[str, dict[str, str]] = {}
    for read, role in roles(project):
        if (value := said.get(read.name.upper())) and not _is_whole(role):
            found.setdefault(role.need, {}).setdefault(role.kind, value)
    return found


def without(kind: str, project: Project) -> list[str]:
    """List the servers for which there are variables, but none for this part of the address: `host`, `db`."""
    kinds: dict[str, set[str]] = {}
    for _, role in roles(project):
        kinds.setdefault(role.need, set()).add(role.kind)
    return [need for need, there in kinds.items() if not {"url", "address", kind} & there]


def needed(project: Project) -> dict[str, str]:
    """Map the servers that a variable shows by its value, type or client to the place of the variable."""
    found: dict[str, str] = {}
    examples = {file for _, file in project.examples.values()}
    for read, role in roles(project):
        value = project.example(read.name) or read.default
        is_read = read.where not in examples  # what only an example file names may be of another program
        if is_read and (read.client or "://" in value) and not value.startswith("sqlite"):
            found.setdefault(role.need, f"{read.where}: {read.name}")
    return found


def roles(project: Project) -> Iterator[tuple[Read, Role]]:
    """Yield each variable that holds an address of a server, or a part of one."""
    for read in reads(project):
        if role := _role(read, project.example(read.name)):
            yield read, role
