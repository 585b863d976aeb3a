"""Addresses of servers that are fixed in the sources, where no environment variable changes them."""

import ast
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from testbay.init import literals, mentions, settingsfiles
from testbay.init.literals import LOCAL, UNKNOWN, text_of
from testbay.init.project import Project, Source, once
from testbay.init.settingsclasses import settings_classes
from testbay.init.syntax import entries, keywords, last, owner
from testbay.init.variable import WORDS

PORTS = {"postgres": 5432, "dragonfly": 6379, "nats": 4222}
_SCHEMES = {
    "postgres": "postgres",
    "postgresql": "postgres",
    "postgis": "postgres",
    "psql": "postgres",
    "pgsql": "postgres",
    "redis": "dragonfly",
    "valkey": "dragonfly",
    "nats": "nats",
}
_URL = re.compile(
    r"(?:(?:db|sqla)\+)?(?P<scheme>postgres(?:ql)?|postgis|psql|pgsql|redis|valkey|nats)(?:\+\w+)?://"
    r"(?:(?P<user>[\w.\0-]*)(?::(?P<password>[\w.!$\0-]*))?@)?"
    r"(?P<host>[\w.\0-]+)(?::(?P<port>[^/?#,\s]*))?(?:/(?P<db>[\w\0-]+))?"
)
_WORDS = {"dbname": "db", "database": "db", "name": "db", "username": "user", "hostname": "host"}
_PORTS = range(1024, 65_536)  # a server of tests takes none of root's: RedisSettings(port=123) is never connected
_KEYS = ("host", "port", "user", "password", "db")
OF_REDIS = ("Redis", "StrictRedis", "Valkey", "StrictValkey", "RedisSettings")
OF_PEEWEE = ("PostgresqlDatabase", "PostgresqlExtDatabase", "PooledPostgresqlDatabase", "PooledPostgresqlExtDatabase")
_ELSEWHERE = {"connection_pool", "unix_socket_path"}  # arguments by which a client of Redis needs no host
_LEADING = {"host", "port", *_ELSEWHERE}
_BY_KEYWORD = ("ConnectionPool", "BlockingConnectionPool", "RedisHuey", "PriorityRedisHuey", "RedisBroker")
_CI = re.compile(r"^(?!not ).*['\"](CI|GITHUB_\w+|GITLAB_CI|TRAVIS|CIRCLECI)['\"]")
_ONLY_OF_REDIS = "decode_responses"  # an argument that shows a client of Redis, whatever its class is called
_OF_POSTGRES = (
    *("connect", "Connection", "AsyncConnection", "create_pool", "URL", "bind"),
    *("SimpleConnectionPool", "ThreadedConnectionPool", "PersistentConnectionPool"),
    *OF_PEEWEE,
)
# The kinds of nodes that may hold an address, whole or in parts.
_HOLDERS = (ast.Constant, ast.JoinedStr, ast.BinOp, ast.Call, ast.Tuple, ast.Dict)
_PLACE = re.compile(r"(localhost|127\.0\.0\.1):(\d+)")


@dataclass(frozen=True, kw_only=True)
class FixedAddress:
    """A fixed address of a server, with its login. `need` is testbay's name of the server, `where` file and line."""

    need: str
    host: str
    port: int
    where: str
    user: str = ""
    password: str = field(default="", repr=False)
    db: str = ""
    names_no_user: bool = False  # and no variable does: libpq takes PGUSER, else the name of who runs the tests
    is_private: bool = False  # the password stands in a file that no commit shows

    @property
    def is_local(self) -> bool:
        """Return whether the host is this machine, and not a name that only containers know."""
        return self.host in LOCAL


def databases_of_tests(project: Project) -> Iterator[str]:
    """Yield the databases of PostgreSQL on this machine that sources and settings files name for tests."""
    shared = constants(project)
    found = list(_of_sources([*project.code, *project.tests], shared))
    for where, named in settingsfiles.groups(project):
        found += _of_settings(named, where)
    yield from (one.db for one in found if one.need == "postgres" and one.is_local and "test" in one.db.lower())


def fixed(project: Project, needs: Collection[str]) -> dict[str, FixedAddress]:
    """Find the address of each of these servers: in the program, else in its tests, else in its settings files.

    One on this machine before one that only a deployment knows, as config.test.json has it beside config.json.
    """
    shared = constants(project)
    program = _of_sources(project.code, shared)
    settings = (address for where, named in settingsfiles.groups(project) for address in _of_settings(named, where))
    places = [
        [one for one in program if one.is_local or not project.is_library],
        [*_of_sources(project.tests, shared)],
        [*settings],
        [*_of_library(project)] if project.is_library else [],
    ]
    found: dict[str, FixedAddress] = {}
    for is_local in (True, False):
        for place in places:
            found = _most_named((one for one in place if one.is_local == is_local), needs) | found
    return found


def _of_library(project: Project) -> Iterator[FixedAddress]:
    """Find the clients that a library's users may lead elsewhere, `Redis(**options)`: its tests take the default."""
    for source in project.code:
        for call in source.of(ast.Call):
            if last(call.func) in OF_REDIS and not call.args and not keywords(call).keys() & _LEADING:
                yield from of_parts("dragonfly", {}, source.at(call))


def _of_sources(sources: Iterable[Source], shared: Mapping[str, str]) -> Iterator[FixedAddress]:
    for source in sources:
        tries = source.is_test and not source.is_conftest  # many a host there is made up
        left_out = _of_ci(source) | (mentions.mentioned(source) if source.is_test else set())
        for address in of_source(source, shared, left_out):
            if address.is_local or not tries:
                yield address


def _of_ci(source: Source) -> set[ast.AST]:
    """Collect what is below `if os.getenv("GITHUB_WORKFLOW"):`, which is so on another machine only."""
    branches = (node for node in source.of(ast.If) if _CI.search(ast.unparse(node.test)))
    return {part for branch in branches for statement in branch.body for part in ast.walk(statement)}


def _most_named(addresses: Iterable[FixedAddress], needs: Collection[str]) -> dict[str, FixedAddress]:
    """Choose the first address with the port that is named most often: another one may be there to be refused."""
    listed = [address for address in addresses if address.need in needs]
    ports = Counter((address.need, address.host, address.port) for address in listed)
    found: dict[str, FixedAddress] = {}
    for address in sorted(listed, key=lambda one: -ports[one.need, one.host, one.port]):
        found.setdefault(address.need, address)
    return found


def of_settings(project: Project) -> Iterator[FixedAddress]:
    """Find the addresses in settings files, where they refer to variables those of the defaults."""
    for where, named in settingsfiles.groups(project, defaults=True):
        yield from _of_settings(named, where)


def _of_settings(named: Mapping[str, str], where: str) -> Iterator[FixedAddress]:
    for text in named.values():
        yield from of_text(text, where)
    yield from _of_words(named, " ".join((*named, *named.values())), where)


def _of_words(words: Mapping[str, str], text: str, where: str) -> Iterator[FixedAddress]:
    """Find the addresses that a mapping holds in parts: {"host": …}, and {"DATABASE_HOST": …, "REDIS_HOST": …}.

    `text` is the whole mapping, for what tells the server beside its keys.
    """
    known = _known(words)
    if need := _of_dict(text, known):
        yield from of_parts(need, known, where)
    for host in (name for name in words if name.upper().endswith("_HOST")):
        begin = host[: -len("HOST")]
        of_server = (need for need, names in WORDS.items() if names & set(begin.upper().split("_")))
        if need := next(of_server, ""):
            parts = {name.removeprefix(begin): value for name, value in words.items() if name.startswith(begin)}
            yield from of_parts(need, _known(parts), where)


@once
def constants(project: Project, *, defaults: bool = True) -> dict[str, str]:
    """Collect the constants of the program's modules, by name. Without `defaults`, fields of settings are left out."""
    fields = set() if defaults else settings_classes(project).all_fields
    targets = {part for field in fields for part in ast.iter_child_nodes(field)}
    found = (literals.constants(source, defaults=defaults, left_out=targets) for source in project.code)
    return dict(pair for pairs in found for pair in pairs)


def of_source(
    source: Source, shared: Mapping[str, str], left_out: Collection[ast.AST], *, defaults: bool = True
) -> Iterator[FixedAddress]:
    """Find the addresses in a source; `shared` are the constants of other modules, `left_out` nodes to skip."""
    own = dict(literals.constants(source, defaults=defaults))
    known = {**shared, **(dict(literals.parameters(source)) if defaults else {}), **own}
    read = partial(text_of, known=known, defaults=defaults)
    pieces = literals.parts(source)
    for node in source.of(*_HOLDERS):
        if node not in left_out and node not in pieces:
            yield from _of_node(node, read, source.at(node))


def _of_node(node: ast.AST, read: Callable[[ast.expr], str], where: str) -> Iterator[FixedAddress]:
    if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
        yield from of_text(read(node), where)
    elif isinstance(node, ast.Call):
        words = _words_of(node, read)
        named = _known(words)
        if last(node.func) == "dict":
            yield from _of_words(words, ast.unparse(node), where)
        elif need := _of_call(node, named):
            yield from of_parts(need, named, where)
        elif last(node.func) == "format":
            yield from of_text(read(node), where)
    elif isinstance(node, ast.Tuple):  # Channels: "hosts": [("127.0.0.1", 6379)]
        yield from of_text(":".join(map(read, node.elts)), where)
    elif isinstance(node, ast.Dict):
        words = {text_of(key, {}): read(value) for key, value in entries(node)}
        yield from _of_words(words, ast.unparse(node), where)


def of_text(text: str, where: str) -> Iterator[FixedAddress]:
    """Parse an address: a URL, libpq's keywords such as `host=localhost dbname=shop`, or host and a usual port."""
    usual = {str(port): need for need, port in PORTS.items()}
    if (match := _PLACE.fullmatch(text)) and (need := usual.get(match[2])):
        yield from of_parts(need, {"host": match[1], "port": match[2]}, where)
    elif match := _URL.match(text):
        yield from of_parts(_SCHEMES[match["scheme"]], {k: v or "" for k, v in match.groupdict().items()}, where)
    elif "host=" in text and ("dbname=" in text or "user=" in text):
        yield from of_parts("postgres", _known(dict(re.findall(r"(\w+)\s*=\s*'?([^\s']+)", text))), where)


def parts(text: str) -> dict[str, str]:
    """Return user, password and database in a URL or in libpq's keywords, as far as it names them."""
    match = _URL.match(text)
    said = match.groupdict() if match else _known(dict(re.findall(r"(\w+)\s*=\s*'?([^\s']+)", text)))
    return {key: said.get(key) or "" for key in ("user", "password", "db")}


def database_of(text: str) -> str:
    """Return the database in an address of PostgreSQL, of which other parts may be unknown; else empty."""
    match = _URL.match(text)
    return match["db"] or "" if match and _SCHEMES[match["scheme"]] == "postgres" else ""


def _known(words: Mapping[str, str]) -> dict[str, str]:
    """Translate keywords to testbay's own, e.g. `dbname` to `db`."""
    short = {name.lower(): text for name, text in words.items()}
    return {_WORDS.get(name, name): text for name, text in short.items()}


def _of_call(call: ast.Call, named: Mapping[str, str]) -> str:
    """Name the server that a call makes a client for; empty for another call. Without arguments the default applies."""
    name, bare = last(call.func), not call.args and not call.keywords
    if _is_of_redis(call, named):
        return "dragonfly"
    if bare and name == "connect" and owner(call) == "nats":
        return "nats"
    return "postgres" if name in _OF_POSTGRES and named.get("host") and {"db", "user"} & named.keys() else ""


def _words_of(call: ast.Call, read: Callable[[ast.expr], str]) -> dict[str, str]:
    """Read the arguments of a call; the first two without a keyword are host and port of a client of Redis.

    The first of Peewee's is the database.
    """
    words = {name: read(value) for name, value in keywords(call).items()}
    if last(call.func) in OF_PEEWEE:
        return dict(zip(("db",), map(read, call.args), strict=False)) | words
    if last(call.func) in OF_REDIS:
        return dict(zip(("host", "port"), map(read, call.args), strict=False)) | words
    return words


def _is_of_redis(call: ast.Call, named: Mapping[str, str]) -> bool:
    """Return whether a call makes a client of Redis that connects where its arguments say, or at the default."""
    words = {word.arg for word in call.keywords}
    if last(call.func) in _BY_KEYWORD:  # pools of PostgreSQL's drivers are called so, too
        names = all(re.fullmatch(r"[\w.-]+", text_of(arg, {})) for arg in call.args)  # of a queue
        return named.get("host") in LOCAL or ("Redis" in last(call.func) and not words and names)
    if last(call.func) not in OF_REDIS or None in words or any(isinstance(arg, ast.Starred) for arg in call.args):
        return named.get("host") in LOCAL and _ONLY_OF_REDIS in words
    return not words & _ELSEWHERE


def _of_dict(text: str, named: Mapping[str, str]) -> str:
    """Name the server that a mapping of settings is for, as Django and connection pools take it; else empty."""
    if not named.get("host"):
        return ""
    if "postgres" in text or named.get("port") == "5432" or {"db", "user", "password"} <= named.keys():
        return "postgres"
    return "dragonfly" if named.get("port") == "6379" or _ONLY_OF_REDIS in named else ""


def of_parts(need: str, named: Mapping[str, str], where: str) -> Iterator[FixedAddress]:
    """Make the address; none if a part of host or port is unknown. A login may be unknown."""
    said = {key: named.get(key, "") for key in _KEYS}
    port = said["port"] or str(PORTS[need])
    if UNKNOWN in said["host"] or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) not in _PORTS:
        return
    rest: dict[str, Any] = {key: said[key] for key in ("user", "password", "db") if UNKNOWN not in said[key]}
    yield FixedAddress(
        need=need,
        host=said["host"] or "localhost",
        port=int(port),
        where=where,
        names_no_user=need == "postgres" and not said["user"],
        **(rest if need == "postgres" else {}),
    )
