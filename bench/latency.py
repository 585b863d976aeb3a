"""How often rules for "has it become slower?" are wrong: false alarms per check and year, and slowdowns that are found.

Usage: .venv/bin/python bench/latency.py [--years 50] [--trials 400] [--seed 1]

A simulation; the rule is the one of `testbay latency`. A check runs every six hours, with ten probes to the service and
ten to the control path. The logarithm of a probe's time is the sum of

- the path's own level (service 80 ms, control 20 ms),
- the time of day: a sine of 5 % for the service, half of that for the control,
- noise of the run, which is the row of the table: 80 % of its variance is the runner's and the way's, the same for both
  paths, the rest is each path's own,
- shifts of the shared host: six a year, of sd 0.25, for three days on average, the same for both paths,
- noise of the probe, sd 0.10; three probes in a hundred take three times as long,
- a run in a hundred in which the service alone takes half as long again, for no reason that a release has.

What no simulation knows is how much a real runner shares between the two paths: `--shared` sets it. An alarm is
raised when a rule says slower, and ends after two runs in which it does not. A slowdown is found if the rule says
slower in one of the eight runs of the two days after it; what it says by chance counts there, too.
"""

import argparse
import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from testbay.production.history.slowness import Rule, Sample, judge

RUNS_A_DAY = 4
QUIET = Rule().needs  # runs before a slowdown
FOUND_WITHIN = 2 * RUNS_A_DAY
PROBES = 10
START = datetime(2026, 1, 1, tzinfo=UTC)
NOISES = {"low": 0.05, "mid": 0.15, "high": 0.30}

Says = Callable[[Sequence[Sample]], bool]


class World:
    """A service, its control path and the host between them and us."""

    def __init__(self, chance: random.Random, noise: float, shared: float) -> None:
        self._chance = chance
        self._common = noise * math.sqrt(shared)
        self._own = noise * math.sqrt(1 - shared)
        self._phase = chance.uniform(0, 2 * math.pi)
        self._shift = 0.0
        self._shifted_runs = 0.0

    def runs(self, factor: Callable[[int], float]) -> Iterator[Sample]:
        """Without end; `factor` is how much slower the service is in a run."""
        number = 0
        while True:
            yield self._run(number, factor(number))
            number += 1

    def _run(self, number: int, factor: float) -> Sample:
        chance = self._chance
        day = math.sin(2 * math.pi * number / RUNS_A_DAY + self._phase)
        both = chance.gauss(0, self._common) + self._host()
        alone = math.log(1.5) if chance.random() < 0.01 else 0.0
        service = math.log(80 * factor) + 0.05 * day + both + chance.gauss(0, self._own) + alone
        control = math.log(20) + 0.025 * day + both + chance.gauss(0, self._own)
        return Sample(
            moment=START + timedelta(hours=24 / RUNS_A_DAY * number),
            median_ms=self._median(service),
            control_ms=self._median(control),
            probes=PROBES,
        )

    def _host(self) -> float:
        self._shifted_runs -= 1
        if self._shifted_runs < 0:
            self._shift = 0.0
        if self._chance.random() < 6 / (365 * RUNS_A_DAY):
            self._shift = self._chance.gauss(0, 0.25)
            self._shifted_runs = self._chance.expovariate(1 / (3 * RUNS_A_DAY))
        return self._shift

    def _median(self, level: float) -> float:
        times = (self._chance.gauss(level, 0.10) + math.log(3) * (self._chance.random() < 0.03) for _ in range(PROBES))
        return round(statistics.median(math.exp(time) for time in times), 3)


def last_time(found: Sequence[Sample]) -> bool:
    """20 % slower than last time."""
    return found[-1].median_ms > 1.2 * found[-2].median_ms


def without_control(found: Sequence[Sample]) -> bool:
    """The rule on plain milliseconds."""
    return judge([Sample(moment=s.moment, median_ms=s.median_ms) for s in found]).word == "slower"


def the_rule(found: Sequence[Sample]) -> bool:
    """As it is."""
    return judge(found).word == "slower"


RULES: dict[str, Says] = {
    "20 % slower than last time": last_time,
    "the rule without control": without_control,
    "the rule": the_rule,
}


def false_alarms(worlds: Iterator[World], years: int) -> dict[str, float]:
    """For each rule, alarms per year in which nothing happens."""
    raised = dict.fromkeys(RULES, 0)
    for _ in range(years):
        window: list[Sample] = []
        good = dict.fromkeys(RULES, 2)
        for number, sample in enumerate(next(worlds).runs(lambda _: 1.0)):
            window = [*window[-QUIET + 1 :], sample]
            if number == QUIET + 365 * RUNS_A_DAY:
                break
            for name, says in RULES.items() if number >= QUIET else ():
                slower = says(window)
                raised[name] += slower and good[name] >= 2
                good[name] = 0 if slower else good[name] + 1
    return {name: count / years for name, count in raised.items()}


def found_share(worlds: Iterator[World], trials: int, factor: float) -> dict[str, float]:
    """For each rule, the part of slowdowns that it finds in time."""
    found = dict.fromkeys(RULES, 0)
    for _ in range(trials):
        runs = next(worlds).runs(lambda number: factor if number >= QUIET else 1.0)
        told = [next(runs) for _ in range(QUIET + FOUND_WITHIN)]
        ends = range(QUIET + 1, len(told) + 1)
        for name, says in RULES.items():
            found[name] += any(says(told[end - QUIET : end]) for end in ends)
    return {name: count / trials for name, count in found.items()}


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=50, help="quiet years for each noise (default 50)")
    parser.add_argument("--trials", type=int, default=400, help="slowdowns of each size for each noise (default 400)")
    parser.add_argument("--shared", type=float, default=0.8, help="the part of the noise that is shared (default 0.8)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same table (default 1)")
    asked = parser.parse_args()
    print(f"{'noise':<12} {'rule':<28} {'false alarms a year':>20} {'+25 % in 2 days':>16} {'+50 % in 2 days':>16}")
    for name, noise in NOISES.items():
        chance = random.Random(f"{asked.seed} {name}")  # noqa: S311 - not cryptography: a table that can be had again
        worlds = iter(lambda noise=noise, chance=chance: World(chance, noise, asked.shared), None)
        alarms = false_alarms(worlds, asked.years)
        quarter, half = (found_share(worlds, asked.trials, factor) for factor in (1.25, 1.5))
        for rule, rate in alarms.items():
            print(f"{f'{name}, {noise:.2f}':<12} {rule:<28} {rate:>20.2f} {quarter[rule]:>16.1%} {half[rule]:>16.1%}")


if __name__ == "__main__":
    main()
