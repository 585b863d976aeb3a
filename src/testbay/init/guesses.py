"""Values of the variables that a program does not start without."""

import ast
import re
from collections.abc import Iterator, Mapping

from testbay.init import dotenv
from testbay.init.project import Finding, Project
from testbay.init.variable import MODULE, WORDS, Read, sample_of

_OF_TESTS = re.compile(r"Test\w*(Config|Configuration|Settings)$")
_ENGINE = "django.db.backends.postgresql"


def needed_to_start(read: Read, project: Project, given: Mapping[str, tuple[str, str]]) -> Iterator[Finding]:
    """Make a value by an example, by what the compose file has `given` the program, else by a guess."""
    text, file = project.examples.get(read.name, ("", ""))
    if text and dotenv.is_ignored(project.root, file):  # such as a .env.test with keys of the developer's own
        text, file = "", ""
    said, where = given.get(read.name, ("", ""))
    if not text and "://" not in said:  # a host there is one that only containers know
        text, file = said, where
    value = quoted(text) if text else _guess(read, project)
    if value:
        yield Finding(key=read.name, value=value, source=f"{read.where} has no default, {file or 'a guess'}")


def stand_in(read: Read, project: Project, given: Mapping[str, tuple[str, str]]) -> Iterator[Finding]:
    """Name PostgreSQL to a program that takes SQLite until a variable, such as SQL_ENGINE, says otherwise."""
    words = set(read.name.upper().split("_"))
    if "sqlite" in read.default and WORDS["postgres"] & words and words & {"ENGINE", "BACKEND", "DRIVER", "TYPE"}:
        said = [project.example(read.name), given.get(read.name, ("", ""))[0]]
        usual = _ENGINE if read.default.startswith("django.") else ""
        if value := next((text for text in (*said, usual) if "postg" in text or "psycopg" in text), ""):
            yield Finding(key=read.name, value=quoted(value), source=f"{read.where} takes SQLite without it")


def _guess(read: Read, project: Project) -> str:
    """A value that lets the program start: of the variable's type, and for the hosts it answers to any.

    Empty where it is a module or class, and the program has none for tests.
    """
    if read.sample == MODULE:
        classes = (
            f"{project.module(source.path)}.{node.name}"
            for source in project.code
            for node in source.of(ast.ClassDef)
            if _OF_TESTS.match(node.name)
        )
        return f'"{name}"' if (name := next(classes, "")) else ""
    words = set(read.name.upper().split("_"))
    if "ALGORITHM" in words:
        return '"HS256"'  # of JSON web tokens, which refuse an unknown one
    if read.name.upper().endswith("ALLOWED_HOSTS"):
        return "'[\"*\"]'" if read.is_json else '"*"'
    if read.sample == "test" and read.name.upper().endswith(("_URL", "_URI", "_ENDPOINT")):
        return quoted(sample_of("Url"))  # a client of HTTP refuses another word
    return quoted(_ENGINE if {"DB", "DATABASE", "SQL"} & words and "ENGINE" in words else read.sample)


def quoted(text: str) -> str:
    """Write a text as TOML does, without what would have to be escaped."""
    safe = "".join(c for c in text if c.isprintable() and c not in '"\\')
    return f'"{safe}"'
