"""Expressions, as far as our workflows use them: contexts with dots, `== != && || !`, and seven functions."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

TOKEN = re.compile(
    r"""\s*(?:
    (?P<text>'(?:[^']|'')*')
    |(?P<number>\d+)
    |(?P<name>[A-Za-z_][\w-]*(?:\.(?:[A-Za-z_*][\w-]*))*)
    |(?P<sign>==|!=|&&|\|\||[!(),]))""",
    re.VERBOSE,
)
WHOLE = re.compile(r"\$\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)
STATUS = ("success", "failure", "always", "cancelled")
LITERALS = {"true": True, "false": False, "null": None}

Context = Mapping[str, Any]


class UnknownError(Exception):
    """The stepper does not know this, so it does not pretend to."""


class Loose(dict[str, Any]):
    """A context whose missing keys are null, as `env`, `secrets` and an event's fields are."""


def interpolate(text: str, contexts: Context) -> str:
    """The text with each `${{ … }}` replaced by what it says."""
    if "${{" in WHOLE.sub("", text):
        raise UnknownError(f"an expression without its end: {text}")
    return WHOLE.sub(lambda match: as_text(evaluate(match[1], contexts)), text)


def value(text: Any, contexts: Context) -> Any:
    """What stands in YAML: an expression keeps its type, anything around it makes a string of it."""
    if not isinstance(text, str):
        return text
    whole = WHOLE.fullmatch(text.strip())
    return evaluate(whole[1], contexts) if whole else interpolate(text, contexts)


def condition(text: str, contexts: Context) -> bool:
    """An `if:`; without a status function in it, `success()` is asked as well."""
    whole = WHOLE.fullmatch(text.strip())
    inner = whole[1] if whole else text
    if "${{" in inner:
        raise UnknownError(f"if: {text}: an expression with text around it is always true")
    asks = re.search(rf"\b(?:{'|'.join(STATUS)})\(", inner)
    return bool(evaluate(inner if asks else f"success() && ({inner})", contexts))


def as_text(found: Any) -> str:
    if found is None:
        return ""
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, str | int):
        return str(found)
    raise UnknownError(f"{found!r} as text")


def evaluate(text: str, contexts: Context) -> Any:
    """The value of one expression, without its braces."""
    parser = _Parser(text, contexts)
    found = parser.either()
    if parser.tokens:
        raise UnknownError(f"expression: {text.strip()}: at {parser.tokens[0][1]}")
    return found


class _Parser:
    """Reads and computes in one go: nothing here has an effect, so both sides of `&&` may be computed."""

    def __init__(self, text: str, contexts: Context) -> None:
        self.contexts = contexts
        self.tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            match = TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise UnknownError(f"expression: {text.strip()}: at {text[position:].strip()}")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            position = match.end()

    def _next(self, *signs: str) -> str:
        """The next token if it is one of these signs, else nothing."""
        if self.tokens and self.tokens[0][0] == "sign" and self.tokens[0][1] in signs:
            return self.tokens.pop(0)[1]
        return ""

    def either(self) -> Any:
        left = self.both()
        while self._next("||"):
            right = self.both()
            left = left or right
        return left

    def both(self) -> Any:
        left = self.compared()
        while self._next("&&"):
            right = self.compared()
            left = left and right
        return left

    def compared(self) -> Any:
        left = self.single()
        if not (sign := self._next("==", "!=")):
            return left
        return _equal(left, self.single()) == (sign == "==")

    def single(self) -> Any:
        if self._next("!"):
            return not self.single()
        if self._next("("):
            found = self.either()
            self._close()
            return found
        if not self.tokens or self.tokens[0][0] == "sign":
            raise UnknownError("expression: something is missing in it")
        kind, text = self.tokens.pop(0)
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return int(text)
        return self._call(text) if self._next("(") else self._context(text)

    def _close(self) -> None:
        if not self._next(")"):
            raise UnknownError("expression: a parenthesis without its end")

    def _call(self, name: str) -> Any:
        functions: dict[str, Callable[..., Any]] = {"join": _join, "fromJSON": json.loads, "toJSON": _json}
        functions |= {status: self.contexts.get("status", {}).get(status) for status in STATUS}
        if functions.get(name) is None:
            raise UnknownError(f"expression: the function {name}()")
        arguments = []
        while not self._next(")"):
            arguments.append(self.either())
            if not self._next(","):
                self._close()
                break
        return functions[name](*arguments)

    def _context(self, path: str) -> Any:
        if path in LITERALS:
            return LITERALS[path]
        found: Any = self.contexts
        for part in path.split("."):
            found = _step(found, part, path)
        return found


def _step(found: Any, part: str, path: str) -> Any:
    if found is None:
        return None
    if part == "*" and isinstance(found, dict):
        return list(found.values())
    if isinstance(found, list):
        return [_step(item, part, path) for item in found]
    if isinstance(found, Loose):
        inner = found.get(part)
        return Loose(inner) if isinstance(inner, dict) else inner
    if not isinstance(found, Mapping) or part not in found or part == "status":
        raise UnknownError(f"expression: {path} is not known here")
    return found[part]


def _equal(left: Any, right: Any) -> bool:
    """Strings are compared without regard to case; null and the empty string are equal."""
    left, right = ("" if side is None else side for side in (left, right))
    if type(left) is not type(right) or isinstance(left, dict | list):
        raise UnknownError(f"expression: {left!r} compared with {right!r}")
    return bool(left.lower() == right.lower() if isinstance(left, str) else left == right)


def _join(items: Any, separator: str = ",") -> str:
    return separator.join(map(as_text, items)) if isinstance(items, list) else as_text(items)


def _json(found: Any) -> str:
    return json.dumps(found, indent=2)
