"""The names that a manifest may need: the dependencies that testbay brings, and those of installed packages."""

from collections.abc import Iterable
from importlib import metadata

from testbay.errors import ManifestError
from testbay.text import nearest

BUILT_IN = ("postgres", "dragonfly", "nats")
ALIASES = {"redis": "dragonfly", "valkey": "dragonfly"}  # more names for one and the same dependency
GROUP = "testbay.dependencies"  # the entry points by which a package brings a dependency of its own


def names() -> tuple[str, ...]:
    """Every dependency that is installed here, the built-in ones first; no package is imported for this."""
    return (*BUILT_IN, *sorted({point.name for point in metadata.entry_points(group=GROUP)} - set(BUILT_IN)))


def are_built_in(several: Iterable[str]) -> bool:
    """Return whether testbay itself provides all of these dependencies."""
    return all(name in BUILT_IN for name in several)


def is_known(name: str) -> bool:
    """Return whether a dependency is installed; for a built-in one, installed packages are not searched."""
    return name in BUILT_IN or name in names()


def room(name: str) -> str:
    """The dependency for a name in the manifest: `redis` and `valkey` mean testbay's `dragonfly`.

    Raises:
        ManifestError: No dependency of that name is installed.
    """
    meant = ALIASES.get(name, name)
    if not is_known(meant):
        known = (*names(), *ALIASES)
        raise ManifestError(f"unknown dependency {name!r}{nearest(name, known)}", todo=f"known: {', '.join(known)}")
    return meant
