"""From results to the store: judging results, and keeping them in memory until they can be written."""

import json
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from testbay.production.checks.report import Result
from testbay.production.history.slowness import Series
from testbay.production.watch.packing import VERDICTS, PackedRound
from testbay.production.watch.records import Changes
from testbay.production.watch.store import WatchStore
from testbay.production.watch.tracker import OutageTracker, RoundResult

_MOST_WAITING = 500_000  # rounds that wait for a store that cannot be written: some 80 MB
_CLOCK_JUMP_S = 5.0
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass(kw_only=True)
class Tally:
    """Counts about the watcher itself. `lateness` has a count for each of the buckets, and one beyond them."""

    asked: int = 0
    skipped: int = 0
    lost: int = 0
    clock_jumps: int = 0
    lateness: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    late_s: float = 0.0
    latest_s: float = 0.0
    untold: int = 0
    store_trouble: str = ""
    alive_trouble: str = ""
    judged_s: float = field(default_factory=time.monotonic)  # when the last cycle ended

    @property
    def unjudged_s(self) -> float:
        return time.monotonic() - self.judged_s

    def late(self, by_s: float) -> None:
        """Count a round that was asked `by_s` seconds after it was due."""
        by_s = max(0.0, by_s)
        self.asked += 1
        self.late_s += by_s
        self.latest_s = max(self.latest_s, by_s)
        self.lateness[next((at for at, most in enumerate(BUCKETS_S) if by_s <= most), len(BUCKETS_S))] += 1


@dataclass(kw_only=True)
class RoundRecorder:
    """Keeps results until they are written.

    `clock` is the wall clock; `steady` one that only goes forward: if they diverge, the wall clock was set.
    """

    tracker: OutageTracker
    store: WatchStore
    tally: Tally
    say: Callable[[str], None]
    clock: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic
    _results: list[RoundResult] = field(default_factory=list)
    _rounds: list[tuple[Series, str, PackedRound]] = field(default_factory=list)
    _changes: Changes = field(default_factory=Changes)
    _apart_s: float | None = None
    _leaps: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=100))  # when, and by how much

    def add(self, one: RoundResult) -> None:
        """Take in the result of a round."""
        self._results.append(one)

    def settle(self) -> None:
        """Judge the results by the rules of outages."""
        heard, self._results = self._results, []
        self._check_clocks()
        self.tracker.take(heard)
        self.tracker.tick(self.clock())
        self._rounds += [(one.series, one.result.kind, _packed(one.result, one.at)) for one in heard]
        if (excess := len(self._rounds) - _MOST_WAITING) > 0:
            del self._rounds[:excess]
            self.tally.lost += excess

    def gather(self) -> None:
        """Take over the tracker's changes in this thread, as another thread writes them."""
        fresh = self.tracker.drain()
        self._changes.standings |= fresh.standings
        self._changes.incidents |= fresh.incidents
        self._changes.notices |= fresh.notices
        self._changes.happenings += fresh.happenings

    def write(self, facts: dict[str, Any] | None = None) -> bool:
        """Write what was gathered; return False if that fails now, and is tried again later."""
        try:
            known = [(name, json.dumps(value)) for name, value in (facts or {}).items()]
            self.store.write(self._rounds, self._changes, known)
        except (sqlite3.Error, OSError) as error:
            if not self.tally.store_trouble:
                self.say(f"history: {self.store.folder} cannot be written: {error}; the rounds wait in memory")
            self.tally.store_trouble = str(error) or type(error).__name__
            return False
        self._rounds, self._changes = [], Changes()
        if self.tally.store_trouble:
            self.say(f"history: {self.store.folder} can be written again")
            self.tally.store_trouble = ""
        return True

    def leapt_s(self, at: float) -> float:
        """The seconds by which the clock was set after a moment: what happened then is younger by so much."""
        # A leap is noticed a second later: what came meanwhile has the new time already.
        return sum(by_s for noticed, by_s in self._leaps if at < noticed - max(0.0, by_s) / 2)

    def _check_clocks(self) -> None:
        apart_s = self.clock() - self.steady()
        if self._apart_s is not None and abs(apart_s - self._apart_s) > _CLOCK_JUMP_S:
            self.tally.clock_jumps += 1
            self._leaps.append((self.clock(), apart_s - self._apart_s))
            self.say(f"the clock was set by {apart_s - self._apart_s:+.0f} s; the schedule stays as it is")
        self._apart_s = apart_s


def _packed(result: Result, at: float) -> PackedRound:
    is_timed = result.verdict == "pass" or bool(result.latencies_s)
    took_us = round(result.response_s * 1e6) if is_timed else None
    return PackedRound(round(at * 1000), VERDICTS.index(result.verdict), took_us)
