"""The first error in the output of psql."""

import re

from testbay.errors import BayError, EngineUnavailableError

_COMPLAINT = re.compile(r"^psql:(?P<file>.+?):(?P<line>\d+): (?:ERROR|FATAL|error):\s+(?P<message>.*)$", re.MULTILINE)


def first(said: str) -> re.Match[str] | None:
    """Find the first error with its `file`, `line` and `message`."""
    return _COMPLAINT.search(said)


def first_message(said: str) -> str:
    """Return the message of the first error, else psql's first line."""
    place = first(said)
    return place["message"] if place else said.strip().partition("\n")[0]


_MISSING_EXTENSION = re.compile(
    r"extension \"(?P<name>[^\"]+)\" is not available"
    r"|could not open extension control file .*/(?P<file>[\w-]+)\.control"
)


def lacking_extension(what: str, said: str) -> BayError | None:
    """The error of a server without an extension that `what` asks for; None when something else was wrong."""
    lacking = _MISSING_EXTENSION.search(said)
    return _without_extension(what, lacking["name"] or lacking["file"], said) if lacking else None


def _without_extension(migration: str, name: str, said: str) -> BayError:
    return EngineUnavailableError(
        f"this PostgreSQL server has no extension {name!r}, which {migration} asks for",
        why="the migration is right: the server that runs here came without it",
        todo="--engine compose with an image that has it, `testbay servers add postgres:17` (its server has uuid-ossp, "
        "pgcrypto and their like), or install it for a PostgreSQL of this system (`testbay explain troubleshooting`)",
        evidence=said.strip()[:4000],
    )
