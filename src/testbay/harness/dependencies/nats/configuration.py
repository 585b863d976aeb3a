"""Reading a nats-server configuration: its top-level entries, as they are written and as values.

Grammar: https://docs.nats.io/running-a-nats-service/configuration (JSON with comments, `=`, `:` or a blank between key
and value, quotes left out where nothing is ambiguous, `include FILE`).
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

_SKIPPED = re.compile(r"(?:[\s,;]+|#[^\n]*|//[^\n]*)*")
_KEY = re.compile(r"\"([^\"]*)\"|'([^']*)'|([^\s=:{\[\"']+)")
_SEPARATOR = re.compile(r"[ \t\r\n]*(?:[=:][ \t\r\n]*)?")
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'([^']*)'", re.DOTALL)
_BLOCK = re.compile(r"\(\s*\n(.*?)\n\s*\)", re.DOTALL)
_BARE = re.compile(r"[^\s;,}\]]*")  # `//` and `#` begin a comment only behind a blank: routes = [nats://n2:6222]
_NESTING = 20


class UnreadableError(Exception):
    """The text is not a configuration that this parser understands."""


class Setting(NamedTuple):
    """A top-level key, its value, and the text of the entry."""

    key: str
    value: Any
    text: str


def entries(text: str) -> list[Setting]:
    """Each top-level entry in order.

    Raises:
        UnreadableError: It does not follow the grammar.
    """
    text = _without_braces(text)
    reader = _Reader(text)
    found = []
    while not reader.at_end():
        begin = reader.at
        key, value = reader.entry(0)
        found.append(Setting(key, value, text[begin : reader.at].strip().rstrip(",;")))
    return found


def with_includes(text: str, read: Callable[[str], str]) -> str:
    """Put what `read` returns for each included file in the place of its `include`, which may stand in any block.

    Raises:
        UnreadableError: It does not follow the grammar.
    """
    text = _without_braces(text)
    reader = _Reader(text)
    while not reader.at_end():
        reader.entry(0)
    for begin, end, name in reversed(reader.includes):
        text = f"{text[:begin]}{read(name)}\n{text[end:]}"
    return text


def _without_braces(text: str) -> str:
    """The entries of a text that is one JSON object; blanks keep the numbers of its lines."""
    opening = _SKIPPED.match(text)
    begin, end = opening.end() if opening else 0, len(text.rstrip()) - 1
    return f"{text[:begin]} {text[begin + 1 : end]}" if text[begin : begin + 1] == "{" and text[end] == "}" else text


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0
        self.includes: list[tuple[int, int, str]] = []  # begin and end of the entry, and the file
        self._skip()

    def at_end(self) -> bool:
        return self.at >= len(self._text)

    def _skip(self) -> None:
        match = _SKIPPED.match(self._text, self.at)
        self.at = match.end() if match else self.at

    def _take(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        match = pattern.match(self._text, self.at)
        if match is None:
            line = self._text.count("\n", 0, self.at) + 1
            raise UnreadableError(f"line {line}: {what} is expected")
        self.at = match.end()
        return match

    def entry(self, depth: int) -> tuple[str, Any]:
        begin = self.at
        key = next(part for part in self._take(_KEY, "a key").groups() if part is not None)
        self._take(_SEPARATOR, "a value")
        value = self._value(depth)
        if key == "include":
            self.includes.append((begin, self.at, str(value)))
        self._skip()
        return key, value

    def _value(self, depth: int) -> Any:
        if depth > _NESTING:
            raise UnreadableError(f"more than {_NESTING} levels of nesting")
        opening = self._text[self.at : self.at + 1]
        if opening == "{":
            return self._mapping(depth)
        if opening == "[":
            return self._list(depth)
        if opening in ('"', "'"):
            quoted = self._take(_QUOTED, "a closing quote")
            return quoted[2] if quoted[1] is None else re.sub(r"\\(.)", r"\1", quoted[1])
        if opening == "(":
            return self._take(_BLOCK, "a closing parenthesis")[1]
        return self._take(_BARE, "a value")[0]

    def _mapping(self, depth: int) -> dict[str, Any]:
        found = {}
        self.at += 1
        self._skip()
        while not self._text.startswith("}", self.at):
            key, found_value = self.entry(depth + 1)
            found[key] = found_value
        self.at += 1
        return found

    def _list(self, depth: int) -> list[Any]:
        found = []
        self.at += 1
        self._skip()
        while not self._text.startswith("]", self.at):
            before = self.at
            found.append(self._value(depth + 1))
            self._skip()
            if self.at == before:
                raise UnreadableError("a list is not closed")
        self.at += 1
        return found
