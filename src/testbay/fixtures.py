"""What the fixtures give, for the annotations of a test; what is imported from elsewhere may move."""

from testbay.harness.faults.inject import Faults
from testbay.harness.leases.lease import Lease
from testbay.harness.plugin.session import Leases, Nats
from testbay.harness.service import Service

__all__ = ["Faults", "Lease", "Leases", "Nats", "Service"]
