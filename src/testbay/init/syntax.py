"""Names, texts, calls and assignments in syntax trees."""

import ast
from collections.abc import Iterable, Iterator

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def text_of(node: ast.expr) -> str:
    """Return the text of a string literal; empty for any other expression."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def last(node: ast.expr) -> str:
    """Return the last part of a dotted name; empty for any other expression."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def owner(call: ast.Call) -> str:
    """Return the name before the last one of what is called: `b` of `a.b.c()`; empty for a bare name."""
    return last(call.func.value) if isinstance(call.func, ast.Attribute) else ""


def calls(nodes: Iterable[ast.AST]) -> Iterator[ast.Call]:
    return (node for node in nodes if isinstance(node, ast.Call))


def keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {word.arg: word.value for word in call.keywords if word.arg}


def entries(table: ast.Dict) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield key and value of each entry, without those of `**others`."""
    return ((key, value) for key, value in zip(table.keys, table.values, strict=True) if key)


def assignments(nodes: Iterable[ast.AST]) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield target and value of each assignment; of `a = b = 1` the first target."""
    for node in nodes:
        if isinstance(node, ast.Assign):
            yield node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value:
            yield node.target, node.value
