"""The test whether a check has become slower than it was.

The newest 6 runs are compared with the 28 before them. Each counts by its median, divided by the median of the control
path in the same run, so that a slow runner or network slows down both sides of the fraction. They are slower when the
ratio of the medians is above the limit *and* a difference of this size is improbable by chance (exact Mann-Whitney U
test). A hard limit in milliseconds can be set beside it: it needs no history.
"""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from typing import Literal, NamedTuple

from testbay.manifest.checks import Latency
from testbay.production.history.entries import CONTROL, Entry
from testbay.text import one_line

Word = Literal["steady", "slower", "not sure", "over the limit", "not enough yet", "not judged"]
_WIDTH = 40
_LEAST_MS, _MOST_MS = 0.001, 1e9


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The rule by which runs are slower. `p` is the probability of a false alarm; `recent` and `before` count runs.

    If `slower_than` is None, runs are never judged slower.
    """

    slower_than: float | None = 0.20
    p: float = 0.001
    recent: int = 6
    before: int = 28
    hard_ms: float | None = None

    @property
    def needs(self) -> int:
        """The number of runs that a comparison needs."""
        return self.recent + self.before


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One run of one check."""

    moment: datetime
    commit: str = ""
    median_ms: float
    probes: int = 1
    control_ms: float | None = None


@dataclass(frozen=True, kw_only=True)
class Slowness:
    """A verdict with its numbers. `levels` are the compared values; `divided`: ratios to the control."""

    word: Word
    rule: Rule
    samples: tuple[Sample, ...]
    divided: bool = False
    levels: tuple[float, ...] = ()
    ratio: float | None = None
    p: float | None = None

    @property
    def is_bad(self) -> bool:
        return self.word in ("slower", "over the limit")

    @property
    def turn(self) -> int:
        """Estimate the sample at which the slowness begins: where both parts differ most (CUSUM)."""
        levels = [math.log(level) for level in self.levels]
        count = len(levels)

        def apart(cut: int) -> float:
            return (statistics.fmean(levels[cut:]) - statistics.fmean(levels[:cut])) * math.sqrt(cut * (count - cut))

        return max(range(1, count), key=apart)

    @property
    def said(self) -> str:
        """The verdict in one sentence."""
        rule = self.rule
        if self.word == "over the limit":
            return f"over the limit: {self.samples[-1].median_ms:.4g} ms in the newest run, hard_ms is {rule.hard_ms:g}"
        if self.ratio is None or self.p is None:
            return f"not enough yet ({len(self.samples)} of {rule.needs} runs)"
        change = f"{abs(self.ratio - 1):.0%} {'slower' if self.ratio >= 1 else 'faster'}"
        last = f"the last {rule.recent} runs are {change} than the {rule.before} before"
        chance = f"p = {self.p:.2g}"
        if self.word == "slower":
            return f"slower: {last}, and not by chance ({chance})"
        if rule.slower_than is None:
            return f"not judged: {last} ({chance}); a control is when it says slower_than"
        if self.word == "steady":
            return f"steady: {last}; more than {rule.slower_than:.0%} slower would count ({chance})"
        return f"not sure: {last}, but that may be chance ({chance}; below {rule.p:g} counts)"


class Series(NamedTuple):
    """One check on one target."""

    service: str
    target: str
    check: str
    instance: str = ""

    @property
    def name(self) -> str:
        """The check's id, and behind it the instance if there are several."""
        return f"{self.check} {self.instance}".strip()

    def __str__(self) -> str:
        where = f"{self.service} on {self.target}" if self.target else self.service
        return one_line(f"{where}: {self.name}")


def series(entries: Iterable[Entry]) -> dict[Series, list[Sample]]:
    """Collect the samples of each check, in the order of the history."""
    found: dict[Series, list[Sample]] = {}
    for entry in entries:
        for outcome in entry.outcomes:
            if median_ms := _time(outcome.median_ms):
                sample = Sample(
                    moment=entry.moment,
                    commit=entry.commit,
                    median_ms=median_ms,
                    probes=outcome.probes,
                    control_ms=None if outcome.check == CONTROL else _time(entry.control_ms),
                )
                key = Series(entry.service, entry.target, outcome.check, outcome.instance)
                found.setdefault(key, []).append(sample)
    return found


def _time(found_ms: float | None) -> float | None:
    """Return the time, or None if it is zero or out of the range that a real clock shows."""
    return found_ms if found_ms and _LEAST_MS <= found_ms <= _MOST_MS else None


def rule(check: str, latency: Latency) -> Rule:
    """Make the rule that a manifest sets for a check. The control is by default not judged."""
    usual = None if check == CONTROL else Rule().slower_than
    return Rule(slower_than=usual if latency.slower_than is None else latency.slower_than, hard_ms=latency.hard_ms)


def judge(found: Sequence[Sample], rule: Rule | None = None) -> Slowness:
    """Judge samples, of which the oldest comes first."""
    rule = rule or Rule()
    window = tuple(found[-rule.needs :])
    # One run without a control would have a far larger level than the others, so all are divided or none.
    divided = all(sample.control_ms for sample in window)
    levels = tuple(sample.median_ms / ((divided and sample.control_ms) or 1) for sample in window)
    over = bool(window) and rule.hard_ms is not None and window[-1].median_ms > rule.hard_ms
    word: Word = "over the limit" if over else "not enough yet"
    before, recent = levels[: rule.before], levels[rule.before :]
    if len(window) < rule.needs:
        return Slowness(word=word, rule=rule, samples=window, divided=divided, levels=levels)
    ratio = statistics.median(recent) / statistics.median(before)
    p = chance(recent, before)
    if not over:
        word = _word(ratio, p, rule)
    return Slowness(word=word, rule=rule, samples=window, divided=divided, levels=levels, ratio=ratio, p=p)


def _word(ratio: float, p: float, rule: Rule) -> Word:
    if rule.slower_than is None:
        return "not judged"
    if ratio <= 1 + rule.slower_than:
        return "steady"
    return "slower" if p < rule.p else "not sure"


def chance(high: Sequence[float], low: Sequence[float]) -> float:
    """Compute the one-sided p of the Mann-Whitney U test: how probable it is by chance that `high` lies so far up.

    Exact, also with ties: the share of all choices of that many ranks whose sum is at least as large. Ranks are
    doubled, so that the shared rank of equal values is a whole number.
    """
    ordered = sorted([*((value, True) for value in high), *((value, False) for value in low)])
    ranks: list[int] = []
    reached = 0
    for _, equal in groupby(ordered, key=lambda pair: pair[0]):
        members = [ours for _, ours in equal]
        rank = 2 * len(ranks) + len(members) + 1
        ranks += [rank] * len(members)
        reached += rank * sum(members)
    ways = _ways(tuple(ranks), len(high))
    return sum(count for total, count in ways.items() if total >= reached) / math.comb(len(ranks), len(high))


@lru_cache(maxsize=16)  # without ties the ranks are always the same
def _ways(ranks: tuple[int, ...], chosen: int) -> Counter[int]:
    """Count the choices of `chosen` ranks, by the sum of the ranks."""
    ways = [Counter({0: 1}), *(Counter[int]() for _ in range(chosen))]
    for rank in ranks:
        for size in range(chosen, 0, -1):
            for total, count in ways[size - 1].items():
                ways[size][total + rank] += count
    return ways[chosen]


def explain(finding: Slowness) -> list[str]:
    """Explain a verdict in lines of text: its numbers, and a bar for each run, the oldest first."""
    rule, found = finding.rule, finding.samples
    lines = [finding.said]
    if not found:
        return lines
    cut = max(0, len(found) - rule.recent)
    lines += [*summary(finding), ""]
    most = max(finding.levels)
    for at, (sample, level) in enumerate(zip(found, finding.levels, strict=True)):
        lines += [f"  {'the last ' + str(rule.recent):-<76}"] if at == cut and cut else []
        bar = "#" * max(1, round(level / most * _WIDTH))
        number = f"{sample.median_ms:>9.4g} ms" + (f" {level:>7.3g}" if finding.divided else "")
        lines.append(f"  {sample.moment:%Y-%m-%d %H:%M}  {_commit(sample):<7} {number}  {bar}")
    return lines


def summary(finding: Slowness) -> list[str]:
    """List the medians, what was compared, and, if slower, the run and the commit since which."""
    lines = []
    cut = len(finding.samples) - finding.rule.recent
    if cut > 0:
        before, recent = (statistics.median(part) for part in (finding.levels[:cut], finding.levels[cut:]))
        unit = "of control" if finding.divided else "ms"
        medians = f"{before:.4g} {unit} before, {recent:.4g} {unit} in the last {finding.rule.recent} runs"
        lines.append(f"  medians:  {medians}")
    lines.append(f"  compared: {_compared(finding)}")
    if finding.word == "slower":
        last, first = finding.samples[finding.turn - 1], finding.samples[finding.turn]
        commits = f"commit {_commit(first) or 'unknown'}, in the run before {_commit(last) or 'unknown'}"
        lines.append(f"  since:    {first.moment:%Y-%m-%d %H:%M}, {commits}")
    return lines


def _commit(sample: Sample) -> str:
    return one_line(sample.commit)[:7]


def _compared(finding: Slowness) -> str:
    probes = min(sample.probes for sample in finding.samples)
    each = f"the median of at least {probes} probes" if probes > 1 else "a single probe in some, which is noisy"
    if finding.divided:
        return f"each run by {each}, divided by that of the check '{CONTROL}' in it"
    known = sum(bool(sample.control_ms) for sample in finding.samples)
    control = f"'{CONTROL}' was timed in {known} of {len(finding.samples)} runs" if known else f"no check '{CONTROL}'"
    return f"each run by {each}, not divided: {control}"
