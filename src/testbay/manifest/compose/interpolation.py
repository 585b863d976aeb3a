"""Interpolation of variables in texts of compose files and env files, by Compose's rules."""

import re
from collections.abc import Callable

Lookup = Callable[[str], str | None]

_NESTING = 100
MOST_CHARACTERS = 1_000_000
# What a `$` begins; before anything else it is only a dollar. After an operator the word goes on to the closing brace,
# which a nested variable moves.
_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?P<op>:?[-?+]|(?=\}))|\{)", re.ASCII
)
_BRACE = re.compile(r"\$\{|\}")


class UnsetVariableError(ValueError):
    """A variable required with `?` has no value."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name)
        self.name = name
        self.message = message


class InvalidTemplateError(ValueError):
    """A `${` that begins no variable."""


class OversizedTextError(ValueError):
    """A text becomes too long when its variables are filled in, or they are nested too deeply."""


def interpolate(text: str, lookup: Lookup) -> str:
    """Fill in `${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:?message}`, `${VAR:+other}` and `$$`.

    A default, message or other may hold variables again, and these are filled in whether or not it is used.

    Raises:
        UnsetVariableError: A variable is demanded and has no value.
        InvalidTemplateError: A brace behind a dollar begins no variable.
        OversizedTextError: It gets longer than a file may be, or is nested deeper than anything that is meant.
    """
    if "$" not in text:
        return text
    done, position = "", 0
    while match := _VARIABLE.search(text, position):
        done += text[position : match.start()]
        if len(done) > MOST_CHARACTERS:
            raise OversizedTextError(f"variables make more than {MOST_CHARACTERS} characters of one text")
        position = match.end()
        if match["escaped"] or match["plain"]:
            done += "$" if match["escaped"] else lookup(match["plain"]) or ""
            continue
        end = _closing_brace(text, position) if match["name"] else -1
        if end < 0:
            raise InvalidTemplateError(text)
        word = interpolate(text[position:end], lookup)
        done += _value(match["name"], match["op"], word, lookup)
        position = end + 1
    return done + text[position:]


def names_in(text: str) -> set[str]:
    """The variables that a text mentions."""
    return set(re.findall(r"\$\{?([A-Za-z_]\w*)", text, re.ASCII)) if "$" in text else set()


def _closing_brace(text: str, position: int) -> int:
    """Find the brace that closes the variable whose content begins at `position`; -1 without one."""
    open_braces = 1
    for brace in _BRACE.finditer(text, position):
        open_braces += 1 if brace[0] == "${" else -1
        if open_braces > _NESTING:
            raise OversizedTextError(f"variables are nested more than {_NESTING} deep")
        if not open_braces:
            return brace.start()
    return -1


def _value(name: str, op: str, word: str, lookup: Lookup) -> str:
    value = lookup(name)
    present = bool(value) if op.startswith(":") else value is not None
    if op.endswith("+"):
        return word if present else ""
    if present:
        return value or ""
    if op.endswith("?"):
        raise UnsetVariableError(name, word)
    return word if op else ""
