"""Env files, `.env` and those of `env_file:`, by the rules of Compose's own parser."""

import re

from testbay.manifest.compose.interpolation import InvalidTemplateError, Lookup, UnsetVariableError, interpolate

_SPACE = " \t\v\f\r\x85\xa0"
_EXPORT = re.compile(r"export\s+")
_NAME_CHARACTERS = "_.-[]"
_ESCAPES = re.compile(r'\\(?:[abcfnrtv$"\\]|0\d{0,3})')
_MEANING = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}


class EnvFileError(ValueError):
    """A line of an env file cannot be parsed; the message begins with its number."""


def parse_env(text: str, lookup: Lookup) -> dict[str, str]:
    """Parse the assignments of an env file in order. A bare `NAME` takes the value that `lookup` has.

    Unquoted and double-quoted values may use variables: those of `lookup`, then those assigned above.

    Raises:
        EnvFileError: A line is not an assignment, or a variable it demands has no value.
    """
    found: dict[str, str] = {}

    def value_of(name: str) -> str | None:
        value = lookup(name)
        return value if value is not None else found.get(name)

    rest = text.removeprefix("\ufeff")
    while rest := _statement(rest):
        line = text.count("\n") - rest.count("\n") + 1
        name, inherited, rest = _name(rest, line)
        if inherited:
            value = lookup(name)
        else:
            try:
                value, rest = _assigned(rest, value_of, line)
            except InvalidTemplateError as error:
                raise EnvFileError(f"line {line}: {str(error)!r} is not a valid variable") from None
            except UnsetVariableError as error:
                raise EnvFileError(f"line {line}: it demands the variable {error.name}: {error.message}") from None
        if value is not None:
            found[name] = value
    return found


def parse_raw(text: str) -> dict[str, str]:
    """Parse `format: raw`: one NAME=value per line, without special characters.

    Raises:
        EnvFileError: A line has no `=`.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, assigned, value = line.partition("=")
        if not assigned:
            raise EnvFileError(f"line {number}: not NAME=value")
        found[name.strip()] = value
    return found


def _statement(text: str) -> str:
    """Skip to the next line that is neither empty nor a comment; empty at the end."""
    while (text := text.lstrip()).startswith("#"):
        text = text.partition("\n")[2]
    return text


def _name(text: str, line: int) -> tuple[str, bool, str]:
    """Split off a name; return it, whether it has no value, and the rest."""
    text = _EXPORT.sub("", text, count=1) if _EXPORT.match(text) else text
    end = next((at for at, char in enumerate(text) if char in "=:\n"), len(text))
    name, stop = text[:end].rstrip(), text[end : end + 1]
    strange = next((char for char in name if not (char.isalnum() or char in _NAME_CHARACTERS or char in _SPACE)), "")
    if strange:
        raise EnvFileError(f"line {line}: unexpected character {strange!r} in a variable's name")
    if any(char in _SPACE for char in name):
        raise EnvFileError(f"line {line}: a variable's name has a space in it")
    return name, stop in ("\n", ""), text[end + 1 :].lstrip(_SPACE)


def _assigned(text: str, lookup: Lookup, line: int) -> tuple[str, str]:
    """Split off a value; return it and the rest."""
    if text[:1] in ("'", '"'):
        return _quoted(text, lookup, line)
    value, _, rest = text.partition("\n")
    return interpolate(value.partition(" #")[0].rstrip(), lookup), rest


def _quoted(text: str, lookup: Lookup, line: int) -> tuple[str, str]:
    """Split off a quoted value, which may span lines; return it and the rest."""
    quote, inside, escaped = text[0], "", False
    for at, char in enumerate(text[1:], 1):
        if escaped:
            inside += char if char == quote else "\\" + char
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == quote:
            value = interpolate(_ESCAPES.sub(_unescape, inside), lookup) if quote == '"' else inside
            return value, text[at + 1 :]
        else:
            inside += char
    raise EnvFileError(f"line {line}: a quotation is not closed")


def _unescape(match: re.Match[str]) -> str:
    body = match[0][1:]
    if body == "$":
        return "$$"  # which becomes a dollar when variables are filled in
    if body[0] == "0":
        return chr(int(body[1:], 8)) if re.fullmatch("0[0-3][0-7]{2}", body) else match[0]
    return _MEANING.get(body, match[0])
