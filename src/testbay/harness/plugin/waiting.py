"""Waiting in a test for what a service is about to do: short pauses, and one deadline."""

from collections.abc import Callable
from typing import TypeVar

from testbay.harness.world import Clock

T = TypeVar("T")
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.002, 0.02


def eventually(ask: Callable[[], T], what: str = "", deadline_s: float = 20.0) -> T:
    """Call `ask` until its answer is true, and return that answer.

    Raises:
        AssertionError: There was none within `deadline_s`; it names what was waited for, and the last answer.

    Example:
        eventually(lambda: postgres.execute("SELECT FROM orders").fetchall(), "the order to be stored")
    """
    ends, pause_s = Clock.monotonic() + deadline_s, _FIRST_PAUSE_S
    while not (answer := ask()):
        if Clock.monotonic() > ends:
            raise AssertionError(f"waited {deadline_s:g} s for {what or 'an answer'}; the last one was {answer!r}")
        Clock.sleep(pause_s)
        pause_s = min(1.2 * pause_s, _LAST_PAUSE_S)
    return answer
