"""The names that a manifest may need: the dependencies that testbay brings, and those of installed packages."""

from collections.abc import Iterable
from importlib import metadata

from testbay.errors import ManifestError
from testbay.text import nearest

BUILT_IN = ("postgres", "dragonfly", "nats")
ALIASES = {"redis": "dragonfly", "valkey": "dragonfly"}  # more names for one and the same dependency
GROUP = "testbay.dependencies"  # the entry points by which a package brings a dependency of its own


def names() -> tuple[str, ...]:
    """Every dependency that is installed here, the built-in ones first; no package is imported for it."""
    return (*BUILT_IN, *sorted({point.name for point in metadata.entry_points(group=GROUP)} - set(BUILT_IN)))


def are_built_in(several: Iterable[str]) -> bool:
    """Return whether testbay itself brings all of those dependencies."""
    return all(name in BUILT_IN for name in several)


def is_known(name: str) -> bool:
    """Return whether a dependency of that name is installed; a built-in one costs no look at the installed packages."""
    return name in BUILT_IN or name in names()


def room(name: str) -> str:
    """The dependency that is meant by a name: `redis` and `valkey` are the one that testbay calls `dragonfly`.

    Raises:
        ManifestError: No dependency of that name is installed.
    """
    meant = ALIASES.get(name, name)
    if not is_known(meant):
        known = (*names(), *ALIASES)
        raise ManifestError(f"unknown dependency {name!r}{nearest(name, known)}", todo=f"known: {', '.join(known)}")
    return meant
