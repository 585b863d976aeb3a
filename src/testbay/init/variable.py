"""One variable of the environment that a program reads, and what a syntax tree says of it."""

import ast
from dataclasses import dataclass

# What a type takes, by a word of its name; the first that fits.
_SAMPLES = {
    "Email": "test@example.com",
    "Url": "http://localhost:9",
    "url": "http://localhost:9",
    "bool": "true",
    "int": "1",
    "Int": "1",
    "float": "1",
    "list": "[]",
    "set": "[]",
    "tuple": "[]",
    "dict": "{}",
    "json": "{}",
}


@dataclass(frozen=True, kw_only=True)
class Read:
    """A variable; `required` when the program does not start without it, `sample` a value that its type takes."""

    name: str
    default: str
    required: bool
    where: str
    sample: str = "test"


def sample_of(kind: str) -> str:
    """A value for a type, by its name."""
    return next((sample for word, sample in _SAMPLES.items() if word in kind), "test")


def text_of(node: ast.expr) -> str:
    """The text of a literal; empty for another thing."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def last(node: ast.expr) -> str:
    """The last name of a dotted one."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
