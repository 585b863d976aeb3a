"""Who keeps which dependency's state. Client libraries are slow to import: only those that are needed are."""

from testbay.harness.dependencies.state import Keeper


def keeper(name: str) -> Keeper | None:
    """The keeper of a dependency by its name; None when nobody has written one."""
    match name:
        case "postgres":
            from testbay.harness.dependencies.postgres import state as postgres_archive

            return postgres_archive
        case "dragonfly":
            from testbay.harness.dependencies.dragonfly import state as dragonfly_archive

            return dragonfly_archive
        case "nats":
            from testbay.harness.dependencies.nats import state as nats_archive

            return nats_archive
    return None
