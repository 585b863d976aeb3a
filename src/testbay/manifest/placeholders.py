"""`{name}` in what a check sends: checked when the manifest is read, filled in when it is sent.

Doubled braces and braces around anything but a name are left alone: `{{ input.name }}` and `{"a": 1}` stay.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote

_NAME = re.compile(r"(?<!\{)\{([A-Za-z_]\w*(?:\.\w+)?)\}(?!\})")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
SECRET = "secret."  # noqa: S105 - of `{secret.NAME}`


def names_in(value: Any) -> set[str]:
    """Every name in a text, or in a table's or list's texts."""
    if isinstance(value, str):
        return set(_NAME.findall(value))
    if isinstance(value, Mapping):
        return names_in([*value.keys(), *value.values()])
    if isinstance(value, list | tuple):
        return {name for part in value for name in names_in(part)}
    return set()


def unknown(value: Any, known: Iterable[str]) -> str:
    """Say why a placeholder can never be filled in; empty if each can."""
    for name in sorted(names_in(value) - set(known)):
        if not name.startswith(SECRET):
            said = ", ".join([*(f"{{{name}}}" for name in sorted(known)), "{secret.NAME}"])
            return f"nothing is called {{{name}}} here; known: {said}"
    return ""


def filled(value: Any, of: Callable[[str], Any]) -> Any:
    """Replace every name in a value. A text that consists of one name becomes the value itself, with its type."""
    if isinstance(value, str):
        whole = _NAME.fullmatch(value)
        return of(whole[1]) if whole else _NAME.sub(lambda found: str(of(found[1])), value)
    if isinstance(value, Mapping):
        return {filled_text(key, of): filled(part, of) for key, part in value.items()}
    return [filled(part, of) for part in value] if isinstance(value, list | tuple) else value


def filled_headers(headers: Mapping[str, str], of: Callable[[str], Any]) -> dict[str, str]:
    """Replace every name in headers, of which each is a text."""
    return {filled_text(name, of): filled_text(value, of) for name, value in headers.items()}


def filled_text(value: str, of: Callable[[str], Any]) -> str:
    """Replace every name in a text."""
    return _NAME.sub(lambda found: str(of(found[1])), value)


def filled_path(path: str, of: Callable[[str], Any]) -> str:
    """Replace every name in a path; values are quoted, except for `{each}`, which may have slashes."""
    return _NAME.sub(lambda f: str(of(f[1])) if f[1] == "each" else quote(str(of(f[1])), safe=""), path)


def with_environment(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """Replace every `${NAME}` by the environment's value; also return the absent or empty names."""
    absent = [name for name in variables(text) if not environ.get(name, "").strip()]
    return _VARIABLE.sub(lambda found: environ.get(found[1], "").strip(), text), absent


def variables(text: str) -> list[str]:
    """The NAME of every `${NAME}`."""
    return _VARIABLE.findall(text)
