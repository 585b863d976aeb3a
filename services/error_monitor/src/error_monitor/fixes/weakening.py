"""What a change may not do to tests and to the way that they run, compared as syntax trees."""

import ast
from collections import Counter
from collections.abc import Iterator

from error_monitor.fixes.records import RefusedError

SKIPS = {"skip", "skipif", "xfail", "importorskip", "exit", "deselect", "usefixtures", "filterwarnings", "skipTest"}
REACHES = {
    "subprocess", "multiprocessing", "ctypes", "socket", "pty", "signal", "atexit", "gc", "inspect", "importlib",
    "builtins", "_pytest", "pluggy", "shutil", "marshal", "pickle", "code", "codeop", "runpy", "resource", "_thread",
    "testbay", "coverage", "site", "faulthandler", "types", "urllib", "requests", "aiohttp", "http", "ftplib",
    "smtplib",
}  # fmt: skip
"""Modules that a fix has no use for, but a program that wants out or wants to be believed has."""
CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "globals",
    "locals",
    "vars",
    "breakpoint",
    "input",
    "setattr",
    "delattr",
}
SYSTEM = {
    "_exit",
    "system",
    "popen",
    "fork",
    "kill",
    "killpg",
    "execv",
    "execve",
    "execvp",
    "spawnv",
    "putenv",
    "abort",
}
PLACES = ("/proc/", "/dev/", ".testbay", "tests.jsonl", "junit.xml", "coverage.json")
"""Where the results of a run are, or the descriptors of who reads them."""
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}
INNARDS = {
    "__globals__", "__code__", "__subclasses__", "__builtins__", "__bases__", "__mro__", "__closure__", "f_globals",
    "f_locals", "f_back", "tb_frame", "gi_frame", "__getattribute__", "modules", "settrace", "setprofile",
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
        if not any(_asserts(node) for node in ast.walk(test)):
            raise RefusedError(4, f"{path}: {test.name} asserts nothing: it cannot fail")
    for node in ast.walk(after):
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant):
            raise RefusedError(4, f"{path}: an assertion of a constant holds for every program")
        if isinstance(node, ast.Raise) and _name(node.exc) not in {"", "AssertionError"}:
            raise RefusedError(4, f"{path}: a test that raises {_name(node.exc)} itself reproduces nothing")
        if isinstance(node, ast.ExceptHandler):
            raise RefusedError(4, f"{path}: a test that catches exceptions hides why it fails")


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
    for node in _fresh(before, after):
        if found := _reach(node):
            raise RefusedError(4, f"{path} uses {found}, which a fix has no use for")


def _reach(node: ast.AST) -> str:
    """What a node reaches for, or nothing."""
    if isinstance(node, ast.Import):
        return next((one.name for one in node.names if one.name.partition(".")[0] in REACHES), "")
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        if module.partition(".")[0] in REACHES:
            return module
        return next((one.name for one in node.names if one.name in ENVIRONMENT | SYSTEM | INNARDS), "")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return f"{node.func.id}()" if node.func.id in CALLS or _is_indirect(node) else ""
    if isinstance(node, ast.Attribute):
        return node.attr if node.attr in ENVIRONMENT | SYSTEM | INNARDS else ""
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return next((place for place in PLACES if place in text), "")


def _is_indirect(call: ast.Call) -> bool:
    """A `getattr` whose name is computed, or is one of those that are refused by name."""
    assert isinstance(call.func, ast.Name)
    if call.func.id != "getattr" or len(call.args) < 2:
        return False
    name = call.args[1]
    return not isinstance(name, ast.Constant) or name.value in ENVIRONMENT | SYSTEM | INNARDS


def _no_skips(before: ast.Module | None, after: ast.Module, path: str) -> None:
    for node in _fresh(before, after):
        called = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if called in SKIPS or (isinstance(node, ast.Constant) and node.value in {"skip", "xfail", "skipif"}):
            raise RefusedError(4, f"{path} skips or expects a failure ({called or 'by name'})")
        if called in {"pytestmark", "collect_ignore", "collect_ignore_glob", "__test__", "pytest_plugins"}:
            raise RefusedError(4, f"{path} changes which tests run ({called})")
        if isinstance(node, ast.FunctionDef) and node.name.startswith("pytest_"):
            raise RefusedError(4, f"{path} changes how pytest works ({node.name})")


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
    return Counter(ast.unparse(node) for node in ast.walk(test) if _asserts(node))


def _asserts(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    name = _name(node) if isinstance(node, ast.Call) else ""
    return name in {"raises", "fail"} or name.startswith(("assert_", "assert"))


def _name(node: ast.AST | None) -> str:
    """The last name of what is called or raised."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


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
