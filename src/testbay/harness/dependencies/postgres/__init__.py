"""PostgreSQL: its server, the databases of leases, and their kept state."""

from testbay.harness.dependencies.postgres.image import CONTAINER_PORT
from testbay.harness.dependencies.postgres.native import notes, plan
from testbay.harness.dependencies.postgres.server import (
    DEFAULT_PORT,
    IMAGES,
    NAME,
    TITLE,
    configured,
    described,
    endpoint,
    environment,
    find,
    further,
    probe,
    url,
)
from testbay.harness.dependencies.slots import Landlord, SlotContext
from testbay.harness.dependencies.state import Keeper


def landlord(context: SlotContext) -> Landlord:
    """Give each slot a database."""
    from testbay.harness.dependencies.postgres.slots import Clones  # psycopg is slow to import

    return Clones(context)


def keeper() -> Keeper:
    """Keep the database as SQL."""
    from testbay.harness.dependencies.postgres import state

    return state
