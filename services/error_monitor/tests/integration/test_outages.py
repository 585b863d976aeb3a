"""The database away, frozen, read-only or restored; tables missing: nothing is lost, nothing counts twice."""

from typing import TYPE_CHECKING, Any

import pytest
from harness.instance import Make
from harness.logfiles import LogFolder
from harness.waiting import eventually

if TYPE_CHECKING:
    import psycopg

    from testbay.fixtures import Faults, Lease

pytestmark = pytest.mark.usefixtures("faults")
# An outage is noticed within a second. On a slow machine the lease may be lost at any moment and taken again.
QUICK = {"ERROR_MONITOR_HEARTBEAT_S": 0.5, "ERROR_MONITOR_DB_TIMEOUT_S": 0.3}
# Of this test's own database: on the same server are the leases of other workers.
HANG_UP = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'error-monitor' AND datname = current_database()"""


def test_a_database_that_goes_away_loses_nothing(monitor: Make, logs: LogFolder, faults: "Faults") -> None:
    """Lines of the outage are read when it is over; health says unhealthy meanwhile, and errors have their shape."""
    one = monitor(**QUICK)
    logs.fail(3)
    one.scan()
    with faults.postgres.cut():
        logs.fail(4)
        down = eventually(lambda: one.client.get("/health").status_code == 503, "health to say so")
        refused = one.client.get("/errors/recent")
    one.scan()

    assert (down, refused.status_code, refused.json()["error"]["code"]) == (True, 503, "database_away")
    assert one.counts() == {"ValueError: no pay": 7}


def test_a_frozen_database_is_waited_for(monitor: Make, logs: LogFolder, faults: "Faults") -> None:
    """A server that answers nothing for a while: the monitor goes on by itself."""
    one = monitor(**QUICK)
    one.scan()
    with faults.postgres.freeze():
        logs.fail(2)
        eventually(lambda: one.client.get("/health").status_code == 503, "health to say so")
    one.scan()

    assert one.counts() == {"ValueError: no pay": 2}


def test_it_starts_while_the_database_is_down(monitor: Make, logs: LogFolder, faults: "Faults") -> None:
    """The service answers, says what is missing, and begins when the database is there."""
    logs.fail(1)
    with faults.postgres.refuse():
        one = monitor(**QUICK)
        assert one.client.get("/health").json()["status"] == "unhealthy"
    one.scan()

    assert one.counts() == {"ValueError: no pay": 1}


def test_missing_tables_are_named(monitor: Make, postgres: "psycopg.Connection[Any]") -> None:
    """A database that was not migrated: the words say which command to run, and no restart is needed after it."""
    postgres.execute("ALTER SCHEMA error_monitor RENAME TO elsewhere")
    one = monitor(**QUICK)
    answer = one.client.get("/errors/recent")
    postgres.execute("ALTER SCHEMA elsewhere RENAME TO error_monitor")
    one.scan()

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_migrated")
    assert "error-monitor migrate" in answer.json()["error"]["message"]


def test_a_database_from_yesterdays_backup(
    monitor: Make, logs: LogFolder, bay: "Lease", postgres: "psycopg.Connection[Any]"
) -> None:
    """Cursor and counts are restored together: what came after the backup is read and counted again, once."""
    one = monitor()
    logs.fail(3)
    one.scan()
    tables = ("patterns", "occurrences", "cursors")
    for table in tables:
        postgres.execute(f"CREATE TABLE backup_{table} AS TABLE error_monitor.{table}")
    logs.fail(4)
    one.scan()
    with postgres.transaction():
        postgres.execute("TRUNCATE error_monitor.patterns, error_monitor.occurrences, error_monitor.cursors CASCADE")
        for table in tables:
            postgres.execute(f"INSERT INTO error_monitor.{table} TABLE backup_{table}")
    one.scan()

    assert one.counts() == {"ValueError: no pay": 7}


def test_a_read_only_database_is_waited_for(
    monitor: Make, logs: LogFolder, postgres: "psycopg.Connection[Any]", bay: "Lease"
) -> None:
    """A standby, or a disk that is full: nothing is stored and nothing lost until it can be written again."""
    name = postgres.info.dbname
    one = monitor(**QUICK)
    one.scan()
    postgres.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    postgres.execute(HANG_UP)
    logs.fail(2)
    eventually(lambda: not one.leads(), "the lease to be given up")
    postgres.execute("SET default_transaction_read_only = off")
    postgres.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    postgres.execute(HANG_UP)
    one.scan()

    assert one.counts() == {"ValueError: no pay": 2}


def test_slow_answers_of_the_database(monitor: Make, logs: LogFolder, faults: "Faults") -> None:
    """25 ms to each answer: slower, and as right."""
    one = monitor()
    with faults.postgres.latency(ms=25):
        logs.fail(2)
        one.scan()

    assert one.counts() == {"ValueError: no pay": 2}
