"""Addresses in tests to which no test connects: in skipped ones, arguments of fakes and parsers, in comparisons."""

import ast
import re

from testbay.init.project import Source
from testbay.init.syntax import last, owner

# These packages start servers or fakes at the address: a real server there would take their port.
_STAND_INS = ("fakeredis", "mockredis", "birdisle", "pytest_postgresql", "pytest_redis", "testing", "py_pglite")
_PATCHED = re.compile(
    r"patch(?:\.object|\.dict)?\(\s*[^()]*(redis|valkey|psycopg|asyncpg|nats|connect|engine|pool)", re.IGNORECASE
)
_IMPORT = "import nats"
# A test about a server that does not answer: at its address there has to be none.
_DOWN = re.compile(
    r"(^|_)(down|unavailable|unreachable|refused|offline|dead|outage|no_(redis|server|connection))(_|$|\.)"
)
_TAKES_TEXT = re.compile(r"pars|split|valid|redact|mask|raises|assert|patch|Mock", re.IGNORECASE)


def mentioned(source: Source) -> set[ast.AST]:
    """Collect the nodes of a test whose addresses are not those of servers it connects to."""
    if source.tree is None:
        return set()
    if any(name in source.imports for name in _STAND_INS) or _PATCHED.search(source.text) or _is_down(source.path.name):
        return set(source.nodes)
    calls = [call for call in source.of(ast.Call) if _only_mentions(call, source)]
    down = [function for function in source.functions if _is_down(function.name)]
    skipped = [node for node in (*source.functions, *source.of(ast.ClassDef)) if any(map(_skips, node.decorator_list))]
    return {part for node in (*calls, *down, *skipped, *source.of(ast.Compare)) for part in ast.walk(node)}


def _skips(decorator: ast.expr) -> bool:
    """Return whether a mark skips its test wherever it runs, as `skipif` may not."""
    return last(decorator.func if isinstance(decorator, ast.Call) else decorator) == "skip"


def _is_down(name: str) -> bool:
    return bool(_DOWN.search(name.lower()))


def _only_mentions(call: ast.Call, source: Source) -> bool:
    """Return whether a call connects to no fixed address. `nats.connect()` of the fixture `nats` is such a call."""
    fixture = owner(call) == "nats" and _IMPORT not in source.text
    return fixture or last(call.func) == "parametrize" or bool(_TAKES_TEXT.search(last(call.func)))
