"""Evaluating expressions: strictly typed, without conversions, with bounded cost."""

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PATHS = (ast.Name, ast.Attribute, ast.Subscript)
_SHOWN = 120  # characters of a value
_LISTED = 12  # names that were there
_MAX_BITS = 1024  # of a whole number: beyond, floats and printing fail
ORDER: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_WORDS: dict[type, str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}


class NotMetError(Exception):
    """The condition does not hold; the text says why in one line."""


@dataclass(frozen=True)
class Missing:
    """A name without a value this time; using it fails with the reason."""

    why: str


def value_of(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """The value of an allowed expression.

    Raises:
        NotMetError: A key is missing, or types do not go together.
    """
    return _EVALUATE[type(node)](node, values)


def _constant(node: ast.Constant, _values: Mapping[str, Any]) -> Any:
    return node.value


def _name(node: ast.Name, values: Mapping[str, Any]) -> Any:
    value = values.get(node.id, Missing("it has no value here"))
    if isinstance(value, Missing):
        raise NotMetError(f"there is no {node.id}: {value.why}")
    return value


def _attribute(node: ast.Attribute, values: Mapping[str, Any]) -> Any:
    return _key(node.value, node.attr, values)


def _subscript(node: ast.Subscript, values: Mapping[str, Any]) -> Any:
    return _key(node.value, value_of(node.slice, values), values)


def _key(of: ast.expr, key: str | int, values: Mapping[str, Any]) -> Any:
    holder, name = value_of(of, values), ast.unparse(of)
    if isinstance(key, str):
        if not isinstance(holder, Mapping):
            raise NotMetError(f"{name} has no keys, it is {show(holder)} ({_kind(holder)})")
        if key not in holder:
            raise NotMetError(f"{name} has no {key!r}; it has: {_names(holder)}")
        return holder[key]
    if not isinstance(holder, list | tuple):
        raise NotMetError(f"{name} is not a list, it is {show(holder)} ({_kind(holder)})")
    if not -len(holder) <= key < len(holder):
        raise NotMetError(f"{name} has no entry {key}; it has {len(holder)}")
    return holder[key]


def _names(holder: Mapping[Any, Any]) -> str:
    listed = [str(key)[:40] for _, key in zip(range(_LISTED), holder, strict=False)]
    return ", ".join(listed + ["…"] * (len(holder) > _LISTED)) or "nothing"


def _list(node: ast.List | ast.Tuple, values: Mapping[str, Any]) -> Any:
    return [value_of(item, values) for item in node.elts]


def _unary(node: ast.UnaryOp, values: Mapping[str, Any]) -> Any:
    if isinstance(node.op, ast.Not):
        return not _truth(node.operand, values)
    return -_number(node.operand, values)


def _binary(node: ast.BinOp, values: Mapping[str, Any]) -> Any:
    left, right = _number(node.left, values), _number(node.right, values)
    try:
        result = ARITHMETIC[type(node.op)](left, right)
    except ArithmeticError:
        raise NotMetError(f"{ast.unparse(node)} cannot be computed with {left} and {right}") from None
    if not computable(result):
        raise NotMetError(f"{ast.unparse(node)} is too large")
    return result


def _boolean(node: ast.BoolOp, values: Mapping[str, Any]) -> bool:
    if isinstance(node.op, ast.And):
        return all(_truth(part, values) for part in node.values)
    return any(_truth(part, values) for part in node.values)


def _compare(node: ast.Compare, values: Mapping[str, Any]) -> bool:
    left = value_of(node.left, values)
    for op, comparator in zip(node.ops, node.comparators, strict=True):
        right = value_of(comparator, values)
        if not _holds(op, left, right):
            return False
        left = right
    return True


def _holds(op: ast.cmpop, left: Any, right: Any) -> bool:
    if isinstance(op, ast.In | ast.NotIn):
        return _within(left, right) is isinstance(op, ast.In)
    if isinstance(op, ast.Eq | ast.NotEq):
        _same_kind(left, right, allow_none=True)
        return _equal(left, right) is isinstance(op, ast.Eq)
    _same_kind(left, right)
    if _kind(left) not in ("a number", "a text"):
        raise NotMetError(f"{show(left)} ({_kind(left)}) has no order")
    if left != left or right != right:  # noqa: PLR0124 - so is NaN, of which "not above" would hold
        raise NotMetError(f"{show(left)} and {show(right)} have no order: one is not a number")
    return ORDER[type(op)](left, right)


def plain(value: Any) -> bool:
    """Return whether a value contains no other values."""
    return value is None or isinstance(value, str | bool | int | float)


def _within(item: Any, holder: Any) -> bool:
    if isinstance(holder, str):
        _same_kind(item, holder)
        if not item:
            raise NotMetError("an empty text is in every text")
        return item in holder
    if isinstance(holder, Mapping):
        _same_kind(item, "")
        return item in holder
    if not isinstance(holder, list | tuple):
        raise NotMetError(f"nothing is in {show(holder)} ({_kind(holder)})")
    kinds = {_kind(entry) for entry in holder}
    if holder and item is not None and _kind(item) not in kinds:
        raise NotMetError(f"{show(item)} ({_kind(item)}) cannot be in {show(holder)}")
    return any(_equal(item, entry) for entry in holder)


def _equal(left: Any, right: Any) -> bool:
    """Compare as Python does, except that True is not 1."""
    if _kind(left) != _kind(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(_equal, left, right))
    if isinstance(left, Mapping):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    return bool(left == right)


def _same_kind(left: Any, right: Any, *, allow_none: bool = False) -> None:
    if _kind(left) == _kind(right) or (allow_none and (left is None or right is None)):
        return
    raise NotMetError(f"{show(left)} ({_kind(left)}) cannot be compared with {show(right)} ({_kind(right)})")


def _truth(node: ast.expr, values: Mapping[str, Any]) -> bool:
    value = value_of(node, values)
    if not isinstance(value, bool):
        raise NotMetError(f"{ast.unparse(node)} is {show(value)} ({_kind(value)}), neither true nor false")
    return value


def _number(node: ast.expr, values: Mapping[str, Any]) -> int | float:
    value = value_of(node, values)
    if isinstance(value, bool) or not isinstance(value, int | float) or not computable(value):
        raise NotMetError(f"{ast.unparse(node)} is {show(value)} ({_kind(value)}), not a number to compute with")
    return value


def computable(value: float) -> bool:
    """Return whether a number may be computed with and shown."""
    return value.bit_length() <= _MAX_BITS if isinstance(value, int) else math.isfinite(value)


_EVALUATE: dict[type, Callable[[Any, Mapping[str, Any]], Any]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.List: _list,
    ast.Tuple: _list,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
}


def why_false(tree: ast.expr, values: Mapping[str, Any]) -> str:
    """Explain why the tree is not true: both sides of a comparison, else the value of each path."""
    if isinstance(tree, ast.Compare) and len(tree.ops) == 1:
        left, right = (value_of(side, values) for side in (tree.left, tree.comparators[0]))
        word = _WORDS[type(tree.ops[0])]
        return f"{show(left)} is in {show(right)}" if word == "not in" else f"{show(left)} is not {word} {show(right)}"
    value = value_of(tree, values)
    if not isinstance(value, bool):
        return f"it is {show(value)} ({_kind(value)}), neither true nor false"
    seen = "; ".join(f"{ast.unparse(path)} = {_shown(path, values)}" for path in paths(tree))
    return f"not so: {seen}"


def _shown(path: ast.expr, values: Mapping[str, Any]) -> str:
    try:
        return show(value_of(path, values))
    except NotMetError:
        return "missing"


def paths(node: ast.expr) -> Iterator[ast.expr]:
    """Yield the longest paths (`json.items[0].id`) in an expression, in order, without repetition."""
    found: dict[str, ast.expr] = {}
    waiting: list[ast.AST] = [node]
    while waiting:
        now = waiting.pop(0)
        if isinstance(now, PATHS):
            found.setdefault(ast.unparse(now), now)
        else:
            waiting = [*ast.iter_child_nodes(now), *waiting]
    yield from found.values()


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    for types, name in ((bool, "a boolean"), (int | float, "a number"), (str, "a text"), (Mapping, "an object")):
        if isinstance(value, types):
            return name
    return "a list"


def show(value: Any) -> str:
    """Format a value as in a condition, shortened."""
    if isinstance(value, int) and not computable(value):
        return "a huge number"
    if isinstance(value, Mapping):
        return f"{{{_names(value)}}}"
    if isinstance(value, list | tuple):
        first = ", ".join(show(entry) if plain(entry) else "…" for entry in value[:5])
        text = f"({first}{', …' if len(value) > 5 else ''})"
    else:
        text = repr(value[:_SHOWN] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
