"""The variables of libpq, for a program that connects to PostgreSQL without an address: `psycopg.connect()`."""

import ast

from testbay.init.project import Finding, Project
from testbay.init.syntax import calls, keywords, last, owner, text_of

_PARTS = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "db"}
_DRIVERS = ("psycopg", "psycopg2", "asyncpg", "AsyncConnection", "Connection")
_LEADING = {"host", "hostaddr", "dsn", "conninfo", "service", "dbname", "database"}


def variables(project: Project) -> list[Finding]:
    """Make a line for each variable, with the place of the first such call; none where every call has an address."""
    places = (
        f"{source.path}:{call.lineno} names no address"
        for source in [*project.code, *project.tests]
        for call in calls(source.nodes)
        if _is_bare(call)
    )
    place = next(places, "")
    lines = [Finding(key=name, value=f'"{{postgres.{part}}}"', source=place) for name, part in _PARTS.items()]
    return lines if place else []


def _is_bare(call: ast.Call) -> bool:
    """Return whether a driver connects with `""` or nothing in place of an address."""
    connects = owner(call) in _DRIVERS and last(call.func) in ("connect", "create_pool")
    unpacks = any(word.arg is None for word in call.keywords)
    empty = all(isinstance(part, ast.Constant) and not text_of(part) for part in call.args)
    return connects and empty and not unpacks and not _LEADING & keywords(call).keys()
