"""The schedule of checks: at fixed intervals, spread evenly, without catching up on missed rounds."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_GOLDEN = 0.6180339887498949  # groups of one rhythm begin apart from each other, however many there are


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round in which a check is due. `skipped` counts the rounds before it that were missed.

    `key` is the place of the check in the list that the schedule was made of.
    """

    key: int
    due_s: float
    skipped: int = 0


class Schedule:
    """The rounds of all checks on one monotonic clock.

    A check that is due every 15 s is due at t, t+15, t+30 …, whenever it is really asked: nothing drifts. Checks of one
    rhythm are spread evenly over it, so that nothing comes in bursts.

    Args:
        every_s: The distance between two rounds of each check.
        start_s: The clock's time at which the first one is due.
    """

    def __init__(self, every_s: Sequence[float], start_s: float) -> None:
        self._every_s = list(every_s)
        self._waiting: list[tuple[float, int]] = []
        self._asking: set[int] = set()
        self._wanted_s: dict[int, float] = {}  # when checks that are due before their time became so
        for number, (rhythm, keys) in enumerate(sorted(_by_rhythm(every_s).items())):
            shift = (number * _GOLDEN) % 1 * rhythm / len(keys)
            self._waiting += [(start_s + shift + at * rhythm / len(keys), key) for at, key in enumerate(keys)]
        heapq.heapify(self._waiting)

    @property
    def next_s(self) -> float:
        """The time when the next check is due; infinite without checks."""
        return self._waiting[0][0] if self._waiting else float("inf")

    def take(self, now_s: float) -> list[Round]:
        """Take the rounds that are due, at most one for each check; older ones are counted as skipped.

        A check that is still being asked is among them: `begin` refuses it.
        """
        found = []
        while self._waiting and self._waiting[0][0] <= now_s:
            due_s, key = self._waiting[0]
            skipped = int((now_s - due_s) / self._every_s[key])
            newest_s = due_s + skipped * self._every_s[key]
            heapq.heapreplace(self._waiting, (newest_s + self._every_s[key], key))
            found.append(Round(key=key, due_s=self._wanted_s.pop(key, newest_s), skipped=skipped))
        return found

    def begin(self, key: int) -> bool:
        """Begin a check's round; return False if its last round has not ended."""
        if key in self._asking:
            return False
        self._asking.add(key)
        return True

    def end(self, key: int) -> None:
        self._asking.discard(key)

    def bring_forward(self, keys: Iterable[int], now_s: float) -> None:
        """Make checks due now, such as those of a target that was just deployed; their rhythm stays."""
        wanted = set(keys)
        early = {
            key: due_s - self._every_s[key]
            for due_s, key in self._waiting
            if key in wanted and due_s - self._every_s[key] <= now_s < due_s
        }
        self._wanted_s |= dict.fromkeys(early, now_s)  # their place in the rhythm is past, and they are not late
        self._waiting = [(early.get(key, due_s), key) for due_s, key in self._waiting]
        heapq.heapify(self._waiting)


def _by_rhythm(every_s: Sequence[float]) -> dict[float, list[int]]:
    found: dict[float, list[int]] = {}
    for key, rhythm in enumerate(every_s):
        found.setdefault(rhythm, []).append(key)
    return found
