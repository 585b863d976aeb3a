"""Imports of testbay's own modules past pytest's rewriting of assertions.

pytest rewrites each module of a distribution that has a plugin. We have more than a hundred, and none holds a test's
assertion: rewritten, they would not use the bytecode that the installer compiled, and where Python may write none, as
in many images, each process would compile all of them anew.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _AsTheyAre:
    """Finds testbay's modules where Python does, before pytest's own finder is asked."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, path, target) if name.startswith("testbay.") else None


def begin() -> None:
    """Import testbay's modules as they are, from now on."""
    if _AsTheyAre not in sys.meta_path:
        sys.meta_path.insert(0, _AsTheyAre)


def end() -> None:
    """Leave them to the other finders again."""
    if _AsTheyAre in sys.meta_path:
        sys.meta_path.remove(_AsTheyAre)
