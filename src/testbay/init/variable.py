"""One variable of the environment that a program reads, and what a syntax tree says of it."""

import ast
import re
from dataclasses import dataclass

# What a type takes, by a pattern of its name; the first that fits.
_SAMPLES = {
    r"\b([Ll]ist|([Ff]rozen)?[Ss]et|[Tt]uple|Sequence)\b": "[]",
    r"\b([Dd]ict|Mapping|json|Json)\b": "{}",
    r"Email": "test@example.com",
    r"[Uu]rl": "http://localhost:9",
    r"\bbool\b": "true",
    r"\bint\b|Int\b|\bfloat\b|Float\b|Decimal|timedelta": "1",
    r"Path\b": ".",
    r"UUID": "00000000-0000-4000-8000-000000000000",
    r"datetime": "2026-01-01T00:00:00Z",
}


@dataclass(frozen=True, kw_only=True)
class Read:
    """A variable; `required` when the program does not start without it, `sample` a value that its type takes.

    `target` is the name that its value gets, `client` the server whose client is made with it, where that is seen.
    `short` is its name without a prefix that is the project's own; with `is_json` its value is a list in JSON.
    """

    name: str
    default: str
    required: bool
    where: str
    sample: str = "test"
    target: str = ""
    client: str = ""
    short: str = ""
    is_json: bool = False


def sample_of(kind: str) -> str:
    """A value for a type, by its name; the first of a Literal."""
    if literal := re.search(r"Literal\[['\"]([^'\"]*)", kind):
        return literal[1]
    return next((sample for pattern, sample in _SAMPLES.items() if re.search(pattern, kind)), "test")


def text_of(node: ast.expr) -> str:
    """The text of a literal; empty for another thing."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def last(node: ast.expr) -> str:
    """The last name of a dotted one."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
