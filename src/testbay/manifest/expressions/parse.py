"""Conditions: a small subset of Python's expressions, checked when the manifest is read, never executed as code.

A condition fails closed: a missing key, sides that cannot be compared, or an answer of another kind make it fail, and
the message says what was there instead.
"""

import ast
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from testbay.manifest.expressions.evaluate import (
    ARITHMETIC,
    ORDER,
    PATHS,
    NotMetError,
    computable,
    paths,
    plain,
    show,
    value_of,
    why_false,
)
from testbay.manifest.expressions.slips import advice
from testbay.text import nearest

MAX_LENGTH = 500
_TRUTHS = (ast.Compare, ast.BoolOp, *PATHS)
_JSON = {"true": "True", "false": "False", "null": "None"}


@dataclass(frozen=True)
class Expression:
    """An allowed expression. `names` are the first names of its paths."""

    text: str
    tree: ast.expr = field(repr=False, compare=False)
    names: frozenset[str] = field(repr=False, compare=False)

    def value(self, values: Mapping[str, Any]) -> Any:
        """Evaluate the expression.

        Raises:
            NotMetError: A key is missing, or types do not go together.
        """
        try:
            return value_of(self.tree, values)
        except NotMetError as error:
            raise NotMetError(f"{self.text}: {error}") from None
        except RecursionError:
            raise NotMetError(f"{self.text}: what was answered is nested too deeply") from None

    def require(self, values: Mapping[str, Any]) -> None:
        """Raise unless the expression is true.

        Raises:
            NotMetError: It is not; both sides are shown.
        """
        if self.value(values) is not True:
            raise NotMetError(f"{self.text}: {why_false(self.tree, values)}")

    def seen(self, values: Mapping[str, Any]) -> Iterator[str]:
        """List each path with its value, e.g. `json.status = 'ok'`; missing values are left out."""
        for path in paths(self.tree):
            try:
                yield f"{ast.unparse(path)} = {show(value_of(path, values))}"
            except NotMetError:
                continue

    def beside(self, name: str, values: Mapping[str, Any]) -> Any:
        """The value that is compared with `name`; None without one."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Compare) and len(node.ops) == 1:
                sides = [node.left, node.comparators[0]]
                others = [side for side in sides if not (isinstance(side, ast.Name) and side.id == name)]
                if len(others) == 1:
                    try:
                        return value_of(others[0], values)
                    except NotMetError:
                        return None
        return None


@lru_cache(1024)
def condition(text: str) -> Expression:
    """Parse an expression that is true or false, and depends on the answer.

    Raises:
        ValueError: It is not allowed, or always the same.
    """
    found = expression(text)
    tree = found.tree
    denies = isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not)
    if not (denies or isinstance(tree, _TRUTHS)):
        raise ValueError(f"{text!r} is neither true nor false: compare it with something")
    if not found.names:
        raise ValueError(f"{text!r} says nothing about an answer: it is always the same")
    return found


@lru_cache(1024)
def expression(text: str) -> Expression:
    """Parse an expression.

    Raises:
        ValueError: Not Python, too long, or with something in it that is not allowed.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"{text[:40] + '…'!r} is longer than {MAX_LENGTH} characters")
    try:
        with warnings.catch_warnings(action="ignore"):  # of a backslash in a text; it is not our code
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(f"{text!r} is not a condition: {getattr(error, 'msg', error)}{advice(text)}") from None
    for node in ast.walk(tree):
        if why := _refusal(node):
            raise ValueError(f"{text!r}: {why}{advice(text)}")
    return Expression(text.strip(), tree, frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)))


def unknown(found: Expression, known: Iterable[str]) -> str:
    """Say why a name in the expression can never have a value; empty if each can."""
    known = sorted(known)
    for name in sorted(found.names - set(known)):
        hint = f" (did you mean {_JSON[name]!r}?)" if name in _JSON else nearest(name, known)
        hint = advice(found.text) or hint
        return f"{found.text!r}: unknown name {name!r}{hint}; known: {', '.join(known)}"
    return ""


def _refusal(node: ast.AST) -> str:
    """Say why a node is not allowed in a condition; empty if it is."""
    if isinstance(node, ast.Call):
        return "calls are not allowed"
    if isinstance(node, ast.Attribute) and node.attr.startswith("__"):
        return f"{node.attr!r} is not allowed"
    if isinstance(node, ast.Constant):
        fits = not isinstance(node.value, int | float) or computable(node.value)
        return "" if plain(node.value) and fits else f"{show(node.value)} is not allowed"
    if isinstance(node, ast.Subscript):
        inner = node.slice.operand if isinstance(node.slice, ast.UnaryOp) else node.slice
        whole = isinstance(inner, ast.Constant) and type(inner.value) in (int, str)
        return "" if whole else "an index is a whole number or a text"
    allowed = (
        *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, *ARITHMETIC),
        *(ast.Compare, *ORDER, ast.Eq, ast.NotEq, ast.In, ast.NotIn, *PATHS, ast.Load, ast.List, ast.Tuple),
    )
    return "" if isinstance(node, allowed) else f"{type(node).__name__} is not allowed"
