"""For which server's client a variable is, where its name does not say it: by the call that takes its value."""

import ast
from collections.abc import Iterator

from testbay.init.project import Project
from testbay.init.variable import last, text_of

_MAKERS = {
    "create_engine": "postgres",
    "create_async_engine": "postgres",
    "psycopg.connect": "postgres",
    "psycopg2.connect": "postgres",
    "asyncpg.connect": "postgres",
    "asyncpg.create_pool": "postgres",
    "ConnectionPool": "postgres",
    "AsyncConnectionPool": "postgres",
    "from_url": "dragonfly",
    "from_dsn": "dragonfly",
    "nats.connect": "nats",
}
_WORDS = ("url", "dsn", "conninfo", "servers")


def taken(project: Project) -> dict[str, str]:
    """The server by the lower-case name of what its client is made with: a variable, a setting or the variable read."""
    found: dict[str, str] = {}
    for source in project.code:
        for node in ast.walk(source.tree) if source.tree else ():
            if isinstance(node, ast.Call) and (need := _maker(node.func)):
                found |= {name.lower(): need for argument in _arguments(node) for name in _names(argument)}
    return found


def assigned(tree: ast.Module) -> dict[ast.AST, str]:
    """The name to which each part of an assignment's value goes."""
    found: dict[ast.AST, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            found |= dict.fromkeys(ast.walk(node.value), last(target))
    return found


def _maker(function: ast.expr) -> str:
    name = last(function)
    owner = last(function.value) if isinstance(function, ast.Attribute) else ""
    return _MAKERS.get(f"{owner}.{name}") or _MAKERS.get(name, "")


def _arguments(call: ast.Call) -> list[ast.expr]:
    return [*call.args[:1], *(word.value for word in call.keywords if word.arg in _WORDS)]


def _names(argument: ast.expr) -> Iterator[str]:
    for node in ast.walk(argument):
        if isinstance(node, ast.expr) and (name := last(node) or text_of(node)):
            yield name
