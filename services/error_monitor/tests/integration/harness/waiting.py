"""Waiting for something to become true: short polls, one deadline, and the last answer when it passes."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

DEADLINE_S = 60.0


def eventually(ask: Callable[[], T], what: str, deadline_s: float = DEADLINE_S) -> T:
    """The first true answer."""
    ends = time.monotonic() + deadline_s
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < ends, f"waited {deadline_s:g} s for {what}; last answer: {answer!r}"
        time.sleep(0.02)
