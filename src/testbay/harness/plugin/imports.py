"""Importing testbay's own modules without pytest's assertion rewriting.

pytest rewrites each module of a distribution that has a plugin. None of our hundreds of modules holds assertions of
tests: rewritten, they would not use the bytecode that the installer compiled, and where Python may not write any, as in
many images, each process would compile them all.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _AsTheyAre:
    """Finds testbay's modules as Python does, before pytest's finder is asked."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, path, target) if name.startswith("testbay.") else None


def begin() -> None:
    """Import testbay's modules without rewriting from now on."""
    if _AsTheyAre not in sys.meta_path:
        sys.meta_path.insert(0, _AsTheyAre)


def end() -> None:
    """Leave testbay's modules to the other finders again."""
    if _AsTheyAre in sys.meta_path:
        sys.meta_path.remove(_AsTheyAre)
