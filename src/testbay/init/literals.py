"""Evaluation of expressions in sources as text, as far as literals and constants of the project allow.

With `defaults`, reading an environment variable gives its default. Unknown parts of a text are replaced by UNKNOWN.
"""

import ast
from collections.abc import Collection, Iterator, Mapping

from testbay.init.project import Source
from testbay.init.syntax import keywords, last

UNKNOWN = "\0"  # replaces one part of a text: the rest may still be an address
LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 # what a client may be told to connect to
_READS = ("getenv", "get", "environ", "config", "env", "str")
_DEPTH = 20  # of expressions in expressions
_LONGEST = 4096  # characters: a text that doubles itself again and again would fill the memory


def constants(
    source: Source, *, defaults: bool = True, left_out: Collection[ast.AST] = ()
) -> Iterator[tuple[str, str]]:
    """Yield name and value of assignments like `HOST = "localhost"`, in a module, class or function.

    With `defaults` also those of options: `define("db_host", default="localhost")` of Tornado, and argparse's. The
    assignments to the targets `left_out` do not count.
    """
    known: dict[str, str] = {}
    assigned = ((last(target), value) for target, value in source.assignments if target not in left_out)
    for name, value in (*assigned, *(_options(source) if defaults else ())):
        if name and name not in known and (text := text_of(value, known, defaults=defaults)).strip(UNKNOWN):
            known[name] = text
            yield name, text


def parameters(source: Source) -> Iterator[tuple[str, str]]:
    """Yield the parameters of a module's functions that have one and the same default wherever they have one."""
    found: dict[str, set[str]] = {}
    for takes in (function.args for function in source.functions):
        pairs = list(zip(reversed(takes.args), reversed(takes.defaults), strict=False))
        for parameter, default in [*pairs, *zip(takes.kwonlyargs, takes.kw_defaults, strict=True)]:
            if default is not None:
                found.setdefault(parameter.arg, set()).add(text_of(default, {}))
    yield from ((name, next(iter(texts))) for name, texts in found.items() if len(texts) == 1)


def _options(source: Source) -> Iterator[tuple[str, ast.expr]]:
    for call in source.of(ast.Call):
        if last(call.func) in ("define", "add_argument", "option") and (default := keywords(call).get("default")):
            for name in (part.value for part in call.args if isinstance(part, ast.Constant)):
                yield str(name).lstrip("-").replace("-", "_"), default


def text_of(node: ast.expr, known: Mapping[str, str], depth: int = _DEPTH, *, defaults: bool = True) -> str:
    """Evaluate a literal, a name in `known`, a variable's default, or a text made of these; otherwise UNKNOWN."""
    text = _made(node, known, depth, defaults=defaults)
    return text if len(text) <= _LONGEST else UNKNOWN


def parts(source: Source) -> set[ast.AST]:
    """Collect the nodes that are parts of longer texts, and are not addresses by themselves."""
    functions = (call.func for call in source.of(ast.Call))
    found: set[ast.AST] = {one.value for one in functions if isinstance(one, ast.Attribute) and one.attr == "format"}
    found.update(part for text in source.of(ast.JoinedStr) for part in text.values)
    sums = (one for one in source.of(ast.BinOp) if isinstance(one.op, ast.Add | ast.Mod))
    return found | {side for one in sums for side in (one.left, one.right)}


def _made(node: ast.expr, known: Mapping[str, str], depth: int, *, defaults: bool) -> str:
    if isinstance(node, ast.Constant):
        return "" if node.value is None else str(node.value) if isinstance(node.value, str | int) else UNKNOWN
    if isinstance(node, ast.IfExp) and depth:
        return _chosen(node, known, depth - 1, defaults=defaults)
    if not depth or not isinstance(node, ast.JoinedStr | ast.FormattedValue | ast.BinOp | ast.Call):
        return known.get(last(node), UNKNOWN)
    if isinstance(node, ast.BinOp):
        return _operated(node, known, depth - 1, defaults=defaults)
    if isinstance(node, ast.Call):
        return _called(node, known, depth - 1, defaults=defaults)
    pieces = node.values if isinstance(node, ast.JoinedStr) else [node.value]
    return "".join(text_of(piece, known, depth - 1, defaults=defaults) for piece in pieces)


def _chosen(node: ast.IfExp, known: Mapping[str, str], depth: int, *, defaults: bool) -> str:
    """Evaluate `5433 if host == "localhost" else 5432`; UNKNOWN unless both sides of the comparison are known.

    Of `"database" if IN_CONTAINER else "localhost"` the host on this machine counts, whatever the condition.
    """
    match node.test:
        case ast.Compare(left=one, ops=[ast.Eq()], comparators=[other]):
            sides = [text_of(side, known, depth, defaults=defaults) for side in (one, other)]
            if UNKNOWN not in "".join(sides):
                return text_of(node.body if sides[0] == sides[1] else node.orelse, known, depth, defaults=defaults)
    hosts = [text_of(side, known, depth, defaults=defaults) for side in (node.body, node.orelse)]
    local = [host for host in hosts if host in LOCAL]
    return local[0] if len(local) == 1 and UNKNOWN not in "".join(hosts) else UNKNOWN


def _operated(node: ast.BinOp, known: Mapping[str, str], depth: int, *, defaults: bool) -> str:
    """Evaluate `a + b` and `"%s:%s" % (a, b)`; UNKNOWN for other operators and for numbers."""
    left = text_of(node.left, known, depth, defaults=defaults)
    if isinstance(node.op, ast.Add) and not (_is_number(node.left) or _is_number(node.right)):
        return left + text_of(node.right, known, depth, defaults=defaults)
    if not isinstance(node.op, ast.Mod):
        return UNKNOWN
    pieces = node.right.elts if isinstance(node.right, ast.Tuple) else [node.right]
    for piece in pieces:
        if len(left) > _LONGEST:
            return UNKNOWN
        mark = "%d" if "%d" in left.partition("%s")[0] else "%s"
        left = left.replace(mark, text_of(piece, known, depth, defaults=defaults), 1)
    return left


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int)


def _called(node: ast.Call, known: Mapping[str, str], depth: int, *, defaults: bool) -> str:
    """Evaluate `"{}:{}".format(a, b)`, `str(a)`, and the default of an environment variable."""
    name = last(node.func)
    if name == "format" and isinstance(node.func, ast.Attribute):
        text = text_of(node.func.value, known, depth, defaults=defaults)
        filling = [(str(index), piece) for index, piece in enumerate(node.args)]
        for mark, piece in filling + [(str(word.arg), word.value) for word in node.keywords]:
            if len(text) > _LONGEST:
                return UNKNOWN
            value = text_of(piece, known, depth, defaults=defaults)
            first = text.replace("{}", value, 1) if mark.isdigit() else text
            text = first.replace(f"{{{mark}}}", value)
        return text
    if name == "getattr" and len(node.args) == len(("settings", "NAME", "default")):
        return text_of(node.args[2], known, depth, defaults=defaults)
    if name in ("int", "str") and len(node.args) == 1:
        return text_of(node.args[0], known, depth, defaults=defaults)
    default = keywords(node).get("default") or next(iter(node.args[1:2]), None)
    return text_of(default, known, depth, defaults=defaults) if defaults and name in _READS and default else UNKNOWN
