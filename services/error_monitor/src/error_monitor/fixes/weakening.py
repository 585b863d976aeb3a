"""The changes that a fix may not make to tests and to the way they run, compared as syntax trees."""

import ast
from collections import Counter

from error_monitor.fixes import asserting, reaching
from error_monitor.fixes.asserting import Function, asserts, fresh, named, tests_of
from error_monitor.fixes.records import RefusedError

SKIPS = {
    "skip", "skipif", "xfail", "importorskip", "exit", "deselect", "usefixtures", "filterwarnings", "skipTest",
    "SkipTest", "Skipped", "flaky", "quit", "applymarker", "add_marker",
}  # fmt: skip


def check_test(before: ast.Module, after: ast.Module, path: str) -> None:
    """A test holds what the tests before it held, and asserts something in each function.

    Raises:
        RefusedError: It was weakened, or never could fail.
    """
    _no_reach(before, after, path)
    _no_skips(before, after, path)
    _nothing_lost(before, after, path)
    tests = tests_of(after)
    if not tests:
        raise RefusedError(4, f"{path} has no test function")
    for test in tests:
        if not any(asserts(node) for node in ast.walk(test)):
            raise RefusedError(4, f"{path}: {test.name} asserts nothing: it cannot fail")
    for node in ast.walk(after):
        if isinstance(node, ast.Raise) and named(node.exc) not in {"", "AssertionError"}:
            raise RefusedError(4, f"{path}: a test that raises {named(node.exc)} itself reproduces nothing")
        if isinstance(node, ast.ExceptHandler):
            raise RefusedError(4, f"{path}: a test that catches exceptions hides why it fails")
    asserting.check(after, path)


def check_source(before: ast.Module, after: ast.Module, path: str) -> None:
    """A change of the service keeps to its business: no way out, no test mode, no function or route removed.

    Raises:
        RefusedError: It does not.
    """
    _no_reach(before, after, path)
    _no_skips(before, after, path)
    for node in _added(before, after):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "PYTEST_" in node.value.upper():
            raise RefusedError(4, f"{path} asks whether a test runs")
    if gone := _functions(before) - _functions(after):
        raise RefusedError(4, f"{path} loses {min(gone)}: a fix does not delete functions")


def _no_reach(before: ast.Module, after: ast.Module, path: str) -> None:
    if found := reaching.found(_added(before, after)):
        raise RefusedError(4, f"{path} uses {found}, which a fix has no use for")


def _no_skips(before: ast.Module, after: ast.Module, path: str) -> None:
    for node in _added(before, after):
        called = node.name if isinstance(node, ast.alias) else named(node)
        if called in SKIPS or (isinstance(node, ast.Constant) and node.value in {"skip", "xfail", "skipif"}):
            raise RefusedError(4, f"{path} skips or expects a failure ({called or 'by name'})")
        if called in {"pytestmark", "collect_ignore", "collect_ignore_glob", "__test__", "pytest_plugins"}:
            raise RefusedError(4, f"{path} changes which tests run ({called})")
        hook = node.name if isinstance(node, Function) else called
        if hook.startswith("pytest_"):
            raise RefusedError(4, f"{path} changes how pytest works ({hook})")


def _nothing_lost(before: ast.Module, after: ast.Module, path: str) -> None:
    """Every test and each of its assertions is still there, as it was."""
    now = {test.name: test for test in tests_of(after)}
    for test in tests_of(before):
        if test.name not in now:
            raise RefusedError(4, f"{path} loses the test {test.name}")
        lost = _assertions(test) - _assertions(now[test.name])
        if lost:
            raise RefusedError(4, f"{path}: {test.name} loses or loosens an assertion: {next(iter(lost))[:80]}")


def _assertions(test: ast.AST) -> Counter[str]:
    return Counter(ast.unparse(node) for node in ast.walk(test) if asserts(node))


def _functions(tree: ast.Module) -> set[str]:
    return {node.name for node in ast.walk(tree) if isinstance(node, Function | ast.ClassDef)}


def _added(before: ast.Module, after: ast.Module) -> list[ast.AST]:
    nodes = (node for node in ast.walk(after) if isinstance(node, ast.expr | ast.stmt | ast.alias))
    return list(fresh(ast.walk(before), nodes))
