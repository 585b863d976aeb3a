"""The names that a manifest may need: the dependencies that testbay brings, and those of installed packages."""

from importlib import metadata

BUILT_IN = ("postgres", "dragonfly", "nats")
GROUP = "testbay.dependencies"  # the entry points by which a package brings a dependency of its own


def names() -> tuple[str, ...]:
    """Every dependency that is installed here, the built-in ones first; no package is imported for it."""
    return (*BUILT_IN, *sorted({point.name for point in metadata.entry_points(group=GROUP)} - set(BUILT_IN)))


def is_known(name: str) -> bool:
    """Whether a dependency of that name is installed; a built-in one costs no look at the installed packages."""
    return name in BUILT_IN or name in names()
