"""A database for every test: a clone of the migrated one, which is emptied rather than cloned again where possible.

Creating and dropping a database takes the server 15-20 ms; reading what a test did and deleting its rows about 1 ms. If
a test changed anything but rows of tables that were empty before, the database is cloned again.
"""

import contextlib
import functools
import weakref
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import pq, sql

from testbay.harness.dependencies.postgres.changes import (
    RESET,
    STATISTICS_SINCE,
    Change,
    Session,
    as_oserror,
    ask,
    deletion,
    hear_prepared,
    prepare,
    question_of,
    receive,
    send,
    shape_of,
    tell_prepared,
)
from testbay.harness.dependencies.postgres.cluster import GONE_WITHIN_S, Cluster, connected
from testbay.harness.dependencies.postgres.server import LEASE_MARK, beginning
from testbay.harness.dependencies.slots import Returned, SlotContext, Steps
from testbay.harness.world import patience

_MANY_ROWS = 5_000  # from here on cloning is quicker than deleting
_RENEWALS = 1_000  # after so many the files are made anew: deleted rows leave their index entries behind


class Clones:
    """The landlord: each slot is a database."""

    shared = ""

    def __init__(self, context: SlotContext) -> None:
        self._cluster = Cluster(context)

    def slot(self, number: int) -> "Database":
        return Database(self._cluster, number)

    def has_room(self) -> bool:
        return self._cluster.has_room()

    def close(self) -> None:
        self._cluster.close()


class Database:
    """A slot that is one database, with one session, which watches over it and is lent to tests."""

    log: Path | None = None

    def __init__(self, cluster: Cluster, number: int) -> None:
        self._cluster = cluster
        self._prefix = f"{beginning(cluster.endpoint.db)}{LEASE_MARK}{number}"
        self._edition = 0
        self._renewals = 0
        self._used = False  # lent since it was last made as new
        self._resetting = False  # the server has been told to make it as new, and was not heard yet
        self._lent: weakref.ref[Session] | None = None
        self._session: Session | None = None
        self._prepared_in: Session | None = None
        self._oid = 0
        self._question = b""
        self._since = b""
        self.endpoint = cluster.endpoint
        self.remake()

    def remake(self) -> None:
        """Clone again under a new name: a forgotten connection pool that reconnects is refused."""
        self._hang_up()
        with as_oserror():
            self._cluster.drop(self._prefix)
            self._edition += 1
            name = self._prefix if self._edition == 1 else f"{self._prefix}__{self._edition}"
            self._cluster.create(name)
            self.endpoint = replace(self._cluster.endpoint, db=name)
            self._renewals = 0
            session = self._answering()
            if self._cluster.shape is None:
                self._cluster.shape = shape_of(session)
            self._oid, self._question, self._since = question_of(session, self._cluster.shape)

    def connection(self) -> Session:
        """An open connection in autocommit for one test; it stops working when the database is taken back."""
        if self._lent is not None and self._lent() is not None:
            self._hang_up()  # an earlier test's connection is still referenced, perhaps with an open cursor
        elif self._used:
            self._reset()
        session = self._answering()
        self._used = True
        lent = psycopg.Connection(session.pgconn)
        lent.autocommit = True
        self._lent = weakref.ref(lent)
        return lent

    def _answering(self) -> Session:
        """The session, reopened if it was closed."""
        if self._session is None or self._session.closed:
            self._session = connected(self.endpoint)
        return self._session

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
        self._resetting = False

    def take_back(self) -> Steps:
        """End every other session, and delete what the test wrote if that restores the migrated state."""
        with as_oserror():
            self.end_lending()
            if self._used:
                self._reset()
            session = self._idle_session()
            if self._prepared_in is not session:  # asked unprepared, the server's log would have an error for it
                prepare(session, self._question)
                self._prepared_in = session
            tell_prepared(session, self._since)
            yield
            left, found = self._await_alone(hear_prepared(session, self._question, self._since))
            messages = self._renewal(self._without_lasting(found))
            if left or messages is None:
                return Returned(left, ready=False)
            for message in messages:
                send(session, message)
                yield message is messages[-1]
                for since, _, _ in receive(session):  # only the deletion answers
                    self._since = since.encode()
            return Returned()

    def end_lending(self) -> None:
        """End a test's connection: roll back, and let the server begin to reset the session.

        No function of Python's standard library is called: the test may still fake it.
        """
        lent = self._lent() if self._lent is not None else None
        if lent is not None:
            lent.pgconn = _closed()
        with contextlib.suppress(psycopg.Error, OSError):  # a session that broke is opened again when it is needed
            if self._used and not self._resetting and self._session is not None and not _is_busy(self._session):
                self._tell_reset(self._session)

    def _reset(self) -> None:
        """Reset the session to its state before the first test."""
        if not self._resetting:
            self._tell_reset(self._idle_session())
        self._resetting = False
        receive(self._answering())
        self._used = False

    def _tell_reset(self, session: Session) -> None:
        if session.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            ask(session, b"ROLLBACK")
        send(session, _reset(session))
        self._resetting = True

    def _idle_session(self) -> Session:
        """The session, outside of any transaction; a new one if it was closed or is busy."""
        if _is_busy(self._answering()):
            self._hang_up()
        session = self._answering()
        if session.pgconn.transaction_status != pq.TransactionStatus.IDLE:
            ask(session, b"ROLLBACK")
        return session

    def _await_alone(self, found: list[Change]) -> tuple[tuple[str, ...], list[Change]]:
        """End sessions that were left open, then read the changes, which are complete without other clients."""
        session = self._answering()
        others: list[Change] = []
        for _ in patience(GONE_WITHIN_S):
            others = [row for row in found if row[0] == "session"]
            if not others:
                return (), found
            tell_prepared(session, self._since)
            found = hear_prepared(session, self._question, self._since)
        for _, pid, _ in others:
            session.execute("SELECT pg_terminate_backend(%s)", [int(pid)])
        return tuple(f"PostgreSQL: {said}" for _, _, said in others), found

    def _without_lasting(self, changes: list[Change]) -> list[Change]:
        """Undo what would outlast the test's session, or block even the end of the database."""
        session = self._answering()
        for kind, _, name in changes:
            if kind == "prepared":
                session.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(name)))
            elif kind == "slot":
                session.execute("SELECT pg_drop_replication_slot(%s)", [name])
        if any(kind == "plan" for kind, _, _ in changes):
            ask(session, b"DEALLOCATE ALL")
        return [change for change in changes if change[0] != "plan"]

    def _renewal(self, changes: list[Change]) -> list[bytes] | None:
        """List the statements that certainly restore a fresh clone; None if there are none."""
        shape = self._cluster.shape
        kinds = {kind for kind, _, _ in changes}
        if shape is None or not shape.can_tell:
            return None
        if not changes:
            return []
        if not shape.can_renew or not kinds <= {"rows", "sequence"} or self._renewals >= _RENEWALS:
            return None
        rows = {int(oid): [int(count) for count in counts.split()] for kind, oid, counts in changes if kind == "rows"}
        if shape.seeded & rows.keys() or sum(count for count, _ in rows.values()) > _MANY_ROWS:
            return None
        self._renewals += 1
        sequences = [int(oid) for kind, oid, _ in changes if kind == "sequence"]
        # Rows that were updated or deleted leave places that later rows would fill, out of order.
        emptied = [oid for oid, (_, moved) in rows.items() if moved]
        vacuum = [f"VACUUM (INDEX_CLEANUP ON, TRUNCATE ON) {shape.tables[oid]}".encode() for oid in emptied]
        return [deletion(shape, self._oid, list(rows), sequences), *vacuum]

    def close(self) -> None:
        """Drop the database, on a second session if the first one was ended unnoticed."""
        self._hang_up()
        for _ in range(2):
            with contextlib.suppress(psycopg.Error, OSError):
                self._cluster.drop(self._prefix)
                return


def _is_busy(session: Session) -> bool:
    """Return whether the session is in the middle of a command, or broken."""
    usual = (pq.TransactionStatus.IDLE, pq.TransactionStatus.INTRANS, pq.TransactionStatus.INERROR)
    unusual = session.pgconn.transaction_status not in usual
    return unusual or session.pgconn.pipeline_status != pq.PipelineStatus.OFF


def _reset(session: Session) -> bytes:
    """Reset the session, which also has its statistics written."""
    return RESET if session.info.server_version >= STATISTICS_SINCE else b"DISCARD ALL"


@functools.cache
def _closed() -> pq.abc.PGconn:
    """Make a closed connection, to replace one that was taken back."""
    dead = pq.PGconn.connect_start(b"host=127.0.0.1 port=1")  # refused at once, and closed anyway
    dead.finish()
    return dead
