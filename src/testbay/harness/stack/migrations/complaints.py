"""The first error in the output of psql."""

import re

from testbay.errors import BayError, EngineUnavailableError, MigrationError

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
# A name that is a locale's, of the C library or of ICU; any other collation's is the migration's own business.
_LOCALE = r"\"(?P<{}>[a-z]{{2,3}}[_-][\w.@-]+|unicode)\""
_MISSING_LOCALE = re.compile(
    rf"collation {_LOCALE.format('collation')} for encoding \"\w+\" does not exist"
    rf"|invalid (?:LC_\w+ )?locale name: {_LOCALE.format('name')}"
    rf"|could not create locale {_LOCALE.format('made')}"
)
_NO_ICU = "ICU is not supported in this build"
# What the migrations of a project use without CREATE EXTENSION, as its image runs that by itself.
_MADE_BY_THE_IMAGE = {
    "postgis": re.compile(
        r"type \"(?:geometry|geography)\" does not exist"
        r"|function (?:\w+\.)?(?:st_\w+|addgeometrycolumn)\(.*\) does not exist"
    ),
    "timescaledb": re.compile(
        r"function (?:\w+\.)?(?:create_hypertable|time_bucket|add_\w+_policy)\(.*\) does not exist"
    ),
    "citus": re.compile(r"function (?:\w+\.)?create_(?:distributed|reference)_table\(.*\) does not exist"),
}
# An added server runs only for an image of its own major version.
_ADDED = "`testbay servers add` with the compose file's image and version (such as postgres:17), whose server has it"
_ON_COMPOSE = "an image that has it, with --engine compose"


def lacking(what: str, output: str) -> BayError | None:
    """The error for what this machine's server lacks and `what` needs; None if the failure has another reason."""
    if extension := _MISSING_EXTENSION.search(output):
        return _without_extension(what, extension["name"] or extension["file"], output)
    if _NO_ICU in output:
        said = f"this PostgreSQL server has no ICU, which {what} asks for"
        return _without(said, f"{_ADDED}; or {_ON_COMPOSE}", output)
    if locale := _MISSING_LOCALE.search(output):
        name = next(filter(None, locale.groups()))
        ways = [f"{_ADDED}; or"] if name.endswith("-x-icu") or name == "unicode" else [f"`sudo locale-gen {name}`; or"]
        said = f"this PostgreSQL server has no locale {name!r}, which {what} asks for"
        return _without(said, " ".join([*ways, _ON_COMPOSE]), output)
    used = next((name for name, pattern in _MADE_BY_THE_IMAGE.items() if pattern.search(output)), "")
    return _not_made(used, what, output) if used else None


_CONTRIB = re.compile(  # what PostgreSQL's own source brings
    "amcheck|bloom|btree_gin|btree_gist|citext|cube|dblink|dict_int|dict_xsyn|earthdistance|fuzzystrmatch|hstore|intarray"
    "|isn|lo|ltree|pageinspect|pg_buffercache|pg_prewarm|pg_stat_statements|pg_trgm|pgcrypto|pgrowlocks|pgstattuple"
    "|postgres_fdw|seg|sslinfo|tablefunc|tcn|unaccent|uuid-ossp|xml2"
)


def _without_extension(migration: str, name: str, output: str) -> BayError:
    ways = [
        *([_ADDED] if _CONTRIB.fullmatch(name) else []),
        _ON_COMPOSE,
        "or install it for a PostgreSQL of this system (`testbay explain troubleshooting`)",
    ]
    said = f"this PostgreSQL server has no extension {name!r}, which {migration} asks for"
    return _without(said, "; ".join(ways), output)


def _without(said: str, todo: str, output: str) -> BayError:
    return EngineUnavailableError(
        said,
        why="the migration is right: the server that runs here came without it",
        todo=todo,
        evidence=output.strip()[:4000],
    )


def _not_made(extension: str, migration: str, output: str) -> BayError:
    return MigrationError(
        f"{migration} uses the extension {extension!r}, which this database does not have",
        why="an image of that name makes it in the database by itself, other servers do not",
        todo=f"say CREATE EXTENSION IF NOT EXISTS {extension} in a migration; if this server lacks it: {_ON_COMPOSE}",
        evidence=output.strip()[:4000],
    )
