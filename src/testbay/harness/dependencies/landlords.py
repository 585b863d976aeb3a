"""Who divides which server. Client libraries are slow to import: only those of the servers a stack has are."""

from testbay.harness.dependencies.slots import Ground, Landlord, Undivided


def landlord(name: str, ground: Ground) -> Landlord:
    """The landlord of a dependency, by its name; one nobody has written a room's division for is shared, and said so.

    Raises:
        OSError: The server cannot be reached.
    """
    match name:
        case "postgres":
            from testbay.harness.dependencies.postgres.slots import Cluster

            return Cluster(ground)
        case "dragonfly":
            from testbay.harness.dependencies.dragonfly.slots import Databases, Servers

            return Servers(ground) if ground.serve else Databases(ground)
        case "nats" if not ground.endpoint.user:
            from testbay.harness.dependencies.nats.slots import Accounts

            return Accounts(ground)
        case "nats":
            return Undivided(ground.endpoint, "all of NATS (the compose file gives it users of its own)")
    return Undivided(ground.endpoint, f"all of {ground.endpoint.title}")
