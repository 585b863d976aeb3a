"""Gantt charts as numbers: rows of bars, in percent of the width."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from testbay.harness.run.recordparts import Attempt
from testbay.harness.run.report.recorded import RecordedRun
from testbay.text import duration, plural

_LANES = 64
_CLOCK_S = 0.005  # two clocks that measure the same differ by less
_HAIR = 0.15  # percent of the width: narrower bars are drawn as wide as this, closer ones as one
_WORST_FIRST = ("failed", "rerun", "skipped", "passed")


@dataclass(frozen=True, kw_only=True)
class Bar:
    """The begin and end of a bar, in percent; `kind` selects its colour."""

    left: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Row:
    """A named lane and its bars; `note` is shown at its end."""

    name: str
    note: str
    bars: Sequence[Bar]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Rows over one axis; `limit` marks the end of the budget, in percent."""

    rows: Sequence[Row]
    ticks: Sequence[tuple[float, str]]
    limit: float | None = None


def startup(run: RecordedRun) -> Chart | None:
    """Draw the start-up time of each server, beside the budget for all of them."""
    if not run.startup:
        return None
    budget = run.startup_budget_s
    span = max(run.startup_s, budget) * 1.04 or 1.0
    over = bool(budget) and run.startup_s > budget
    rows = []
    for step in run.starts:
        end = step.start_s + step.duration_s
        late = bool(budget) and end > budget
        title = f"{step.name}: ready {duration(end)} after the first was started"
        bar = _bar(step.start_s, step.duration_s, span, "over" if late else "start", title)
        rows.append(Row(name=step.name, note=duration(step.duration_s), bars=[bar]))
    kind = "over" if over else "start"
    whole = _bar(0, run.startup_s, span, kind, f"all of them: {duration(run.startup_s)}")
    rows.append(Row(name="all together", note=duration(run.startup_s), bars=[whole]))
    return Chart(rows=rows, ticks=_ticks(span), limit=100 * budget / span if budget else None)


def whole_run(run: RecordedRun) -> Chart | None:
    """Draw the steps of the run, and below them the tests of each worker."""
    lanes = _lanes(run)
    ends = [step.start_s + step.duration_s for step in run.steps]
    ends += [start + attempt.whole_s for lane in lanes.values() for start, attempt in lane]
    span = max([*ends, run.duration_s]) * 1.01 if ends else 0.0
    if not span:
        return None
    rows = [
        Row(
            name=re.sub(r" \(.*\)", "", step.name),
            note=duration(step.duration_s),
            bars=[_bar(step.start_s, step.duration_s, span, "step" if step.outcome == "ok" else "failed", step.name)],
        )
        for step in run.steps
    ]
    rows += [_lane_row(name, lane, span) for name, lane in sorted(lanes.items())[:_LANES]]
    return Chart(rows=rows, ticks=_ticks(span))


def shards(run: RecordedRun) -> Chart | None:
    """Draw the duration of each shard."""
    span = max((shard.duration_s for shard in run.shards), default=0.0) * 1.01
    if not span:
        return None
    rows = [
        Row(
            name=shard.shard or shard.id,
            note=", ".join(
                [
                    plural(shard.planned, "test"),
                    *[f"{shard.failed} failed"] * (shard.failed > 0),
                    duration(shard.duration_s),
                ]
            ),
            bars=[_bar(0, shard.duration_s, span, "step", shard.id)],
        )
        for shard in run.shards
    ]
    return Chart(rows=rows, ticks=_ticks(span))


def slowest(run: RecordedRun) -> Chart | None:
    """The ten slowest tests side by side."""
    tests = run.slowest
    span = tests[0].duration_s if tests else 0.0
    if not span:
        return None
    rows = [
        Row(
            name=test.id,
            note=duration(test.duration_s),
            bars=[_bar(0, test.duration_s, span, test.outcome, test.id)],
        )
        for test in tests
    ]
    return Chart(rows=rows, ticks=())


def _lanes(run: RecordedRun) -> dict[str, list[tuple[float, Attempt]]]:
    """The attempts of each worker with their start, in seconds from the run's.

    Concurrent attempts have separate lanes: a merged run has a gw0 of each shard.
    """
    if run.started is None:
        return {}
    zero = run.started.timestamp()
    found = [(a.start - zero, a) for a in run.attempts if a.start is not None and 0 <= a.start - zero < 1e7]
    lanes: dict[str, list[tuple[float, Attempt]]] = {}
    ends: dict[str, float] = {}
    for start, attempt in sorted(found, key=lambda pair: pair[0]):
        worker = attempt.worker or "tests"
        names = [worker, *(f"{worker} ({n})" for n in range(2, _LANES + 1))]
        name = next((name for name in names if ends.get(name, 0.0) <= start + _CLOCK_S), names[-1])
        lanes.setdefault(name, []).append((start, attempt))
        ends[name] = start + attempt.whole_s
    return lanes


def _lane_row(name: str, lane: list[tuple[float, Attempt]], span: float) -> Row:
    busy = sum(attempt.whole_s for _, attempt in lane)
    bars = [
        _bar(start, attempt.whole_s, span, attempt.outcome, f"{attempt.id}: {duration(attempt.whole_s)}")
        for start, attempt in lane
    ]
    return Row(name=name, note=f"{plural(len(lane), 'test')}, {duration(busy)}", bars=list(_joined(bars)))


def _joined(bars: Iterable[Bar]) -> Iterable[Bar]:
    """Join neighbouring bars that a screen could not separate, in the colour of the worst outcome.

    Long bars stay separate.
    """
    pending: list[Bar] = []
    for bar in bars:
        if pending and (bar.width > 2 * _HAIR or bar.left - pending[0].left > 2 * _HAIR):
            yield _one(pending)
            pending = []
        pending.append(bar)
    if pending:
        yield _one(pending)


def _one(bars: list[Bar]) -> Bar:
    if len(bars) == 1:
        return bars[0]
    right = max(bar.left + bar.width for bar in bars)
    worst = min(bars, key=lambda bar: _WORST_FIRST.index(bar.kind))
    title = f"{len(bars)} tests" if worst.kind == "passed" else f"{len(bars)} tests, one of them {worst.title}"
    return Bar(left=bars[0].left, width=round(right - bars[0].left, 3), kind=worst.kind, title=title)


def _bar(start_s: float, length_s: float, span: float, kind: str, title: str) -> Bar:
    left = min(100 * start_s / span, 100 - _HAIR)
    width = min(max(100 * length_s / span, _HAIR), 100 - left)
    return Bar(left=round(left, 3), width=round(width, 3), kind=kind, title=title)


def _ticks(span: float) -> list[tuple[float, str]]:
    """About five round numbers of seconds."""
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [(100 * step * n / span, duration(step * n) if n else "0") for n in range(math.floor(span / step) + 1)]
