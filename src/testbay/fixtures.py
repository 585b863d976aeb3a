"""What the fixtures give, for the annotations of a test; what is imported from elsewhere may move."""

from testbay.faults.inject import Faults
from testbay.plugin.leasehold import Leases, Nats
from testbay.runs.service import Service
from testbay.stacks.pool import Lease

__all__ = ["Faults", "Lease", "Leases", "Nats", "Service"]
