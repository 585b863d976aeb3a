"""When a check counts as slower than it was."""

import itertools
import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from testbay.production.history import slowness
from testbay.production.history.entries import Entry, Outcome
from testbay.production.history.slowness import Rule, Sample, Series, chance, judge

START = datetime(2026, 11, 1, tzinfo=UTC)


def samples(levels: Sequence[float], controls: Sequence[float | None] = (), **more: Any) -> list[Sample]:
    """A run every six hours."""
    known = itertools.chain(controls, itertools.repeat(None))
    return [
        Sample(moment=START + timedelta(hours=6 * at), median_ms=level, control_ms=control, probes=10, **more)
        for at, (level, control) in enumerate(zip(levels, known, strict=False))
    ]


def around(level: float, count: int, seed: int = 1) -> list[float]:
    """Levels that differ by a few per cent."""
    source = random.Random(seed)
    return [level * source.uniform(0.97, 1.03) for _ in range(count)]


def by_counting(high: Sequence[float], low: Sequence[float]) -> float:
    """The definition: of all ways to deal the values out, the part in which U is as large."""

    def u(ours: Sequence[float], theirs: Sequence[float]) -> float:
        return sum((a > b) + (a == b) / 2 for a in ours for b in theirs)

    values = [*high, *low]
    deals = [set(deal) for deal in itertools.combinations(range(len(values)), len(high))]
    us = [
        u([values[at] for at in deal], [value for at, value in enumerate(values) if at not in deal]) for deal in deals
    ]
    return sum(one >= u(high, low) for one in us) / len(us)


@pytest.mark.parametrize("seed", range(12))
def test_p_is_what_counting_gives(seed: int) -> None:
    """Exact, with and without equal values."""
    source = random.Random(seed)
    values = [float(source.randint(0, 4 if seed % 2 else 1000)) for _ in range(11)]

    assert chance(values[:4], values[4:]) == pytest.approx(by_counting(values[:4], values[4:]), abs=1e-12)


# The largest U (of the smaller side) that is significant at 5 % in a two-sided test, as tables have it.
@pytest.mark.parametrize(
    ("ours", "theirs", "critical"),
    [(4, 4, 0), (5, 5, 2), (6, 6, 5), (5, 8, 6), (6, 10, 11), (6, 20, 27), (8, 8, 13), (10, 10, 23), (20, 20, 127)],
)
def test_p_agrees_with_the_tables(ours: int, theirs: int, critical: int) -> None:
    """At the critical value the one-sided p is at most 2.5 %, one further it is more."""
    assert deal_with(ours, theirs, critical) <= 0.025 < deal_with(ours, theirs, critical + 1)


def deal_with(ours: int, theirs: int, lost: int) -> float:
    """What p is where `lost` of all pairs are won by the other side."""
    each, rest = divmod(lost, ours)
    below = [each + (at < rest) for at in range(ours)]  # so many of theirs are above each of ours
    high = [theirs - count + 0.5 + at / 100 for at, count in enumerate(below)]
    return chance(high, [float(at) for at in range(1, theirs + 1)])


def test_extremes_of_p() -> None:
    """Six above all 28 are one way of all there are; equal values say nothing."""
    assert chance([9.0] * 6, [1.0] * 28) == 1 / math.comb(34, 6)
    assert chance([1.0] * 6, [1.0] * 28) == 1.0


def test_too_few_runs_say_nothing() -> None:
    """33 runs are not enough, however far apart they are."""
    finding = judge(samples([100] * 28 + [900] * 5))

    assert (finding.word, finding.said) == ("not enough yet", "not enough yet (33 of 34 runs)")


def test_slower_is_said_with_its_numbers() -> None:
    """The ratio of the medians, and the chance that it is none."""
    finding = judge(samples([*around(100, 28), *around(150, 6)]))

    said = "slower: the last 6 runs are 50% slower than the 28 before, and not by chance (p = 7.4e-07)"
    assert (finding.word, finding.said) == ("slower", said)


def test_a_little_slower_is_steady() -> None:
    """However sure it is: below 20 % nobody is woken."""
    finding = judge(samples([*around(100, 28), *around(112, 6)]))

    said = "steady: the last 6 runs are 12% slower than the 28 before; more than 20% slower would count (p = 7.4e-07)"
    assert (finding.word, finding.said) == ("steady", said)


def test_much_slower_by_chance_is_no_alarm() -> None:
    """Where runs differ threefold anyway, a ratio says little."""
    finding = judge(samples([50, 150, 200, 90] * 7 + [150, 150, 200, 90, 150, 200]))

    said = "the last 6 runs are 25% slower than the 28 before, but that may be chance (p = 0.13; below 0.001 counts)"
    assert (finding.word, finding.said) == ("not sure", f"not sure: {said}")


def test_faster_is_steady() -> None:
    """It is told, and it is no alarm."""
    said = "steady: the last 6 runs are 50% faster than the 28 before; more than 20% slower would count (p = 1)"

    assert judge(samples([100] * 28 + [50] * 6)).said == said


def test_one_slow_run_is_no_alarm() -> None:
    """Nor are two: whoever waits for a pattern sees one."""
    assert judge(samples([*around(100, 32), 900, 900])).word == "steady"


def test_a_slow_way_is_no_slow_service() -> None:
    """When the control path is slower by as much, nothing has happened; without it there is an alarm."""
    levels, controls = [*around(100, 28), *around(150, 6)], [*around(20, 28, 2), *around(30, 6, 3)]

    assert judge(samples(levels, controls)).word == "steady"
    assert judge(samples(levels)).word == "slower"


@pytest.mark.parametrize("gap", [None, 0.0])
def test_a_run_without_control_is_not_compared_with_ratios(gap: float | None) -> None:
    """Then none of the runs is divided, and that is said."""
    finding = judge(samples(around(100, 34), [*[20.0] * 20, gap, *[20.0] * 13]))

    assert (finding.word, finding.divided) == ("steady", False)
    assert "not divided: 'control' was timed in 33 of 34 runs" in slowness.explain(finding)[2]


def test_the_limit_needs_no_history() -> None:
    """It answers at once, and for the newest run alone."""
    rule = Rule(hard_ms=2000)

    said = "over the limit: 2001 ms in the newest run, hard_ms is 2000"
    assert [judge(samples([2001]), rule).said, judge(samples([2001, 2000]), rule).word] == [said, "not enough yet"]
    assert judge(samples([*around(100, 33), 3000]), rule).word == "over the limit"


def test_a_check_that_was_never_timed_is_explained_too() -> None:
    """There is nothing to show."""
    assert slowness.explain(judge([])) == ["not enough yet (0 of 34 runs)"]


def test_what_is_explained() -> None:
    """The verdict, the medians, how it was compared, and every run with a bar, the newest ones set apart."""
    rule = Rule(before=2, recent=1, p=0.5)

    lines = slowness.explain(judge(samples([100, 110, 200], [10, 11, 10], commit="abc\x1b12345"), rule))

    assert lines == [
        "slower: the last 1 runs are 100% slower than the 2 before, and not by chance (p = 0.33)",
        "  medians:  10 of control before, 20 of control in the last 1 runs",
        "  compared: each run by the median of at least 10 probes, divided by that of the check 'control' in it",
        "  since:    2026-11-01 12:00, commit abc\\x1b, in the run before abc\\x1b",
        "",
        "  2026-11-01 00:00  abc\\x1b       100 ms      10  ####################",
        "  2026-11-01 06:00  abc\\x1b       110 ms      10  ####################",
        "  the last 1" + "-" * 66,
        "  2026-11-01 12:00  abc\\x1b       200 ms      20  ########################################",
    ]


@pytest.mark.parametrize(("median_ms", "control_ms"), [(5e-324, 1.7e308), (1.7e308, 5e-324), (1.7e308, None)])
def test_what_no_clock_has_shown_is_no_time(median_ms: float, control_ms: float | None) -> None:
    """Whoever can write to a history must not end the runs that read it."""
    outcome = Outcome(check="docs", verdict="pass", median_ms=median_ms)
    run = Entry(
        service="shop", phase="scheduled", started=START.isoformat(), control_ms=control_ms, outcomes=(outcome,)
    )

    assert slowness.series([run] * 40) == {}


def test_each_check_on_each_target_is_a_series() -> None:
    """A run in which a check was not timed, or in no time, is not counted; the control is not divided by itself."""
    timed = [
        Outcome(check="control", verdict="pass", median_ms=5, probes=3),
        Outcome(check="docs", instance="/a", verdict="pass", median_ms=9, probes=3),
        Outcome(check="docs", instance="/b", verdict="fail"),
        Outcome(check="docs", instance="/c", verdict="pass", median_ms=0, probes=3),
    ]
    run = Entry(service="shop", phase="scheduled", started=START.isoformat(), control_ms=5, outcomes=tuple(timed))

    assert slowness.series([run]) == {
        Series("shop", "", "control"): [Sample(moment=START, median_ms=5, probes=3)],
        Series("shop", "", "docs", "/a"): [Sample(moment=START, median_ms=9, probes=3, control_ms=5)],
    }
    assert [str(key) for key in slowness.series([run])] == ["shop: control", "shop: docs /a"]
