"""The first error in the output of psql."""

import re

from testbay.errors import BayError, EngineUnavailableError

_COMPLAINT = re.compile(r"^psql:(?P<file>.+?):(?P<line>\d+): (?:ERROR|FATAL|error):\s+(?P<message>.*)$", re.MULTILINE)


def first(output: str) -> re.Match[str] | None:
    """Find the first error with its `file`, `line` and `message`."""
    return _COMPLAINT.search(output)


def first_message(output: str) -> str:
    """Return the message of the first error, else psql's first line."""
    place = first(output)
    return place["message"] if place else output.strip().partition("\n")[0]


_MISSING_EXTENSION = re.compile(
    r"extension \"(?P<name>[^\"]+)\" is not available"
    r"|could not open extension control file .*/(?P<file>[\w-]+)\.control"
)


def lacking_extension(what: str, output: str) -> BayError | None:
    """The error for a missing extension that `what` needs; None if the failure has another reason."""
    lacking = _MISSING_EXTENSION.search(output)
    return _without_extension(what, lacking["name"] or lacking["file"], output) if lacking else None


_CONTRIB = re.compile(  # what PostgreSQL's own source brings
    "amcheck|bloom|btree_gin|btree_gist|citext|cube|dblink|dict_int|dict_xsyn|earthdistance|fuzzystrmatch|hstore|intarray"
    "|isn|lo|ltree|pageinspect|pg_buffercache|pg_prewarm|pg_stat_statements|pg_trgm|pgcrypto|pgrowlocks|pgstattuple"
    "|postgres_fdw|seg|sslinfo|tablefunc|tcn|unaccent|uuid-ossp|xml2"
)


def _without_extension(migration: str, name: str, output: str) -> BayError:
    # An added server runs only for an image of its own major version.
    added = "`testbay servers add` with the compose file's image and version (such as postgres:17), whose server has it"
    ways = [
        *([added] if _CONTRIB.fullmatch(name) else []),
        "an image that has it, with --engine compose",
        "or install it for a PostgreSQL of this system (`testbay explain troubleshooting`)",
    ]
    return EngineUnavailableError(
        f"this PostgreSQL server has no extension {name!r}, which {migration} asks for",
        why="the migration is right: the server that runs here came without it",
        todo="; ".join(ways),
        evidence=output.strip()[:4000],
    )
