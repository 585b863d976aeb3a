"""The ways in which a server can clone a database, and the choice of the fastest one."""

from typing import NamedTuple

from psycopg import sql

from testbay.harness.dependencies.postgres.changes import STATISTICS_SINCE, Session

_FORCE_SINCE = 130_000
_METHODS_SINCE = 180_000  # PostgreSQL 18: file_copy_method


def drop(session: Session, name: str) -> None:
    """Drop a database, also while clients are connected."""
    if session.info.server_version >= _FORCE_SINCE:
        session.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        return
    session.execute("UPDATE pg_database SET datallowconn = false WHERE datname = %s", [name])  # or one comes back
    session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    session.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


class Strategy(NamedTuple):
    """A way to clone: the STRATEGY of CREATE DATABASE and, from PostgreSQL 18 on, the file copy method."""

    clause: str = ""
    method: str = ""


def _known_to(version: int) -> list[Strategy]:
    """List the strategies that a server of this version knows."""
    if version < STATISTICS_SINCE:
        return [Strategy()]
    if version < _METHODS_SINCE:
        return [Strategy("STRATEGY file_copy"), Strategy("STRATEGY wal_log")]
    return [
        Strategy("STRATEGY file_copy", "copy"),
        Strategy("STRATEGY wal_log"),
        Strategy("STRATEGY file_copy", "clone"),  # shared blocks where the file system can; refused where it cannot
    ]


class Strategies:
    """Finds the fastest strategy here by trying each once, on clones that are needed anyway.

    `version` is the server's, as PostgreSQL writes it: 150018.
    """

    def __init__(self, version: int) -> None:
        self._untried = _known_to(version)
        self._seconds: dict[Strategy, float] = {}

    def next(self) -> Strategy:
        """The strategy for the next clone: an untried one, else the quickest."""
        if self._untried:
            return self._untried[0]
        return min(self._seconds, key=self._seconds.__getitem__, default=Strategy())

    def note(self, strategy: Strategy, seconds: float) -> None:
        """Remember how long the first clone with this strategy took."""
        if strategy in self._untried:
            self._untried.remove(strategy)
            self._seconds[strategy] = seconds

    def refuse(self, strategy: Strategy) -> None:
        """Never again propose a strategy that the server refused."""
        if strategy in self._untried:
            self._untried.remove(strategy)
        self._seconds.pop(strategy, None)
