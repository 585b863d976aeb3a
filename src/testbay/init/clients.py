"""The servers of variables whose names do not tell: found by the client's call that takes the value."""

import ast
from collections.abc import Iterator, Mapping

from testbay.init.project import Project, Source
from testbay.init.syntax import last, owner, text_of

_MAKERS = {
    "create_engine": "postgres",
    "create_async_engine": "postgres",
    "psycopg.connect": "postgres",
    "psycopg2.connect": "postgres",
    "asyncpg.connect": "postgres",
    "asyncpg.create_pool": "postgres",
    "ConnectionPool": "postgres",
    "AsyncConnectionPool": "postgres",
    "dj_database_url.parse": "postgres",
    "databases.Database": "postgres",
    "db_url.connect": "postgres",  # Peewee's
    "NatsBroker": "nats",
    "PullBasedJetStreamBroker": "nats",
    "PushBasedJetStreamBroker": "nats",
    "RedisBroker": "dragonfly",
    "ListQueueBroker": "dragonfly",
    "RedisStreamBroker": "dragonfly",
    "RedisAsyncResultBackend": "dragonfly",
    "from_url": "dragonfly",
    "from_dsn": "dragonfly",
    "nats.connect": "nats",
}
_COMMON = ("url", "uri", "dsn", "conninfo", "connection", "environ", "settings", "config", "os", "env", "value")
_WORDS = ("url", "dsn", "conninfo", "servers")
_PARTS = ("host", "hostname", "port", "user", "username", "password", "db", "name", "database")


def taken(project: Project) -> dict[str, str]:
    """Map what clients are made with (a variable, a setting, or `MODULE.py:name`; in lower case) to the server."""
    found: dict[str, str] = {}
    for source in project.code:
        for call in source.of(ast.Call):
            if need := maker(call, source.origins):
                for name in (name for argument in _arguments(call) for name in _names(argument)):
                    found[(f"{source.path}{name}" if name.startswith(":") else name).lower()] = need
    return found


def assigned(source: Source) -> dict[ast.AST, str]:
    """Map each node of an assigned value to the name it is assigned to, except the parts of a text or an address."""
    found: dict[ast.AST, str] = {}
    for target, value in source.assignments:
        found |= dict.fromkeys(_wholes(value), last(target))
    return found


def _wholes(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    is_format = isinstance(node, ast.Call) and last(node.func) == "format"
    if not is_format and not isinstance(node, ast.JoinedStr | ast.BinOp):
        for child in _whole_values(node) if isinstance(node, ast.Dict) else ast.iter_child_nodes(node):
            yield from _wholes(child)


def _whole_values(node: ast.Dict) -> Iterator[ast.expr]:
    """Yield the values of a dictionary, without those of {"host": …, "port": …}."""
    pairs = zip(node.keys, node.values, strict=True)
    return (value for key, value in pairs if key is None or text_of(key).lower() not in _PARTS)


def maker(call: ast.Call, origins: Mapping[str, str]) -> str:
    """Name the server whose client a call makes; empty for another call. `origins` are those of the source.

    The client of a cluster is another one: at a single server it fails.
    """
    name = last(call.func)
    whose = owner(call) or origins.get(name, "")
    if whose.endswith("Cluster"):
        return ""
    return _MAKERS.get(f"{whose}.{name}") or _MAKERS.get(name, "")


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args[:1], *(word.value for word in call.keywords if word.arg in _WORDS)]


def _names(argument: ast.expr) -> Iterator[str]:
    """List the names that an argument stands for: a name, a setting or a variable. Parts of a text are left out."""
    if isinstance(argument, ast.Name):
        yield from (f":{argument.id}", *([argument.id] if argument.id.lower() not in _COMMON else []))
    elif isinstance(argument, ast.Attribute):
        yield from [argument.attr] if argument.attr.lower() not in _COMMON else []
    elif isinstance(argument, ast.Subscript):
        yield from filter(None, [text_of(argument.slice)])
    elif isinstance(argument, ast.Call):
        inner = [*argument.args[:1], *([argument.func.value] if isinstance(argument.func, ast.Attribute) else [])]
        for part in inner:
            yield from [text] if (text := text_of(part)) else _names(part)
