"""Addresses in tests that are only mentioned: to a stand-in, to a parser, in a comparison."""

import ast
import re

from testbay.init.project import Source
from testbay.init.variable import last

# Servers of these listen where the tests say; a real one there would take their port.
_STAND_INS = ("fakeredis", "mockredis", "birdisle", "pytest_postgresql", "pytest_redis", "testing", "py_pglite")
_PATCHED = re.compile(
    r"patch(?:\.object|\.dict)?\(\s*[^()]*(redis|valkey|psycopg|asyncpg|nats|connect|engine|pool)", re.IGNORECASE
)
_IMPORT = "import nats"
_TAKES_TEXT = re.compile(r"pars|split|valid|redact|mask|raises|assert|patch|Mock", re.IGNORECASE)


def mentioned(source: Source) -> set[ast.AST]:
    """The parts of a test in which an address is not that of a server the test connects to."""
    if source.tree is None:
        return set()
    if any(name in source.imports for name in _STAND_INS) or _PATCHED.search(source.text):
        return set(source.nodes)
    found: set[ast.AST] = set()
    for node in source.nodes:
        if isinstance(node, ast.Compare) or (isinstance(node, ast.Call) and _only_mentions(node, source)):
            found |= set(ast.walk(node))
    return found


def _only_mentions(call: ast.Call, source: Source) -> bool:
    """Whether it connects to no fixed address: `nats.connect()` of the fixture `nats` leads to testbay's server."""
    fixture = isinstance(call.func, ast.Attribute) and last(call.func.value) == "nats" and _IMPORT not in source.text
    return fixture or last(call.func) == "parametrize" or bool(_TAKES_TEXT.search(last(call.func)))
