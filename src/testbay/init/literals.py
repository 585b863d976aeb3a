"""Read an expression of a source as text, where literals and constants of the project say it.

With `defaults`, a variable of the environment that is read counts as its default.
"""

import ast
from collections.abc import Iterator, Mapping

from testbay.init.variable import last

_READS = ("getenv", "get", "environ", "config", "env", "str")
_DEPTH = 20  # of expressions in expressions
_LONGEST = 4096  # characters: a text that is made of itself twice, again and again, would fill the memory


def constants(tree: ast.Module | None, *, defaults: bool = True) -> Iterator[tuple[str, str]]:
    """`HOST = "localhost"` at the top of a module, in a class or in a function: the name, and the value as text."""
    known: dict[str, str] = {}
    for statement in ast.walk(tree) if tree else ():
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        name = last(target)
        if name and name not in known and (text := text_of(statement.value, known, defaults=defaults)):
            known[name] = text
            yield name, text


def text_of(node: ast.expr, known: Mapping[str, str], depth: int = _DEPTH, *, defaults: bool = True) -> str:
    """A literal, a name in `known`, a variable's default, or a text made of these; empty if it is none or too long."""
    text = _made(node, known, depth, defaults=defaults)
    return text if len(text) <= _LONGEST else ""


def _made(node: ast.expr, known: Mapping[str, str], depth: int, *, defaults: bool) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str | int) else ""
    if not depth or not isinstance(node, ast.JoinedStr | ast.FormattedValue | ast.BinOp | ast.Call):
        return known.get(last(node), "")
    if isinstance(node, ast.BinOp):
        return _operated(node, known, depth - 1, defaults=defaults)
    if isinstance(node, ast.Call):
        return _called(node, known, depth - 1, defaults=defaults)
    parts = node.values if isinstance(node, ast.JoinedStr) else [node.value]
    return "".join(text_of(part, known, depth - 1, defaults=defaults) for part in parts)


def _operated(node: ast.BinOp, known: Mapping[str, str], depth: int, *, defaults: bool) -> str:
    """`a + b`, and `"%s:%s" % (a, b)`."""
    left = text_of(node.left, known, depth, defaults=defaults)
    if isinstance(node.op, ast.Add):
        return left + text_of(node.right, known, depth, defaults=defaults)
    if not isinstance(node.op, ast.Mod):
        return ""
    parts = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
    for part in parts:
        if len(left) > _LONGEST:
            return ""
        mark = "%d" if "%d" in left.partition("%s")[0] else "%s"
        left = left.replace(mark, text_of(part, known, depth, defaults=defaults), 1)
    return left


def _called(node: ast.Call, known: Mapping[str, str], depth: int, *, defaults: bool) -> str:
    """`"{}:{}".format(a, b)`, and the default of a variable that is read."""
    name = last(node.func)
    if name == "format" and isinstance(node.func, ast.Attribute):
        text = text_of(node.func.value, known, depth, defaults=defaults)
        filling = [(str(index), part) for index, part in enumerate(node.args)]
        for mark, part in filling + [(str(word.arg), word.value) for word in node.keywords]:
            if len(text) > _LONGEST:
                return ""
            value = text_of(part, known, depth, defaults=defaults)
            first = text.replace("{}", value, 1) if mark.isdigit() else text
            text = first.replace(f"{{{mark}}}", value)
        return text
    if name in ("int", "str") and len(node.args) == 1:
        return text_of(node.args[0], known, depth, defaults=defaults)
    given = [word.value for word in node.keywords if word.arg == "default"] or node.args[1:2]
    return text_of(given[0], known, depth, defaults=defaults) if defaults and name in _READS and given else ""
