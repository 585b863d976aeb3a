"""The public types of the fixtures, for annotations in tests, and `eventually`."""

from testbay.harness.faults.inject import Faults
from testbay.harness.leases.lease import Lease
from testbay.harness.plugin.asynchronous import Asyncpg, AsyncPostgres, AsyncRedis
from testbay.harness.plugin.given import Leases, Nats
from testbay.harness.plugin.launching import Ran
from testbay.harness.plugin.waiting import eventually
from testbay.harness.service import Service

__all__ = [
    "AsyncPostgres",
    "AsyncRedis",
    "Asyncpg",
    "Faults",
    "Lease",
    "Leases",
    "Nats",
    "Ran",
    "Service",
    "eventually",
]
