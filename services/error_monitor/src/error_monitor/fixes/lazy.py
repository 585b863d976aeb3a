"""Changes that only hide an error: a handler that swallows it instead of a cause that is gone."""

import ast
import builtins
from collections import Counter

from error_monitor.fixes.records import RefusedError

BROAD = {"Exception", "BaseException"}
QUIET = {"debug", "info", "warning", "warn", "error", "exception", "critical", "log", "print"}


def check(before: ast.Module | None, after: ast.Module, kind: str, path: str) -> None:
    """Refuse handlers that the code did not have and that catch everything, or do nothing with this exception.

    Raises:
        RefusedError: The change only catches.
    """
    known = Counter(ast.dump(one) for one in _handlers(before)) if before else Counter[str]()
    for handler in _handlers(after):
        if known[ast.dump(handler)]:
            known[ast.dump(handler)] -= 1
            continue
        caught = _caught(handler)
        if (not caught or caught & BROAD) and not _raises(handler):
            raise RefusedError(4, f"{path} only catches the exception: a new handler takes everything")
        if _covers(caught, kind) and _is_quiet(handler.body):
            raise RefusedError(4, f"{path} only catches the exception: a new handler swallows {kind}")
    if _suppresses(after) > (_suppresses(before) if before else 0):
        raise RefusedError(4, f"{path} only catches the exception: it suppresses it")


def _handlers(tree: ast.Module) -> list[ast.ExceptHandler]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]


def _caught(handler: ast.ExceptHandler) -> set[str]:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(one).rpartition(".")[2] for one in kinds if one is not None}


def _covers(caught: set[str], kind: str) -> bool:
    """Whether one of these is the type itself, or a built-in type above it."""
    bare = kind.rpartition(".")[2]
    found = getattr(builtins, bare, None)
    above = {one.__name__ for one in found.__mro__} if isinstance(found, type) else set()
    return bool(caught & ({bare} | above))


def _raises(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def _is_quiet(body: list[ast.stmt]) -> bool:
    """Nothing but passing, logging and handing a constant back."""
    return all(_quiet(one) for one in body)


def _quiet(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass | ast.Continue | ast.Break):
        return True
    if isinstance(statement, ast.Return):
        return statement.value is None or _constant(statement.value)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        return statement.value is None or _constant(statement.value)
    if isinstance(statement, ast.Expr):
        called = statement.value.func if isinstance(statement.value, ast.Call) else None
        name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
        return name in QUIET or isinstance(statement.value, ast.Constant)
    return False


def _constant(value: ast.expr) -> bool:
    leaves = (ast.Constant, ast.List, ast.Dict, ast.Tuple, ast.Set, ast.Load, ast.UnaryOp, ast.USub)
    return all(isinstance(node, leaves) for node in ast.walk(value))


def _suppresses(tree: ast.Module) -> int:
    return sum(
        isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "suppress"
        for node in ast.walk(tree)
    )
