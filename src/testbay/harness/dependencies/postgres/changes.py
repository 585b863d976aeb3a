"""The changes that a test made in its database, read from the server's statistics, and the SQL that undoes them.

PostgreSQL counts every row written, in catalogs too; the counts are complete once every session but ours has ended. A
session that turns `track_counts` off, which only a superuser can, is not counted. Source of the rules:
https://www.postgresql.org/docs/current/monitoring-stats.html
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from testbay import settings
from testbay.harness.dependencies.endpoint import Endpoint
from testbay.harness.world import Clock, await_socket

Session = psycopg.Connection[tuple[Any, ...]]
Change = tuple[str, str, str]  # its kind, an oid or pid, what else is said of it

STATISTICS_SINCE = 150_000  # PostgreSQL 15: counts are complete once sessions have ended; before, they could get lost

# What DISCARD ALL consists of, except that our own prepared question stays: planning it costs eight times the answer.
RESET = (
    b"CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; SELECT pg_advisory_unlock_all(); "
    b"DISCARD TEMP; DISCARD SEQUENCES; SELECT pg_stat_force_next_flush()"
)
QUESTION = b"testbay"
_NO_SUCH_STATEMENT = b"26000"
_OTHERS = """
SELECT 'session', pid::text, format('%s from %s, %s: %s', coalesce(nullif(application_name, ''), 'a session'),
    coalesce(client_addr::text, 'the server'), state, left(query, 80))
FROM pg_stat_get_activity(NULL) WHERE datid = {database} AND pid <> pg_backend_pid()
AND backend_type IN ('client backend', 'walsender')
"""
_MOVED = "pg_stat_get_tuples_updated(o) + pg_stat_get_tuples_deleted(o)"
_WRITTEN = f"pg_stat_get_tuples_inserted(o) + {_MOVED}"
# The second moment is another one after a crash, in which all counts are lost.
_COUNTED_SINCE = "concat(pg_stat_get_db_stat_reset_time({database}), ' ', pg_stat_get_bgwriter_stat_reset_time())"
_SETTINGS = (
    "(SELECT coalesce(hashtext(string_agg(format('%s %s', setrole, setconfig), '; ' ORDER BY setrole)), 0)::text "
    "FROM pg_db_role_setting WHERE setdatabase = {database})"
)
_CHANGED = f"""
UNION ALL SELECT 'rows', o::text, format('%s %s', {_WRITTEN}, {_MOVED})
FROM unnest({{tables}}::oid[]) o WHERE {_WRITTEN} > 0
UNION ALL SELECT 'sequence', o::text, '' FROM unnest({{sequences}}::oid[]) o WHERE pg_stat_get_blocks_fetched(o) > 0
UNION ALL SELECT 'more', o::text, '' FROM unnest({{catalogs}}::oid[]) o WHERE {_WRITTEN} > 0
UNION ALL SELECT 'more', '0', 'setting' WHERE {_SETTINGS} <> '{{settings}}'
UNION ALL SELECT 'more', '0', 'database' FROM pg_database WHERE oid = {{database}} AND xmin <> {{version}}
UNION ALL SELECT 'more', '0', 'statistics' WHERE {_COUNTED_SINCE} <> $1
UNION ALL SELECT 'plan', '0', name FROM pg_prepared_statement() WHERE name <> '{QUESTION.decode()}'
UNION ALL SELECT 'prepared', '0', gid FROM pg_prepared_xact() WHERE dbid = {{database}}
UNION ALL SELECT 'slot', '0', slot_name FROM pg_get_replication_slots() WHERE datoid = {{database}}
"""  # noqa: S608 - numbers and expressions of ours

_TABLES = """
SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""
_CATALOGS = """
SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT c.relisshared AND (c.relkind = 'm' OR c.relkind = 'r' AND n.nspname IN ('pg_catalog', 'information_schema'))
"""
_SEQUENCES = """
SELECT c.oid, format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S'
"""
# Tables whose rows can be deleted without anything else happening, or being refused.
_PLAIN = """
SELECT c.oid FROM pg_class c WHERE c.relkind = 'r'
AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgenabled <> 'D' AND tgtype & 8 <> 0)
AND NOT EXISTS (SELECT FROM pg_rewrite WHERE ev_class = c.oid)
"""
# What would run, or be refused, when rows are deleted behind the back of triggers and rules.
_OBSTACLES = """
SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgenabled IN ('A', 'R'))
AND NOT EXISTS (SELECT FROM pg_rewrite WHERE ev_enabled IN ('A', 'R'))
"""


class Sequence(NamedTuple):
    last_value: int
    is_called: bool


class Shape(NamedTuple):
    """The template's tables (which have rows, which are plain), sequences and catalogs, by oid, as in every clone."""

    can_tell: bool
    can_renew: bool
    tables: dict[int, str]
    seeded: frozenset[int]
    plain: frozenset[int]
    sequences: dict[int, Sequence]
    catalogs: tuple[int, ...]


def shape_of(session: Session) -> Shape:
    """Read the shape of a clone, once per process."""
    tables = {int(oid): str(name) for oid, name in _rows(session, _TABLES)}
    sequences = {int(oid): str(name) for oid, name in _rows(session, _SEQUENCES)}
    holds = " UNION ALL ".join(f"SELECT {oid} WHERE EXISTS (SELECT FROM ONLY {name})" for oid, name in tables.items())  # noqa: S608
    values = " UNION ALL ".join(f"SELECT {oid}, last_value, is_called FROM {name}" for oid, name in sequences.items())  # noqa: S608
    [(renewable,)] = _rows(session, _OBSTACLES)
    [(counted,)] = _rows(session, "SELECT current_setting('track_counts')::bool")
    return Shape(
        can_tell=session.info.server_version >= STATISTICS_SINCE and bool(counted),
        can_renew=bool(renewable),
        tables=tables,
        seeded=frozenset(int(oid) for (oid,) in (_rows(session, holds) if tables else [])),
        plain=frozenset(int(oid) for (oid,) in _rows(session, _PLAIN)),
        sequences={
            int(oid): Sequence(int(last), bool(called))
            for oid, last, called in (_rows(session, values) if sequences else [])
        },
        catalogs=tuple(int(oid) for (oid,) in _rows(session, _CATALOGS)),
    )


def _rows(session: Session, query: str) -> list[tuple[Any, ...]]:
    return session.execute(query).fetchall()


def question_of(session: Session, shape: Shape) -> tuple[int, bytes, bytes]:
    """Read the database's oid, the query to run after every test, and the start of its statistics."""
    [(database, version)] = _rows(session, "SELECT oid, xmin FROM pg_database WHERE datname = current_database()")
    [(since,)] = _rows(session, f"SELECT {_COUNTED_SINCE.format(database=database)}")
    others = _OTHERS.format(database=database)
    if not shape.can_tell:
        return database, f"{others} AND $1 = ''".encode(), b""
    [(settings,)] = _rows(session, f"SELECT {_SETTINGS.format(database=database)}")
    changed = _CHANGED.format(
        database=database,
        settings=settings,
        version=version,
        tables=_array(shape.tables),
        sequences=_array(shape.sequences),
        catalogs=_array(shape.catalogs),
    )
    return database, (others + changed).encode(), str(since).encode()


def _array(oids: Iterable[int]) -> str:
    return "'{" + ",".join(map(str, oids)) + "}'"


def deletion(shape: Shape, database: int, tables: list[int], sequences: list[int]) -> bytes:
    """The statements that delete rows and reset sequences and counters, without triggers, rules or foreign keys."""
    statements = ["BEGIN", "SET LOCAL track_counts = off"]
    if not shape.plain.issuperset(tables):
        # Only where it is needed: it makes the server forget the plan of the question as well.
        statements.append("SET LOCAL session_replication_role = replica")
    statements += [f"DELETE FROM ONLY {shape.tables[oid]}" for oid in tables]  # noqa: S608 - quoted by the server
    for oid in sequences:
        last, called = shape.sequences[oid]
        statements.append(f"SELECT setval({oid}::oid::regclass, {last}, {str(called).lower()})")
    statements += [f"SELECT pg_stat_reset_single_table_counters({oid})" for oid in (*tables, *sequences)]
    return "; ".join([*statements, "COMMIT", f"SELECT {_COUNTED_SINCE.format(database=database)}, '', ''"]).encode()


@contextlib.contextmanager
def as_oserror() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise OSError(" ".join(str(error).split())) from None


def ask(session: Session, message: bytes) -> list[Change]:
    """Send a query and return the rows of its last result; psycopg's own method would take a quarter longer."""
    return _answer(session.pgconn.exec_(message))


def send(session: Session, message: bytes) -> None:
    """Send a query without waiting for its result."""
    session.pgconn.send_query(message)


def receive(session: Session) -> list[Change]:
    """Receive the last result of the query that was sent."""
    return _answer(_last(session))


def connect(
    endpoint: Endpoint, *, connect_timeout: float = 10, prepare_threshold: int | None = 5, options: str = ""
) -> Session:
    """Open a session in autocommit; `connect_timeout` is in seconds.

    The loop is our own: psycopg's waits by functions that a test may fake meanwhile, and what then fails stays half
    open, which keeps DROP DATABASE waiting for a minute.

    Raises:
        OSError: The server refuses, or does not answer in time.
    """
    conninfo = make_conninfo(
        host=endpoint.host,
        port=endpoint.port,
        user=endpoint.user,
        password=endpoint.password,
        dbname=endpoint.db,
        application_name="testbay",
        options=options,
    )
    with settings.without("PG"):  # PGHOSTADDR leads elsewhere, PGSERVICE and PGREQUIREAUTH cannot be overridden
        made = pq.PGconn.connect_start(conninfo.encode())
        said = _await_session(made, connect_timeout)
    if said:
        made.finish()
        raise OSError(f"no session on database {endpoint.db}: {said}")
    made.nonblocking = 1  # as psycopg's own are
    session: Session = psycopg.Connection(made)
    session.autocommit = True
    session.prepare_threshold = prepare_threshold
    return session


def _await_session(made: pq.abc.PGconn, timeout_s: float) -> str:
    """Wait until a session that was begun is there; return why it is not."""
    deadline = Clock.monotonic() + timeout_s
    status = pq.PollingStatus.WRITING if made.status != pq.ConnStatus.BAD else pq.PollingStatus.FAILED
    while status in (pq.PollingStatus.READING, pq.PollingStatus.WRITING):
        if not await_socket(made.socket, deadline, writable=status == pq.PollingStatus.WRITING):
            return f"no answer within {timeout_s:g} s"
        status = pq.PollingStatus(made.connect_poll())
    return "" if status == pq.PollingStatus.OK else " ".join(made.error_message.decode(errors="replace").split())


def prepare(session: Session, question: bytes) -> None:
    """Prepare the query once per session: planning takes eight times as long as running it."""
    _answer(session.pgconn.prepare(QUESTION, question))


def tell_prepared(session: Session, since: bytes) -> None:
    """Send the prepared query after a test."""
    session.pgconn.send_query_prepared(QUESTION, [since])


def hear_prepared(session: Session, question: bytes, since: bytes) -> list[Change]:
    """Receive its result; prepare and send it again if a test has discarded it (DISCARD ALL)."""
    result = _last(session)
    if result.error_field(pq.DiagnosticField.SQLSTATE) == _NO_SUCH_STATEMENT:
        prepare(session, question)
        result = session.pgconn.exec_prepared(QUESTION, [since])
    return _answer(result)


def _last(session: Session) -> pq.abc.PGresult:
    last = None
    while (result := session.pgconn.get_result()) is not None:
        last = result
    if last is None:
        raise OSError("no answer")
    return last


def _answer(result: pq.abc.PGresult) -> list[Change]:
    if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        raise OSError(result.error_message.decode(errors="replace").strip())
    return [
        tuple((result.get_value(row, column) or b"").decode() for column in range(3))  # type: ignore[misc]
        for row in range(result.ntuples)
    ]
