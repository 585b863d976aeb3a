"""Waiting in a test for something that the service does: short pauses, and one deadline."""

from collections.abc import Callable
from typing import TypeVar

from testbay.harness.world import Clock

T = TypeVar("T")
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 0.1


def eventually(
    ask: Callable[[], T], what: str = "", deadline_s: float = 20.0, *, pause_s: float = _SHORTEST_PAUSE_S
) -> T:
    """Call `ask` until its result is true, and return it.

    Each pause is a tenth of the time waited so far, and at least `pause_s`, for a question that costs much.

    Raises:
        AssertionError: There was none within `deadline_s`; it names what was waited for, and the last answer.

    Example:
        eventually(lambda: postgres.execute("SELECT FROM orders").fetchall(), "the order to be stored")
    """
    began = Clock.monotonic()
    while not (answer := ask()):
        if (waited_s := Clock.monotonic() - began) > deadline_s:
            raise AssertionError(f"waited {deadline_s:g} s for {what or 'an answer'}; the last one was {answer!r}")
        Clock.sleep(max(min(waited_s / 10, _LONGEST_PAUSE_S), pause_s))
    return answer
