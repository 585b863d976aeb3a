"""Dragonfly: its server, the keyspaces of leases, and their kept state."""

from testbay.harness.dependencies.dragonfly.image import CONTAINER_PORT
from testbay.harness.dependencies.dragonfly.server import (
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
    notes,
    plan,
    probe,
    url,
)
from testbay.harness.dependencies.slots import Landlord, SlotContext
from testbay.harness.dependencies.state import Keeper


def landlord(context: SlotContext) -> Landlord:
    """Give each slot a server of its own where one starts in milliseconds, else a numbered database."""
    from testbay.harness.dependencies.dragonfly.slots import Databases, OwnServers  # redis is slow to import

    return OwnServers(context) if context.serve else Databases(context)


def keeper() -> Keeper:
    """Keep the keys, one per line."""
    from testbay.harness.dependencies.dragonfly import state

    return state
