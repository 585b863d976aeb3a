"""Runs what coverage need not look on: it measures no line of it, and would double the time."""

import gc
import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def unwatched() -> Iterator[None]:
    """Stop coverage in this thread, and in those that begin here."""
    watching, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    try:
        yield
    finally:
        threading.settrace(of_threads)
        sys.settrace(watching)


def load(*names: str) -> None:
    """Load those that are not there yet; what they make lives as long as we do, and is nothing to collect."""
    if all(name in sys.modules for name in names):
        return
    gc.disable()
    try:
        with unwatched():
            for name in names:
                importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def has_service(module: ModuleType) -> bool:
    """Whether the module, or one of the helpers that it names, has a part of the service in this process."""
    named = _named(module)
    for helper in [name for name in named if name.startswith("harness.")]:
        named |= _named(sys.modules[helper])
    return any(name.partition(".")[0] == "error_monitor" for name in named)


def _named(module: ModuleType) -> set[str]:
    """The modules of what a module holds, and those that it holds."""
    held = list(vars(module).values())
    return {str(getattr(one, "__module__", "") or getattr(one, "__name__", "")) for one in held}


load("httpx")  # which most of the other helpers import
