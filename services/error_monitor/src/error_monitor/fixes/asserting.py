"""A test that reproduces a fault: it asserts in a straight line, and nothing in it decides whether it does."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

from error_monitor.fixes.records import RefusedError

Function = ast.FunctionDef | ast.AsyncFunctionDef
Node = TypeVar("Node", bound=ast.AST)
FIXTURES = {"request", "pytestconfig", "pytester", "testdir"}
"""Fixtures that hand out pytest's own objects."""
FILES = {"cwd", "getcwd", "rglob", "glob", "iterdir", "scandir", "listdir", "walk", "chdir", "home", "expanduser"}
"""How a program looks for files whose place it was not told: the results of its run, say."""
COMPARES = {
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__bool__", "__len__", "__contains__",
    "__instancecheck__", "__subclasscheck__",
}  # fmt: skip
ANYTHING = {"ANY", "anything", "Anything"}
ASKS = {"hasattr", "callable", "dir"}
WIDEST = {"abs": 1, "rel": 0.1}
_DECIDES = (ast.IfExp, ast.Match, ast.While, ast.Yield, ast.YieldFrom, ast.Try, ast.TryStar)


def check(tree: ast.Module, path: str) -> None:
    """Refuse a test that can be green for another reason than its assertions.

    Raises:
        RefusedError: With what is wrong.
    """
    for node in ast.walk(tree):
        if said := _wrong(node):
            raise RefusedError(4, f"{path} {said}")
    for test in tests_of(tree):
        if said := _wrong_test(test):
            raise RefusedError(4, f"{path}: {test.name} {said}")
    for name in replaced(tree):
        raise RefusedError(4, f"{path} replaces {name}")


def asserts(node: ast.AST) -> bool:
    """Return whether a node is an assertion."""
    if isinstance(node, ast.Assert):
        return True
    name = named(node) if isinstance(node, ast.Call) else ""
    return name in {"raises", "fail"} or name.startswith("assert")


def tests_of(tree: ast.Module) -> list[Function]:
    """The tests of a file, wherever they stand."""
    return [node for node in ast.walk(tree) if isinstance(node, Function) and node.name.startswith("test")]


def fresh(before: Iterable[Node], after: Iterable[Node]) -> Iterator[Node]:
    """The nodes that were not there before as often."""
    known = Counter(map(ast.dump, before))
    for node in after:
        dumped = ast.dump(node)
        if known[dumped]:
            known[dumped] -= 1
        else:
            yield node


def named(node: ast.AST | None) -> str:
    """The last name of what is called or raised."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _wrong(node: ast.AST) -> str:
    """Name the fault of a node wherever it stands in a test's file."""
    if isinstance(node, ast.If) and named(node.test) != "TYPE_CHECKING":
        return "decides by itself what it tests: a test has no `if`"
    if isinstance(node, _DECIDES):
        return f"decides by itself what it tests: a test has no {type(node).__name__}"
    if isinstance(node, ast.FunctionDef) and node.name in COMPARES:
        return f"defines {node.name}: what it compares may equal everything"
    if isinstance(node, ast.alias | ast.Name | ast.Attribute | ast.arg):
        return _wrong_name(node)
    if isinstance(node, ast.Assert):
        return _wrong_assertion(node.test)
    return _wrong_call(node) if isinstance(node, ast.Call) else ""


def _wrong_name(node: ast.AST) -> str:
    if isinstance(node, ast.arg):
        return f"takes the fixture {node.arg}, which is pytest's own" if node.arg in FIXTURES else ""
    name = node.name if isinstance(node, ast.alias) else named(node)
    if name in ANYTHING:
        return f"compares with {name}, which equals everything"
    if name in ASKS:
        return f"asks with {name} whether the program was changed"
    return f"looks for files with {name}" if isinstance(node, ast.Attribute | ast.alias) and name in FILES else ""


def _wrong_assertion(said: ast.expr) -> str:
    if any(isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or) for node in ast.walk(said)):
        return "asserts this or that: one of them may hold for every program"
    always = isinstance(said, ast.Tuple | ast.List | ast.Set | ast.Dict | ast.Lambda | ast.JoinedStr)
    if always or not any(isinstance(node, ast.Name | ast.Call) for node in ast.walk(said) if not _is_target(node)):
        return "has an assertion of a constant, which holds for every program"
    if isinstance(said, ast.Compare) and ast.dump(said.left) == ast.dump(said.comparators[0]):
        return "compares a value with itself"
    return ""


def _is_target(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _wrong_call(call: ast.Call) -> str:
    name = named(call)
    if name == "getattr" and len(call.args) > 2:
        return "asks with getattr whether the program was changed"
    if name == "suppress":
        return "suppresses exceptions: it hides why it fails"
    if name == "raises" and any(named(one) in {"Exception", "BaseException"} for one in _first(call)):
        return "expects any exception"
    wide = name == "approx" and any(
        isinstance(word.value, ast.Constant)
        and isinstance(word.value.value, int | float)
        and word.value.value >= WIDEST.get(word.arg or "", 1e9)
        for word in call.keywords
    )
    return "compares with a tolerance that takes nearly everything" if wide else ""


def _first(call: ast.Call) -> list[ast.expr]:
    if not call.args:
        return []
    first = call.args[0]
    return list(first.elts) if isinstance(first, ast.Tuple) else [first]


def _wrong_test(test: Function) -> str:
    if any(isinstance(node, ast.Return) for node in _own(test)):
        return "returns: what follows is not asserted"
    for decorator in test.decorator_list:
        if not ast.unparse(decorator).startswith("pytest.mark."):
            return f"is wrapped by {ast.unparse(decorator)[:60]}"
    straight = [node for statement in _straight(test.body) for node in _shallow(statement)]
    return "" if any(asserts(node) for node in straight) else "asserts nothing on every way through it: it cannot fail"


def _own(test: Function) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions in it."""
    waiting: list[ast.AST] = list(test.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)


def _straight(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that always run."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.With | ast.AsyncWith | ast.For | ast.AsyncFor):
            yield from _straight(statement.body)


def _shallow(statement: ast.stmt) -> Iterator[ast.AST]:
    """A statement and the expressions in it, without the statements below it."""
    if isinstance(statement, Function | ast.ClassDef):
        return
    yield statement
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.expr | ast.withitem):
            yield from ast.walk(child)


def replaced(tree: ast.Module) -> Counter[str]:
    """The parts of other modules that a file replaces, and its own names that get a second meaning."""
    imported = set(_imported(tree))
    names = Counter(_defined(tree))
    found = Counter({name: count - 1 for name, count in names.items() if count > 1})
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            if isinstance(target, ast.Attribute) and named(target.value) in imported:
                found[ast.unparse(target)[:60]] += 1
    return found


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((one.asname or one.name).partition(".")[0] for one in node.names)


def _defined(tree: ast.Module) -> Iterator[str]:
    """The names that a module binds at its top."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from {one.asname or one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, Function | ast.ClassDef):
            yield from () if node.decorator_list and not node.name.startswith("test") else (node.name,)
        elif isinstance(node, ast.Assign):
            yield from {target.id for target in node.targets if isinstance(target, ast.Name)}
