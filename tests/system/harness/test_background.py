"""Copies of a database in which something else has a session: the worker of an extension, as TimescaleDB's."""

import contextlib
import socket
from collections.abc import Iterator

import psycopg
import pytest
from tests.system.harness import test_renewal

from testbay.harness.leases.pool import Pool
from testbay.harness.world import patience

pytestmark = pytest.mark.xdist_group("renewal")
kept, leasing = test_renewal.kept, test_renewal.leasing
WORKERS = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_type LIKE 'logical%'"


@contextlib.contextmanager
def a_worker_in(dsn: str) -> Iterator[None]:
    """The server's own one for a subscription, whose publisher accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent, psycopg.connect(dsn, autocommit=True) as session:
        address = f"host=127.0.0.1 port={silent.getsockname()[1]}"
        session.execute(
            f"CREATE SUBSCRIPTION s CONNECTION '{address}' PUBLICATION p WITH (connect = false, slot_name = 'x')"
        )
        session.execute("ALTER SUBSCRIPTION s ENABLE")
        for _ in patience(10):  # in a container nothing listens there, and it comes and goes
            if session.execute(WORKERS).fetchall():
                break
        session.close()
        yield
        with psycopg.connect(dsn, autocommit=True) as again:
            for change in ("DISABLE", "SET (slot_name = NONE)"):
                again.execute(f"ALTER SUBSCRIPTION s {change}")
            again.execute("DROP SUBSCRIPTION s")


def test_a_worker_in_the_migrated_database_is_no_obstacle(leasing: Pool) -> None:
    """PostgreSQL copies no database while another session is in it."""
    lease = leasing.take()
    template = lease.postgres.dsn.replace(
        f"/{lease.postgres.db}", f"/{leasing.tenancy['endpoints']['postgres']['db']}_pristine"
    )
    with a_worker_in(template):
        test_renewal.do(lease, "CREATE TABLE more (i int)")
        leasing.give_back(lease)
        lease = test_renewal.settle(leasing)

    assert test_renewal.do(lease, "SELECT to_regclass('more')") == [(None,)]
    leasing.give_back(lease)
