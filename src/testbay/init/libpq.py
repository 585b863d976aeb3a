"""The variables of libpq, for a program that connects to PostgreSQL without an address: `psycopg.connect()`."""

import ast
import re
from collections.abc import Iterator

from testbay.init.addresses import OF_PEEWEE, FixedAddress
from testbay.init.insisted import CREATES
from testbay.init.project import Finding, Project, Source
from testbay.init.syntax import calls, keywords, last, owner, text_of

_PARTS = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "db"}
_DRIVERS = ("psycopg", "psycopg2", "asyncpg", "AsyncConnection", "Connection")
_LEADING = {"host", "hostaddr", "dsn", "conninfo", "service"}
_MAINTENANCE = ("postgres", "template1")
_PROGRAMS = re.compile(r"(?:\S*/)?(psql|createdb|dropdb|pg_dump|pg_restore|pg_isready)(\s|$)")
_NAMED = re.compile(r"://|host(addr)?=|service=|'-h'|'--host|\s-h\s|--host")


def variables(project: Project) -> list[Finding]:
    """Make a line for each variable, with the place of the first such call; none where every call has an address."""
    place = next((f"{source.path}:{call.lineno} names no address" for source, call in _bare(project)), "")
    lines = [Finding(key=name, value=f'"{{postgres.{part}}}"', source=place) for name, part in _PARTS.items()]
    return lines if place else []


def login(project: Project) -> dict[str, FixedAddress]:
    """Find the user and the database that such calls name all the same, unless the tests create it themselves."""
    creates = any(CREATES.search(source.text) for source in project.tests)
    for source, call in _bare(project):
        said = {name: text_of(value) for name, value in keywords(call).items()}
        said |= dict(pair for part in call.args for pair in re.findall(r"(\w+)=(\w+)", text_of(part)))
        of_peewee = text_of(call.args[0]) if last(call.func) in OF_PEEWEE else ""
        db = said.get("dbname") or said.get("database", "") or of_peewee
        if (db and db not in _MAINTENANCE) or said.get("user"):
            user, password = said.get("user", ""), said.get("password", "")
            db = "" if creates else db
            where = str(source.path)
            made = FixedAddress(need="postgres", host="", port=0, where=where, user=user, password=password, db=db)
            return {"postgres": made}
    return {}


def _bare(project: Project) -> Iterator[tuple[Source, ast.Call]]:
    for source in [*project.code, *project.tests]:
        yield from ((source, call) for call in calls(source.nodes) if _is_bare(call))


def _is_bare(call: ast.Call) -> bool:
    """Return whether a driver connects without a host, as in `connect("dbname=shop")`, or a client program does."""
    if _NAMED.search(ast.unparse(call)):
        return False
    if call.args and _PROGRAMS.match(next(filter(None, map(text_of, _expressions(call.args[0]))), "")):
        return True
    of_driver = owner(call) in _DRIVERS and last(call.func) in ("connect", "create_pool")
    connects = of_driver or (last(call.func) in OF_PEEWEE and bool(call.args))
    unpacks = any(word.arg is None for word in call.keywords)
    plain = all(isinstance(part, ast.Constant) for part in call.args)
    return connects and plain and not unpacks and not _LEADING & keywords(call).keys()


def _expressions(part: ast.expr) -> Iterator[ast.expr]:
    return (node for node in ast.walk(part) if isinstance(node, ast.expr))
