"""The changes that a fix may not make to tests and to the way they run, compared as syntax trees."""

import ast
from collections import Counter
from collections.abc import Iterator

from error_monitor.fixes import asserting, reaching
from error_monitor.fixes.asserting import asserts, named
from error_monitor.fixes.records import RefusedError

SKIPS = {
    "skip", "skipif", "xfail", "importorskip", "exit", "deselect", "usefixtures", "filterwarnings", "skipTest",
    "SkipTest", "Skipped", "flaky", "quit", "applymarker", "add_marker",
}  # fmt: skip


def check_test(before: ast.Module | None, after: ast.Module, path: str) -> None:
    """A test holds what the tests before it held, and asserts something in each function.

    Raises:
        RefusedError: It was weakened, or never could fail.
    """
    _no_reach(before, after, path)
    _no_skips(before, after, path)
    if before is not None:
        _nothing_lost(before, after, path)
    tests = list(_tests(after))
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


def check_source(before: ast.Module | None, after: ast.Module, path: str) -> None:
    """A change of the service keeps to its business: no way out, no test mode, no function or route removed.

    Raises:
        RefusedError: It does not.
    """
    _no_reach(before, after, path)
    _no_skips(before, after, path)
    for node in _fresh(before, after):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "PYTEST_" in node.value.upper():
            raise RefusedError(4, f"{path} asks whether a test runs")
    if before is not None and (gone := _functions(before) - _functions(after)):
        raise RefusedError(4, f"{path} loses {min(gone)}: a fix does not delete functions")


def _no_reach(before: ast.Module | None, after: ast.Module, path: str) -> None:
    if found := reaching.found(list(_fresh(before, after))):
        raise RefusedError(4, f"{path} uses {found}, which a fix has no use for")


def _no_skips(before: ast.Module | None, after: ast.Module, path: str) -> None:
    for node in _fresh(before, after):
        called = node.name if isinstance(node, ast.alias) else named(node)
        if called in SKIPS or (isinstance(node, ast.Constant) and node.value in {"skip", "xfail", "skipif"}):
            raise RefusedError(4, f"{path} skips or expects a failure ({called or 'by name'})")
        if called in {"pytestmark", "collect_ignore", "collect_ignore_glob", "__test__", "pytest_plugins"}:
            raise RefusedError(4, f"{path} changes which tests run ({called})")
        hook = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else called
        if hook.startswith("pytest_"):
            raise RefusedError(4, f"{path} changes how pytest works ({hook})")


def _nothing_lost(before: ast.Module, after: ast.Module, path: str) -> None:
    """Every test and each of its assertions is still there, as it was."""
    now = {test.name: test for test in _tests(after)}
    for test in _tests(before):
        if test.name not in now:
            raise RefusedError(4, f"{path} loses the test {test.name}")
        lost = _assertions(test) - _assertions(now[test.name])
        if lost:
            raise RefusedError(4, f"{path}: {test.name} loses or loosens an assertion: {next(iter(lost))[:80]}")


def _assertions(test: ast.AST) -> Counter[str]:
    return Counter(ast.unparse(node) for node in ast.walk(test) if asserts(node))


def _tests(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node


def _functions(tree: ast.Module) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def _fresh(before: ast.Module | None, after: ast.Module) -> Iterator[ast.AST]:
    """The nodes that the tree before did not have as often."""
    known = Counter(ast.dump(node) for node in ast.walk(before)) if before else Counter[str]()
    for node in ast.walk(after):
        if not isinstance(node, ast.expr | ast.stmt | ast.alias):
            continue
        dumped = ast.dump(node)
        if known[dumped]:
            known[dumped] -= 1
        else:
            yield node
