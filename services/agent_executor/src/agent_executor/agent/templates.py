"""`{{ input.name }}` and `{{ outputs.node_id }}`: values by path, no code, nothing else."""

import json
import re
from collections.abc import Iterator
from typing import Any

from agent_executor.errors import JobFailedError

PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
MAX_CHARS = 2 << 20  # of the values in one node
MAX_DIGITS = 9  # of an index: no list is longer, and Python refuses to read thousands of digits
PATH = re.compile(r"^(input|outputs)(\.[A-Za-z0-9_-]+)*$")


def bad_placeholders(value: Any) -> Iterator[str]:
    """Every placeholder in a string (or anywhere inside a JSON value) that could never be resolved."""
    if isinstance(value, str):
        yield from (path for path in PLACEHOLDER.findall(value) if not PATH.fullmatch(path))
    elif isinstance(value, dict):
        for part in value.values():
            yield from bad_placeholders(part)
    elif isinstance(value, list):
        for part in value:
            yield from bad_placeholders(part)


class Budget:
    """The length that values may have: one large input that is named a thousand times must not fill the memory."""

    def __init__(self) -> None:
        self._left = MAX_CHARS

    def spend(self, value: Any) -> str:
        """The value as text, as long as the budget lasts."""
        text = as_text(value)
        self._left -= len(text)
        if self._left < 0:
            raise JobFailedError("output_too_large", f"the values of a node have more than {MAX_CHARS} characters")
        return text


def render(template: str, scope: dict[str, Any], budget: Budget | None = None) -> str:
    """Fill a template; values that are not text appear as JSON."""
    budget = budget or Budget()
    return PLACEHOLDER.sub(lambda match: budget.spend(lookup(match.group(1), scope)), template)


def fill(value: Any, scope: dict[str, Any], budget: Budget | None = None) -> Any:
    """Fill every string in a JSON value; one that is a single placeholder keeps the value's type."""
    budget = budget or Budget()
    if isinstance(value, str):
        whole = PLACEHOLDER.fullmatch(value)
        if whole is None:
            return render(value, scope, budget)
        found = lookup(whole.group(1), scope)
        budget.spend(found)
        return found
    if isinstance(value, dict):
        return {key: fill(part, scope, budget) for key, part in value.items()}
    if isinstance(value, list):
        return [fill(part, scope, budget) for part in value]
    return value


def lookup(path: str, scope: dict[str, Any]) -> Any:
    """The value at a dotted path, or JobFailedError naming the path."""
    found, value = find(path, scope)
    if not found:
        raise JobFailedError("value_missing", f"there is no value at '{path}'", path=path)
    return value


def find(path: str, scope: Any) -> tuple[bool, Any]:
    """Walk a dotted path through objects and lists; (False, None) where it leads nowhere."""
    value = scope
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and len(step) <= MAX_DIGITS and int(step) < len(value):
            value = value[int(step)]
        else:
            return False, None
    return True, value


def as_text(value: Any) -> str:
    """Text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
