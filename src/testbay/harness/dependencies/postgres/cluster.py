"""The databases of one server, cloned from the migrated one as it was before the first test."""

import contextlib
import fcntl
import time
from dataclasses import replace

import psycopg
from psycopg import sql
from psycopg.abc import Query

from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.dependencies.postgres.changes import Session, Shape, as_oserror, connect
from testbay.harness.dependencies.postgres.cloning import Strategies, drop
from testbay.harness.dependencies.postgres.server import PRISTINE_LOCK, end_workers, pristine
from testbay.harness.dependencies.slots import SlotContext
from testbay.harness.world import patience

GONE_WITHIN_S = 0.25  # a session whose client has just closed it is seen for another moment
# What migrations say with `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET`; the template's own counts more.
_SETTINGS = """
SELECT r.rolname, split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
CROSS JOIN LATERAL unnest(s.setconfig) c WHERE d.datname IN (%s, %s) ORDER BY d.datname = %s
"""
_OWNER = "SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = %s"
# Whether they say something with `GRANT` and `REVOKE … ON DATABASE`, and what is left then.
_CHANGED = "SELECT datacl IS NOT NULL FROM pg_database WHERE datname = %s"
_PRIVILEGES = """
SELECT r.rolname, a.privilege_type, a.is_grantable
FROM pg_database d CROSS JOIN LATERAL aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.datname = %s
"""
_FREE_SESSIONS = 25  # for the tests' own pools, before a spare database takes another one


class Cluster:
    """Clones and drops databases on one server. Used from one thread at a time."""

    def __init__(self, context: SlotContext) -> None:
        self.endpoint = context.endpoint
        self._template = pristine(context.endpoint).db
        self.shape: Shape | None = None
        self._gate = context.home / PRISTINE_LOCK
        self._session: Session | None = None
        with self._gate.open("ab") as gate:  # every worker comes here; one of them makes it
            fcntl.flock(gate, fcntl.LOCK_EX)
            # No session before: the migrated database may be `postgres` itself, and what is cloned may have no others.
            self._set_aside()
            self._settings = self._admin.execute(_SETTINGS, [self.endpoint.db, *[self._template] * 2]).fetchall()
            [(self._owner,)] = self._admin.execute(_OWNER, [self.endpoint.db]).fetchall()
            [(self._has_own_privileges,)] = self._admin.execute(_CHANGED, [self.endpoint.db]).fetchall()
            self._privileges = self._admin.execute(_PRIVILEGES, [self.endpoint.db]).fetchall()
        self._strategies = Strategies(self._admin.info.server_version)

    @property
    def _admin(self) -> Session:
        """The administrative session, reopened if it ended: a test may end every session it can see."""
        if self._session is None or self._session.closed:
            self._session = connected(replace(self.endpoint, db="postgres"))
        return self._session

    def _set_aside(self) -> None:
        """Copy the migrated database before the first test, unless that was done; slots are clones of the copy."""
        known = self._admin.execute("SELECT FROM pg_database WHERE datname = %s", [self._template]).fetchone()
        if known is None:
            self._admin.execute(end_workers(self.endpoint.db).encode())
            self.run("CREATE DATABASE {} TEMPLATE {}", self._template, self.endpoint.db)

    def has_room(self) -> bool:
        """Return whether enough sessions would remain for the tests."""
        query = "SELECT current_setting('max_connections')::int - count(*) FROM pg_stat_activity"
        return all(left > _FREE_SESSIONS for (left,) in self._admin.execute(query).fetchall())

    def create(self, name: str) -> None:
        """Clone the template under a name, with what CREATE DATABASE does not copy: settings, owner, privileges."""
        with self._gate.open("ab") as gate:  # the template is not migrated meanwhile; others may clone it too
            fcntl.flock(gate, fcntl.LOCK_SH)
            self._admin.execute(end_workers(self._template).encode())
            strategy = self._strategies.next()
            began = time.perf_counter()
            try:
                if strategy.method:
                    self.run(f"SET file_copy_method = {strategy.method}")
                self.run(f"CREATE DATABASE {{}} TEMPLATE {{}} {strategy.clause}", name, self._template)
            except OSError:
                self._strategies.refuse(strategy)
                self.run("CREATE DATABASE {} TEMPLATE {}", name, self._template)
            else:
                self._strategies.note(strategy, time.perf_counter() - began)
            for role, setting, value in self._settings:
                self._set(name, role, setting, value)
            self._allow(name)

    def _allow(self, name: str) -> None:
        """Give a clone the owner and the privileges of the migrated database."""
        if self._owner != self.endpoint.user:
            self.run("ALTER DATABASE {} OWNER TO {}", name, self._owner)
        if self._has_own_privileges:
            self.run("REVOKE ALL ON DATABASE {} FROM PUBLIC, {}", name, self._owner)
        for role, privilege, is_grantable in self._privileges:
            whom = [role] if role is not None else []
            option = " WITH GRANT OPTION" if is_grantable else ""
            self.run(f"GRANT {privilege} ON DATABASE {{}} TO {'{}' if whom else 'PUBLIC'}{option}", name, *whom)

    def _set(self, name: str, role: str | None, setting: str, value: str) -> None:
        """Apply a setting that CREATE DATABASE does not copy; the server quotes the value."""
        whose = sql.SQL("ALTER DATABASE {}").format(sql.Identifier(name))
        if role is not None:
            whose = sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), sql.Identifier(name))
        with contextlib.suppress(psycopg.Error), self._admin.transaction():  # such as one for a session's start alone
            self._admin.execute("SELECT set_config(%s, %s, true)", [setting, value])
            self._admin.execute(whose + sql.SQL(" SET {} FROM CURRENT").format(sql.Identifier(*setting.split("."))))

    def drop(self, prefix: str) -> None:
        """Drop the database of that name and its later editions, also while clients are connected."""
        names = self._admin.execute(
            "SELECT datname FROM pg_database WHERE datname = %s OR datname LIKE %s", [prefix, _like(prefix) + r"\_\_%"]
        ).fetchall()
        for (name,) in names:
            self._await_empty(name)
            with as_oserror():
                drop(self._admin, name)

    def _await_empty(self, name: str) -> None:
        """Wait a moment for ending sessions: each would delay DROP by 100 ms."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        for _ in patience(GONE_WITHIN_S):
            if self._admin.execute(query, [name]).fetchone() == (0,):
                return

    def run(self, statement: str, *names: str) -> None:
        """Run an administrative statement with quoted names.

        Raises:
            OSError: The server refused.
        """
        query: Query = sql.SQL(statement).format(*map(sql.Identifier, names))
        with as_oserror():
            self._admin.execute(query)

    def close(self) -> None:
        """Close the connection alone; the template stays for others."""
        if self._session is not None:
            self._session.close()


def _like(text: str) -> str:
    for special in "\\%_":
        text = text.replace(special, "\\" + special)
    return text


def connected(endpoint: Endpoint) -> Session:
    """Open a session that never prepares statements automatically."""
    return connect(endpoint, prepare_threshold=None)  # DEALLOCATE ALL would drop prepared statements unnoticed
