"""Waiting for a monitor that may share its machine with ten others."""

from collections.abc import Callable
from typing import TypeVar

from testbay import fixtures

T = TypeVar("T")
PATIENCE_S = 60.0


def eventually(ask: Callable[[], T], what: str, deadline_s: float = PATIENCE_S) -> T:
    """The first answer that is true; a question costs the monitor and us milliseconds of CPU, so there are pauses."""
    return fixtures.eventually(ask, what, deadline_s=deadline_s, pause_s=0.02)
