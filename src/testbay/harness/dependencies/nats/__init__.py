"""NATS JetStream: its server, the accounts of leases, and their kept state."""

from testbay.harness.dependencies.nats.image import CONTAINER_PORT
from testbay.harness.dependencies.nats.server import (
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
from testbay.harness.dependencies.slots import Landlord, SlotContext, Undivided
from testbay.harness.dependencies.state import Keeper


def landlord(context: SlotContext) -> Landlord:
    """Give each slot an account, unless the compose file configures logins of its own."""
    if context.endpoint.shared:
        return Undivided(context.endpoint, context.endpoint.shared)
    from testbay.harness.dependencies.nats.slots import Accounts  # nats-py is slow to import

    return Accounts(context)


def keeper() -> Keeper:
    """Keep the streams and their messages, one per line."""
    from testbay.harness.dependencies.nats import state

    return state
