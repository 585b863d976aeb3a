"""Running a command of the manifest (`migrate`, `start`): directly, or in a shell where it uses shell syntax."""

import os
import re
import shlex
import shutil
import site
import sys
from collections.abc import Mapping
from pathlib import Path

_BUILTINS = (".", "cd", "eval", "exec", "export", "if", "for", "set", "source", "while")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_TOKEN = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*"|.""", re.DOTALL)  # an escape, a quoted part, or a character
_SPECIAL = frozenset("|&;<>()$`*?\n")
_LIVE_IN_QUOTES = frozenset("$`")  # a shell replaces these between double quotes too
_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z][\w.]*)\}")


def needs_shell(command: str) -> bool:
    """Return whether a command uses shell syntax: `&&`, `|`, `$X`, `VAR=x cmd`, `cd` or a wildcard."""
    first = command.split(maxsplit=1)[0]
    if first in _BUILTINS or _ASSIGNMENT.match(first) or re.search(r"(?:^|\s)~[/\w]*(?:\s|$)", command):
        return True
    return any(map(_is_special, _TOKEN.findall(command)))


def _is_special(token: str) -> bool:
    if token[0] in "\\'":
        return False
    return not (_LIVE_IN_QUOTES if token[0] == '"' else _SPECIAL).isdisjoint(_ESCAPED.sub("", token))


def argv(command: str, values: Mapping[str, str], path: str) -> list[str]:
    """The argv of a command. `{NAME}` is replaced by that name's value; other braces stay.

    A shell stops at the first failing command, also inside a pipe: a later command would hide the failure.
    """
    if not needs_shell(command):
        words = [filled(word, values) for word in shlex.split(command)]
        return [_python(path), *words[1:]] if words[0] in ("python", "python3") else words
    whole = _PLACEHOLDER.sub(lambda at: shlex.quote(values[at[1]]) if at[1] in values else at[0], command)
    if bash := shutil.which("bash", path=path):
        return [bash, "-e", "-o", "pipefail", "-c", whole]
    return ["/bin/sh", "-e", "-c", whole]


def search_path(folder: str, given: str | None) -> str:
    """The PATH with an environment's folder of programs first; last, where `pip install --user` puts them."""
    is_own = folder == str(Path(sys.executable).parent)
    users = [f"{site.getuserbase()}/bin"] if is_own and site.ENABLE_USER_SITE else []
    return os.pathsep.join([folder, given or os.defpath, *users])


def _python(path: str) -> str:
    """Find the first Python on the PATH, under any of its names; by default the one that runs testbay.

    The environment's folder is the first, or the second behind newer clients of PostgreSQL.
    """
    for folder in path.split(os.pathsep)[:2]:
        if folder == str(Path(sys.executable).parent):
            return sys.executable
        if found := shutil.which("python", path=folder) or shutil.which("python3", path=folder):
            return found
    return sys.executable


def names_in(command: str) -> list[str]:
    """List each NAME of `{NAME}` in a command."""
    return _PLACEHOLDER.findall(command)


def filled(text: str, values: Mapping[str, str]) -> str:
    """Replace each `{NAME}` in a text by its value; unknown names stay."""
    return _PLACEHOLDER.sub(lambda at: values.get(at[1], at[0]), text)
