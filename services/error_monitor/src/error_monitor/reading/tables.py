"""Tables whose rows are found by a line's first character: most rows are left at once."""

import string
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

DIGITS, LOWER, UPPER = string.digits, string.ascii_lowercase, string.ascii_uppercase


class Row(Protocol):
    """A row; `first` holds the characters that a line of it can begin with."""

    @property
    def first(self) -> str: ...


R = TypeVar("R", bound=Row)


def by_first(rows: Iterable[R]) -> Mapping[str, tuple[R, ...]]:
    """The rows by each character, in their order."""
    found: dict[str, tuple[R, ...]] = {}
    for row in rows:
        for char in set(row.first):
            found[char] = (*found.get(char, ()), row)
    return found
