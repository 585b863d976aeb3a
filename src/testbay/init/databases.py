"""The databases that a program has beside its own: another variable names each, `ANALYTICS_DSN`."""

import re

from testbay.init import addresses, variables
from testbay.init.composefiles import users_in
from testbay.init.own import Own
from testbay.init.project import Finding, Project
from testbay.init.servers import Servers

_EMPTIES = re.compile(r"\b(flushdb|dbsize)\b")  # what a program of several keyspaces cannot do in a single one
_ALWAYS = {"", "postgres", "template0", "template1"}
# What says how an address is used, or that it is one, and not what it is for.
_SAME = re.compile(
    r"(DB|DATABASE|NAME|DBNAME|PG|POSTGRES|POSTGRESQL|SQL|SQLALCHEMY|URL|URI|DSN|CONN\w*|STRING|DEFAULT|MAIN|PRIMARY|MASTER"
    r"|WRITE\w*|READ\w*|REPLICA|SLAVE|RO|RW|SYNC|ASYNC|ALEMBIC|MIGRATIONS?|ADMIN|ROOT|DIRECT|POOL\w*|APP|DEV|LOCAL)$"
)


def own(project: Project, found: Servers, migrations: Finding | None) -> Own:
    """Collect what the server has under names of the program's: by scripts, by init's file or by migrations in SQL."""
    folder = migrations.value.strip('"') if migrations and migrations.key == "migrations" else ""
    by_migrations = users_in([project.root / folder]) if folder else set()
    return Own(
        databases={*found.chosen.makes, *found.beside},
        users=found.chosen.users | by_migrations,
        passwords=found.chosen.passwords,
        keyspaces=_keyspaces(project),
    )


def _keyspaces(project: Project) -> set[str]:
    """Return the numbered databases of Redis that variables name beside the lowest, where emptying one matters."""
    if not any(_EMPTIES.search(source.text) for source in (*project.code, *project.tests)):
        return set()
    asked = [(read, role) for read, role in variables.roles(project) if (role.need, role.kind) == ("dragonfly", "url")]
    said = [addresses.parts(project.example(read.name) or read.default) for read, _ in asked]
    numbers = sorted({int(one["db"] or 0) for one in said if re.fullmatch(r"\d{0,2}", one["db"])})
    return set(map(str, numbers[1:]))


def further(project: Project, own: str) -> list[str]:
    """Name the databases that variables of the program name for something else than its `own` database is for.

    Where no variable names `own`, the program's is the one in DATABASE_URL, else the first that is named.
    """
    named = _named(project)
    own = own if own in named.values() else named.get("DATABASE_URL") or next(iter(named.values()), "")
    purposes = [_purpose(name) for name, db in named.items() if db == own]
    others = [db for name, db in named.items() if db != own and _purpose(name) and _purpose(name) not in purposes]
    return list(dict.fromkeys(others))


def _named(project: Project) -> dict[str, str]:
    """Map the variables that sources read to the databases that their examples or defaults name, tests' left out."""
    examples = {file for _, file in project.examples.values()}
    found: dict[str, str] = {}
    for read, role in variables.roles(project):
        value = project.example(read.name) or read.default
        if role.need != "postgres" or role.kind not in ("url", "db") or read.where in examples:
            continue
        db = value if role.kind == "db" else addresses.parts(value)["db"]
        if re.fullmatch(r"[A-Za-z_]\w*", db) and db not in _ALWAYS and "TEST" not in f"{db}_{read.name}".upper():
            found[read.name] = db
    return found


def _purpose(name: str) -> frozenset[str]:
    """Return the words of a variable's name that say what its database is for: ANALYTICS of ANALYTICS_DB_URL."""
    return frozenset(word for word in name.upper().split("_") if not _SAME.match(word))
