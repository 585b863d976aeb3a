"""The databases of PostgreSQL that a program has beside its own: another variable names each, `ANALYTICS_DSN`."""

import re

from testbay.init import addresses, variables
from testbay.init.project import Project

_ALWAYS = {"", "postgres", "template0", "template1"}
# What says how an address is used, or that it is one, and not what it is for.
_SAME = re.compile(
    r"(DB|DATABASE|NAME|DBNAME|PG|POSTGRES|POSTGRESQL|SQL|SQLALCHEMY|URL|URI|DSN|CONN\w*|STRING|DEFAULT|MAIN|PRIMARY|MASTER"
    r"|WRITE\w*|READ\w*|REPLICA|SLAVE|RO|RW|SYNC|ASYNC|ALEMBIC|MIGRATIONS?|ADMIN|ROOT|DIRECT|POOL\w*|APP|DEV|LOCAL)$"
)


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
        value = project.examples.get(read.name, ("", ""))[0] or read.default
        if role.need != "postgres" or role.kind not in ("url", "db") or read.where in examples:
            continue
        db = value if role.kind == "db" else next((one.db for one in addresses.of_text(value, "")), "")
        if re.fullmatch(r"[A-Za-z_]\w*", db) and db not in _ALWAYS and "TEST" not in f"{db}_{read.name}".upper():
            found[read.name] = db
    return found


def _purpose(name: str) -> frozenset[str]:
    """Return the words of a variable's name that say what its database is for: ANALYTICS of ANALYTICS_DB_URL."""
    return frozenset(word for word in name.upper().split("_") if not _SAME.match(word))
