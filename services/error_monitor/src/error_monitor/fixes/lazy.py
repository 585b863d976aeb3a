"""Changes that only hide an error: a handler that swallows it instead of a cause that is gone."""

import ast
import builtins
from collections.abc import Mapping

from error_monitor.fixes.asserting import fresh, named
from error_monitor.fixes.records import RefusedError

BROAD = {"Exception", "BaseException"}
EMPTY = {"dict", "list", "set", "tuple", "frozenset", "int", "float", "str", "bytes", "bool", "Decimal", "object"}
QUIET = {"debug", "info", "warning", "warn", "error", "exception", "critical", "log", "print"}


def check(before: ast.Module, after: ast.Module, kind: str, path: str) -> None:
    """Refuse handlers that the code did not have and that catch everything, or do nothing with this exception.

    Raises:
        RefusedError: The change only catches.
    """
    aliases = _aliases(after)
    for handler in fresh(_handlers(before), _handlers(after)):
        caught = _caught(handler, aliases)
        if (not caught or caught & BROAD) and not any(isinstance(node, ast.Raise) for node in ast.walk(handler)):
            raise RefusedError(4, f"{path} only catches the exception: a new handler takes everything")
        if _covers(caught, kind) and all(_quiet(one) for one in handler.body):
            raise RefusedError(4, f"{path} only catches the exception: a new handler swallows {kind}")
    if _suppresses(after) > _suppresses(before):
        raise RefusedError(4, f"{path} only catches the exception: it suppresses it")


def _handlers(tree: ast.Module) -> list[ast.ExceptHandler]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]


def _caught(handler: ast.ExceptHandler, aliases: Mapping[str, ast.expr]) -> set[str]:
    """The bare names of what a handler takes; computed ones count as everything."""
    waiting, found, seen = [handler.type], set(), set[str]()
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Tuple):
            waiting += one.elts
        elif isinstance(one, ast.Name) and one.id in aliases and one.id not in seen:
            seen.add(one.id)
            waiting.append(aliases[one.id])
        elif one is not None:
            found.add(ast.unparse(one).rpartition(".")[2] if isinstance(one, ast.Name | ast.Attribute) else "Exception")
    return found


def _aliases(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that stand for exceptions, or for a tuple of them."""
    return {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name | ast.Attribute | ast.Tuple)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _covers(caught: set[str], kind: str) -> bool:
    """Return whether one of these is the type itself, or a built-in type above it."""
    bare = kind.rpartition(".")[2]
    found = getattr(builtins, bare, None)
    above = {one.__name__ for one in found.__mro__} if isinstance(found, type) else set()
    return bool(caught & ({bare} | above))


def _quiet(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass | ast.Continue | ast.Break):
        return True
    if isinstance(statement, ast.Return | ast.Assign | ast.AnnAssign):
        return statement.value is None or _constant(statement.value)
    if not isinstance(statement, ast.Expr):
        return False
    is_call = isinstance(statement.value, ast.Call)
    return (is_call and named(statement.value) in QUIET) or isinstance(statement.value, ast.Constant)


def _constant(value: ast.expr) -> bool:
    """A value that says nothing of what failed: a literal, a plain name, or an empty or converted literal."""
    leaves = (ast.Constant, ast.List, ast.Dict, ast.Tuple, ast.Set, ast.Load, ast.UnaryOp, ast.USub)
    if isinstance(value, ast.Name):
        return True
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in EMPTY:
        return all(_constant(one) for one in value.args)
    return all(isinstance(node, leaves) for node in ast.walk(value))


def _suppresses(tree: ast.Module) -> int:
    return sum(isinstance(node, ast.Call) and named(node) == "suppress" for node in ast.walk(tree))
