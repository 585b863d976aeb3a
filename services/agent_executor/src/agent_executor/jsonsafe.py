"""JSON that PostgreSQL, checkpoints and every JSON parser will take back: bounded numbers and depth, clean text."""

import json
import math
from typing import Any, TypeVar

T = TypeVar("T")

MAX_DEPTH = 64
MAX_INTEGER = 2**63  # checkpoints are stored as MessagePack, which knows no larger ones


def loads(raw: bytes) -> Any:
    """Parse strictly; any fault is a ValueError that says what is wrong."""
    try:
        return storable(json.loads(raw.decode("utf-8"), parse_constant=_no_constant))
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None


def storable(value: T) -> T:
    """Return the value unchanged if all of it can be stored, else raise ValueError."""
    pending: list[tuple[Any, int]] = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(item, dict):
            pending += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            pending += [(part, depth + 1) for part in item]
        elif isinstance(item, str):
            _check_text(item)
        elif isinstance(item, int | float):
            _check_number(item)
    return value


def clean_text(text: str) -> str:
    """Make text from a model storable: PostgreSQL refuses NUL, UTF-8 refuses lone surrogates."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON; never writes NaN or Infinity."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValueError("a string contains the NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a string contains an unpaired surrogate") from None


def _check_number(number: float) -> None:
    if isinstance(number, int):
        if not -MAX_INTEGER <= number < MAX_INTEGER:
            raise ValueError("an integer does not fit into 64 bits")
    elif not math.isfinite(number):
        raise ValueError("a number is not finite")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
