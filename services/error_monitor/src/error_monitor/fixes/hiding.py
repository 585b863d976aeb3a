"""Changes of a service that make an error unseen: swallowed without a handler, logged as less, no longer raised."""

import ast
from collections import Counter
from collections.abc import Iterator

from error_monitor.fixes.asserting import Function, named, replaced
from error_monitor.fixes.reaching import TEST_MODULES
from error_monitor.fixes.records import RefusedError

LOUD = {"error", "exception", "critical", "capture_exception", "record_exception"}
SILENCES = {"disable", "setLevel", "simplefilter", "addFilter", "captureWarnings", "push", "suppress_health_check"}
_LEAVES = (ast.Return, ast.Break, ast.Continue)


def check(before: ast.Module, after: ast.Module, kind: str, path: str) -> None:
    """Refuse what the code did not do before and what only keeps an error from being seen.

    Raises:
        RefusedError: With what it does.
    """
    for said in (*_swallowed(before, after), *_imports(before, after), *_replaces(before, after)):
        raise RefusedError(4, f"{path} {said}")
    silent = _calls(after, SILENCES) - _calls(before, SILENCES)
    if silent:
        raise RefusedError(4, f"{path} silences what reports errors ({min(silent)})")
    if quieter := _calls(before, LOUD) - _calls(after, LOUD):
        raise RefusedError(4, f"{path} logs less: {min(quieter)}() is called {quieter[min(quieter)]} times fewer")
    bare = kind.rpartition(".")[2]
    if _raised(before)[bare] > _raised(after)[bare]:
        raise RefusedError(4, f"{path} no longer raises {bare}: the check is gone, its cause is not")


def _swallowed(before: ast.Module, after: ast.Module) -> Iterator[str]:
    """Ways to swallow an exception that need no handler."""
    ways = {
        "leaves its `finally`, which drops any exception": lambda node: (
            isinstance(node, ast.Try | ast.TryStar)
            and any(isinstance(one, _LEAVES) for statement in node.finalbody for one in ast.walk(statement))
        ),
        "defines an __exit__ that hands something back, which drops any exception": lambda node: (
            isinstance(node, Function)
            and node.name in {"__exit__", "__aexit__"}
            and any(isinstance(one, ast.Return) and _is_true(one.value) for one in ast.walk(node))
        ),
        "takes exceptions for results": lambda node: (
            isinstance(node, ast.keyword) and node.arg == "return_exceptions" and _is_true(node.value)
        ),
    }
    for said, is_such in ways.items():
        if sum(map(is_such, ast.walk(after))) > sum(map(is_such, ast.walk(before))):
            yield f"only catches the exception: it {said}"


def _is_true(value: ast.expr | None) -> bool:
    """Return whether a value may be true."""
    return value is not None and not (isinstance(value, ast.Constant) and not value.value)


def _imports(before: ast.Module, after: ast.Module) -> Iterator[str]:
    """A service that imports pytest asks whether a test runs."""
    new = _modules(after) - _modules(before)
    yield from (f"imports {name}, which only a test has a use for" for name in sorted(new & TEST_MODULES))


def _modules(tree: ast.Module) -> set[str]:
    named_by = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    named_by |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in named_by}


def _replaces(before: ast.Module, after: ast.Module) -> Iterator[str]:
    """Parts of other modules, and names that meant one thing."""
    yield from (f"replaces {name}" for name in sorted(replaced(after) - replaced(before)))


def _calls(tree: ast.Module, names: set[str]) -> Counter[str]:
    """Count the calls of methods that have one of these names."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return Counter(func.attr for func in calls if isinstance(func, ast.Attribute) and func.attr in names)


def _raised(tree: ast.Module) -> Counter[str]:
    return Counter(named(node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise))
