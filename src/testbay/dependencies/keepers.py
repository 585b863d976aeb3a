"""Who keeps which dependency's state. Client libraries are slow to import: only those that are needed are."""

from testbay.dependencies.keeping import Keeper


def keeper(name: str) -> Keeper | None:
    """The keeper of a dependency by its name; None when nobody has written one."""
    match name:
        case "postgres":
            from testbay.dependencies import postgres_archive

            return postgres_archive
        case "dragonfly":
            from testbay.dependencies import dragonfly_archive

            return dragonfly_archive
        case "nats":
            from testbay.dependencies import nats_archive

            return nats_archive
    return None
