"""Weeks of a watched target in fast motion: outages, flaps, deploys, planned work, failing channels and crashes."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from testbay.production.checks.report import Result, Verdict
from testbay.production.history.slowness import Series
from testbay.production.watch.notifier import Delivery, Notifier
from testbay.production.watch.recorder import RoundRecorder, Tally
from testbay.production.watch.store import WatchStore
from testbay.production.watch.tracker import OutageRules, OutageTracker, RoundResult

AFTER, RECOVERED = 3, 2
CHANNELS = ("shop.mail", "shop.chat")
CHECKS = [Series("shop", "prod", name) for name in ("health", "login", "search")]
STEP_S = 30.0


class CrashError(Exception):
    """The watcher is killed here."""


@dataclass
class Truth:
    """What was written down of one check, judged by nothing but the definition of an outage."""

    bad: int = 0
    good: int = 0
    unheld: int = 0
    flaws: int = 0
    since: float = 0.0
    is_out: bool = False
    is_news: bool = False
    outages: list[tuple[float, float]] = field(default_factory=list)

    def hear(self, at: float, *, bad: bool, held: bool) -> None:
        if bad:
            self.since = at if not self.bad and not self.is_out else self.since
            self.bad, self.good = self.bad + 1, 0
            self.unheld = 0 if held else self.unheld + 1
            self.flaws += 0 if held else 3
            self.is_out = self.is_out or self.bad >= AFTER or self.flaws >= 6 * AFTER
            self.is_news = self.is_news or (self.is_out and (self.unheld >= AFTER or self.flaws >= 6 * AFTER))
            return
        self.bad, self.unheld, self.flaws, self.good = 0, 0, max(0, self.flaws - 1), self.good + 1
        if self.is_out and self.good >= RECOVERED:
            if self.is_news:
                self.outages.append((self.since, at))
            self.is_out = self.is_news = False
            self.flaws = 0


class Weather:
    """What happens to the target and the channels, from a seed."""

    def __init__(self, seed: int, steps: int) -> None:
        self.random = random.Random(seed)
        self.steps = steps
        self.down = {series: list(self._spells(0.12, 12)) for series in CHECKS}
        everything = list(self._spells(0.03, 10))  # one cause for all
        self.all_down = everything
        self.held = list(self._spells(0.06, 9))
        self.deaf = {channel: list(self._spells(0.08, 15)) for channel in CHANNELS}

    def _spells(self, often: float, longest: int) -> Iterator[bool]:
        left = 0
        for _ in range(self.steps):
            if not left and self.random.random() < often:
                left = self.random.randint(1, longest)
            yield left > 0
            left = max(0, left - 1)

    def verdict(self, series: Series, step: int) -> tuple[Verdict, str]:
        calm = step >= self.steps
        if not calm and self.all_down[step]:
            return "fail", "GET /x: connection refused"
        if not calm and self.down[series][step]:
            return "fail", f"{series.check} is out of order"
        return "pass", "GET /x → 200"

    def is_held(self, step: int) -> bool:
        return step < self.steps and self.held[step]

    def takes(self, channel: str, step: int) -> bool:
        return step >= self.steps or not self.deaf[channel][step]


@dataclass
class Delivered:
    """A message as its reader has it."""

    channel: str
    incident: int
    kinds: tuple[str, ...]
    title: str
    maybe_again: bool


class Motion:
    """A watcher's rules, store and notifier on a virtual clock, killed now and then between any two of its acts."""

    def __init__(self, folder: Path, weather: Weather) -> None:
        self.folder, self.weather = folder, weather
        self.now = 1_700_000_000.0
        self.truth = {series: Truth() for series in CHECKS}
        self.delivered: list[Delivered] = []
        self.crashes = 0
        self.announced: dict[int, tuple[tuple[Series, ...], float, float]] = {}
        self._begin()

    def _begin(self) -> None:
        self.store = WatchStore(self.folder)
        self.tracker = OutageTracker(
            rules={"shop": OutageRules(after=AFTER, recovered_after=RECOVERED, channels=CHANNELS)}
        )
        self.store.load(self.tracker)
        clock = lambda: self.now  # noqa: E731
        self.recorder = RoundRecorder(
            tracker=self.tracker, store=self.store, tally=Tally(), say=lambda _: None, clock=clock, steady=clock
        )
        self.notifier = Notifier(tracker=self.tracker)

    def run(self, calm: int) -> None:
        """All of the weather, then so many calm steps."""
        for step in range(self.weather.steps + calm):
            self.now += STEP_S
            try:
                self._step(step)
            except CrashError:
                self.crashes += 1
                self.store.close()
                self._begin()
        self.store.close()

    def _maybe_crash(self, step: int) -> None:
        if step < self.weather.steps and self.weather.random.random() < 0.01:
            raise CrashError

    def _step(self, step: int) -> None:
        held = self.weather.is_held(step)
        heard = []
        for series in CHECKS:
            verdict, said = self.weather.verdict(series, step)
            result = Result(check=series.check, kind="http", verdict=verdict, said=said)
            self.recorder.add(RoundResult(series=series, result=result, at=self.now, held=held))
            heard.append((series, verdict))
        self.recorder.settle()
        deliveries = self.notifier.choose(self.now)
        self._maybe_crash(step)
        self.recorder.gather()
        assert self.recorder.write()
        for series, verdict in heard:
            self.truth[series].hear(self.now, bad=verdict == "fail", held=held)
        for incident in self.tracker.incidents.values():
            if incident.announced:
                self.announced[incident.id] = (incident.members, incident.opened, incident.closed or float("inf"))
        for delivery in deliveries:
            self._maybe_crash(step)
            self._send(delivery, step)

    def _send(self, delivery: Delivery, step: int) -> None:
        if not self.weather.takes(delivery.channel, step):
            self.notifier.failed(delivery, "it is deaf", self.now)
            return
        first = delivery.notices[0]
        again = any(one.again for one in delivery.notices)
        kinds = tuple(sorted(one.kind for one in delivery.notices))
        self.delivered.append(Delivered(delivery.channel, first.incident, kinds, delivery.notification.title, again))
        self._maybe_crash(step)
        self.notifier.sent(delivery, self.now)

    def told(self) -> Counter[tuple[str, int, str]]:
        """How often each channel heard of each turn of each incident, without what may be a second time and says so."""
        return Counter(
            (one.channel, one.incident, kind)
            for one in self.delivered
            for kind in one.kinds
            if one.incident and not one.maybe_again
        )

    def heard_of(self, channel: str) -> set[int]:
        """The incidents that a channel knows of."""
        return {one.incident for one in self.delivered if one.channel == channel and one.incident}
