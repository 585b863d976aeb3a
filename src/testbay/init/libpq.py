"""The variables of libpq, for a program that connects to PostgreSQL without an address: `psycopg.connect()`."""

import ast
import re
from collections.abc import Iterator, Mapping

from testbay.init.addresses import OF_PEEWEE, FixedAddress
from testbay.init.insisted import CREATES
from testbay.init.project import Finding, Project
from testbay.init.syntax import entries, keywords, last, owner, text_of

_PARTS = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGPASSWORD": "password", "PGDATABASE": "db"}
_DRIVERS = ("psycopg", "psycopg2", "asyncpg", "AsyncConnection", "Connection")
_LEADING = {"host", "hostaddr", "dsn", "conninfo", "service"}
_MAINTENANCE = ("postgres", "template1")
_PROGRAMS = re.compile(r"(?:\S*/)?(psql|createdb|dropdb|pg_dump|pg_restore|pg_isready)(\s|$)")
_ADDRESS = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(?:(?P<user>\w*)(?::(?P<password>[^@/]*))?@)?/(?P<dbname>\w+)")
_NAMED = re.compile(r"://|host(addr)?=|service=|'-h'|'--host|\s-h\s|--host")


def variables(project: Project) -> list[Finding]:
    """Make a line for each variable, with the first place that names no host; none where every one has an address."""
    place = next((f"{where} names no address" for where, _ in _bare(project)), "")
    lines = [Finding(key=name, value=f'"{{postgres.{part}}}"', source=place) for name, part in _PARTS.items()]
    return lines if place else []


def login(project: Project) -> dict[str, FixedAddress]:
    """Find the user and the database that such places name all the same, unless the tests create it themselves."""
    creates = any(CREATES.search(source.text) for source in project.tests)
    for where, said in _bare(project):
        user, password = said.get("user", ""), said.get("password", "")
        db = next(filter(None, map(said.get, ("dbname", "database", "name"))), "")
        if (db and db not in _MAINTENANCE) or user:
            db = "" if creates else db
            made = FixedAddress(need="postgres", host="", port=0, where=where, user=user, password=password, db=db)
            return {"postgres": made}
    return {}


def _bare(project: Project) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yield each place that leads to PostgreSQL without a host, and what it says of the login."""
    for source in [*project.code, *project.tests]:
        for node in source.of(ast.Call, ast.Constant, ast.Dict):
            if (said := _said(node)) is not None:
                yield source.at(node), said


def _said(node: ast.AST) -> Mapping[str, str] | None:
    """Read a call, an address like `postgresql:///shop`, or Django's settings; None where these name a host."""
    match node:
        case ast.Call() if _is_bare(node):
            said = {name: text_of(value) for name, value in keywords(node).items()}
            said |= dict(pair for part in node.args for pair in re.findall(r"(\w+)=(\w+)", text_of(part)))
            return said | ({"dbname": text_of(node.args[0])} if last(node.func) in OF_PEEWEE else {})
        case ast.Constant() if found := _ADDRESS.fullmatch(text_of(node)):
            return {name: text or "" for name, text in found.groupdict().items()}
        case ast.Dict():
            named = {text_of(key).lower(): value for key, value in entries(node)}
            host = named.get("host", ast.Constant(""))
            if "postgresql" in text_of(named.get("engine", host)) and ast.unparse(host) in ("''", "None"):
                return {name: text_of(value) for name, value in named.items()}
    return None


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
