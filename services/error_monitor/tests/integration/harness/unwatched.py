"""Loads libraries while coverage does not look on: it measures no line of them, and would double the time."""

import gc
import importlib
import sys


def load(*names: str) -> None:
    """Load those that are not there yet; what they make lives as long as we do, and is nothing to collect."""
    if all(name in sys.modules for name in names):
        return
    watching = sys.gettrace()
    sys.settrace(None)
    gc.disable()
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        gc.freeze()
        gc.enable()
        sys.settrace(watching)
